package campaign

import (
	"math"
	"strconv"
	"strings"
	"time"
)

const (
	// maxAhead is how far an event's time may be ahead of the clock (E5).
	maxAhead = 5 * time.Minute
	// DefaultLedgerBytes bounds one user's ledger where the configuration says nothing else (E7).
	DefaultLedgerBytes = 1 << 20
	// controlPrefix begins the type of every control event, typeProfile is a user's profile (C1).
	controlPrefix = "stampede."
	typeProfile   = "stampede.profile"
)

// Engine applies records to ledgers. It is a pure function in the shape of an object: what it holds beside the campaigns in
// force is memory that it uses again. It is not for concurrent use; each partition has its own.
type Engine struct {
	set            *Set
	maxLedgerBytes int

	result     Result
	rewards    []Reward
	decided    []Decided
	scratch    []byte
	attributes document
}

// Result is what one event led to. It is valid until the engine's next call.
type Result struct {
	Rejection    *Rejection // the record goes to the dead letters, the ledger is as it was; otherwise nil
	Decisions    []Decided  // one for each campaign that the event's type concerns
	Rewards      []Reward   // in the order of issue
	Changed      bool       // the ledger changed
	UnknownZones int        // zone names that the tz database does not have, counting as absent (T1)
}

// NewEngine returns an engine for the campaigns in force. maxLedgerBytes is rule E7's bound, 0 the default.
func NewEngine(set *Set, maxLedgerBytes int) *Engine {
	if maxLedgerBytes == 0 {
		maxLedgerBytes = DefaultLedgerBytes
	}
	return &Engine{set: set, maxLedgerBytes: maxLedgerBytes}
}

// Apply applies an event to its user's ledger. clock is rule E2's, Unix ms, never less than in an earlier call for the
// same partition.
func (e *Engine) Apply(l *Ledger, ev *Event, clock int64) *Result {
	e.rewards, e.decided = e.rewards[:0], e.decided[:0]
	e.result = Result{}
	r := &e.result
	switch {
	case ev.Time > msToNs(clock)+int64(maxAhead):
		r.Rejection = &Rejection{Reason: ReasonFuture, Detail: "time is more than 5 minutes ahead of the record's timestamp (E5)"}
	case strings.HasPrefix(ev.Type, controlPrefix):
		e.control(l, ev, clock)
	default:
		e.event(l, ev, clock)
	}
	r.Decisions, r.Rewards = e.decided, e.rewards
	return r
}

// event applies what a user did.
func (e *Engine) event(l *Ledger, ev *Event, clock int64) {
	concerned := e.set.byType[ev.Type]
	if len(concerned) == 0 {
		return
	}
	id := fingerprintOf(&e.scratch, ev.Source, ev.ID)
	if e.remembers(l, id, clock) {
		for _, c := range concerned {
			e.decide(c, Duplicate, "")
		}
		return
	}
	if e.tooLate(ev, e.set.lateness, clock) {
		for _, c := range concerned {
			e.decide(c, TooLate, "")
		}
		return
	}
	undo := e.guard(l, ev)
	for _, c := range concerned {
		e.offer(l, c, ev, clock)
	}
	e.remember(l, ev, id, clock)
	e.result.Changed = true
	if undo != nil && l.overflows(e.maxLedgerBytes, &e.scratch) {
		e.reject(l, undo)
	}
}

// offer lets one campaign decide on an event. The order of the questions is the order of the decisions in decision.go.
func (e *Engine) offer(l *Ledger, c *Campaign, ev *Event, clock int64) {
	switch {
	case ev.Time < c.Starts || ev.Time >= c.Ends:
		e.decide(c, Outside, "")
		return
	case e.tooLate(ev, c.Late, clock):
		e.decide(c, TooLate, "")
		return
	}
	date := e.civil(l, c, ev)
	s := e.scope(l, c, ev, date)
	if where := c.goal.filter().where; where != nil {
		if matches, err := where.eval(s); err != nil {
			e.decide(c, WhereError, err.Error())
			return
		} else if !matches {
			e.decide(c, NotMatching, "")
			return
		}
	}
	if c.eligible != nil {
		if may, err := c.eligible.eval(s); err != nil {
			e.decide(c, EligibleError, err.Error())
			return
		} else if !may {
			e.decide(c, NotEligible, "")
			return
		}
	}
	paid := l.paid(c.key)
	switch {
	case !c.Always && paid > 0:
		e.decide(c, AlreadyRewarded, "")
		return
	case c.PerUser > 0 && paid >= uint64(c.PerUser):
		e.decide(c, LimitReached, "")
		return
	}
	p := l.progressOf(c.key)
	p.note(ev.Time, ev.ID)
	c.goal.advance(p, evidence{day: date.day})
	e.decide(c, Counted, "")
	e.issue(l, c, p, ev, clock)
}

// issue pays what the evidence is worth and has not been paid: the ordinals behind the last one (G5, limits.per_user).
func (e *Engine) issue(l *Ledger, c *Campaign, p *progress, ev *Event, clock int64) {
	earned := c.goal.earned(p, user{c, &l.profile})
	most := math.MaxInt
	if !c.Always {
		most = 1
	}
	if c.PerUser > 0 {
		most = min(most, c.PerUser)
	}
	earned = min(earned, most)
	if uint64(max(earned, 0)) <= p.paid {
		return
	}
	for p.paid < uint64(earned) {
		p.paid++
		cycle := strconv.FormatUint(p.paid, 10)
		const tier = "1"
		e.rewards = append(e.rewards, Reward{
			ID:            RewardID(c.ID, ev.User, cycle, tier),
			Campaign:      c,
			User:          ev.User,
			Cycle:         cycle,
			Tier:          tier,
			AchievedAt:    p.latest,
			IssuedAt:      clock,
			Evidence:      p.ids,
			EvidenceCount: p.count,
		})
	}
	p.ids = nil
	if p.paid >= uint64(most) {
		p.finish()
	}
}

// control applies a control event.
func (e *Engine) control(l *Ledger, ev *Event, clock int64) {
	if ev.Type != typeProfile {
		e.result.Rejection = &Rejection{Reason: ReasonUnknownControl, Detail: "no control event has this type; what begins with `stampede.` is for control events"}
		return
	}
	id := fingerprintOf(&e.scratch, ev.Source, ev.ID)
	if e.remembers(l, id, clock) {
		return
	}
	told, rejection := readProfile(ev)
	if rejection != nil {
		e.result.Rejection = rejection
		return
	}
	undo := e.guard(l, ev)
	if told.timezone != "" {
		if z := loadZone(told.timezone); z != nil {
			l.profile.setZone(ev.Time, z)
		} else {
			e.result.UnknownZones++
		}
	}
	for name, value := range told.attributes.Members() {
		var text []byte
		if value.Kind() != Null {
			text = compactJSON(value.Raw())
		}
		l.profile.setAttribute(ev.Time, name, text)
	}
	if !e.tooLate(ev, e.set.lateness, clock) {
		e.remember(l, ev, id, clock)
	}
	e.result.Changed = true
	if undo != nil && l.overflows(e.maxLedgerBytes, &e.scratch) {
		e.reject(l, undo)
	}
}

// remembers says whether an event was processed before (E3), after forgetting what the clock makes too late.
func (e *Engine) remembers(l *Ledger, id fingerprint, clock int64) bool {
	return l.seen.hasInTime(id, clock, e.set.lateness.Milliseconds())
}

// remember notes an event, and drops what no event in time can meet any more. (Both only here: a record that changes
// nothing leaves the ledger's bytes as they were.)
func (e *Engine) remember(l *Ledger, ev *Event, id fingerprint, clock int64) {
	l.seen.forget(clock, e.set.lateness.Milliseconds())
	l.profile.forget(msToNs(clock) - int64(e.set.lateness))
	l.seen.add(floorDiv(ev.Time, int64(time.Millisecond)), id)
}

// tooLate is rule E4.
func (e *Engine) tooLate(ev *Event, lateness time.Duration, clock int64) bool {
	return clock-lateness.Milliseconds() > floorDiv(ev.Time, int64(time.Millisecond))
}

// civil reads the user's wall clock at an event, rule T1: the event's zone, else its offset, else the user's zone, else the
// campaign's. The campaign's day may begin later than midnight (T2); the hour is the wall clock's.
func (e *Engine) civil(l *Ledger, c *Campaign, ev *Event) civil {
	offset := 0
	if z := e.zoneOf(ev); z != nil {
		offset = z.offsetAt(ev.Time)
	} else if seconds, told := ev.Offset.seconds(); told {
		offset = seconds
	} else if z := l.profile.zoneAt(ev.Time); z != nil {
		offset = z.offsetAt(ev.Time)
	} else {
		offset = c.zone.offsetAt(ev.Time)
	}
	local := civilAt(ev.Time, offset)
	if c.dayStarts > 0 {
		local.day = civilAt(ev.Time, offset-int(c.dayStarts/time.Second)).day
	}
	return local
}

func (e *Engine) zoneOf(ev *Event) *zone {
	if ev.Timezone == "" {
		return nil
	}
	z := loadZone(ev.Timezone)
	if z == nil {
		e.result.UnknownZones = 1
	}
	return z
}

// scope is what the campaign's conditions see.
func (e *Engine) scope(l *Ledger, c *Campaign, ev *Event, date civil) *scope {
	s := &scope{event: ev, day: date.day, hour: date.hour}
	if z := l.profile.zoneAt(ev.Time); z != nil {
		s.userTimezone = z.name
	}
	if c.asksUser() {
		e.scratch = l.profile.appendAttributes(e.scratch[:0], ev.Time)
		text := append([]byte(nil), e.scratch...) // the document keeps it
		if err := e.attributes.parse(text); err != nil {
			panic("BUG: a profile's attributes are no JSON: " + err.Error())
		}
		s.attributes = e.attributes.root()
	}
	return s
}

// asksUser says whether a condition of the campaign looks at the user's attributes.
func (c *Campaign) asksUser() bool {
	where := c.goal.filter().where
	return where != nil && where.usesUser() || c.eligible != nil && c.eligible.usesUser()
}

func (e *Engine) decide(c *Campaign, d Decision, detail string) {
	e.decided = append(e.decided, Decided{c, d, detail})
}

// growth bounds how many bytes an event can add to a ledger: its fingerprint, and in each campaign a new progress with the
// event's id and a day; a profile adds its data and what stands around each attribute.
func (e *Engine) growth(ev *Event) int {
	const (
		perEvent    = 64
		perCampaign = 128
		perByte     = 16 // an attribute takes at least 4 bytes in `data` and adds less than 64
	)
	if ev.Type == typeProfile {
		return perEvent + perByte*len(ev.Data.Raw())
	}
	return perEvent + len(e.set.byType[ev.Type])*(perCampaign+len(ev.ID))
}

// guard prepares for rule E7. Where the event might take the ledger past its bound, it returns the ledger as it is now;
// otherwise, almost always, it only moves the ledger's own bound on its size.
func (e *Engine) guard(l *Ledger, ev *Event) []byte {
	growth := e.growth(ev)
	if l.sizeBound+growth <= e.maxLedgerBytes {
		l.sizeBound += growth
		return nil
	}
	return l.Append(make([]byte, 0, l.sizeBound)) // not nil: its first byte is the version
}

// overflows measures the ledger: whether it is larger than the bound depends on what it holds and on nothing else.
func (l *Ledger) overflows(most int, scratch *[]byte) bool {
	*scratch = l.Append((*scratch)[:0])
	return len(*scratch) > most
}

// reject takes back what an event did to a ledger that it would have made too large.
func (e *Engine) reject(l *Ledger, undo []byte) {
	before, err := Decode(undo)
	if err != nil {
		panic("BUG: a ledger can't be read back: " + err.Error())
	}
	*l = *before
	e.rewards, e.decided = e.rewards[:0], e.decided[:0]
	e.result = Result{Rejection: &Rejection{
		Reason: ReasonLedgerFull,
		Detail: "the user's ledger would be larger than ledger.max_bytes = " + strconv.Itoa(e.maxLedgerBytes) + " (E7)",
	}}
}

// profileTold is the data of a profile event (C1).
type profileTold struct {
	timezone   string
	attributes Value
}

func readProfile(ev *Event) (told profileTold, rejection *Rejection) {
	wrong := func(detail string) (profileTold, *Rejection) {
		return profileTold{}, &Rejection{Reason: ReasonBadControl, Detail: detail}
	}
	if ev.Data.Kind() != Object {
		return wrong("data of a stampede.profile must be an object with `timezone`, `attributes` or both")
	}
	switch zone := ev.Data.Get("timezone"); zone.Kind() {
	case Absent, Null:
	case String:
		told.timezone = zone.Text()
	default:
		return wrong("data.timezone must be the name of a zone, for example Europe/Berlin")
	}
	told.attributes = ev.Data.Get("attributes")
	switch told.attributes.Kind() {
	case Absent, Null:
		told.attributes = Value{}
	case Object:
		for name := range told.attributes.Members() {
			if name == "id" || name == "timezone" {
				return wrong("data.attributes can't have `" + name + "`: user." + name + " has a meaning of its own")
			}
		}
	default:
		return wrong("data.attributes must be an object")
	}
	return told, nil
}
