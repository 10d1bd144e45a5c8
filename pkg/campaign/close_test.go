package campaign

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// outcomes are those so far, but of rewards.
func (s *story) outcomes(want ...string) {
	s.t.Helper()
	if diff := cmp.Diff(want, s.ended); diff != "" {
		s.t.Errorf("outcomes (-want +got):\n%s", diff)
	}
}

// nothingLeft wants the ledger to be as it was before there was anything.
func (s *story) nothingLeft() {
	s.t.Helper()
	if !s.ledger.Empty() || s.ledger.Due() != 0 {
		s.t.Errorf("the ledger is not empty: %+v", s.ledger)
	}
}

func TestT4APeriodClosesWhenItHasEndedEverywhereAndTheLatenessHasPassed(t *testing.T) {
	const yaml = head + "repeat: always\nlateness: 48h\ngoal: {count: 2, of: hit, per: week}\n"
	s := tell(t, yaml)
	s.event("2026-03-02T12:00:00Z") // week 10 ends with Sunday, 8 March
	s.until("2026-03-11T11:59:59.999Z")
	s.outcomes()
	if d := s.arrives("2026-03-09T11:59:59-12:00", "2026-03-11T11:59:59.999Z", ""); d != Counted { // Monday, in week 11 already
		t.Errorf("decided %s", d)
	}
	s.until("2026-03-11T12:00:00Z")
	s.outcomes("failed 2026-W10 2026-03-08")

	s = tell(t, yaml)
	s.event("2026-03-02T12:00:00Z")
	// The last instant of that week, in the last place on earth, with the last clock that is in time.
	if d := s.arrives("2026-03-08T23:59:59.999-12:00", "2026-03-11T11:59:59.999Z", ""); d != Counted {
		t.Errorf("decided %s", d)
	}
	s.until("2026-05-01T00:00:00Z")
	s.rewards("2026-W10")
	s.outcomes()
	s.until("2026-05-02T00:00:00Z") // 32 days after the last look
	if len(s.ledger.progress) != 1 {
		t.Errorf("what was paid is known as long as the campaign runs: %+v", s.ledger)
	}
}

func TestR4ACampaignThatHasEndedLeavesNothingBehind(t *testing.T) {
	for _, c := range []struct {
		goal     string
		repeat   string
		events   int
		rewards  []string
		outcomes []string
	}{
		{"{event: hit}", "once", 1, []string{"1"}, nil},
		{"{count: 3, of: hit}", "once", 2, nil, []string{"failed 1 2026-03-31"}},
		{"{count: 3, of: hit}", "once", 0, nil, nil},
		{"{count: 2, of: hit}", "always", 5, []string{"1", "2"}, nil},
		{"{count: [2, 9], of: hit}", "once", 3, []string{"1"}, nil},
		{"{count: 2, of: hit, per: day}", "once", 3, nil, []string{"failed 1 2026-03-31"}},
		{"{streak: 3, of: hit}", "always", 7, []string{"1", "2"}, nil},
		{"{streak: 9, of: hit, at_least: 2}", "once", 7, nil, []string{"failed 1 2026-03-31"}},
		{"{sum: 2, of: hit, value: event.hour, within: 3 days}", "once", 1, []string{"1"}, nil},
		{"{distinct: 9, of: hit, value: event.date, within: 72h}", "once", 7, nil, []string{"failed 1 2026-03-31"}},
		{"{sequence: [{of: hit}, {of: hit}, {of: other}]}", "once", 7, nil, []string{"failed 1 2026-03-31"}},
		{"{sequence: [{of: hit}, {of: hit}], without: {of: other}}", "always", 7, []string{"1", "2", "3"}, nil},
		{"{all: [{event: hit}, {count: 3, of: hit, per: week}, {event: other}]}", "once", 7, nil, []string{"failed 1 2026-03-31"}},
		{"{all: [{event: hit}, {none: other}], per: month}", "always", 1, []string{"2026-03"}, nil},
		{"{none: other}", "once", 1, []string{"1"}, nil},
		{"{none: hit}", "once", 1, nil, []string{"failed 1 2026-03-31"}},
	} {
		t.Run(c.repeat+" "+c.goal, func(t *testing.T) {
			yaml := "campaign: c\nversion: 1\nstarts: 2026-03-01\nends: 2026-04-01\nlateness: 24h\nreward: {kind: points}\nrepeat: " + c.repeat + "\ngoal: " + c.goal + "\n"
			if c.goal == "{count: [2, 9], of: hit}" {
				yaml = "campaign: c\nversion: 1\nstarts: 2026-03-01\nends: 2026-04-01\nlateness: 24h\nreward: [{kind: points}, {kind: points}]\ngoal: " + c.goal + "\n"
			}
			s := tell(t, yaml)
			for day := range c.events {
				s.says("hit", fmt.Sprintf("2026-03-%02d", day+2), "")
			}
			s.says("stampede.excused", "2026-03-20", `"dates":["2026-03-19"]`)
			s.until("2026-04-01T23:59:59.999Z")
			if len(c.outcomes) > 0 {
				s.outcomes()
			}
			s.until("2026-04-02T00:00:00Z")
			s.rewards(c.rewards...)
			s.outcomes(c.outcomes...)
			s.until("2026-05-05T00:00:00Z") // excused dates wait for the next look at the ledger
			s.nothingLeft()
		})
	}
}

// Who is not eligible at a period's end has no reward for what did not happen. What did happen, and waits for the end, is paid all the same.
func TestG9AnEndDecidesEachPartByItself(t *testing.T) {
	s := tell(t, "campaign: c\nversion: 1\nstarts: 2026-01-01\nlateness: 48h\nreward: {kind: points}\nrepeat: always\neligible: user.plan == \"gold\"\n"+
		"goal: {any: [{sum: 3, of: buy, value: event.data.v, net: true}, {none: claim}], per: month}\n")
	s.says("stampede.profile", "2026-01-02", `"attributes":{"plan":"gold"}`)
	s.says("buy", "2026-01-03", `"v":4`)
	s.says("stampede.profile", "2026-01-04", `"attributes":{"plan":null}`)
	s.until("2026-03-15T00:00:00Z")
	s.rewards("2026-01")
}

func TestG8None(t *testing.T) {
	yaml := func(more string) string {
		return "campaign: c\nversion: 1\nstarts: 2026-01-01\nlateness: 48h\nreward: {kind: points}\nrepeat: always\ngoal: {none: claim, per: month}\n" + more
	}
	s := tell(t, yaml(""))
	s.says("login", "2026-01-20", "") // of a type that concerns nobody: the user is known
	s.decided("counted_against", s.says("claim", "2026-03-05", ""))
	s.says("login", "2026-03-06", "")
	s.until("2026-04-03T11:59:59Z")
	s.rewards("2026-01", "2026-02")
	if r := s.last[0]; r.AchievedAt != msToNs(DayOf(2026, 2, 1).midnight().Add(everywhere).UnixMilli()) || r.EvidenceCount != 0 {
		t.Errorf("achieved at %s, %d events", timeOf(r.AchievedAt), r.EvidenceCount)
	}
	s.until("2026-04-03T12:00:00Z")
	s.outcomes("failed 2026-03 2026-03-31")

	// A claim that arrives late, and in time.
	s = tell(t, yaml(""))
	s.says("login", "2026-01-20", "")
	s.apply("2026-02-03T11:59:59Z", `{"specversion":"1.0","id":"late","source":"s","type":"claim","time":"2026-01-31T23:59:59-12:00"}`)
	s.until("2026-02-04T00:00:00Z")
	s.rewards()
	s.outcomes("failed 2026-01 2026-01-31")

	// What is too late to count still tells of a user.
	s = tell(t, yaml(""))
	s.apply("2026-02-10T00:00:00Z", `{"specversion":"1.0","id":"old","source":"s","type":"claim","time":"2026-01-20T00:00:00Z"}`)
	s.until("2026-03-04T00:00:00Z")
	s.rewards("2026-02")

	// Who is not eligible at the end of the period gets nothing, and has not failed.
	s = tell(t, yaml("eligible: user.plan == \"gold\"\n"))
	s.says("stampede.profile", "2026-01-20", `"attributes":{"plan":"gold"}`)
	s.says("stampede.profile", "2026-02-20", `"attributes":{"plan":null}`)
	s.says("stampede.profile", "2026-03-20", `"attributes":{"plan":"gold"}`)
	s.until("2026-04-10T00:00:00Z")
	s.rewards("2026-01", "2026-03")
	s.outcomes()

	// Who enrols is judged from then on.
	s = tell(t, yaml("enrol: opt_in\n"))
	s.says("login", "2026-01-20", "")
	s.says("stampede.enrolled", "2026-02-10", `"campaign":"c"`)
	s.says("stampede.withdrawn", "2026-03-10", `"campaign":"c"`)
	s.says("stampede.enrolled", "2026-04-10", `"campaign":"c"`)
	s.until("2026-05-10T00:00:00Z")
	s.rewards("2026-02", "2026-04")
	s.outcomes("withdrawn 2026-03 2026-03-10")

	// The number of rewards is bounded, and once is once.
	s = tell(t, yaml("limits: {per_user: 2}\n"))
	s.says("login", "2026-01-20", "")
	s.until("2026-12-10T00:00:00Z")
	s.rewards("2026-01", "2026-02")
}

// Who is known matters as long as a `none` is open. Then nothing of it is left, of those who could not take part, or come later, either.
func TestG8WhoIsKnownIsForgotten(t *testing.T) {
	const yaml = "campaign: c\nversion: 1\nstarts: 2026-01-01\nends: 2026-02-01\nreward: {kind: points}\ngoal: {none: claim}\n"
	s := tell(t, yaml)
	s.says("login", "2026-02-03", "")
	s.nothingLeft()
	s = tell(t, yaml+"enrol: opt_in\n")
	s.says("login", "2026-01-20", "")
	s.until("2026-02-02T23:59:59Z")
	if s.ledger.Empty() {
		t.Error("the user is not known")
	}
	s.until("2026-02-03T00:00:00Z")
	s.nothingLeft()
	s.rewards()
}

func TestG8NoneOfAWholeCampaign(t *testing.T) {
	s := tell(t, "campaign: c\nversion: 1\nstarts: 2026-01-01\nends: 2026-02-01\nreward: {kind: points}\ngoal: {none: claim}\n")
	s.says("login", "2026-01-20", "")
	s.until("2026-02-02T23:59:59Z")
	s.rewards()
	s.until("2026-02-03T00:00:00Z")
	s.rewards("1")
	if got := timeOf(s.last[0].AchievedAt); got != "2026-02-01 00:00 UTC" {
		t.Errorf("achieved at %s", got)
	}
	s.until("2026-02-04T00:00:00Z")
	s.nothingLeft()
}

func TestG2NetSumsCountWhenTheirPeriodIsClosed(t *testing.T) {
	s := tell(t, head+"repeat: always\ngoal: {sum: 100, of: paid, value: event.data.v, per: month, net: true}\n")
	s.decided("counted", s.says("paid", "2026-01-05", `"v":150`))
	s.decided("counted", s.says("paid", "2026-01-06", `"v":-60`))
	s.decided("counted", s.says("paid", "2026-02-06", `"v":120`))
	s.until("2026-02-03T11:59:59Z")
	s.rewards()
	s.until("2026-04-01T00:00:00Z")
	s.rewards("2026-02")
	s.outcomes("failed 2026-01 2026-01-31")

	// A refund that arrives late is taken off.
	s = tell(t, head+"repeat: always\ngoal: {sum: 100, of: paid, value: event.data.v, per: month, net: true}\n")
	s.says("paid", "2026-01-05", `"v":150`)
	s.apply("2026-02-02T00:00:00Z", `{"specversion":"1.0","id":"late","source":"s","type":"paid","time":"2026-01-31T12:00:00Z","data":{"v":-60}}`)
	s.until("2026-04-01T00:00:00Z")
	s.rewards()
}

func TestG7WithoutWaitsUntilNothingCanSpoilIt(t *testing.T) {
	const yaml = head + "lateness: 24h\ngoal: {sequence: [{of: booked}, {of: done, within: 14 days}], without: {of: cancelled}}\n"
	s := tell(t, yaml)
	s.says("booked", "2026-03-01", "")
	s.says("done", "2026-03-05", "")
	s.until("2026-03-06T12:00:00Z")
	s.rewards() // a cancellation of that instant minus a nanosecond could still arrive
	s.until("2026-03-06T12:00:00.001Z")
	s.rewards("1")

	s = tell(t, yaml)
	s.says("booked", "2026-03-01", "")
	s.says("done", "2026-03-05", "")
	s.apply("2026-03-06T11:00:00Z", `{"specversion":"1.0","id":"late","source":"s","type":"cancelled","time":"2026-03-05T11:59:59.999Z"}`)
	s.until("2026-03-20T00:00:00Z")
	s.rewards()
	s.decided("counted", s.says("booked", "2026-03-20", ""))
	s.decided("counted", s.says("done", "2026-03-21", ""))
	s.until("2026-03-25T00:00:00Z")
	s.rewards("1")

	// At the instant of the first or the last it lies not between them.
	s = tell(t, yaml)
	s.decided("counted_against", s.says("cancelled", "2026-03-01", ""))
	s.says("booked", "2026-03-01", "")
	s.says("done", "2026-03-05", "")
	s.decided("counted_against", s.says("cancelled", "2026-03-05", ""))
	s.until("2026-03-25T00:00:00Z")
	s.rewards("1")
}

// An enrolment from before the last withdrawal says nothing any more, nor does a withdrawal from before the last enrolment: what counts is when they happened.
func TestC2WhatHappenedLastHolds(t *testing.T) {
	const yaml = head + "enrol: opt_in\nrepeat: always\ngoal: {event: hit}\n"
	says := func(s *story, kind, at string) {
		s.t.Helper()
		s.count++
		s.apply("2026-03-01T13:00:00Z", fmt.Sprintf(`{"specversion":"1.0","id":"e%d","source":"s","type":%q,"time":%q,"data":{"campaign":"c"}}`, s.count, kind, at))
	}
	hit := func(s *story, at string, want Decision) {
		s.t.Helper()
		if got := s.late(at, "2026-03-01T13:00:00Z"); got != want {
			s.t.Errorf("an event at %s: %s, wanted %s", at, got, want)
		}
	}
	s := tell(t, yaml)
	says(s, "stampede.withdrawn", "2026-03-01T12:00:00Z")
	says(s, "stampede.enrolled", "2026-03-01T10:00:00Z")
	hit(s, "2026-03-01T12:30:00Z", NotEnrolled)
	says(s, "stampede.enrolled", "2026-03-01T12:00:00Z")
	hit(s, "2026-03-01T12:30:00Z", Counted)

	s = tell(t, yaml)
	says(s, "stampede.enrolled", "2026-03-01T12:00:00Z")
	says(s, "stampede.withdrawn", "2026-03-01T10:00:00Z")
	hit(s, "2026-03-01T11:30:00Z", NotEnrolled)
	hit(s, "2026-03-01T12:30:00Z", Counted)
	s.outcomes()
	says(s, "stampede.withdrawn", "2026-03-01T12:00:00Z")
	hit(s, "2026-03-01T12:40:00Z", NotEnrolled)
	s.outcomes("withdrawn 2 2026-03-01")
}

func TestC2APeriodThatWasPaidStaysPaidThroughAWithdrawal(t *testing.T) {
	s := tell(t, head+"repeat: always\ngoal: {count: 1, of: hit, per: month}\n")
	s.event("2026-03-02T12:00:00Z")
	s.says("stampede.withdrawn", "2026-03-03", `"campaign":"c"`)
	s.says("stampede.enrolled", "2026-03-04", `"campaign":"c"`)
	s.event("2026-03-05T12:00:00Z")
	s.event("2026-04-05T12:00:00Z")
	s.rewards("2026-03", "2026-04")
}

func TestEvidenceIsSharedAndBounded(t *testing.T) {
	var campaigns []*Campaign
	for i := range 10 {
		yaml := fmt.Sprintf("campaign: c%d\nversion: 1\nstarts: 2026-01-01\nreward: {kind: points}\ngoal: {count: 1000, of: [hit, hit%d]}\n", i, i)
		c, wrong := Parse("c.yaml", []byte(yaml))
		if wrong != nil {
			t.Fatal(wrong)
		}
		campaigns = append(campaigns, c)
	}
	set, err := NewSet(campaigns)
	if err != nil {
		t.Fatal(err)
	}
	s := &story{t: t, engine: NewEngine(set, 0), ledger: &Ledger{}}
	for i := range 40 {
		s.apply("2026-03-01T12:00:00Z", fmt.Sprintf(`{"specversion":"1.0","id":"e%d","source":"s","type":"hit","time":"2026-03-01T12:00:00Z"}`, i))
	}
	if len(s.ledger.ids) != maxEvidence {
		t.Errorf("%d ids are kept of events that count everywhere", len(s.ledger.ids))
	}
	for i := range 400 {
		s.apply("2026-03-01T12:00:00Z", fmt.Sprintf(`{"specversion":"1.0","id":"x%d","source":"s","type":"hit%d","time":"2026-03-01T12:00:00Z"}`, i, i%10))
	}
	if len(s.ledger.ids) != maxLedgerIDs {
		t.Errorf("%d ids are kept", len(s.ledger.ids))
	}
	for _, p := range s.ledger.progress {
		if n := len(p.buckets[0].ids); n < maxLedgerIDs/10 {
			t.Errorf("a campaign is left with %d", n)
		}
		if !slices.IsSorted(p.buckets[0].ids) {
			t.Errorf("ids out of order: %v", p.buckets[0].ids)
		}
	}
}

func TestTimersAreInOrder(t *testing.T) {
	var timers Timers
	of := map[string]*Timer{}
	for _, x := range []struct {
		user string
		due  int64
	}{{"b", 5}, {"a", 5}, {"c", 1}, {"d", 9}, {"c", 7}, {"d", 0}, {"e", 0}} {
		if of[x.user] == nil {
			of[x.user] = &Timer{User: x.user}
		}
		timers.Set(of[x.user], x.due)
	}
	var got []string
	for next := timers.Next(); next != nil; next = timers.Next() {
		got = append(got, fmt.Sprint(next.User, next.Due()))
		timers.Set(next, 0)
	}
	if diff := cmp.Diff([]string{"a5", "b5", "c7"}, got); diff != "" {
		t.Error(diff)
	}
}

// A part that was reached when its own period closed stays what it is: nothing is due for it again.
func TestWhatIsReachedByACloseIsDueOnce(t *testing.T) {
	s := tell(t, head+"goal: {all: [{sum: 2, of: paid, value: event.data.v, per: day, net: true}, {event: hit}]}\n")
	s.says("paid", "2026-01-05", `"v":3`)
	fired := 0
	for end := DayOf(2026, 3, 1).midnight().UnixMilli(); s.ledger.Due() != 0 && s.ledger.Due() < end && fired < 100; fired++ {
		s.clock = s.ledger.Due()
		s.note(s.engine.Fire(s.ledger, "u"))
	}
	if fired > 5 {
		t.Fatalf("something was due %d times", fired)
	}
	s.event("2026-03-01T12:00:00Z")
	s.rewards("1")
}
