package model

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Log is one partition's log, as far as it was read: who did what, which campaigns are in force, and what came of it.
type Log struct {
	published map[string]*Campaign // by the text that a publish tells
	inForce   map[string]*standing
	raised    []raise
	budgets   map[string]*budget // by campaign
	users     map[string]*user
	erased    map[string]time.Time // when those were erased of whom something from before could still be in time (C4)
	clock     time.Time
	reached   func(string)

	told    []Told
	letters []Letter
	offset  int64 // of the record that is being read
	step    int   // counts what is in a certain order: firings and records
}

// Told is something that came of a log: a reward, a claim of one, or how a campaign or period ended without one.
type Told struct {
	Offset      int64 // of the record that led to it, be it by its clock alone
	What        string
	User        string
	Campaign    *Campaign
	Cycle, Tier string
	Achieved    time.Time // of a reward
	Events      int       // that counted, of a reward
	At          time.Time // the clock at which it is told
	step        int
}

// standing is what the log has said of one campaign.
type standing struct {
	version   *Campaign
	withdrawn time.Time // zero where it is not
	units     []string  // periods after which rewards were called before this version
}

// campaign is the campaign as it is in force.
func (s *standing) campaign() *Campaign {
	if s.withdrawn.IsZero() || !s.version.Ends.IsZero() && s.version.Ends.Before(s.withdrawn) {
		return s.version
	}
	c := *s.version
	c.Ends = s.withdrawn
	return &c
}

// raise is a publish that raised the largest lateness: what happened before it is judged by what it was (E3).
type raise struct {
	at  time.Time
	was time.Duration
}

// NewLog is a log of which nothing is read. The campaigns are those that it may tell of; none is in force.
func NewLog(campaigns ...*Campaign) *Log {
	l := &Log{published: map[string]*Campaign{}, inForce: map[string]*standing{}, budgets: map[string]*budget{}, users: map[string]*user{}, erased: map[string]time.Time{}, reached: func(string) {}}
	for _, c := range campaigns {
		l.published[c.YAML()] = c
	}
	return l
}

func (l *Log) tell(t Told) {
	t.Offset, t.step = l.offset, l.step
	l.told = append(l.told, t)
}

// ids are the campaigns that were ever in force.
func (l *Log) ids() []string { return slices.Sorted(maps.Keys(l.inForce)) }

// largest is the largest lateness of all campaigns.
func (l *Log) largest() (most time.Duration) {
	if len(l.inForce) == 0 {
		return 48 * time.Hour // what an author who says nothing gets
	}
	for _, s := range l.inForce {
		most = max(most, s.version.Late)
	}
	return most
}

// lateness is the largest for an event that happened at a time.
func (l *Log) lateness(at time.Time) time.Duration {
	lateness := l.largest()
	for _, r := range l.raised {
		if at.Truncate(time.Millisecond).Before(r.at) {
			lateness = min(lateness, r.was)
		}
	}
	return lateness
}

// advance lets time pass up to a clock: what it leads to is told in the order of instants and, of one instant, users.
func (l *Log) advance(to time.Time) {
	type due struct {
		at   time.Time
		user string
	}
	var all []due
	for name, u := range l.users {
		for _, p := range u.in {
			for _, at := range p.instants(l.clock, to) {
				all = append(all, due{at, name})
			}
		}
	}
	slices.SortFunc(all, func(a, b due) int {
		if by := a.at.Compare(b.at); by != 0 {
			return by
		}
		return strings.Compare(a.user, b.user)
	})
	for _, d := range slices.CompactFunc(all, func(a, b due) bool { return a.user == b.user && a.at.Equal(b.at) }) {
		l.step++
		l.users[d.user].judge(d.at, true)
	}
	if to.After(l.clock) {
		l.clock = to
	}
	maps.DeleteFunc(l.erased, func(_ string, at time.Time) bool { return l.clock.Sub(at) > l.lateness(at) })
}

const maxAhead = 5 * time.Minute // how far a time may be ahead of the clock (E5)

// take takes what a user did, at the clock to which time has passed. It returns the reason for which it goes to the dead letters, if it does.
func (l *Log) take(r Record) (reason string) {
	l.step++
	control := strings.HasPrefix(r.Kind, "stampede.")
	u := l.users[r.User]
	switch {
	case r.Kind == typeAnswered:
		return "" // it tells the user, and changes nothing
	case r.At.After(r.Clock.Add(maxAhead)):
		return "future"
	case r.Kind == "stampede.erased":
		l.erase(r.User)
		return ""
	case l.drops(r.User):
		return ""
	case control && !slices.Contains(controls, r.Kind):
		return "unknown_control"
	case u != nil && u.duplicate(r):
		l.reached("duplicate")
		return ""
	case control && r.Kind != "stampede.profile" && (r.Campaign != "" || r.Kind != "stampede.excused") && l.inForce[r.Campaign] == nil:
		return "bad_control"
	}
	if u == nil {
		u = newUser(l, r.User)
		l.users[r.User] = u
	}
	if u.known.IsZero() || r.At.Before(u.known) {
		u.known = r.At
	}
	if control || l.concerns(r.Kind) {
		u.record(r)
		u.judge(r.Clock, false)
	}
	return ""
}

// erase forgets a user (C4).
func (l *Log) erase(name string) {
	l.reached("erased")
	delete(l.users, name)
	l.erased[name] = l.clock
}

// drops says whether nothing becomes of a user's records.
func (l *Log) drops(name string) bool {
	_, drops := l.erased[name]
	if drops {
		l.reached("dropped")
	}
	return drops
}

var controls = []string{"stampede.profile", "stampede.enrolled", "stampede.withdrawn", "stampede.excused"}

// concerns says whether any campaign could look at events of a type. One that nobody looks at is not remembered.
func (l *Log) concerns(kind string) bool {
	for _, s := range l.inForce {
		if s.version.Goal.concerns(kind) {
			return true
		}
	}
	return false
}
