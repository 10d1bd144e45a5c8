package model

import (
	"slices"
	"time"
)

// user is what is known of a user beside campaigns.
type user struct {
	log  *Log
	name string

	seen     map[string]Record       // by source and id
	profiles []Record                // in the order of arrival
	excused  map[string]map[int]bool // dates by campaign, "" for all
	known    time.Time               // the earliest time told
	in       map[string]*person      // by campaign
}

func newUser(l *Log, name string) *user {
	u := &user{log: l, name: name, seen: map[string]Record{}, excused: map[string]map[int]bool{}, in: map[string]*person{}}
	for id, s := range l.inForce {
		u.in[id] = newPerson(u, s.campaign())
	}
	return u
}

// duplicate says whether a record has come before and would still be in time (E3).
func (u *user) duplicate(r Record) bool {
	first, ok := u.seen[r.source()+" "+r.ID]
	return ok && !r.Clock.After(first.At.Truncate(time.Millisecond).Add(u.log.lateness(first.At)))
}

// record takes what the user did, which is no duplicate.
func (u *user) record(r Record) {
	u.seen[r.source()+" "+r.ID] = r
	switch r.Kind {
	case "stampede.profile":
		if u.overtaken(r) {
			r.Timezone = ""
		}
		u.profiles = append(u.profiles, r)
	case "stampede.excused":
		if u.excused[r.Campaign] == nil {
			u.excused[r.Campaign] = map[int]bool{}
		}
		for _, day := range r.Dates {
			u.excused[r.Campaign][day] = true
		}
	}
	for _, id := range u.log.ids() {
		u.in[id].record(r)
	}
}

// overtaken says whether a zone is told too late, and a newer one was told for a time that is too late as well: then it changes nothing (C1).
func (u *user) overtaken(r Record) bool {
	return slices.ContainsFunc(u.profiles, func(p Record) bool {
		return p.Timezone != "" && p.At.After(r.At) && !(Record{At: p.At, Clock: r.Clock}).inTime(u.log.lateness(p.At))
	})
}

// judge is what a clock and all that was told lead to, in all campaigns.
func (u *user) judge(clock time.Time, due bool) {
	for _, id := range u.log.ids() {
		u.in[id].judge(clock, due)
	}
}

// profileAt is what was told of an instant, as known by now.
func (u *user) profileAt(t time.Time, says func(Record) string) string {
	value := ""
	var newest time.Time
	for _, p := range u.profiles {
		if says(p) != "" && !p.At.After(t) && !p.At.Before(newest) {
			value, newest = says(p), p.At
		}
	}
	return value
}

func (u *user) planAt(t time.Time) string {
	return u.profileAt(t, func(p Record) string { return p.Plan })
}
