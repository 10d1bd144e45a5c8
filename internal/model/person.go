package model

import (
	"fmt"
	"slices"
	"time"
)

// person is one user in one campaign.
type person struct {
	*user
	c    *Campaign   // as it is in force: with the end that a withdrawal gives it
	wait []time.Time // clocks at which time alone could change something

	part     string // "", "in" or "out"
	from     time.Time
	evidence []evidence // since the last withdrawal
	paid     int
	before   int
	paidIn   map[string]int // by the period's key
	shut     map[int]bool
	over     bool
}

func newPerson(u *user, c *Campaign) *person {
	return &person{user: u, c: c, paidIn: map[string]int{}, shut: map[int]bool{}, over: c.closed("", 0, u.log.clock)}
}

// waitFor notes the clocks at which time alone could change something because of a record. One too many changes nothing.
func (m *person) waitFor(r Record) {
	add := func(t time.Time) {
		if t.After(r.Clock) {
			m.wait = append(m.wait, t)
		}
	}
	pers := map[string]bool{m.c.Goal.per: true}
	for _, l := range m.c.Goal.leaves() {
		pers[l.per] = true
	}
	delete(pers, "")
	add(r.At.Truncate(time.Millisecond).Add(m.c.Late + time.Millisecond))
	for per := range pers {
		for day := DayOf(r.At.UTC()) - 2; day <= DayOf(r.At.UTC())+2; day++ {
			add(m.c.closes(per, periodOf(per, day)))
		}
	}
}

// instants are the clocks behind one and up to another at which time alone could change something.
func (m *person) instants(from, to time.Time) (all []time.Time) {
	within := func(t time.Time) bool { return t.After(from) && !t.After(to) }
	for _, t := range m.wait {
		if within(t) {
			all = append(all, t)
		}
	}
	m.wait = slices.DeleteFunc(m.wait, func(t time.Time) bool { return !t.After(to) })
	if end := m.c.closes("", 0); within(end) {
		all = append(all, end)
	}
	if m.c.Goal.Watches() && m.c.Goal.per != "" {
		first, last := m.watched(to)
		for p := first; p <= last; p++ {
			if at := m.c.closes(m.c.Goal.per, p); within(at) {
				all = append(all, at)
			}
		}
	}
	return all
}

// watched are the periods that a campaign with a `none` has until a clock, by the dates in its zone.
func (m *person) watched(until time.Time) (first, last int) {
	date := func(t time.Time) int { return DayOf(t.In(time.FixedZone("", offsets[m.c.Zone]))) }
	if !m.c.Ends.IsZero() {
		until = m.c.Ends.Add(-1)
	}
	return periodOf(m.c.Goal.per, date(m.c.Starts)), periodOf(m.c.Goal.per, date(until))
}

// record takes what the user did, which is no duplicate.
func (m *person) record(r Record) {
	switch r.Kind {
	case "stampede.profile", "stampede.excused":
	case "stampede.enrolled", "stampede.withdrawn":
		if r.Campaign == m.c.ID && !m.over {
			m.takePart(r)
		}
	default:
		m.event(r)
	}
	m.waitFor(r)
}

func (m *person) takePart(r Record) {
	if r.Kind == "stampede.enrolled" {
		switch {
		case !m.c.Ends.IsZero() && !r.At.Before(m.c.Ends): // there is nothing left to take part in
		case m.part == "out":
			if !r.At.Before(m.from) {
				m.part, m.from = "in", r.At
			}
		case m.part == "" && m.c.OptIn:
			m.part, m.from = "in", r.At
		}
		return
	}
	if m.part == "in" && r.At.Before(m.from) {
		return
	}
	tookPart := m.part == "in" || slices.ContainsFunc(m.evidence, func(e evidence) bool { return e.counted })
	if m.part != "out" && tookPart && !m.done() {
		cycle, tier := "1", m.paid+1
		if m.c.Always {
			cycle, tier = fmt.Sprint(m.paid+1), 1
		}
		if m.c.EachPeriodPays() {
			p := periodOf(m.c.Goal.per, m.dated(r).day)
			for m.paidIn[periodKey(m.c.Goal.per, p)] == m.c.tiers() || m.c.closed(m.c.Goal.per, p, r.Clock) { // the next one is what the user was about to do
				p++
			}
			cycle = periodKey(m.c.Goal.per, p)
			tier = m.paidIn[cycle] + 1
		}
		m.tell(Told{What: "withdrawn", Cycle: cycle, Tier: fmt.Sprint(tier)}, r.Clock)
	}
	if m.part != "out" || r.At.After(m.from) {
		m.from = r.At
	}
	m.part, m.evidence, m.before = "out", nil, m.paid
}

func (m *person) zoneAt(t time.Time) string {
	if z := m.profileAt(t, func(p Record) string { return p.Timezone }); z != "" {
		return z
	}
	return m.c.Zone
}

// dated gives an event its date and hour (T1, T2).
func (m *person) dated(r Record) evidence {
	offset, known := offsets[r.Zone]
	if !known {
		offset, known = offsets[r.Written]
	}
	if !known {
		offset = offsets[m.zoneAt(r.At)]
	}
	local := r.At.In(time.FixedZone("", offset))
	return evidence{kind: r.Kind, id: r.ID, at: r.At, v: r.V, plan: m.planAt(r.At), hour: local.Hour(), day: DayOf(local.Add(-m.c.DayStarts))}
}

func (m *person) takesPart(t time.Time) bool {
	switch m.part {
	case "in":
		return !t.Before(m.from)
	case "out":
		return false
	}
	return !m.c.OptIn
}

// may says whether the user takes part and is eligible.
func (m *person) may(t time.Time) bool {
	return m.takesPart(t) && (!m.c.Eligible || m.planAt(t) == "gold")
}

func (m *person) event(r Record) {
	if r.At.Before(m.c.Starts) || !m.c.Ends.IsZero() && !r.At.Before(m.c.Ends) || !m.may(r.At) {
		return
	}
	if !r.inTime(min(m.c.Late, m.log.lateness(r.At))) {
		m.log.reached("too late")
		return
	}
	e := m.dated(r)
	takes, counts := m.c.Goal.takes(e)
	if !takes {
		return
	}
	if m.c.EachPeriodPays() && m.paidIn[periodKey(m.c.Goal.per, periodOf(m.c.Goal.per, e.day))] == m.c.tiers() {
		return
	}
	e.counted = counts
	m.evidence = append(m.evidence, e)
	if !counts {
		m.log.reached("counted against")
	}
}

func (m *person) done() bool {
	return !m.c.Always && m.paid >= m.c.tiers() || m.c.Limit > 0 && m.paid >= m.c.Limit
}

// judge is what a clock and the evidence so far lead to. due says that it is before the records of that clock: who is told of by them was not
// known when a period closed (T5).
func (m *person) judge(clock time.Time, due bool) {
	if m.over {
		return
	}
	per := m.c.Goal.per
	periods := map[int]bool{}
	for _, e := range m.evidence {
		periods[periodOf(per, e.day)] = true
	}
	if due && m.c.Goal.Watches() && !m.known.IsZero() {
		first, last := 0, 0
		if per != "" {
			first, last = m.watched(clock)
		}
		for p := first; p <= last; p++ {
			if m.c.closes(per, p).Equal(clock) && m.known.Before(m.c.end(per, p)) {
				periods[p] = true
			}
		}
	}
	var order []int
	for p := range periods {
		order = append(order, p)
	}
	slices.Sort(order)
	for _, p := range order {
		if !m.shut[p] && !m.done() {
			m.judgePeriod(p, clock)
		}
	}
	if m.c.closed("", 0, clock) {
		m.over = true
		m.closeCampaign(clock)
	}
}

func (m *person) judgePeriod(p int, clock time.Time) {
	per := m.c.Goal.per
	var events []evidence
	counted := 0
	var latest time.Time
	for _, e := range m.evidence {
		if periodOf(per, e.day) != p {
			continue
		}
		events = append(events, e)
		if e.counted {
			counted++
			if e.at.After(latest) {
				latest = e.at
			}
		}
	}
	key := periodKey(per, p)
	closed := m.c.closed(per, p, clock)
	end := m.c.end(per, p)
	j := asked{
		closed: closed, may: closed && m.may(end.Add(-1)),
		closes:  func(per string, p int) bool { return m.c.closed(per, p, clock) },
		final:   func(t time.Time) bool { return clock.Sub(t.Truncate(time.Millisecond)) > m.c.Late },
		neutral: m.neutral,
	}
	due := m.c.Goal.worth(events, j)
	if !m.c.Always || m.c.EachPeriodPays() {
		due = min(due, m.c.tiers())
	} else {
		due += m.before
	}
	achieved := latest
	if closed && m.c.Goal.Waits() {
		achieved = clockAt(end)
	}
	paid := &m.paid
	if m.c.EachPeriodPays() {
		n := m.paidIn[key]
		paid = &n
	}
	for *paid < due && (m.c.Limit == 0 || m.paid < m.c.Limit) {
		*paid++
		cycle, tier := "1", fmt.Sprint(*paid)
		switch {
		case m.c.EachPeriodPays():
			m.paid++
			m.paidIn[key] = *paid
			cycle = key
		case m.c.Always:
			cycle, tier = tier, "1"
		}
		what := "reward"
		if m.c.Budget > 0 {
			what = "claim"
		}
		m.tell(Told{What: what, Cycle: cycle, Tier: tier, Achieved: achieved, Events: counted}, clock)
		m.rare(closed, tier, events)
	}
	if closed {
		m.shut[p] = true
		everybody := m.c.Goal.kind == "none" && j.may
		if m.c.EachPeriodPays() && m.paidIn[key] == 0 && m.part != "out" && (counted > 0 || everybody) {
			m.tell(Told{What: "failed", Cycle: key, Tier: "1"}, clock)
			m.log.reached("a period failed")
		}
	}
}

func (m *person) closeCampaign(clock time.Time) {
	if m.c.EachPeriodPays() || m.paid > 0 || m.part == "out" {
		return
	}
	tookPart := m.part == "in" || slices.ContainsFunc(m.evidence, func(e evidence) bool { return e.counted })
	everybody := m.c.Goal.kind == "none" && !m.known.IsZero() && m.known.Before(m.c.Ends) && m.may(m.c.Ends.Add(-1))
	if tookPart || everybody {
		m.tell(Told{What: "failed", Cycle: "1", Tier: "1"}, clock)
		m.log.reached("a campaign failed")
	}
}

// neutral says whether a date can't be missed: it is excused, or the user had less than 12 hours of it.
func (m *person) neutral(day int) bool {
	if m.excused[""][day] || m.excused[m.c.ID][day] {
		return true
	}
	var changes []time.Time
	for _, p := range m.profiles {
		if _, known := offsets[p.Timezone]; known {
			changes = append(changes, p.At)
		}
	}
	slices.SortFunc(changes, time.Time.Compare)
	from := date(day - 5)
	changes = append(changes, date(day+5))
	var had time.Duration
	for _, until := range changes {
		if !until.After(from) {
			continue
		}
		begins := date(day).Add(m.c.DayStarts - time.Duration(offsets[m.zoneAt(from)])*time.Second)
		overlapFrom, overlapUntil := begins, begins.Add(24*time.Hour)
		if from.After(overlapFrom) {
			overlapFrom = from
		}
		if until.Before(overlapUntil) {
			overlapUntil = until
		}
		had += max(0, overlapUntil.Sub(overlapFrom))
		from = until
	}
	if had < 12*time.Hour {
		m.log.reached("a date too short")
	}
	return had < 12*time.Hour
}

func (m *person) tell(t Told, clock time.Time) {
	t.User, t.Campaign, t.At = m.name, m.c, clock
	m.log.tell(t)
}

// rare tells of what a reward shows.
func (m *person) rare(closed bool, tier string, events []evidence) {
	g := m.c.Goal
	m.log.reached("reward of " + g.kind)
	if g.per != "" {
		m.log.reached("reward per " + g.per)
	}
	if closed && g.Watches() {
		m.log.reached("none paid")
	}
	if closed && g.kind == "sum" && g.net {
		m.log.reached("net paid")
	}
	if g.kind == "sequence" && g.without != nil {
		m.log.reached("without paid")
	}
	if tier != "1" {
		m.log.reached("a higher tier")
	}
	if m.before > 0 {
		m.log.reached("a reward after a withdrawal")
	}
	if len(events) == 0 {
		m.log.reached("a reward for nothing")
	}
	if g.kind == "streak" && g.period != "day" {
		m.log.reached("a streak of " + g.period + "s")
	}
}
