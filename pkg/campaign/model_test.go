package campaign

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// The model of a campaign keeps every record of a user, and asks at every record, and at every instant at which something could close,
// what all the evidence so far is worth. Nothing is ever forgotten, and nothing is computed from what was computed before, but what was
// paid.

// modelRecord is one record of a user.
type modelRecord struct {
	user, id, kind string
	at, clock      time.Time
	written        string // the offset in which `time` is written: "" for Z, or "+09:00"
	zone           string // the event's `timezone`
	v              int

	timezone, plan, campaign string // of control events; plan "null" removes it
	dates                    []int
}

// cloudEvent is the record as its producer sends it.
func (r modelRecord) cloudEvent() []byte {
	at := r.at.UTC().Format(time.RFC3339Nano)
	if r.written != "" {
		at = r.at.In(time.FixedZone("", modelOffsets[r.written])).Format("2006-01-02T15:04:05.999999999") + r.written
	}
	data := fmt.Sprintf(`{"v":%d}`, r.v)
	switch r.kind {
	case "stampede.profile":
		var says []string
		if r.timezone != "" {
			says = append(says, fmt.Sprintf(`"timezone":%q`, r.timezone))
		}
		if r.plan == "null" {
			says = append(says, `"attributes":{"plan":null}`)
		} else if r.plan != "" {
			says = append(says, fmt.Sprintf(`"attributes":{"plan":%q}`, r.plan))
		}
		data = "{" + strings.Join(says, ",") + "}"
	case "stampede.enrolled", "stampede.withdrawn":
		data = fmt.Sprintf(`{"campaign":%q}`, r.campaign)
	case "stampede.excused":
		var dates []string
		for _, day := range r.dates {
			dates = append(dates, fmt.Sprintf("%q", modelDay(day).Format(time.DateOnly)))
		}
		data = `{"dates":[` + strings.Join(dates, ",") + "]"
		if r.campaign != "" {
			data += fmt.Sprintf(`,"campaign":%q`, r.campaign)
		}
		data += "}"
	}
	zone := ""
	if r.zone != "" {
		zone = fmt.Sprintf(`,"timezone":%q`, r.zone)
	}
	return fmt.Appendf(nil, `{"specversion":"1.0","id":%q,"source":"s","type":%q,"time":%q%s,"data":%s}`, r.id, r.kind, at, zone, data)
}

// modelOffsets are the zones and offsets that are drawn, in seconds east of UTC.
var modelOffsets = map[string]int{
	"UTC": 0, "Etc/GMT+12": -12 * 3600, "Etc/GMT+7": -7 * 3600, "Etc/GMT-5": 5 * 3600, "Etc/GMT-14": 14 * 3600,
	"+00:00": 0, "-11:00": -11 * 3600, "+13:30": 13*3600 + 1800,
}

// modelCampaign is a campaign and all its options.
type modelCampaign struct {
	id        string
	goal      *modelGoal
	always    bool
	limit     int // 0: none
	optIn     bool
	eligible  bool // user.plan == "gold"
	starts    time.Time
	ends      time.Time // zero: never
	zone      string
	dayStarts time.Duration
	late      time.Duration
}

func (c *modelCampaign) yaml() string {
	s := fmt.Sprintf("campaign: %s\nversion: 1\nstarts: %s\ntimezone: %s\nlateness: %s\n", c.id, c.starts.Format(time.RFC3339Nano), c.zone, c.late)
	if !c.ends.IsZero() {
		s += "ends: " + c.ends.Format(time.RFC3339Nano) + "\n"
	}
	if c.dayStarts > 0 {
		s += fmt.Sprintf("day_starts: %02d:00\n", int(c.dayStarts.Hours()))
	}
	if c.always {
		s += "repeat: always\n"
	}
	if c.limit > 0 {
		s += fmt.Sprintf("limits: {per_user: %d}\n", c.limit)
	}
	if c.optIn {
		s += "enrol: opt_in\n"
	}
	if c.eligible {
		s += "eligible: user.plan == \"gold\"\n"
	}
	rewards := strings.TrimSuffix(strings.Repeat("{kind: points}, ", c.tiers()), ", ")
	if c.tiers() > 1 {
		rewards = "[" + rewards + "]"
	}
	return s + "reward: " + rewards + "\ngoal: " + c.goal.yaml() + "\n"
}

func (c *modelCampaign) tiers() int { return max(1, len(c.goal.numbers)) }

func (c *modelCampaign) eachPeriodPays() bool { return c.always && c.goal.per != "" }

// end is when a period has ended in every place, or the campaign has.
func (c *modelCampaign) end(per string, period int) time.Time {
	if per == "" {
		return c.ends
	}
	end := modelDay(modelFirst(per, period+1)).Add(12*time.Hour + c.dayStarts)
	if !c.ends.IsZero() && c.ends.Before(end) {
		return c.ends
	}
	return end
}

// closes is the first clock by which it is closed, zero for never.
func (c *modelCampaign) closes(per string, period int) time.Time {
	end := c.end(per, period)
	if end.IsZero() {
		return end
	}
	return modelClock(end.Add(c.late))
}

func (c *modelCampaign) closed(per string, period int, clock time.Time) bool {
	at := c.closes(per, period)
	return !at.IsZero() && !clock.Before(at)
}

// modelClock is the first clock, in whole ms, that is not before an instant.
func modelClock(t time.Time) time.Time {
	if ms := t.Truncate(time.Millisecond); ms.Before(t) {
		return ms.Add(time.Millisecond)
	}
	return t
}

// modelWorld is campaigns and records, and a clock up to which time passes.
type modelWorld struct {
	campaigns []*modelCampaign
	records   []modelRecord
	until     time.Time
}

func (w *modelWorld) lateness() (most time.Duration) {
	for _, c := range w.campaigns {
		most = max(most, c.late)
	}
	return most
}

// in says whether an event arrives in time for a lateness: clocks have whole ms.
func (r modelRecord) inTime(late time.Duration) bool {
	return r.clock.Sub(r.at.Truncate(time.Millisecond)) <= late
}

// modelUser is one user in one campaign.
type modelUser struct {
	world *modelWorld
	c     *modelCampaign
	user  string

	seen     map[string]modelRecord
	profiles []modelRecord // in the order of arrival
	excused  map[int]bool
	known    time.Time

	part     string // "", "in" or "out"
	from     time.Time
	evidence []modelEvidence // since the last withdrawal
	paid     int
	before   int
	paidIn   map[int]int
	shut     map[int]bool
	over     bool
	told     []string
	reached  func(string) // tells of rare things
}

// expect is everything that comes of a user's records in a campaign, one line each.
func (w *modelWorld) expect(c *modelCampaign, user string, reached func(string)) []string {
	m := &modelUser{
		world: w, c: c, user: user, seen: map[string]modelRecord{}, excused: map[int]bool{}, paidIn: map[int]int{}, shut: map[int]bool{}, reached: reached,
	}
	instants := m.instants()
	for _, r := range w.records {
		if r.user != user {
			continue
		}
		for len(instants) > 0 && !instants[0].After(r.clock) {
			m.judge(instants[0], true)
			instants = instants[1:]
		}
		m.record(r)
		m.judge(r.clock, false)
	}
	for _, at := range instants {
		m.judge(at, true)
	}
	slices.Sort(m.told)
	return m.told
}

// instants are all clocks at which time alone could change something. One too many changes nothing.
func (m *modelUser) instants() []time.Time {
	var all []time.Time
	add := func(t time.Time) {
		if !t.IsZero() && !t.After(m.world.until) {
			all = append(all, t)
		}
	}
	pers := map[string]bool{m.c.goal.per: true}
	for _, l := range m.c.goal.leaves() {
		pers[l.per] = true
	}
	delete(pers, "")
	add(m.c.closes("", 0))
	for _, r := range m.world.records {
		if r.user != m.user {
			continue
		}
		add(r.at.Truncate(time.Millisecond).Add(m.c.late + time.Millisecond))
		for per := range pers {
			for day := modelDayOf(r.at.UTC()) - 2; day <= modelDayOf(r.at.UTC())+2; day++ {
				add(m.c.closes(per, modelPeriod(per, day)))
			}
		}
	}
	if m.c.goal.watches() && m.c.goal.per != "" {
		first, last := m.watched()
		for p := first; p <= last; p++ {
			add(m.c.closes(m.c.goal.per, p))
		}
	}
	slices.SortFunc(all, time.Time.Compare)
	return slices.CompactFunc(all, time.Time.Equal)
}

// watched are the periods that a campaign with a `none` has, by the dates in its zone.
func (m *modelUser) watched() (first, last int) {
	date := func(t time.Time) int { return modelDayOf(t.In(time.FixedZone("", modelOffsets[m.c.zone]))) }
	until := m.world.until
	if !m.c.ends.IsZero() {
		until = m.c.ends.Add(-1)
	}
	return modelPeriod(m.c.goal.per, date(m.c.starts)), modelPeriod(m.c.goal.per, date(until))
}

func (m *modelUser) record(r modelRecord) {
	if first, ok := m.seen[r.id]; ok && !r.clock.After(first.at.Truncate(time.Millisecond).Add(m.world.lateness())) {
		m.reached("duplicate")
		return
	}
	m.seen[r.id] = r
	if m.known.IsZero() || r.at.Before(m.known) {
		m.known = r.at
	}
	switch r.kind {
	case "stampede.profile":
		m.profiles = append(m.profiles, r)
	case "stampede.excused":
		if r.campaign == "" || r.campaign == m.c.id {
			for _, day := range r.dates {
				m.excused[day] = true
			}
		}
	case "stampede.enrolled", "stampede.withdrawn":
		if r.campaign == m.c.id && !m.over {
			m.takePart(r)
		}
	default:
		m.event(r)
	}
}

func (m *modelUser) takePart(r modelRecord) {
	if r.kind == "stampede.enrolled" {
		switch {
		case !m.c.ends.IsZero() && !r.at.Before(m.c.ends): // there is nothing left to take part in
		case m.part == "out":
			m.part = "in"
			if r.at.After(m.from) {
				m.from = r.at
			}
		case m.part == "" && m.c.optIn:
			m.part, m.from = "in", r.at
		}
		return
	}
	tookPart := m.part == "in" || slices.ContainsFunc(m.evidence, func(e modelEvidence) bool { return e.counted })
	if m.part != "out" && tookPart && !m.done() {
		cycle, tier := "1", m.paid+1
		if m.c.always {
			cycle, tier = fmt.Sprint(m.paid+1), 1
		}
		if m.c.eachPeriodPays() {
			p := modelPeriod(m.c.goal.per, m.dated(r).day)
			for m.paidIn[p] == m.c.tiers() || m.c.closed(m.c.goal.per, p, r.clock) { // the next one is what the user was about to do
				p++
			}
			cycle, tier = modelKey(m.c.goal.per, p), m.paidIn[p]+1
		}
		m.tell(r.clock, "withdrawn %s/%d", cycle, tier)
	}
	if m.part != "out" || r.at.After(m.from) {
		m.from = r.at
	}
	m.part, m.evidence, m.before = "out", nil, m.paid
}

// profileAt is what was told of an instant, as known by now.
func (m *modelUser) profileAt(t time.Time, says func(modelRecord) string) string {
	value := ""
	var newest time.Time
	for _, p := range m.profiles {
		if says(p) != "" && !p.at.After(t) && !p.at.Before(newest) {
			value, newest = says(p), p.at
		}
	}
	return value
}

func (m *modelUser) planAt(t time.Time) string {
	return m.profileAt(t, func(p modelRecord) string { return p.plan })
}

func (m *modelUser) zoneAt(t time.Time) string {
	if z := m.profileAt(t, func(p modelRecord) string { return p.timezone }); z != "" {
		return z
	}
	return m.c.zone
}

// dated gives an event its date and hour (T1, T2).
func (m *modelUser) dated(r modelRecord) modelEvidence {
	offset, known := modelOffsets[r.zone]
	if !known {
		offset, known = modelOffsets[r.written]
	}
	if !known {
		offset = modelOffsets[m.zoneAt(r.at)]
	}
	local := r.at.In(time.FixedZone("", offset))
	return modelEvidence{kind: r.kind, id: r.id, at: r.at, v: r.v, plan: m.planAt(r.at), hour: local.Hour(), day: modelDayOf(local.Add(-m.c.dayStarts))}
}

func (m *modelUser) takesPart(t time.Time) bool {
	switch m.part {
	case "in":
		return !t.Before(m.from)
	case "out":
		return false
	}
	return !m.c.optIn
}

// may says whether the user takes part and is eligible.
func (m *modelUser) may(t time.Time) bool {
	return m.takesPart(t) && (!m.c.eligible || m.planAt(t) == "gold")
}

func (m *modelUser) event(r modelRecord) {
	if r.at.Before(m.c.starts) || !m.c.ends.IsZero() && !r.at.Before(m.c.ends) || !m.may(r.at) {
		return
	}
	if !r.inTime(m.c.late) {
		m.reached("too late")
		return
	}
	e := m.dated(r)
	takes, counts := m.c.goal.takes(e)
	if !takes {
		return
	}
	if m.c.eachPeriodPays() && m.paidIn[modelPeriod(m.c.goal.per, e.day)] == m.c.tiers() {
		return
	}
	e.counted = counts
	m.evidence = append(m.evidence, e)
	if !counts {
		m.reached("counted against")
	}
}

func (m *modelUser) done() bool {
	return !m.c.always && m.paid >= m.c.tiers() || m.c.limit > 0 && m.paid >= m.c.limit
}

// judge is what a clock and the evidence so far lead to. due says that it is before the records of that clock: who is told of by them was not
// known when a period closed (T5).
func (m *modelUser) judge(clock time.Time, due bool) {
	if m.over {
		return
	}
	per := m.c.goal.per
	periods := map[int]bool{}
	for _, e := range m.evidence {
		periods[modelPeriod(per, e.day)] = true
	}
	if due && m.c.goal.watches() && !m.known.IsZero() {
		first, last := 0, 0
		if per != "" {
			first, last = m.watched()
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

func (m *modelUser) judgePeriod(p int, clock time.Time) {
	per := m.c.goal.per
	var events []modelEvidence
	counted := 0
	var latest time.Time
	for _, e := range m.evidence {
		if modelPeriod(per, e.day) != p {
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
	closed := m.c.closed(per, p, clock)
	end := m.c.end(per, p)
	j := modelJudge{
		closed: closed, may: closed && m.may(end.Add(-1)),
		closes:  func(per string, p int) bool { return m.c.closed(per, p, clock) },
		final:   func(t time.Time) bool { return clock.Sub(t.Truncate(time.Millisecond)) > m.c.late },
		neutral: m.neutral,
	}
	due := m.c.goal.worth(events, j)
	if !m.c.always || m.c.eachPeriodPays() {
		due = min(due, m.c.tiers())
	} else {
		due += m.before
	}
	achieved := latest
	if closed && m.c.goal.waits() {
		achieved = modelClock(end)
	}
	paid := &m.paid
	if m.c.eachPeriodPays() {
		n := m.paidIn[p]
		paid = &n
	}
	for *paid < due && (m.c.limit == 0 || m.paid < m.c.limit) {
		*paid++
		cycle, tier := "1", fmt.Sprint(*paid)
		switch {
		case m.c.eachPeriodPays():
			m.paid++
			m.paidIn[p] = *paid
			cycle = modelKey(per, p)
		case m.c.always:
			cycle, tier = tier, "1"
		}
		m.tell(clock, "reward %s/%s achieved %s by %d events", cycle, tier, achieved.UTC().Format(time.RFC3339Nano), counted)
		m.rare(closed, tier, events)
	}
	if closed {
		m.shut[p] = true
		everybody := m.c.goal.kind == "none" && j.may
		if m.c.eachPeriodPays() && m.paidIn[p] == 0 && m.part != "out" && (counted > 0 || everybody) {
			m.tell(clock, "failed %s/1", modelKey(per, p))
			m.reached("a period failed")
		}
	}
}

func (m *modelUser) closeCampaign(clock time.Time) {
	if m.c.eachPeriodPays() || m.paid > 0 || m.part == "out" {
		return
	}
	tookPart := m.part == "in" || slices.ContainsFunc(m.evidence, func(e modelEvidence) bool { return e.counted })
	everybody := m.c.goal.kind == "none" && !m.known.IsZero() && m.known.Before(m.c.ends) && m.may(m.c.ends.Add(-1))
	if tookPart || everybody {
		m.tell(clock, "failed 1/1")
		m.reached("a campaign failed")
	}
}

// neutral says whether a date can't be missed: it is excused, or the user had less than 12 hours of it.
func (m *modelUser) neutral(day int) bool {
	if m.excused[day] {
		return true
	}
	var changes []time.Time
	for _, p := range m.profiles {
		if _, known := modelOffsets[p.timezone]; known {
			changes = append(changes, p.at)
		}
	}
	slices.SortFunc(changes, time.Time.Compare)
	from := modelDay(day - 5)
	changes = append(changes, modelDay(day+5))
	var had time.Duration
	for _, until := range changes {
		if !until.After(from) {
			continue
		}
		begins := modelDay(day).Add(m.c.dayStarts - time.Duration(modelOffsets[m.zoneAt(from)])*time.Second)
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
		m.reached("a date too short")
	}
	return had < 12*time.Hour
}

func (m *modelUser) tell(clock time.Time, format string, args ...any) {
	m.told = append(m.told, m.c.id+" "+fmt.Sprintf(format, args...)+", told at "+clock.UTC().Format(time.RFC3339Nano))
}

// rare tells of what a reward shows.
func (m *modelUser) rare(closed bool, tier string, events []modelEvidence) {
	g := m.c.goal
	m.reached("reward of " + g.kind)
	if g.per != "" {
		m.reached("reward per " + g.per)
	}
	if closed && g.watches() {
		m.reached("none paid")
	}
	if closed && g.kind == "sum" && g.net {
		m.reached("net paid")
	}
	if g.kind == "sequence" && g.without != nil {
		m.reached("without paid")
	}
	if tier != "1" {
		m.reached("a higher tier")
	}
	if m.before > 0 {
		m.reached("a reward after a withdrawal")
	}
	if len(events) == 0 {
		m.reached("a reward for nothing")
	}
	if g.kind == "streak" && g.period != "day" {
		m.reached("a streak of " + g.period + "s")
	}
}
