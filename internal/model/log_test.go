package model

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The example of rule R1.
func TestR1TheIDOfAReward(t *testing.T) {
	if got := rewardID("c", "u", "1", "1"); got != "1f64a5e1-7788-8ec8-bdd1-fe7fb685d4c3" {
		t.Errorf("got %s", got)
	}
}

// What follows from no rule is not guessed.
func TestWhatTheModelDoesNotKnowItSays(t *testing.T) {
	campaign := func(kind string) *Campaign {
		return &Campaign{
			ID: "c", Version: 1, Starts: Start, Zone: "UTC", Late: time.Hour,
			Goal: &Goal{kind: kind, filter: filter{types: []string{"a"}}, numbers: []int{1}, per: "day", outermost: true},
		}
	}
	next := func(c *Campaign, change func(*Campaign)) *Campaign {
		n := *c
		n.Version++
		change(&n)
		return &n
	}
	user := Step{Start, []byte("u"), Record{User: "u", ID: "1", Kind: "a", At: Start}.CloudEvent()}
	control := func(value []byte) Step { return Step{Start, []byte(ControlKey), value} }
	none, count := campaign("none"), campaign("count")
	later, restarted := next(count, func(c *Campaign) { c.Late = 2 * time.Hour }), next(none, func(c *Campaign) { c.Restart, c.Goal = true, count.Goal })
	known := []*Campaign{none, count, later, restarted}
	for _, c := range []struct {
		name  string
		steps []Step
	}{
		{"a `none` comes into force when users are known", []Step{user, control(none.Published())}},
		{"a `none` is withdrawn", []Step{control(none.Published()), control(none.Withdrawn())}},
		{"a `none` begins anew", []Step{control(none.Published()), control(restarted.Published())}},
		{"a version changes the lateness", []Step{control(count.Published()), control(later.Published())}},
		{"a campaign that nobody told of", []Step{control(DrawVersion(Rand(rand.New(rand.NewPCG(1, 1))), count).Published())}},
		{"a zone that changes its clocks", []Step{{Start, []byte("u"), []byte(`{"specversion":"1.0","id":"1","source":"s","type":"a","time":"2026-03-02T00:00:00Z","timezone":"Europe/Berlin"}`)}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := NewLog(known...)
			for i, e := range (Story{Steps: c.steps}).Entries(0) {
				err := l.Read(e)
				if unknown := (*UnknownError)(nil); errors.As(err, &unknown) != (i == len(c.steps)-1) {
					t.Errorf("record %d: %v", i, err)
				}
			}
		})
	}
}

// The same seed draws the same, and the model reads the same out of it.
func TestASeedDrawsTheSame(t *testing.T) {
	told := func() []string {
		story := DrawStory(Rand(rand.New(rand.NewPCG(7, 7))), []string{"ann", "bob"}, 40)
		l := NewLog(story.Campaigns...)
		var lines []string
		for _, e := range story.Entries(0) {
			if err := l.Read(e); err != nil {
				t.Fatal(err)
			}
			lines = append(lines, string(e.Key)+string(e.Value))
		}
		for _, r := range l.Rewards() {
			lines = append(lines, r.String())
		}
		return lines
	}
	if diff := cmp.Diff(told(), told()); diff != "" {
		t.Error(diff)
	}
}
