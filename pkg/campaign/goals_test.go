package campaign

import (
	"fmt"
	"math"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/google/go-cmp/cmp"
)

// says tells of an event of any type that arrives at its time; it returns the decision, or the reason of a rejection.
func (s *story) says(kind, at, data string) string {
	s.t.Helper()
	s.count++
	if len(at) == len("2026-01-01") {
		at += "T12:00:00Z"
	}
	r := s.apply(at, fmt.Sprintf(`{"specversion":"1.0","id":"e%d","source":"s","type":%q,"time":%q,"data":{%s}}`, s.count, kind, at, data))
	switch {
	case r.Rejection != nil:
		return string(r.Rejection.Reason)
	case len(r.Decisions) == 0:
		return ""
	}
	return r.Decisions[0].Decision.String()
}

// paid are the rewards so far, as "cycle/tier".
func (s *story) paid(want ...string) {
	s.t.Helper()
	var got []string
	for _, r := range s.last {
		got = append(got, r.Cycle+"/"+r.Tier)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		s.t.Errorf("rewards (-want +got):\n%s", diff)
	}
}

// decided compares a decision.
func (s *story) decided(want, got string) {
	s.t.Helper()
	if want != got {
		s.t.Errorf("the decision is %s, wanted %s", got, want)
	}
}

func TestG2SumsAreExact(t *testing.T) {
	s := tell(t, head+"goal: {sum: 1, of: run, value: event.data.km}\n")
	for range 9 {
		s.decided("counted", s.says("run", "2026-01-01", `"km":0.1`))
	}
	s.paid()
	s.decided("negative_value", s.says("run", "2026-01-01", `"km":-0.1`))
	s.decided("value_error", s.says("run", "2026-01-01", `"km":"far"`))
	s.decided("value_error", s.says("run", "2026-01-01", ``))
	s.decided("value_error", s.says("run", "2026-01-01", `"km":1e300`))
	s.decided("counted", s.says("run", "2026-01-01", `"km":0.1`))
	s.paid("1/1")
	s.decided("already_rewarded", s.says("run", "2026-01-01", `"km":1`))
}

func TestG2RoundingIsHalfToEven(t *testing.T) {
	for in, want := range map[float64]int64{
		0.1: 100_000, 0.0000005: 0, 0.0000015: 2, 1.0000005: 1_000_001, 0.0078125: 7812, 0.0234375: 23_438, -0.1: -100_000, 2.5: 2_500_000,
		0.00000150000001: 2, 0.0000024999: 2, 1.0 / 3: 333_333, 1 << 40: 1 << 40 * 1_000_000,
	} {
		if got, ok := millionths(in); !ok || got != want {
			t.Errorf("%v becomes %d, %t, wanted %d", in, got, ok, want)
		}
	}
}

// The obvious way to round is by big numbers; the engine's says the same of every double.
func TestG2RoundingIsThatOfBigNumbers(t *testing.T) {
	obvious := func(f float64) int64 {
		scaled := new(big.Rat).SetFloat64(f)
		scaled.Mul(scaled, big.NewRat(millionth, 1))
		floor := new(big.Int).Div(scaled.Num(), scaled.Denom()) // rounds down, the denominator being positive
		rest := new(big.Rat).Sub(scaled, new(big.Rat).SetInt(floor))
		if half := rest.Cmp(big.NewRat(1, 2)); half > 0 || half == 0 && floor.Bit(0) == 1 {
			floor.Add(floor, big.NewInt(1))
		}
		return floor.Int64()
	}
	check := func(t interface{ Errorf(string, ...any) }, f float64) {
		got, ok := millionths(f)
		if fits := math.Abs(f) <= maxSum/millionth; ok != fits {
			t.Errorf("%v is taken: %t, wanted %t", f, ok, fits)
		} else if ok && got != obvious(f) {
			t.Errorf("%v becomes %d, wanted %d", f, got, obvious(f))
		}
	}
	for _, f := range []float64{0, math.Copysign(0, -1), math.SmallestNonzeroFloat64, 0x1p-1022, maxSum / millionth, math.Nextafter(maxSum/millionth, 1e300), math.MaxFloat64} {
		check(t, f)
		check(t, -f)
	}
	for exponent := -90; exponent <= 41; exponent++ { // the halves, of every size, and their neighbours
		for _, odd := range []float64{1, 3, 5, 15625, 78125, 1<<53 - 1} {
			f := math.Ldexp(odd, exponent)
			check(t, f)
			check(t, math.Nextafter(f, 0))
			check(t, -math.Nextafter(f, math.Inf(1)))
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		exponent := rapid.IntRange(-140, 45).Draw(rt, "exponent")
		check(rt, math.Ldexp(float64(rapid.Int64Range(-1<<53, 1<<53).Draw(rt, "mantissa")), exponent-53))
	})
}

func TestG2AnOverflowIsADecision(t *testing.T) {
	s := tell(t, head+"repeat: always\ngoal: {sum: 2000000000000, of: run, value: event.data.km}\n")
	s.decided("counted", s.says("run", "2026-01-01", `"km":2000000000000`))
	s.decided("overflow", s.says("run", "2026-01-01", `"km":2000000000000`))
	s.paid("1/1")
}

func TestG2DistinctCountsValues(t *testing.T) {
	s := tell(t, head+"goal: {distinct: 4, of: meal, value: event.data.cuisine}\n")
	for _, v := range []string{`"thai"`, `"thai"`, `3`, `3.0`, `"3"`, `1.5`, `null`, `[1]`} {
		s.says("meal", "2026-01-01", `"cuisine":`+v)
	}
	s.paid()
	s.decided("counted", s.says("meal", "2026-01-01", `"cuisine":true`))
	s.paid("1/1")
}

func TestG3EachPeriodByItself(t *testing.T) {
	s := tell(t, head+"repeat: always\ngoal: {count: 2, of: hit, per: week}\n")
	s.event("2024-12-29T12:00:00Z") // Sunday, 2024-W52
	s.event("2024-12-30T12:00:00Z") // Monday, 2025-W01
	s.paid()
	s.event("2025-01-01T12:00:00Z")
	s.paid("2025-W01/1")
	s.decided("already_rewarded", s.event("2025-01-02T12:00:00Z").String())
	s.late("2024-12-28T12:00:00Z", "2024-12-30T12:00:00Z")
	s.decided("too_late", s.late("2024-12-28T12:00:00Z", "2025-01-02T12:00:00Z").String())
	s.event("2025-01-06T12:00:00Z")
	s.event("2025-01-07T12:00:00Z")
	s.paid("2025-W01/1", "2025-W02/1")

	for unit, key := range map[string]string{"day": "2026-03-01", "month": "2026-03", "quarter": "2026-Q1", "year": "2026"} {
		s := tell(t, head+"repeat: always\ngoal: {count: 1, of: hit, per: "+unit+"}\n")
		s.event("2026-03-01T12:00:00Z")
		s.paid(key + "/1")
	}

	once := tell(t, head+"goal: {count: 2, of: hit, per: day}\n")
	once.event("2026-01-01T12:00:00Z")
	once.event("2026-01-02T12:00:00Z")
	once.paid()
	once.event("2026-01-02T13:00:00Z")
	once.paid("1/1")
}

func TestG4AnyWindow(t *testing.T) {
	s := tell(t, head+"repeat: always\ngoal: {count: 3, of: hit, within: 3 days}\n")
	s.event("2026-01-01T12:00:00Z")
	s.event("2026-01-02T12:00:00Z")
	s.event("2026-01-04T12:00:00Z") // spans four days with the first
	s.paid()
	s.late("2026-01-04T11:00:00Z", "2026-01-04T13:00:00Z")
	s.paid("1/1") // 2, 4, 4 January
	s.event("2026-01-05T12:00:00Z")
	s.event("2026-01-05T13:00:00Z")
	s.paid("1/1")
	s.event("2026-01-06T12:00:00Z")
	s.paid("1/1", "2/1")

	exact := tell(t, head+"goal: {sum: 10, of: run, value: event.data.km, within: 72h}\n")
	exact.says("run", "2026-01-01T12:00:00Z", `"km":6`)
	exact.says("run", "2026-01-04T12:00:01Z", `"km":3`)
	exact.paid()
	exact.says("run", "2026-01-04T12:00:02Z", `"km":7`)
	exact.paid("1/1")

	atTheEdge := tell(t, head+"goal: {distinct: 2, of: meal, value: event.data.cuisine, within: 72h}\n")
	atTheEdge.says("meal", "2026-01-01T12:00:00Z", `"cuisine":"thai"`)
	atTheEdge.says("meal", "2026-01-04T12:00:00Z", `"cuisine":"french"`)
	atTheEdge.paid("1/1")
}

func TestG6StreaksOfWeeks(t *testing.T) {
	s := tell(t, head+"goal: {streak: 3, period: week, of: hit, at_least: 2}\n")
	for _, day := range []string{"2026-01-05", "2026-01-07", "2026-01-12", "2026-01-13", "2026-01-20"} {
		s.event(day + "T12:00:00Z")
	}
	s.paid()
	s.event("2026-01-25T12:00:00Z")
	s.paid("1/1")

	minutes := tell(t, head+"goal: {streak: 2, of: run, at_least: {sum: 30, value: event.data.minutes}}\n")
	minutes.says("run", "2026-01-05T08:00:00Z", `"minutes":20`)
	minutes.says("run", "2026-01-05T09:00:00Z", `"minutes":10`)
	minutes.says("run", "2026-01-06T08:00:00Z", `"minutes":29.5`)
	minutes.paid()
	minutes.says("run", "2026-01-06T09:00:00Z", `"minutes":0.5`)
	minutes.paid("1/1")
}

func TestG6OnlyCertainWeekdays(t *testing.T) {
	s := tell(t, head+"goal: {streak: 3, of: hit, on: [mon, tue, wed, thu, fri]}\n")
	s.event("2026-01-08T12:00:00Z") // Thursday
	s.event("2026-01-09T12:00:00Z")
	s.decided("other_day", s.event("2026-01-10T12:00:00Z").String())
	s.paid()
	s.event("2026-01-12T12:00:00Z") // Monday
	s.paid("1/1")
}

func TestV9AnExcusedDayIsNotMissed(t *testing.T) {
	s := tell(t, streakOf(5, ""))
	for _, day := range []int{1, 2, 4, 5} {
		s.event(noon(day))
	}
	s.says("stampede.excused", "2026-01-05T13:00:00Z", `"dates":["2026-01-03"],"reason":"travel","by":"support"`)
	s.paid()
	s.event(noon(6))
	s.paid("1/1")
}

func TestC3WhatAnExcusedDateChangesIsPaidAtOnce(t *testing.T) {
	s := tell(t, streakOf(4, ""))
	for _, day := range []int{1, 2, 4, 5} {
		s.event(noon(day))
	}
	s.paid()
	s.decided("bad_control", s.says("stampede.excused", "2026-01-05T13:00:00Z", `"dates":["3 January"]`))
	s.decided("bad_control", s.says("stampede.excused", "2026-01-05T13:00:00Z", `"dates":["2026-01-03"],"campaign":"other"`))
	s.says("stampede.excused", "2026-01-05T13:00:00Z", `"dates":["2026-01-03"],"campaign":"c"`)
	s.paid("1/1")
	if got := time.Unix(0, s.last[0].AchievedAt).UTC().Format(time.RFC3339); got != noon(5) {
		t.Errorf("achieved at %s", got)
	}
}

func TestG7Sequences(t *testing.T) {
	const goal = "goal: {sequence: [{of: booked}, {of: done, within: 14 days}]}\n"
	s := tell(t, head+goal)
	s.says("done", "2026-01-01", "")
	s.says("booked", "2026-01-02", "")
	s.says("done", "2026-01-17", "")
	s.paid()
	s.says("booked", "2026-01-18", "")
	s.says("done", "2026-02-01", "")
	s.paid("1/1")

	// V15: both events at the same instant.
	same := tell(t, head+goal)
	same.says("booked", "2026-01-02T10:00:00Z", "")
	same.says("done", "2026-01-02T10:00:00Z", "")
	same.paid()

	many := tell(t, head+"repeat: always\ngoal: {sequence: [{of: hit}, {of: hit, within: 24h}]}\n")
	for _, at := range []string{"01T10", "01T11", "01T12", "02T12", "03T13", "03T14"} {
		many.event("2026-01-" + at + ":00:00Z")
	}
	many.paid("1/1", "2/1", "3/1") // 10-11, 12-12, 13-14
}

func TestG9Composites(t *testing.T) {
	all := tell(t, head+"goal: {all: [{event: profile}, {count: 2, of: read}]}\n")
	all.says("read", "2026-01-01", "")
	all.says("profile", "2026-01-01", "")
	all.says("profile", "2026-01-01", "")
	all.paid()
	all.says("read", "2026-01-01", "")
	all.paid("1/1")
	if r := all.last[0]; r.EvidenceCount != 4 {
		t.Errorf("%d events are the evidence", r.EvidenceCount)
	}

	some := tell(t, head+"goal: {some: 2, from: [{event: a}, {event: b}, {any: [{event: c}, {event: d}]}]}\n")
	some.says("a", "2026-01-01", "")
	some.says("a", "2026-01-01", "")
	some.paid()
	some.says("d", "2026-01-01", "")
	some.paid("1/1")

	monthly := tell(t, head+"repeat: always\ngoal: {all: [{event: a}, {event: b}], per: month}\n")
	monthly.says("a", "2026-01-31", "")
	monthly.says("b", "2026-02-01", "")
	monthly.paid()
	monthly.says("a", "2026-02-02", "")
	monthly.paid("2026-02/1")

	// A part with a period of its own is reached by any of them.
	mixed := tell(t, head+"goal: {all: [{event: a}, {count: 2, of: b, per: day}]}\n")
	mixed.says("a", "2026-01-01", "")
	mixed.says("b", "2026-01-01", "")
	mixed.says("b", "2026-01-02", "")
	mixed.paid()
	mixed.says("b", "2026-01-02", "")
	mixed.paid("1/1")
}

func TestG10Tiers(t *testing.T) {
	const rewards = "campaign: c\nversion: 1\nstarts: 2000-01-01\nreward: [{kind: bronze}, {kind: silver}, {kind: gold}]\n"
	s := tell(t, rewards+"goal: {count: [1, 3, 4], of: hit}\n")
	for i := range 5 {
		s.event(noon(i + 1))
	}
	s.paid("1/1", "1/2", "1/3")
	var kinds []string
	for _, r := range s.last {
		kinds = append(kinds, r.Terms.Kind)
	}
	if diff := cmp.Diff([]string{"bronze", "silver", "gold"}, kinds); diff != "" {
		t.Error(diff)
	}

	per := tell(t, rewards+"repeat: always\nlimits: {per_user: 4}\ngoal: {sum: [1, 2, 10], of: run, value: event.data.km, per: day}\n")
	for day := 1; day <= 3; day++ {
		per.says("run", fmt.Sprintf("2026-01-%02d", day), `"km":2.5`)
	}
	per.paid("2026-01-01/1", "2026-01-01/2", "2026-01-02/1", "2026-01-02/2")

	streak := tell(t, rewards+"goal: {streak: [1, 2, 3], of: hit}\n")
	for _, day := range []int{1, 2, 4, 5, 6} {
		streak.event(noon(day))
	}
	streak.paid("1/1", "1/2", "1/3")
}

func TestC2EnrolmentAndWithdrawal(t *testing.T) {
	s := tell(t, head+"enrol: opt_in\nrepeat: always\ngoal: {count: 2, of: hit}\n")
	s.decided("not_enrolled", s.event(noon(1)).String())
	s.says("stampede.enrolled", noon(2), `"campaign":"c"`)
	s.decided("not_enrolled", s.late(noon(1), noon(2)).String())
	s.decided("counted", s.event(noon(2)).String())
	s.decided("counted", s.event(noon(3)).String())
	s.paid("1/1")
	s.event(noon(3))
	s.says("stampede.withdrawn", noon(4), `"campaign":"c"`)
	s.decided("not_enrolled", s.late(noon(3), noon(4)).String())
	s.says("stampede.enrolled", noon(5), `"campaign":"c"`)
	s.decided("not_enrolled", s.late(noon(4), noon(5)).String())
	s.event(noon(5))
	s.paid("1/1")
	s.event(noon(6))
	s.paid("1/1", "2/1") // the ordinals go on
	s.decided("bad_control", s.says("stampede.enrolled", noon(6), `"campaign":"d"`))

	// What was `once` stays paid.
	once := tell(t, head+"goal: {event: hit}\n")
	once.event(noon(1))
	once.says("stampede.withdrawn", noon(2), `"campaign":"c"`)
	once.says("stampede.enrolled", noon(3), `"campaign":"c"`)
	once.decided("already_rewarded", once.event(noon(4)).String())
	once.paid("1/1")
}

// drawGoal draws a goal of any kind over events of the types a and b with data.v.
func drawGoal(t *rapid.T, depth int) string {
	pick := func(label string, of ...string) string { return rapid.SampledFrom(of).Draw(t, label) }
	number := func(most int) int { return rapid.IntRange(1, most).Draw(t, "number") }
	more := func() string {
		return pick("more", "", "", ", within: 3 days", ", within: 30h", "")
	}
	of := func() string { return pick("of", "a", "b", "[a, b]") }
	kinds := 6
	if depth > 0 {
		kinds = 8
	}
	switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
	case 0:
		return fmt.Sprintf("{event: %s}", of())
	case 1:
		return fmt.Sprintf("{count: %d, of: %s%s}", number(4), of(), more())
	case 2:
		return fmt.Sprintf("{sum: %d, of: %s, value: event.data.v%s}", number(8), of(), more())
	case 3:
		return fmt.Sprintf("{distinct: %d, of: %s, value: event.data.v%s}", number(4), of(), more())
	case 4:
		return fmt.Sprintf("{streak: %d, of: %s, forgive: %d, at_least: %d}", number(4), of(), number(2)-1, number(2))
	case 5:
		return fmt.Sprintf("{sequence: [{of: %s}, {of: %s, within: %s}, {of: %s}]}", of(), of(), pick("limit", "2 days", "20h"), of())
	case 6:
		return fmt.Sprintf("{all: [%s, %s]}", drawGoal(t, depth-1), drawGoal(t, depth-1))
	default:
		return fmt.Sprintf("{some: 2, from: [%s, %s, %s]}", drawGoal(t, depth-1), drawGoal(t, depth-1), drawGoal(t, depth-1))
	}
}

// P1 and P2, for goals of every kind: any order of arrival, with repetitions, gives the same rewards, and one more event takes none
// away.
func TestP1P2AnyOrderGivesTheSameRewards(t *testing.T) {
	type arrival struct{ kind, at, data, id string }
	rapid.Check(t, func(rt *rapid.T) {
		goal := drawGoal(rt, 2)
		repeat := "once"
		if !strings.HasPrefix(goal, "{all") && !strings.HasPrefix(goal, "{some") && rapid.Bool().Draw(rt, "always") {
			repeat = "always"
		}
		yaml := fmt.Sprintf("%slateness: 35 days\nrepeat: %s\ngoal: %s\n", head, repeat, goal)
		var events []arrival
		for i := range rapid.IntRange(1, 14).Draw(rt, "events") {
			at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(rapid.IntRange(0, 8*8).Draw(rt, "at")) * 3 * time.Hour)
			events = append(events, arrival{
				rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "type"), at.Format(time.RFC3339),
				fmt.Sprintf(`"v":%d`, rapid.IntRange(0, 4).Draw(rt, "v")), fmt.Sprint("e", i),
			})
		}
		run := func(order []arrival) []string {
			s := tell(t, yaml)
			for _, e := range order {
				s.apply("2026-01-20T00:00:00Z", fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"s","type":%q,"time":%q,"data":{%s}}`, e.id, e.kind, e.at, e.data))
			}
			var ids []string
			for _, r := range s.last {
				ids = append(ids, r.Cycle+"/"+r.Tier+" "+r.ID)
			}
			slices.Sort(ids)
			return ids
		}
		want := run(events)
		shuffled := rapid.Permutation(append(slices.Clone(events), events...)).Draw(rt, "order")
		if got := run(shuffled); !slices.Equal(want, got) {
			rt.Fatalf("%s\nin order %v\nshuffled %v", yaml, want, got)
		}
		for _, id := range run(events[:len(events)-1]) {
			if !slices.Contains(want, id) {
				rt.Fatalf("%s\none more event took %s away", yaml, id)
			}
		}
	})
}

// What is settled and forgotten changes nothing: a campaign with a short lateness, which forgets early, gives the rewards of one that
// forgets nothing, as long as nothing is late.
func TestSettlingChangesNothing(t *testing.T) {
	settled := 0
	rapid.Check(t, func(rt *rapid.T) {
		goal := drawGoal(rt, 0)
		yaml := func(lateness string) string {
			return fmt.Sprintf("%slateness: %s\nrepeat: always\ngoal: %s\n", head, lateness, goal)
		}
		short, long := tell(t, yaml("5h")), tell(t, yaml("35 days"))
		arrives := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		for i := range rapid.IntRange(1, 40).Draw(rt, "events") {
			arrives = arrives.Add(time.Duration(rapid.IntRange(0, 12).Draw(rt, "pause")) * time.Hour)
			at := arrives.Add(-time.Duration(rapid.IntRange(0, 5).Draw(rt, "late")) * time.Hour)
			value := fmt.Sprintf(`{"specversion":"1.0","id":"e%d","source":"s","type":%q,"time":%q,"data":{"v":%d}}`, i,
				rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "type"), at.Format(time.RFC3339), rapid.IntRange(0, 4).Draw(rt, "v"))
			for _, s := range []*story{short, long} {
				s.apply(arrives.Format(time.RFC3339), value)
			}
		}
		if diff := cmp.Diff(long.told, short.told); diff != "" {
			rt.Fatalf("%s\n%s", goal, diff)
		}
		marks := func(s *story) int {
			n := 0
			for _, p := range s.ledger.progress {
				for _, b := range p.buckets {
					for _, c := range b.cells {
						n += len(c.marks)
					}
				}
			}
			return n
		}
		if marks(short) < marks(long) {
			settled++
		}
	})
	if settled == 0 {
		t.Error("nothing was ever settled")
	}
}

// Of two first steps, the earlier one has the later date: its user was farther in the east.
func TestG7TheNearestDateIsNotAlwaysTheLatestEvents(t *testing.T) {
	s := tell(t, head+"goal: {sequence: [{of: booked}, {of: done, within: 1 day}]}\n")
	s.decided("counted", s.says("booked", "2026-01-03T01:00:00+14:00", ``))
	s.decided("counted", s.says("booked", "2026-01-02T05:00:00-10:00", ``))
	s.decided("counted", s.says("done", "2026-01-04T12:00:00Z", ``))
	s.paid("1/1")
}

// A sequence that has been reached is still open to events in time: two late ones make two of it.
func TestG7ALateEventDividesASequence(t *testing.T) {
	s := tell(t, head+"repeat: always\ngoal: {sequence: [{of: booked}, {of: done}]}\n")
	for i, e := range []struct{ kind, time string }{{"booked", "08"}, {"done", "11"}, {"done", "09"}, {"booked", "10"}} {
		s.apply("2026-01-01T12:00:00Z", fmt.Sprintf(`{"specversion":"1.0","id":"d%d","source":"s","type":%q,"time":"2026-01-01T%s:00:00Z"}`, i, e.kind, e.time))
	}
	s.paid("1/1", "2/1")
}

// A date that is excused in one campaign can be missed in the others (C3).
func TestC3ADateIsExcusedInOneCampaign(t *testing.T) {
	for _, c := range []struct{ where, want string }{
		{`,"campaign":"c"`, "c 1"}, {`,"campaign":"other"`, "other 1"}, {"", "c 1, other 1"}, {`,"campaign":null`, "c 1, other 1"},
	} {
		l := newLog(t)
		for _, id := range []string{"c", "other"} {
			l.control(TypePublished, string(definition(id, 1, "goal: {streak: 2, of: hit}").Append(nil)))
		}
		l.engine.Use(l.inForce.Set())
		var rewards []string
		for _, value := range []string{
			`"id":"1","type":"hit","time":"2026-01-01T10:00:00Z"`, `"id":"2","type":"hit","time":"2026-01-03T10:00:00Z"`,
			`"id":"3","type":"stampede.excused","time":"2026-01-03T11:00:00Z","data":{"dates":["2026-01-02"]` + c.where + `}`,
		} {
			var d Decoder
			var ev Event
			if rejection := d.Decode(&Record{Key: []byte("u"), Value: []byte(`{"specversion":"1.0","source":"s",` + value + `}`)}, &ev); rejection != nil {
				t.Fatal(rejection)
			}
			r := l.engine.Apply(l.ledger, &ev, ev.Time/int64(time.Millisecond))
			for i := range r.Rewards {
				rewards = append(rewards, r.Rewards[i].Campaign.ID+" "+r.Rewards[i].Cycle)
			}
		}
		if got := strings.Join(rewards, ", "); got != c.want {
			t.Errorf("excused %q: rewards %q, wanted %q", c.where, got, c.want)
		}
	}
}
