package model

import (
	"slices"
	"time"
)

// World is campaigns and records, and a clock up to which time passes.
type World struct {
	Campaigns []*Campaign
	Records   []Record
	Until     time.Time
}

func (w *World) lateness() (most time.Duration) {
	for _, c := range w.Campaigns {
		most = max(most, c.Late)
	}
	return most
}

// Expect is everything that comes of a user's records in a campaign, one line each. reached is told of rare things.
func (w *World) Expect(c *Campaign, user string, reached func(string)) []string {
	m := &person{
		world: w, c: c, user: user, seen: map[string]Record{}, excused: map[int]bool{}, paidIn: map[int]int{}, shut: map[int]bool{}, reached: reached,
	}
	instants := m.instants()
	for _, r := range w.Records {
		if r.User != user {
			continue
		}
		for len(instants) > 0 && !instants[0].After(r.Clock) {
			m.judge(instants[0], true)
			instants = instants[1:]
		}
		m.record(r)
		m.judge(r.Clock, false)
	}
	for _, at := range instants {
		m.judge(at, true)
	}
	slices.Sort(m.told)
	return m.told
}
