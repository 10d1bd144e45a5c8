package campaign

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The model says what goals are worth, in the slow and obvious way: it looks at all events at once, tries everything where the engine is
// clever, and shares no code with it. Everybody is in UTC here.

// modelEvent is one event.
type modelEvent struct {
	kind string
	at   time.Time
	v    int
	id   string
}

func (e modelEvent) day() int { return int(e.at.Unix() / 86400) }

// modelGoal is a goal: what it is called in YAML, and what events are worth to it.
type modelGoal struct {
	yaml  string
	worth func([]modelEvent) int
}

func ofTypes(events []modelEvent, types ...string) []modelEvent {
	var of []modelEvent
	for _, e := range events {
		if slices.Contains(types, e.kind) {
			of = append(of, e)
		}
	}
	return of
}

// modelMeasure is what a count, sum or distinct is about.
func modelMeasure(kind string, events []modelEvent) int {
	switch kind {
	case "count":
		return len(events)
	case "sum":
		total := 0
		for _, e := range events {
			total += e.v
		}
		return total
	default:
		values := map[int]bool{}
		for _, e := range events {
			values[e.v] = true
		}
		return len(values)
	}
}

// modelWindows tries every way to cut the events into stretches that are short enough and do not overlap.
func modelWindows(kind string, number int, events []modelEvent, days bool, fits func(first, last modelEvent) bool) int {
	slices.SortFunc(events, func(a, b modelEvent) int {
		if days && a.day() != b.day() {
			return a.day() - b.day()
		}
		if by := a.at.Compare(b.at); by != 0 {
			return by
		}
		return strings.Compare(a.id, b.id)
	})
	best := make([]int, len(events)+1)
	for i := len(events) - 1; i >= 0; i-- {
		best[i] = best[i+1]
		for j := i; j < len(events); j++ {
			if fits(events[i], events[j]) && modelMeasure(kind, events[i:j+1]) >= number {
				best[i] = max(best[i], 1+best[j+1])
			}
		}
	}
	return best[0]
}

// modelSequences tries every choice of events for the steps, and then the most that do not touch in time.
func modelSequences(steps [][]string, hours int, events []modelEvent) int {
	type interval struct{ from, to int64 }
	var all []interval
	var choose func(step int, first, last modelEvent)
	choose = func(step int, first, last modelEvent) {
		if step == len(steps) {
			all = append(all, interval{first.at.Unix(), last.at.Unix()})
			return
		}
		for _, e := range ofTypes(events, steps[step]...) {
			switch {
			case step == 0:
				choose(1, e, e)
			case e.at.After(last.at) && (step > 1 || e.at.Sub(last.at) <= time.Duration(hours)*time.Hour):
				choose(step+1, first, e)
			}
		}
	}
	choose(0, modelEvent{}, modelEvent{})
	best := 0
	var most func(after int64, n int)
	most = func(after int64, n int) {
		best = max(best, n)
		for _, i := range all {
			if i.from > after {
				// Only those that end first are worth trying after it; all the others end later.
				if !slices.ContainsFunc(all, func(j interval) bool { return j.from > after && j.to < i.to }) {
					most(i.to, n+1)
					return
				}
			}
		}
	}
	most(-1<<62, 0)
	return best
}

func drawModelGoal(t *rapid.T, depth int) modelGoal {
	number := rapid.IntRange(1, 4).Draw(t, "number")
	types := rapid.SampledFrom([][]string{{"a"}, {"b"}, {"a", "b"}}).Draw(t, "types")
	of := "[" + strings.Join(types, ", ") + "]"
	kinds := 7
	if depth > 0 {
		kinds = 9
	}
	switch kind := rapid.IntRange(0, kinds-1).Draw(t, "kind"); kind {
	case 0, 1, 2:
		what := []string{"count", "sum", "distinct"}[kind]
		value := ""
		if what != "count" {
			value = ", value: event.data.v"
		}
		return modelGoal{
			fmt.Sprintf("{%s: %d, of: %s%s}", what, number, of, value),
			func(events []modelEvent) int { return modelMeasure(what, ofTypes(events, types...)) / number },
		}
	case 3, 4:
		what := rapid.SampledFrom([]string{"count", "sum", "distinct"}).Draw(t, "measured")
		value := ""
		if what != "count" {
			value = ", value: event.data.v"
		}
		length := rapid.IntRange(1, 4).Draw(t, "length")
		if kind == 3 {
			return modelGoal{
				fmt.Sprintf("{%s: %d, of: %s%s, within: %d days}", what, number, of, value, length),
				func(events []modelEvent) int {
					return modelWindows(what, number, ofTypes(events, types...), true, func(a, b modelEvent) bool { return b.day()-a.day() < length })
				},
			}
		}
		return modelGoal{
			fmt.Sprintf("{%s: %d, of: %s%s, within: %dh}", what, number, of, value, 9*length),
			func(events []modelEvent) int {
				return modelWindows(what, number, ofTypes(events, types...), false, func(a, b modelEvent) bool {
					return b.at.Sub(a.at) <= time.Duration(9*length)*time.Hour
				})
			},
		}
	case 5:
		least := rapid.IntRange(1, 3).Draw(t, "least")
		forgive := rapid.IntRange(0, 2).Draw(t, "forgive")
		return modelGoal{
			fmt.Sprintf("{streak: %d, of: %s, at_least: %d, forgive: %d}", number, of, least, forgive),
			func(events []modelEvent) int {
				perDay := map[int]int{}
				hit := map[int]bool{}
				for _, e := range ofTypes(events, types...) {
					day := e.day() - modelFirstDay
					perDay[day]++
					hit[day] = perDay[day] >= least
				}
				return modelRuns(hit, modelDays, number, forgive)
			},
		}
	case 6:
		other := rapid.SampledFrom([][]string{{"a"}, {"b"}, {"a", "b"}}).Draw(t, "other types")
		hours := rapid.IntRange(1, 30).Draw(t, "hours")
		return modelGoal{
			fmt.Sprintf("{sequence: [{of: %s}, {of: [%s], within: %dh}, {of: %s}]}", of, strings.Join(other, ", "), hours, of),
			func(events []modelEvent) int { return modelSequences([][]string{types, other, types}, hours, events) },
		}
	default:
		parts := []modelGoal{drawModelGoal(t, depth-1), drawModelGoal(t, depth-1), drawModelGoal(t, depth-1)}
		needs := rapid.IntRange(1, 3).Draw(t, "needs")
		return modelGoal{
			fmt.Sprintf("{some: %d, from: [%s, %s, %s]}", needs, parts[0].yaml, parts[1].yaml, parts[2].yaml),
			func(events []modelEvent) int {
				reached := 0
				for _, p := range parts {
					if p.worth(events) > 0 {
						reached++
					}
				}
				return reached / needs
			},
		}
	}
}

const (
	modelFirstDay = 20454 // 2026-01-01
	modelDays     = 9
)

func TestTheEngineAgreesWithTheModel(t *testing.T) {
	paid := 0
	rapid.Check(t, func(rt *rapid.T) {
		goal := drawModelGoal(rt, 1)
		composite := strings.HasPrefix(goal.yaml, "{some")
		repeat := "once"
		if !composite && rapid.Bool().Draw(rt, "always") {
			repeat = "always"
		}
		var events []modelEvent
		for i := range rapid.IntRange(0, 11).Draw(rt, "events") {
			events = append(events, modelEvent{
				rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "type"),
				time.Unix(modelFirstDay*86400, 0).UTC().Add(time.Duration(rapid.IntRange(0, 8*modelDays-1).Draw(rt, "at")) * 3 * time.Hour),
				rapid.IntRange(0, 4).Draw(rt, "v"), fmt.Sprintf("e%02d", i),
			})
		}
		s := tell(t, fmt.Sprintf("%slateness: 35 days\nrepeat: %s\ngoal: %s\n", head, repeat, goal.yaml))
		arriving := slices.Clone(events)
		seed := rapid.Uint64().Draw(rt, "order")
		rand.New(rand.NewPCG(seed, 0)).Shuffle(len(arriving), func(i, j int) { arriving[i], arriving[j] = arriving[j], arriving[i] })
		for _, e := range arriving {
			s.apply("2026-01-20T00:00:00Z", fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"s","type":%q,"time":%q,"data":{"v":%d}}`,
				e.id, e.kind, e.at.Format(time.RFC3339), e.v))
		}
		want := goal.worth(slices.Clone(events))
		if repeat == "once" {
			want = min(want, 1)
		}
		if len(s.told) != want {
			rt.Fatalf("%s %s: %d rewards, the model has %d, of\n%v", repeat, goal.yaml, len(s.told), want, events)
		}
		paid += want
	})
	if paid == 0 {
		t.Error("nothing was ever paid")
	}
}
