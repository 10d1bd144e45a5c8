package model

import (
	"fmt"
	"slices"
	"time"
)

// World is campaigns that were always in force, records, and a clock up to which time passes.
type World struct {
	Campaigns []*Campaign
	Records   []Record
	Until     time.Time
}

// Expect is everything that comes of what users do, by user, one line each. reached is told of rare things.
func (w *World) Expect(reached func(string)) map[string][]string {
	l := NewLog()
	l.reached = reached
	for _, c := range w.Campaigns {
		l.inForce[c.ID] = &standing{version: c}
	}
	for _, r := range w.Records {
		l.advance(r.Clock)
		l.take(r)
	}
	l.advance(w.Until)
	lines := map[string][]string{}
	for _, t := range l.told {
		lines[t.User] = append(lines[t.User], t.line())
	}
	for user := range lines {
		slices.Sort(lines[user])
	}
	return lines
}

func (t Told) line() string {
	s := fmt.Sprintf("%s %s %s/%s", t.Campaign.ID, t.What, t.Cycle, t.Tier)
	if t.What == "reward" {
		s += fmt.Sprintf(" achieved %s by %d events", t.Achieved.UTC().Format(time.RFC3339Nano), t.Events)
	}
	return s + ", told at " + t.At.UTC().Format(time.RFC3339Nano)
}
