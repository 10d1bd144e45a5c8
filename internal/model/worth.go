package model

import (
	"slices"
	"strings"
	"time"
)

// asked is what worth depends on beside the evidence.
type asked struct {
	closed  bool // the goal's period
	may     bool // the user takes part and is eligible at its end
	closes  func(per string, period int) bool
	final   func(time.Time) bool // nothing of that instant can arrive any more
	neutral func(day int) bool
}

// worth is how many rewards the evidence is worth; of tiers, how many are reached.
func (g *Goal) worth(events []evidence, j asked) int {
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
		periods := map[int][]evidence{}
		for _, e := range events {
			p := periodOf(g.per, e.day)
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

func (g *Goal) reached(events []evidence, j asked) int {
	switch g.kind {
	case "event":
		return len(g.evidence(events))
	case "none":
		if j.closed && j.may && !slices.ContainsFunc(events, g.filter.takes) {
			return 1
		}
		return 0
	case "sequence":
		return g.sequences(events, j)
	case "streak":
		return g.tiers(func(n int) int { return g.runs(g.evidence(events), n, j) })
	}
	of := g.evidence(events)
	total := measure(g.kind, of)
	switch {
	case g.days > 0:
		return windows(g.kind, g.numbers[0], of, true, func(a, b evidence) bool { return b.day-a.day < g.days })
	case g.hours > 0:
		return windows(g.kind, g.numbers[0], of, false, func(a, b evidence) bool {
			return b.at.Sub(a.at) <= time.Duration(g.hours)*time.Hour
		})
	case g.net && (!j.closed || total < 0):
		return 0
	}
	return g.tiers(func(n int) int { return total / n })
}

// tiers is how often the number is reached, or how many of several are.
func (g *Goal) tiers(times func(int) int) int {
	if len(g.numbers) == 1 {
		return times(g.numbers[0])
	}
	n := 0
	for n < len(g.numbers) && times(g.numbers[n]) > 0 {
		n++
	}
	return n
}

// measure is what a count, sum or distinct is about.
func measure(kind string, events []evidence) int {
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

// windows tries every way to cut the events into stretches that are short enough and do not overlap.
func windows(kind string, number int, events []evidence, days bool, fits func(first, last evidence) bool) int {
	events = slices.Clone(events)
	slices.SortFunc(events, func(a, b evidence) int {
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
			if fits(events[i], events[j]) && measure(kind, events[i:j+1]) >= number {
				best[i] = max(best[i], 1+best[j+1])
			}
		}
	}
	return best[0]
}

// runs lists the countable periods from the first hit to the last, and tries every choice of runs among them.
func (g *Goal) runs(events []evidence, hits int, j asked) int {
	in := map[int]int{}
	first, last := 0, -1
	for _, e := range events {
		p := periodOf(g.period, e.day)
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
		for day := firstDay(g.period, p); day < firstDay(g.period, p+1); day++ {
			countable = countable || (g.on == nil || slices.Contains(g.on, weekday(day))) && !j.neutral(day)
		}
		_, some := in[p]
		if isHit := some && in[p] >= g.least; isHit || countable {
			hit[n] = isHit
			n++
		}
	}
	return Runs(hit, n-1, hits, g.forgive)
}

// sequences tries every choice of events for the steps, and then every choice of sequences that do not touch in time.
func (g *Goal) sequences(events []evidence, j asked) int {
	if g.without != nil {
		events = slices.DeleteFunc(slices.Clone(events), func(e evidence) bool { return !j.final(e.at) })
	}
	type stretch struct{ from, to int64 }
	all := map[stretch]bool{}
	var choose func(step int, first, last evidence)
	choose = func(step int, first, last evidence) {
		if step == len(g.steps) {
			spoilt := func(e evidence) bool {
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
	choose(0, evidence{}, evidence{})
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

func Runs(hit map[int]bool, last, hits, forgive int) int {
	best := make([]int, last+3) // best[d]: the most runs within days d..last
	for from := last; from >= 0; from-- {
		best[from] = best[from+1]
		n := 0
		for to := from; to <= last; to++ {
			if hit[to] {
				n++
			}
			if to-from+1 > hits+forgive {
				break
			}
			if n >= hits {
				best[from] = max(best[from], 1+best[to+1])
			}
		}
	}
	return best[0]
}
