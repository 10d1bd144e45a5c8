package campaign

import (
	"strings"
	"time"
)

// controls are the control events: they say something about the user and count for no goal (campaigns.md, section 6). One more, which ends
// what is known of the user, is in erased.go.
var controls = map[string]func(*Engine, *Ledger, *Event, int64) *Rejection{
	"stampede.profile":   (*Engine).profileEvent,
	"stampede.enrolled":  (*Engine).enrolledEvent,
	"stampede.withdrawn": (*Engine).withdrawnEvent,
	"stampede.excused":   (*Engine).excusedEvent,
}

// IsUserControl says whether a type is that of a control event under a user's key. Others that begin with ControlPrefix are unknown there.
func IsUserControl(kind string) bool { return controls[kind] != nil || kind == TypeErased }

// control applies a control event.
func (e *Engine) control(l *Ledger, ev *Event, clock int64) {
	apply := controls[ev.Type]
	if apply == nil {
		e.result.Rejection = &Rejection{Reason: ReasonUnknownControl, Detail: "no control event has this type; what begins with `stampede.` is for control events"}
		return
	}
	id := fingerprintOf(&e.scratch, ev.Source, ev.ID)
	if e.remembers(l, id, clock) {
		return
	}
	undo := e.guard(l, ev)
	if rejection := apply(e, l, ev, clock); rejection != nil {
		e.result = Result{Rejection: rejection}
		return
	}
	if !e.tooLate(ev, e.set.lateness, clock) {
		e.remember(l, ev, id, clock)
	}
	e.meet(l, ev, clock)
	e.result.Changed = true
	if undo != nil && e.overflows(l) {
		e.reject(l, undo)
	}
}

func badControl(detail string) *Rejection {
	return &Rejection{Reason: ReasonBadControl, Detail: detail}
}

// profileEvent is rule C1. Everything is read before anything is changed. What a change of zone is worth is paid at once.
func (e *Engine) profileEvent(l *Ledger, ev *Event, clock int64) *Rejection {
	if ev.Data.Kind() != Object {
		return badControl("data of a stampede.profile must be an object with `timezone`, `attributes` or both")
	}
	timezone := ""
	switch told := ev.Data.Get("timezone"); told.Kind() {
	case Absent, Null:
	case String:
		timezone = told.Text()
	default:
		return badControl("data.timezone must be the name of a zone, for example Europe/Berlin")
	}
	attributes := ev.Data.Get("attributes")
	switch attributes.Kind() {
	case Absent, Null:
		attributes = Value{}
	case Object:
		for name := range attributes.Members() {
			if name == "id" || name == "timezone" {
				return badControl("data.attributes can't have `" + name + "`: user." + name + " has a meaning of its own")
			}
		}
	default:
		return badControl("data.attributes must be an object")
	}
	for name, value := range attributes.Members() {
		var text []byte
		if value.Kind() != Null {
			text = compactJSON(value.Raw())
		}
		l.profile.setAttribute(ev.Time, name, text)
	}
	if timezone == "" {
		return nil
	}
	z := loadZone(timezone)
	past := func(at int64) bool { return e.past(at, clock) }
	switch {
	case z == nil:
		e.result.UnknownZones++
	case l.profile.overtaken(ev.Time, past):
	default:
		changes := l.profile.zoneAt(ev.Time) != z
		l.profile.setZone(ev.Time, z)
		if changes {
			e.issueAll(l, ev.User, clock, func(*Campaign) bool { return true })
		}
	}
	return nil
}

// namedCampaign is the campaign in force that `data.campaign` names.
func (e *Engine) namedCampaign(ev *Event) (*Campaign, *Rejection) {
	id := ev.Data.Get("campaign")
	if id.Kind() != String {
		return nil, badControl("data.campaign must be the id of a campaign")
	}
	if c := e.set.byKey[campaignKey(id.Text())]; c != nil && c.ID == id.Text() {
		return c, nil
	}
	return nil, badControl("no campaign with the id of data.campaign is in force")
}

// enrolledEvent is rule C2: the user takes part from the event's time on. One from before a withdrawal that was processed says nothing any more.
func (e *Engine) enrolledEvent(l *Ledger, ev *Event, clock int64) *Rejection {
	c, rejection := e.namedCampaign(ev)
	if rejection != nil {
		return rejection
	}
	if ev.Time >= c.Ends || c.ClosedAt(clock) {
		return nil // there is nothing left to take part in
	}
	p := e.beginning(l, c)
	switch {
	case p.part == out && ev.Time >= p.from:
		p.part, p.from = in, ev.Time
	case p.part == byDefault && c.OptIn:
		p.part, p.from = in, ev.Time
	}
	l.tidy(c, p) // who takes part by default does so from the beginning: nothing is to be remembered
	return nil
}

// withdrawnEvent is rule C2: the progress ends, what was paid stays paid. One from before an enrolment that was processed says nothing any more.
func (e *Engine) withdrawnEvent(l *Ledger, ev *Event, clock int64) *Rejection {
	c, rejection := e.namedCampaign(ev)
	if rejection != nil {
		return rejection
	}
	if c.ClosedAt(clock) {
		return nil
	}
	p := e.beginning(l, c)
	from := ev.Time
	if p.part == in && from < p.from {
		return nil
	}
	if p.part == out {
		from = max(from, p.from)
	} else if !p.done(c) && (p.tried || p.part == in) {
		day := e.civil(l, c, ev).day
		cycle, tier := c.nextReward(p, day, clock)
		e.outcome(c, ev.User, Withdrawn, cycle, tier, day)
	}
	p.startAnew()
	p.part, p.from, e.released = out, from, true
	return nil
}

// nextReward is the cycle and tier that a user worked on at a date, by a clock (Unix ms).
func (c *Campaign) nextReward(p *progress, day Day, clock int64) (cycle, tier string) {
	of, n := c.goal.per.of(day), p.paid
	if !c.eachPeriodPays() {
		return c.cycleAndTier(of, n+1)
	}
	for ; ; of++ { // the first period that is neither closed nor paid already
		n = 0
		if i, found := p.findBucket(of); found {
			n = p.buckets[i].paid
		}
		if n < uint64(c.goal.tiers) && c.closes(c.goal.per, of) > clock { //nolint:gosec // small
			return c.cycleAndTier(of, n+1)
		}
	}
}

// maxExcusedDates bounds the dates of one event.
const maxExcusedDates = 400

// excusedEvent is rule C3: the dates can't be missed, in one campaign or in all. What that changes is paid at once.
func (e *Engine) excusedEvent(l *Ledger, ev *Event, clock int64) *Rejection {
	dates, rejection := excusedDates(ev)
	if rejection != nil {
		return rejection
	}
	key := uint64(0) // all campaigns
	if kind := ev.Data.Get("campaign").Kind(); kind != Absent && kind != Null {
		c, rejection := e.namedCampaign(ev)
		if rejection != nil {
			return rejection
		}
		key = c.key
	}
	l.excuse(key, dates)
	e.issueAll(l, ev.User, clock, func(c *Campaign) bool { return key == 0 || c.key == key })
	return nil
}

// issueAll pays in certain campaigns what the evidence is worth now that other dates are neutral.
func (e *Engine) issueAll(l *Ledger, user string, clock int64, in func(*Campaign) bool) {
	for i := range l.progress {
		p := &l.progress[i]
		c := e.set.byKey[p.campaign]
		if c == nil || !in(c) || c.ClosedAt(clock) { // one that was withdrawn may not have been looked at since
			continue
		}
		e.restartFor(p, c)
		for j := 0; j < len(p.buckets); j++ { // none is left when all that can be earned is paid
			e.issue(l, c, p, &p.buckets[j], user, clock, false)
		}
	}
}

func excusedDates(ev *Event) ([]Day, *Rejection) {
	list := ev.Data.Get("dates")
	if list.Kind() != Array || list.Len() == 0 || list.Len() > maxExcusedDates {
		return nil, badControl("data.dates must be a list of 1 to 400 dates such as 2026-03-01")
	}
	var dates []Day
	for value := range list.Elements() {
		t, err := time.Parse(time.DateOnly, strings.Clone(value.Text()))
		if err != nil || t.Year() < 1900 || t.Year() > 2200 {
			return nil, badControl("data.dates must be dates such as 2026-03-01")
		}
		dates = append(dates, DayOf(t.Date()))
	}
	for _, name := range []string{"reason", "by"} {
		if kind := ev.Data.Get(name).Kind(); kind != Absent && kind != Null && kind != String {
			return nil, badControl("data." + name + " must be a text")
		}
	}
	return dates, nil
}
