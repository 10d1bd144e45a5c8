package campaign

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// The model says what goals are worth in the slow and obvious way: it looks at all the evidence at once, tries everything where the engine
// is clever, and shares no code with it. Its dates are days since 1970, its zones are fixed offsets.

// modelEvidence is an event that a campaign took.
type modelEvidence struct {
	kind, id, plan string
	at             time.Time
	day, hour      int // where the user was
	v              int
	counted        bool // and not only against the goal
}

// modelFilter is `of` and `where`.
type modelFilter struct {
	types []string
	where string
}

// modelWheres are the conditions that are drawn, with what they mean.
var modelWheres = map[string]func(modelEvidence) bool{
	"":                         func(modelEvidence) bool { return true },
	`event.data.v >= 2`:        func(e modelEvidence) bool { return e.v >= 2 },
	`event.hour < 14`:          func(e modelEvidence) bool { return e.hour < 14 },
	`event.weekday != "sun"`:   func(e modelEvidence) bool { return modelWeekday(e.day) != "sun" },
	`user.plan == "gold"`:      func(e modelEvidence) bool { return e.plan == "gold" },
	`user.plan != "x" || true`: func(modelEvidence) bool { return true },
}

func (f modelFilter) takes(e modelEvidence) bool {
	return slices.Contains(f.types, e.kind) && modelWheres[f.where](e)
}

func (f modelFilter) yaml(key string) string {
	s := key + ": [" + strings.Join(f.types, ", ") + "]"
	if f.where != "" {
		s += ", where: '" + f.where + "'"
	}
	return s
}

// modelStep is one step of a sequence, with its limit.
type modelStep struct {
	modelFilter
	days, hours int
}

// modelGoal is a goal or a part of one.
type modelGoal struct {
	kind string
	modelFilter
	numbers     []int
	per         string
	days, hours int // within
	net         bool

	period    string // of a streak, as what follows
	least     int
	leastSum  bool
	forgive   int
	on        []string
	steps     []modelStep
	without   *modelFilter
	needs     int
	parts     []*modelGoal
	outermost bool
}

func modelWithin(days, hours int) string {
	switch {
	case days > 0:
		return fmt.Sprintf(", within: %d days", days)
	case hours > 0:
		return fmt.Sprintf(", within: %dh", hours)
	}
	return ""
}

func (g *modelGoal) yaml() string {
	number := fmt.Sprint(g.numbers)
	if len(g.numbers) == 1 {
		number = fmt.Sprint(g.numbers[0])
	}
	number = strings.ReplaceAll(number, " ", ", ")
	s := ""
	switch g.kind {
	case "event", "none":
		s = g.modelFilter.yaml(g.kind)
	case "count":
		s = "count: " + number + ", " + g.modelFilter.yaml("of")
	case "sum", "distinct":
		s = g.kind + ": " + number + ", " + g.modelFilter.yaml("of") + ", value: event.data.v"
		if g.net {
			s += ", net: true"
		}
	case "streak":
		s = "streak: " + number + ", " + g.modelFilter.yaml("of") + ", period: " + g.period + fmt.Sprintf(", forgive: %d", g.forgive)
		if g.leastSum {
			s += fmt.Sprintf(", at_least: {sum: %d, value: event.data.v}", g.least)
		} else {
			s += fmt.Sprintf(", at_least: %d", g.least)
		}
		if g.on != nil {
			s += ", on: [" + strings.Join(g.on, ", ") + "]"
		}
	case "sequence":
		var steps []string
		for _, step := range g.steps {
			steps = append(steps, "{"+step.yaml("of")+modelWithin(step.days, step.hours)+"}")
		}
		s = "sequence: [" + strings.Join(steps, ", ") + "]"
		if g.without != nil {
			s += ", without: {" + g.without.yaml("of") + "}"
		}
	default:
		var parts []string
		for _, p := range g.parts {
			parts = append(parts, p.yaml())
		}
		list := "[" + strings.Join(parts, ", ") + "]"
		switch g.kind {
		case "some":
			s = fmt.Sprintf("some: %d, from: %s", g.needs, list)
		default:
			s = g.kind + ": " + list
		}
	}
	if g.kind != "sequence" && g.kind != "streak" {
		s += modelWithin(g.days, g.hours)
	}
	if g.per != "" {
		s += ", per: " + g.per
	}
	return "{" + s + "}"
}

// leaves are the parts that look at events.
func (g *modelGoal) leaves() []*modelGoal {
	if g.parts == nil {
		return []*modelGoal{g}
	}
	var all []*modelGoal
	for _, p := range g.parts {
		all = append(all, p.leaves()...)
	}
	return all
}

func (g *modelGoal) has(what func(*modelGoal) bool) bool {
	return slices.ContainsFunc(g.leaves(), what)
}

func (g *modelGoal) watches() bool { return g.has(func(l *modelGoal) bool { return l.kind == "none" }) }

func (g *modelGoal) waits() bool {
	return g.watches() || g.has(func(l *modelGoal) bool { return l.net })
}

// takes says whether an event is evidence for any leaf, and whether it counts or is only against the goal.
func (g *modelGoal) takes(e modelEvidence) (takes, counts bool) {
	for _, l := range g.leaves() {
		switch l.kind {
		case "none":
			takes = takes || l.modelFilter.takes(e)
		case "sequence":
			for _, s := range l.steps {
				if s.takes(e) {
					takes, counts = true, true
				}
			}
			takes = takes || l.without != nil && l.without.takes(e)
		default:
			if l.evidence([]modelEvidence{e}) != nil {
				takes, counts = true, true
			}
		}
	}
	return takes, counts
}

// evidence is what a leaf but a sequence takes of events: a sum takes no value below 0, a streak only certain weekdays.
func (g *modelGoal) evidence(events []modelEvidence) (of []modelEvidence) {
	for _, e := range events {
		sums := g.kind == "sum" || g.kind == "streak" && g.leastSum
		if g.modelFilter.takes(e) && (!sums || g.net || e.v >= 0) && (g.on == nil || slices.Contains(g.on, modelWeekday(e.day))) {
			of = append(of, e)
		}
	}
	return of
}

// modelJudge is what worth depends on beside the evidence.
type modelJudge struct {
	closed  bool // the goal's period
	may     bool // the user takes part and is eligible at its end
	closes  func(per string, period int) bool
	final   func(time.Time) bool // nothing of that instant can arrive any more
	neutral func(day int) bool
}

// worth is how many rewards the evidence is worth; of tiers, how many are reached.
func (g *modelGoal) worth(events []modelEvidence, j modelJudge) int {
	if g.parts != nil {
		reached := 0
		for _, p := range g.parts {
			if p.worth(events, j) > 0 {
				reached++
			}
		}
		if reached >= g.needs {
			return 1
		}
		return 0
	}
	if g.per != "" && !g.outermost {
		best := 0
		periods := map[int][]modelEvidence{}
		for _, e := range events {
			p := modelPeriod(g.per, e.day)
			periods[p] = append(periods[p], e)
		}
		for p, events := range periods {
			j.closed = j.closes(g.per, p)
			best = max(best, g.reached(events, j))
		}
		return best
	}
	return g.reached(events, j)
}

func (g *modelGoal) reached(events []modelEvidence, j modelJudge) int {
	switch g.kind {
	case "event":
		return len(g.evidence(events))
	case "none":
		if j.closed && j.may && !slices.ContainsFunc(events, g.modelFilter.takes) {
			return 1
		}
		return 0
	case "sequence":
		return g.sequences(events, j)
	case "streak":
		return g.tiers(func(n int) int { return g.runs(g.evidence(events), n, j) })
	}
	of := g.evidence(events)
	total := modelMeasure(g.kind, of)
	switch {
	case g.days > 0:
		return modelWindows(g.kind, g.numbers[0], of, true, func(a, b modelEvidence) bool { return b.day-a.day < g.days })
	case g.hours > 0:
		return modelWindows(g.kind, g.numbers[0], of, false, func(a, b modelEvidence) bool {
			return b.at.Sub(a.at) <= time.Duration(g.hours)*time.Hour
		})
	case g.net && (!j.closed || total < 0):
		return 0
	}
	return g.tiers(func(n int) int { return total / n })
}

// tiers is how often the number is reached, or how many of several are.
func (g *modelGoal) tiers(times func(int) int) int {
	if len(g.numbers) == 1 {
		return times(g.numbers[0])
	}
	n := 0
	for n < len(g.numbers) && times(g.numbers[n]) > 0 {
		n++
	}
	return n
}

// modelMeasure is what a count, sum or distinct is about.
func modelMeasure(kind string, events []modelEvidence) int {
	total := 0
	values := map[int]bool{}
	for _, e := range events {
		total += e.v
		values[e.v] = true
	}
	switch kind {
	case "count":
		return len(events)
	case "sum":
		return total
	}
	return len(values)
}

// modelWindows tries every way to cut the events into stretches that are short enough and do not overlap.
func modelWindows(kind string, number int, events []modelEvidence, days bool, fits func(first, last modelEvidence) bool) int {
	events = slices.Clone(events)
	slices.SortFunc(events, func(a, b modelEvidence) int {
		if days && a.day != b.day {
			return a.day - b.day
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

// runs lists the countable periods from the first hit to the last, and tries every choice of runs among them.
func (g *modelGoal) runs(events []modelEvidence, hits int, j modelJudge) int {
	in := map[int]int{}
	first, last := 0, -1
	for _, e := range events {
		p := modelPeriod(g.period, e.day)
		if g.leastSum {
			in[p] += e.v
		} else {
			in[p]++
		}
		if len(in) == 1 && last < first {
			first, last = p, p
		}
		first, last = min(first, p), max(last, p)
	}
	hit := map[int]bool{}
	n := 0
	for p := first; p <= last; p++ {
		countable := false
		for day := modelFirst(g.period, p); day < modelFirst(g.period, p+1); day++ {
			countable = countable || (g.on == nil || slices.Contains(g.on, modelWeekday(day))) && !j.neutral(day)
		}
		_, some := in[p]
		if isHit := some && in[p] >= g.least; isHit || countable {
			hit[n] = isHit
			n++
		}
	}
	return modelRuns(hit, n-1, hits, g.forgive)
}

// sequences tries every choice of events for the steps, and then every choice of sequences that do not touch in time.
func (g *modelGoal) sequences(events []modelEvidence, j modelJudge) int {
	if g.without != nil {
		events = slices.DeleteFunc(slices.Clone(events), func(e modelEvidence) bool { return !j.final(e.at) })
	}
	type stretch struct{ from, to int64 }
	all := map[stretch]bool{}
	var choose func(step int, first, last modelEvidence)
	choose = func(step int, first, last modelEvidence) {
		if step == len(g.steps) {
			spoilt := func(e modelEvidence) bool {
				return g.without != nil && g.without.takes(e) && e.at.After(first.at) && e.at.Before(last.at)
			}
			if !slices.ContainsFunc(events, spoilt) {
				all[stretch{first.at.UnixNano(), last.at.UnixNano()}] = true
			}
			return
		}
		s := g.steps[step]
		for _, e := range events {
			switch {
			case !s.takes(e):
			case step == 0:
				choose(1, e, e)
			case e.at.After(last.at) && (s.days == 0 || e.day-last.day <= s.days) && (s.hours == 0 || e.at.Sub(last.at) <= time.Duration(s.hours)*time.Hour):
				choose(step+1, first, e)
			}
		}
	}
	choose(0, modelEvidence{}, modelEvidence{})
	known := map[int64]int{}
	var most func(after int64) int
	most = func(after int64) int {
		if n, ok := known[after]; ok {
			return n
		}
		best := 0
		for s := range all {
			if s.from > after {
				best = max(best, 1+most(s.to))
			}
		}
		known[after] = best
		return best
	}
	return most(-1 << 63)
}

// modelDay is a civil date of the model, as a time in UTC.
func modelDay(day int) time.Time { return time.Unix(int64(day)*86400, 0).UTC() }

func modelDayOf(t time.Time) int {
	y, m, d := t.Date()
	return int(time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() / 86400)
}

func modelWeekday(day int) string { return strings.ToLower(modelDay(day).Weekday().String()[:3]) }

// modelPeriod is a number for a date's period, one more than that of the period before; "" is the whole campaign.
func modelPeriod(per string, day int) int {
	date := modelDay(day)
	switch per {
	case "day":
		return day
	case "week":
		monday := day
		for modelWeekday(monday) != "mon" {
			monday--
		}
		return (monday + 3) / 7
	case "month":
		return date.Year()*12 + int(date.Month()) - 1
	case "quarter":
		return date.Year()*4 + (int(date.Month())-1)/3
	case "year":
		return date.Year()
	}
	return 0
}

// modelFirst is the first date of a period.
func modelFirst(per string, period int) int {
	date := func(year, month int) int {
		return modelDayOf(time.Date(year, time.Month(month), 1, 0, 0, 0, 0, time.UTC))
	}
	switch per {
	case "day":
		return period
	case "week":
		return 7*period - 3
	case "month":
		return date(period/12, period%12+1)
	case "quarter":
		return date(period/4, period%4*3+1)
	}
	return date(period, 1)
}

func modelKey(per string, period int) string {
	first := modelDay(modelFirst(per, period))
	switch per {
	case "day":
		return first.Format("2006-01-02")
	case "week":
		year, week := first.ISOWeek()
		return fmt.Sprintf("%d-W%02d", year, week)
	case "month":
		return first.Format("2006-01")
	case "quarter":
		return fmt.Sprintf("%d-Q%d", period/4, period%4+1)
	}
	return first.Format("2006")
}
