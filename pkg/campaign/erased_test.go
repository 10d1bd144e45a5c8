package campaign

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// rewardsOf plays a log, and says which rewards came of which record.
func (l *writtenLog) rewardsOf() (got []string) {
	l.t.Helper()
	rewards, letters := playLog(l.t, l.entries)
	for _, r := range rewards {
		got = append(got, fmt.Sprintf("%s %s/%s because of %d", r.User, r.Campaign, r.Cycle, r.Offset))
	}
	for _, letter := range letters {
		got = append(got, fmt.Sprintf("dead letter %d: %s", letter.Offset, letter.Reason))
	}
	return got
}

// C4: what an erased user had done is gone, and what comes meanwhile is dropped, late or not, broken or not. When nothing from before the erasure can
// be in time any more, the user begins anew.
func TestC4AnErasedUserBeginsAnewWhenTheLatenessHasPassed(t *testing.T) {
	l := &writtenLog{t: t}
	l.publish("2026-03-01T00:00:00Z", definition("c", 1, "lateness: 48h\ngoal: {count: 2, of: hit}"))
	l.at("2026-03-01T10:00:00Z", "u", "hit", "{}")
	l.at("2026-03-01T10:00:00Z", "v", "hit", "{}")
	l.at("2026-03-02T00:00:00Z", "u", TypeErased, `{"salt":"7c9e"}`)
	l.at("2026-03-02T10:00:00Z", "u", "hit", "{}")
	l.at("2026-03-02T10:00:00Z", "v", "hit", "{}")                            // of another user: counts
	l.at("2026-03-02T11:00:00Z", "u", "stampede.unknown", "{}")               // else a dead letter
	l.at("2026-03-02T11:00:00Z", "u", "hit", `{]`)                            // the same
	l.arrives("2026-03-02T11:00:00Z", "2026-04-01T00:00:00Z", "u", "x", "{}") // the same
	l.at("2026-03-04T00:00:00Z", "u", "hit", "{}")                            // the last instant
	l.arrives("2026-03-04T00:00:00.001Z", "2026-03-02T00:00:00Z", "u", "hit", "{}")
	l.at("2026-03-04T00:00:00.001Z", "u", "hit", "{}")
	l.at("2026-03-04T00:00:01Z", "u", "hit", "{}")
	if diff := cmp.Diff([]string{"v c/1 because of 5", "u c/1 because of 12"}, l.rewardsOf()); diff != "" {
		t.Error(diff)
	}
}

// C4: an erasure is never too late and is no duplicate. A later one counts from itself.
func TestC4AnErasureAgain(t *testing.T) {
	l := &writtenLog{t: t}
	l.publish("2026-03-01T00:00:00Z", definition("c", 1, "lateness: 24h\ngoal: {count: 2, of: hit}"))
	l.at("2026-03-01T10:00:00Z", "u", "hit", "{}")
	l.arrives("2026-03-02T00:00:00Z", "2026-01-01T00:00:00Z", "u", TypeErased, "null")
	l.at("2026-03-02T23:00:00Z", "u", TypeErased, "null")
	l.at("2026-03-03T10:00:00Z", "u", "hit", "{}") // dropped: the second erasure was 11 hours ago
	l.at("2026-03-04T00:00:00Z", "u", "hit", "{}")
	l.at("2026-03-04T01:00:00Z", "u", "hit", "{}")
	l.arrives("2026-03-04T02:00:00Z", "2026-03-09T02:00:00Z", "w", TypeErased, "null") // E5
	l.at("2026-03-04T02:00:00Z", "w", TypeErased, `{"salt":1}`)
	want := []string{"u c/1 because of 6", "dead letter 7: future", "dead letter 8: bad_control"}
	if diff := cmp.Diff(want, l.rewardsOf()); diff != "" {
		t.Error(diff)
	}
}

// C4, E3: a user is remembered as long as an event that happened at the erasure would be in time, by whatever the lateness becomes.
func TestC4ALatenessThatIsRaisedLaterKeepsNobodyErased(t *testing.T) {
	l := &writtenLog{t: t}
	l.publish("2026-03-01T00:00:00Z", definition("c", 1, "lateness: 24h\ngoal: {event: hit}"))
	l.at("2026-03-01T10:00:00Z", "u", TypeErased, "null")
	l.publish("2026-03-02T00:00:00Z", definition("late", 1, "lateness: 20 days\ngoal: {event: other}"))
	l.at("2026-03-02T10:00:00Z", "u", "hit", "{}")
	l.at("2026-03-02T11:00:00Z", "u", "hit", "{}")
	if diff := cmp.Diff([]string{"u c/1 because of 4"}, l.rewardsOf()); diff != "" {
		t.Error(diff)
	}
}

// What is dropped says so for each campaign, and what is stored of a partition has neither the id nor a hash that could be made without the salt.
func TestC4WhatIsKeptOfAnErasedUser(t *testing.T) {
	set := mustSet(t, "goal: {event: hit}")
	engine := NewEngine(set, 0)
	clock := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
	event := func(kind, id string) *Event {
		return &Event{User: "ann-the-user", ID: id, Source: "s", Type: kind, Time: msToNs(clock)}
	}
	l := &Ledger{}
	engine.Apply(l, event("hit", "1"), clock)
	if r := engine.Apply(l, event(TypeErased, "2"), clock); !r.Changed || !l.Empty() || len(r.Stored) != 2 {
		t.Errorf("erased: %+v, ledger %v", r, l)
	}
	if r := engine.Apply(l, event(TypeErased, "3"), clock); r.Changed {
		t.Error("a user of whom nothing is known is deleted again")
	}
	dropped := engine.Drop(event("hit", "4"), nil, clock)
	if dropped == nil || !dropped.Dropped || len(dropped.Decisions) != 1 || dropped.Decisions[0].Decision.String() != "erased" {
		t.Errorf("dropped: %+v", dropped)
	}
	for _, s := range engine.Erased().Stored() {
		if s.Name[0] != 0xff || bytes.Contains([]byte(s.Name), []byte("ann")) || bytes.Contains(s.Value, []byte("ann")) {
			t.Errorf("stored is %q %s", s.Name, s.Value)
		}
	}
	other := NewEngine(set, 0)
	other.Apply(&Ledger{}, event(TypeErased, "5"), clock)
	if a, b := engine.Erased().Stored()[0].Name, other.Erased().Stored()[0].Name; a == b || !strings.HasPrefix(a, storedErased) {
		t.Errorf("two partitions have the same hash of a user, or none: %q, %q", a, b)
	}
}

func mustSet(t *testing.T, text string) *Set {
	t.Helper()
	c, err := definition("c", 1, text).Compile()
	if err != nil {
		t.Fatal(err)
	}
	set, err := NewSet([]*Campaign{c})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// What is told of changes adds up to what is kept, and put away and read back it is the same. Nobody is kept for longer than the lateness.
func TestWhatIsStoredOfErasedUsers(t *testing.T) {
	set := mustSet(t, "lateness: 10s\ngoal: {event: hit}")
	rapid.Check(t, func(t *rapid.T) {
		engine := NewEngine(set, 0)
		stored := map[string]string{}
		clock := int64(1_700_000_000_000)
		for i := range rapid.IntRange(1, 60).Draw(t, "records") {
			clock += rapid.Int64Range(0, 3000).Draw(t, "ms")
			ev := Event{User: rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "user"), ID: fmt.Sprint(i), Source: "s", Type: TypeErased, Time: msToNs(clock)}
			changed := engine.ForgetErased(clock)
			changed = append(changed, engine.Apply(&Ledger{}, &ev, clock).Stored...)
			for _, s := range changed {
				if delete(stored, s.Name); s.Value != nil {
					stored[s.Name] = string(s.Value)
				}
			}
			again, kept := NewErased(), map[string]string{}
			for _, s := range engine.Erased().Stored() {
				kept[s.Name] = string(s.Value)
				if err := again.Restore(s.Name, s.Value); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(kept, stored); diff != "" {
				t.Fatalf("what is kept and what was told differ: %s", diff)
			}
			if !slices.Equal(again.order, engine.erased.order) || engine.erased.order[0].at < clock-10_000 || len(again.clocks) != len(again.order) {
				t.Fatalf("%v read back is %v", engine.erased.order, again.order)
			}
			engine.UseErased(again)
		}
	})
}

// Scenarios can erase, too.
func TestC4InAScenario(t *testing.T) {
	set := mustSet(t, "lateness: 48h\ngoal: {count: 2, of: hit}")
	scenarios, mistakes := ParseScenarios("c.test.yaml", []byte(`
scenarios:
  - scenario: ann is erased after the first hit, and begins anew three days later
    events:
      - {at: 2026-03-01 12:00, user: ann, type: hit, expect: counted}
      - {at: 2026-03-02 12:00, user: ann, type: stampede.erased}
      - {at: 2026-03-02 13:00, user: ann, type: hit, expect: erased}
      - {at: 2026-03-02 14:00, user: ann, type: stampede.erased}
      - {at: 2026-03-05 12:00, user: ann, type: hit, expect: counted}
      - {at: 2026-03-05 13:00, user: ann, type: hit, expect: counted}
    rewards:
      - {user: ann, campaign: c, achieved_at: 2026-03-05 13:00}
`))
	if len(mistakes) > 0 {
		t.Fatal(mistakes)
	}
	for _, failure := range scenarios[0].Run(set) {
		t.Error(failure)
	}
}
