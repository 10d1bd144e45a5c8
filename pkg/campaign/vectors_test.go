package campaign

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// story is one user's records through the engine, as an author would tell it. Each record's clock is its arrival, or its
// own time where it arrives at once.
type story struct {
	t      *testing.T
	engine *Engine
	ledger *Ledger
	clock  int64
	count  int
	told   []string // "cycle/tier" of each reward issued, in order
	last   []Reward
	ended  []string // "outcome cycle date" of each outcome but those of rewards
}

// head is what every campaign of a story needs beside its goal.
const head = "campaign: c\nversion: 1\nstarts: 2000-01-01\nreward: {kind: points}\n"

func tell(t *testing.T, yaml string) *story {
	t.Helper()
	c, wrong := Parse("c.yaml", []byte(yaml))
	if wrong != nil {
		t.Fatal(wrong)
	}
	set, err := NewSet([]*Campaign{c})
	if err != nil {
		t.Fatal(err)
	}
	return &story{t: t, engine: NewEngine(set, 0), ledger: &Ledger{}}
}

// event tells of an event of type "hit" at a time; it returns the decision.
func (s *story) event(at string) Decision { s.t.Helper(); return s.arrives(at, at, "") }

// late tells of an event that arrives at another time than its own.
func (s *story) late(at, arrives string) Decision { s.t.Helper(); return s.arrives(at, arrives, "") }

func (s *story) arrives(at, arrives, id string) Decision {
	s.t.Helper()
	s.count++
	if id == "" {
		id = fmt.Sprint("e", s.count)
	}
	r := s.apply(arrives, fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"s","type":"hit","time":%q}`, id, at))
	if r.Rejection != nil || len(r.Decisions) != 1 {
		s.t.Fatalf("event at %s: %+v", at, r)
	}
	return r.Decisions[0].Decision
}

// zone tells the user's zone from a time on.
func (s *story) zone(at, name string) {
	s.t.Helper()
	s.count++
	s.apply(at, fmt.Sprintf(`{"specversion":"1.0","id":"e%d","source":"s","type":"stampede.profile","time":%q,"data":{"timezone":%q}}`, s.count, at, name))
}

func (s *story) apply(arrives, value string) *Result {
	s.t.Helper()
	at, err := time.Parse(time.RFC3339, arrives)
	if err != nil {
		s.t.Fatal(err)
	}
	s.clock = max(s.clock, at.UnixMilli())
	var d Decoder
	var ev Event
	if rejection := d.Decode(&Record{Key: []byte("u"), Value: []byte(value), Clock: s.clock}, &ev); rejection != nil {
		s.t.Fatal(rejection)
	}
	s.fire()
	r := s.engine.Apply(s.ledger, &ev, s.clock)
	s.note(r)
	return r
}

// until lets the clock pass to a time, without an event.
func (s *story) until(at string) {
	s.t.Helper()
	clock, err := time.Parse(time.RFC3339, at)
	if err != nil {
		s.t.Fatal(err)
	}
	s.clock = max(s.clock, clock.UnixMilli())
	s.fire()
}

// fire applies what is due by the clock.
func (s *story) fire() {
	s.t.Helper()
	for due := s.ledger.Due(); due != 0 && due <= s.clock; due = s.ledger.Due() {
		s.note(s.engine.Fire(s.ledger, "u"))
		if s.ledger.Due() != 0 && s.ledger.Due() <= due {
			s.t.Fatalf("due at %d, and then at %d", due, s.ledger.Due())
		}
	}
}

func (s *story) note(r *Result) {
	s.t.Helper()
	for _, reward := range r.Rewards {
		s.told = append(s.told, reward.Cycle)
		s.last = append(s.last, reward)
	}
	for _, o := range r.Outcomes {
		if o.Kind != Achieved {
			s.ended = append(s.ended, o.Kind.String()+" "+o.Cycle+" "+o.Date.String())
		}
	}
	s.restart()
}

// restart puts the ledger away and reads it back, as a store would: nothing may live in memory alone.
func (s *story) restart() {
	s.t.Helper()
	encoded := s.ledger.Append(nil)
	l, err := Decode(encoded)
	if err != nil {
		s.t.Fatal(err)
	}
	if again := l.Append(nil); !slices.Equal(encoded, again) {
		s.t.Fatalf("a ledger changed when it was read back:\n%x\n%x", encoded, again)
	}
	s.ledger = l
}

func (s *story) rewards(want ...string) {
	s.t.Helper()
	if diff := cmp.Diff(want, s.told); diff != "" {
		s.t.Errorf("cycles rewarded (-want +got):\n%s", diff)
	}
}

// hits returns the days that the streak has as hits.
func (s *story) hits(want ...string) {
	s.t.Helper()
	var got []string
	for _, p := range s.ledger.progress {
		for _, b := range p.buckets {
			for _, r := range b.cells[0].days {
				for d := r.first; d <= r.last; d++ {
					got = append(got, d.String())
				}
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		s.t.Errorf("days hit (-want +got):\n%s", diff)
	}
}

func streakOf(hits int, more string) string {
	return head + fmt.Sprintf("%s\ngoal: {streak: %d, of: hit}\n", more, hits)
}

func TestV1DateInTheUsersZone(t *testing.T) {
	s := tell(t, streakOf(5, ""))
	s.zone("2026-01-15T00:00:00Z", "Asia/Kolkata")
	s.event("2026-01-15T20:00:00Z")
	s.hits("2026-01-16")
}

func TestV2WeeksBelongToISOYears(t *testing.T) {
	f := func(d Day, year, week int) {
		t.Helper()
		if y, w := d.ISOWeek(); y != year || w != week {
			t.Errorf("%s is in %d-W%02d, want %d-W%02d", d, y, w, year, week)
		}
	}
	f(DayOf(2024, 12, 30), 2025, 1)
	f(DayOf(2024, 1, 3), 2024, 1)
}

func TestV3ThreeEveningsOverTheChangeToSummerTime(t *testing.T) {
	s := tell(t, streakOf(3, "timezone: America/New_York"))
	s.event("2026-03-08T04:30:00Z") // 23:30 on the 7th
	s.event("2026-03-09T03:30:00Z") // 23:30 on the 8th, in summer time
	s.rewards()
	s.event("2026-03-10T03:30:00Z")
	s.rewards("1")
}

func TestV4TwoHalfPastOnesAreOneDay(t *testing.T) {
	s := tell(t, streakOf(4, "timezone: America/New_York"))
	s.event("2026-10-31T04:10:00Z")
	s.event("2026-11-01T05:30:00Z") // 01:30 EDT
	s.event("2026-11-01T06:30:00Z") // 01:30 EST
	s.event("2026-11-02T05:10:00Z")
	s.hits("2026-10-31", "2026-11-01", "2026-11-02")
	s.rewards()
}

func TestV5ADateThatWasTooShortIsNotMissed(t *testing.T) {
	s := tell(t, streakOf(2, ""))
	s.zone("2026-05-01T00:00:00Z", "America/Los_Angeles")
	s.event("2026-05-05T04:00:00Z")
	s.zone("2026-05-05T15:00:00Z", "Asia/Tokyo")
	s.event("2026-05-06T03:00:00Z")
	s.hits()
	s.rewards("1")
}

func TestV6ADateLivedTwiceIsOneDay(t *testing.T) {
	s := tell(t, streakOf(2, ""))
	s.zone("2026-05-01T00:00:00Z", "Pacific/Auckland")
	s.event("2026-05-06T11:00:00Z")
	s.zone("2026-05-06T20:00:00Z", "Pacific/Honolulu")
	s.event("2026-05-07T06:00:00Z")
	s.hits("2026-05-06")
	s.event("2026-05-08T06:00:00Z")
	s.rewards("1")
}

func TestV7TheSameEventCountsOnce(t *testing.T) {
	s := tell(t, head+"goal: {count: 2, of: hit}\n")
	s.arrives("2026-01-01T10:00:00Z", "2026-01-01T10:00:00Z", "same")
	if d := s.arrives("2026-01-01T10:00:00Z", "2026-01-01T11:00:00Z", "same"); d != Duplicate {
		t.Errorf("second: %s", d)
	}
	if d := s.arrives("2026-01-01T10:00:00Z", "2026-01-03T10:00:00Z", "same"); d != Duplicate {
		t.Errorf("third, at the last instant at which it is in time: %s", d)
	}
	if d := s.arrives("2026-01-01T10:00:00Z", "2026-01-03T10:00:01Z", "same"); d != TooLate {
		t.Errorf("fourth, too late: %s", d)
	}
	s.rewards()
}

// noon is midday UTC of a day in January 2026.
func noon(day int) string { return fmt.Sprintf("2026-01-%02dT12:00:00Z", day) }

func TestV8ALateDayCompletesTheStreak(t *testing.T) {
	s := tell(t, streakOf(5, ""))
	for _, day := range []int{1, 2, 4} {
		s.event(noon(day))
	}
	s.event("2026-01-05T01:00:00Z")
	s.rewards()
	if d := s.late(noon(3), "2026-01-05T02:00:00Z"); d != Counted {
		t.Errorf("day 3: %s", d)
	}
	s.rewards("1")
	if got := string(formatTime(nil, s.last[0].AchievedAt)); got != "2026-01-05T01:00:00Z" {
		t.Errorf("achieved at %s, want day 5's time", got)
	}
}

func TestV10BeyondTheLatenessNothingCounts(t *testing.T) {
	s := tell(t, streakOf(5, "lateness: 24h"))
	for _, day := range []int{1, 2, 4, 5} {
		s.event(noon(day))
	}
	if d := s.late(noon(3), noon(5)); d != TooLate {
		t.Errorf("day 3: %s, want too_late", d)
	}
	s.rewards()
}

func TestV12TwoRunsInTenDays(t *testing.T) {
	s := tell(t, streakOf(5, "repeat: always"))
	for day := 1; day <= 10; day++ {
		s.event(noon(day))
	}
	s.rewards("1", "2")
}

func TestV14TheEndIsOutside(t *testing.T) {
	s := tell(t, head+"ends: 2026-01-02T00:00:00Z\ngoal: {count: 1, of: hit}\nrepeat: always\n")
	if d := s.event("2026-01-02T00:00:00Z"); d != Outside {
		t.Errorf("at the end: %s", d)
	}
	if d := s.event("2026-01-01T23:59:59.999999999Z"); d != Counted {
		t.Errorf("before the end: %s", d)
	}
}

func TestV18EveryOrderGivesTheSameReward(t *testing.T) {
	days := []int{1, 2, 3, 4, 5}
	orders := 0
	permute(days, 0, func(order []int) {
		orders++
		s := tell(t, streakOf(5, "lateness: 10 days"))
		for _, day := range order {
			s.late(noon(day), noon(6))
		}
		s.rewards("1")
		if got := formatTime(nil, s.last[0].AchievedAt); string(got) != noon(5) {
			t.Errorf("order %v: achieved at %s", order, got)
		}
	})
	if orders != 120 {
		t.Fatalf("%d orders tried", orders)
	}
}

func permute(a []int, k int, visit func([]int)) {
	if k == len(a) {
		visit(a)
		return
	}
	for i := k; i < len(a); i++ {
		a[k], a[i] = a[i], a[k]
		permute(a, k+1, visit)
		a[k], a[i] = a[i], a[k]
	}
}

func TestV19AForgivenRunIsKept(t *testing.T) {
	s := tell(t, head+"lateness: 10 days\ngoal: {streak: 3, of: hit, forgive: 1}\n")
	for _, day := range []int{12, 14, 15} {
		s.event(noon(day))
	}
	s.rewards("1")
	s.late(noon(10), noon(16))
	s.rewards("1")
}

func TestV20JoiningChainsPaysNoLess(t *testing.T) {
	s := tell(t, streakOf(5, "repeat: always\nlateness: 20 days"))
	for _, day := range []int{2, 3, 4, 5, 7, 8, 9, 10} {
		s.event(noon(day))
	}
	s.rewards()
	s.late(noon(6), noon(11))
	s.rewards("1")
	s.late(noon(1), noon(12))
	s.rewards("1", "2")
}

func TestV21AnEventKeepsTheZoneOfItsFirstProcessing(t *testing.T) {
	s := tell(t, streakOf(5, "timezone: America/New_York"))
	s.event("2026-01-15T20:00:00Z")
	s.zone("2026-01-15T21:00:00Z", "Asia/Tokyo")
	s.hits("2026-01-15")
}

func TestV23DaysWithoutMidnightAndDaysThatNeverWere(t *testing.T) {
	f := func(zoneName string, day Day, want string) {
		t.Helper()
		z := loadZone(zoneName)
		start := z.startOf(day)
		if got := time.Unix(0, start).In(z.location).Format(time.RFC3339); got != want {
			t.Errorf("%s begins in %s at %s, want %s", day, zoneName, got, want)
		}
		if z.at(start).day < day || z.at(start-1).day >= day {
			t.Errorf("%s in %s: %s is not its first instant", day, zoneName, want)
		}
	}
	f("America/Santiago", DayOf(2026, 9, 6), "2026-09-06T01:00:00-03:00")
	f("Africa/Cairo", DayOf(2026, 4, 24), "2026-04-24T01:00:00+03:00")
	f("Pacific/Apia", DayOf(2011, 12, 30), "2011-12-31T00:00:00+14:00")

	s := tell(t, streakOf(2, "timezone: Pacific/Apia"))
	s.event("2011-12-29T20:00:00Z") // 29 December, 10:00
	s.event("2011-12-30T20:00:00Z") // 31 December, 10:00
	s.rewards("1")
}

func TestR1RewardID(t *testing.T) {
	const want = "1f64a5e1-7788-8ec8-bdd1-fe7fb685d4c3"
	if got := RewardID("c", "u", "1", "1"); got != want {
		t.Errorf("RewardID = %s, want %s", got, want)
	}
}

func TestR2RewardRecord(t *testing.T) {
	s := tell(t, `campaign: five
version: 3
title: Five
sponsor: acme
starts: 2026-01-01
goal: {count: 2, of: hit}
reward: {kind: gift_card, amount: 25.00 USD, shop: "Bücher \"&\" <mehr>", tags: [a, 1, true]}
`)
	s.event(noon(2))
	s.late(noon(1), "2026-01-02T12:00:01.5Z")
	got := string(s.last[0].AppendJSON(nil))
	want := `{"specversion":"1.0","id":"` + RewardID("five", "u", "1", "1") + `","source":"/stampede/campaigns/five",` +
		`"type":"stampede.reward.issued","subject":"u","time":"2026-01-02T12:00:00Z","datacontenttype":"application/json",` +
		`"data":{"reward_id":"` + RewardID("five", "u", "1", "1") + `","campaign":"five","version":3,"sponsor":"acme","user":"u",` +
		`"cycle":"1","tier":"1","kind":"gift_card","amount":{"units":2500,"currency":"USD"},` +
		`"attributes":{"shop":"Bücher \"&\" <mehr>","tags":["a",1,true]},` +
		`"achieved_at":"2026-01-02T12:00:00Z","issued_at":"2026-01-02T12:00:01.5Z","evidence":["e1","e2"],"evidence_count":2}}`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
}

func TestRepeatAndLimits(t *testing.T) {
	f := func(more string, events int, last Decision, cycles ...string) {
		t.Helper()
		s := tell(t, head+more)
		var d Decision
		for i := range events {
			d = s.event(fmt.Sprintf("2026-01-01T12:%02d:00Z", i))
		}
		if d != last {
			t.Errorf("%s: the last decision is %s, want %s", strings.TrimSpace(more), d, last)
		}
		s.rewards(cycles...)
	}
	f("goal: {event: hit}", 3, AlreadyRewarded, "1")
	f("goal: {event: hit}\nrepeat: always", 3, Counted, "1", "2", "3")
	f("goal: {count: 2, of: hit}", 5, AlreadyRewarded, "1")
	f("goal: {count: 2, of: hit}\nrepeat: always", 5, Counted, "1", "2")
	f("goal: {count: 2, of: hit}\nrepeat: always\nlimits: {per_user: 2}", 6, LimitReached, "1", "2")
}
