package campaign

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestScenarios plays scenarios for a few campaigns, and wants what each says of what did not hold: nothing where all did.
func TestScenarios(t *testing.T) {
	var campaigns []*Campaign
	for _, src := range []string{
		"campaign: three\nversion: 1\nstarts: 2026-01-01\nlateness: 30 days\ngoal: {count: 3, of: hit}\nreward: {kind: points}\n",
		"campaign: at-once\nversion: 1\nstarts: 2026-01-01\nlateness: 1h\ngoal: {event: hit}\nreward: {kind: points}\n",
		"campaign: quiet\nversion: 1\nstarts: 2026-01-01\neligible: user.plan == \"gold\"\ngoal: {none: claim, per: quarter}\nreward: {kind: points}\n",
	} {
		c, mistakes := Parse("c.yaml", []byte(src))
		if mistakes != nil {
			t.Fatal(mistakes)
		}
		campaigns = append(campaigns, c)
	}
	set, err := NewSet(campaigns)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, scenario string
		want           []string
	}{
		{"any order of no events is the only one", `
events: []
order: any
rewards: []
`, nil},
		{"who does nothing is known all the same", `
users: {ann: {plan: gold}, bob: {}}
events: []
until: 2026-04-03 12:01
rewards:
  - {user: ann, campaign: quiet}
`, nil},
		{"of several decisions each is looked at", `
events:
  - {at: 2026-03-01 12:00, arrives: 2026-03-02 12:00, user: ann, type: hit, expect: {three: too_late, at-once: too_late}}
  - {at: 2026-03-01 13:00, arrives: 2026-03-02 12:00, user: ann, type: hit, expect: {at-once: counted, three: not_matching}}
rewards: []
`, []string{
			"the event was to be too_late for three, and is: at-once: too_late; three: counted",
			"the event was to be counted for at-once, and is: at-once: too_late; three: counted",
			"the event was to be not_matching for three, and is: at-once: too_late; three: counted",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			src := "scenarios:\n  - scenario: s" + strings.ReplaceAll(strings.TrimRight(test.scenario, "\n"), "\n", "\n    ") + "\n"
			scenarios, mistakes := ParseScenarios("s.test.yaml", []byte(src))
			if mistakes != nil {
				t.Fatal(mistakes)
			}
			var got []string
			for _, f := range scenarios[0].Run(set) {
				got = append(got, f.Text)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("what did not hold (-want +got):\n%s", diff)
			}
		})
	}
}

// Time passes behind what has happened, and not without end: each day may have to be closed for each user.
func TestAScenarioEnds(t *testing.T) {
	const one = "[{at: 2026-03-01 12:00, user: ann, type: hit}]"
	for _, c := range []struct{ events, until, want string }{
		{one, "2026-03-01 12:00", ""},
		{one, "2076-02-01 12:00", ""},
		{"[]", "2049-01-01 00:00", ""},
		{one, "2026-03-01 11:59", "lies before the last event arrives"},
		{one, "2076-04-01 12:00", "more than 50 years behind the last event"},
		{"[]", "2200-01-01 00:00", "more than 50 years behind the last event"},
	} {
		_, mistakes := ParseScenarios("s.test.yaml", []byte("scenarios:\n  - scenario: s\n    events: "+c.events+"\n    until: "+c.until+"\n    rewards: []\n"))
		if told := mistakes != nil; told != (c.want != "") || told && !strings.Contains(mistakes[0].Message, c.want) {
			t.Errorf("%s until %s: %v, wanted %q", c.events, c.until, mistakes, c.want)
		}
	}
}
