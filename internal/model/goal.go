package model

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// evidence is an event that a campaign took.
type evidence struct {
	kind, id, plan string
	at             time.Time
	day, hour      int // where the user was
	v              int
	counted        bool // and not only against the goal
}

// filter is `of` and `where`.
type filter struct {
	types []string
	where string
}

// wheres are the conditions that are drawn, with what they mean.
var wheres = map[string]func(evidence) bool{
	"":                         func(evidence) bool { return true },
	`event.data.v >= 2`:        func(e evidence) bool { return e.v >= 2 },
	`event.hour < 14`:          func(e evidence) bool { return e.hour < 14 },
	`event.weekday != "sun"`:   func(e evidence) bool { return weekday(e.day) != "sun" },
	`user.plan == "gold"`:      func(e evidence) bool { return e.plan == "gold" },
	`user.plan != "x" || true`: func(evidence) bool { return true },
}

func (f filter) takes(e evidence) bool {
	return slices.Contains(f.types, e.kind) && wheres[f.where](e)
}

func (f filter) yaml(key string) string {
	s := key + ": [" + strings.Join(f.types, ", ") + "]"
	if f.where != "" {
		s += ", where: '" + f.where + "'"
	}
	return s
}

// step is one step of a sequence, with its limit.
type step struct {
	filter
	days, hours int
}

// Goal is a goal or a part of one.
type Goal struct {
	kind string
	filter
	numbers     []int
	per         string
	days, hours int // within
	net         bool

	period    string // of a streak, as what follows
	least     int
	leastSum  bool
	forgive   int
	on        []string
	steps     []step
	without   *filter
	needs     int
	parts     []*Goal
	outermost bool
}

func within(days, hours int) string {
	switch {
	case days > 0:
		return fmt.Sprintf(", within: %d days", days)
	case hours > 0:
		return fmt.Sprintf(", within: %dh", hours)
	}
	return ""
}

func (g *Goal) yaml() string {
	number := fmt.Sprint(g.numbers)
	if len(g.numbers) == 1 {
		number = fmt.Sprint(g.numbers[0])
	}
	number = strings.ReplaceAll(number, " ", ", ")
	s := ""
	switch g.kind {
	case "event", "none":
		s = g.filter.yaml(g.kind)
	case "count":
		s = "count: " + number + ", " + g.filter.yaml("of")
	case "sum", "distinct":
		s = g.kind + ": " + number + ", " + g.filter.yaml("of") + ", value: event.data.v"
		if g.net {
			s += ", net: true"
		}
	case "streak":
		s = "streak: " + number + ", " + g.filter.yaml("of") + ", period: " + g.period + fmt.Sprintf(", forgive: %d", g.forgive)
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
		for _, s := range g.steps {
			steps = append(steps, "{"+s.yaml("of")+within(s.days, s.hours)+"}")
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
		s += within(g.days, g.hours)
	}
	if g.per != "" {
		s += ", per: " + g.per
	}
	return "{" + s + "}"
}

// leaves are the parts that look at events.
func (g *Goal) leaves() []*Goal {
	if g.parts == nil {
		return []*Goal{g}
	}
	var all []*Goal
	for _, p := range g.parts {
		all = append(all, p.leaves()...)
	}
	return all
}

// Monotone says whether one more event never takes a reward away (P2).
func (g *Goal) Monotone() bool {
	return !g.Waits() && !g.has(func(l *Goal) bool { return l.without != nil })
}

func (g *Goal) has(what func(*Goal) bool) bool {
	return slices.ContainsFunc(g.leaves(), what)
}

// Watches says whether it matters who is known, and when a period closes: the goal has a `none`.
func (g *Goal) Watches() bool { return g.has(func(l *Goal) bool { return l.kind == "none" }) }

// Waits says whether an end decides: the goal has a `none` or a `net`.
func (g *Goal) Waits() bool {
	return g.Watches() || g.has(func(l *Goal) bool { return l.net })
}

// concerns says whether the goal looks at events of a type.
func (g *Goal) concerns(kind string) bool {
	return g.has(func(l *Goal) bool {
		return slices.Contains(l.types, kind) && l.kind != "sequence" || l.without != nil && slices.Contains(l.without.types, kind) ||
			slices.ContainsFunc(l.steps, func(s step) bool { return slices.Contains(s.types, kind) })
	})
}

// takes says whether an event is evidence for any leaf, and whether it counts or is only against the goal.
func (g *Goal) takes(e evidence) (takes, counts bool) {
	for _, l := range g.leaves() {
		switch l.kind {
		case "none":
			takes = takes || l.filter.takes(e)
		case "sequence":
			for _, s := range l.steps {
				if s.takes(e) {
					takes, counts = true, true
				}
			}
			takes = takes || l.without != nil && l.without.takes(e)
		default:
			if l.evidence([]evidence{e}) != nil {
				takes, counts = true, true
			}
		}
	}
	return takes, counts
}

// evidence is what a leaf but a sequence takes of events: a sum takes no value below 0, a streak only certain weekdays.
func (g *Goal) evidence(events []evidence) (of []evidence) {
	for _, e := range events {
		sums := g.kind == "sum" || g.kind == "streak" && g.leastSum
		if g.filter.takes(e) && (!sums || g.net || e.v >= 0) && (g.on == nil || slices.Contains(g.on, weekday(e.day))) {
			of = append(of, e)
		}
	}
	return of
}

// asked is what worth depends on beside the evidence.
