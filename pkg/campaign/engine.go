package campaign

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// MaxAhead is how far an event's time may be ahead of the clock (E5).
	MaxAhead = 5 * time.Minute
	// DefaultLedgerBytes bounds one user's ledger where the configuration says nothing else (E7).
	DefaultLedgerBytes = 1 << 20
	// ControlPrefix begins the type of every control event.
	ControlPrefix = "stampede."
)

// Engine applies records to ledgers. It is a pure function in the shape of an object: what it holds beside the campaigns in
// force and the erased users is memory that it uses again. It is not for concurrent use; each partition has its own.
type Engine struct {
	set            *Set
	erased         *Erased
	maxLedgerBytes int
	details        bool

	result     Result
	rewards    []Reward
	claims     []Claim
	outcomes   []Outcome
	decided    []Decided
	taken      []taken
	spelled    []byte // the values of a distinct among them
	scratch    []byte
	asked      scope
	attributes document
	noted      int  // where the event stands among the ledger's ids, -1 while nobody needs it
	remembered int  // and among the events remembered, -1 while it is not
	released   bool // ids may have become unused
	open       openDays
}

// openDays is the answer of Set.firstOpenDay for the clocks from one to another (Unix ms, not included).
type openDays struct {
	set         *Set
	from, until int64
	first       Day
}

// Result is what one event, or the passing of time, led to. It is valid until the engine's next call.
type Result struct {
	Rejection    *Rejection // the record goes to the dead letters, the ledger is as it was; otherwise nil
	Decisions    []Decided  // one for each campaign that the event's type concerns
	Rewards      []Reward   // in the order of issue
	Claims       []Claim    // what is asked of budgets, in the order of achievement (O2)
	Recalls      []Recall   // what budgets are to forget of an erased user (C4)
	Outcomes     []Outcome  // in the order in which they came about; each reward is one, Achieved, and each answer to a claim
	Changed      bool       // the ledger changed
	Dropped      bool       // the record is of an erased user: nothing was done, and nothing is to be kept of it (C4)
	Stored       []Stored   // what changed of the partition's state, which is to be stored
	UnknownZones int        // zone names that the tz database does not have, counting as absent (T1)
}

// NewEngine returns an engine for the campaigns in force. maxLedgerBytes is rule E7's bound, 0 the default.
func NewEngine(set *Set, maxLedgerBytes int) *Engine {
	if maxLedgerBytes == 0 {
		maxLedgerBytes = DefaultLedgerBytes
	}
	return &Engine{set: set, erased: NewErased(), maxLedgerBytes: maxLedgerBytes}
}

// Use puts other campaigns in force.
func (e *Engine) Use(set *Set) { e.set = set }

// TellDetails makes the engine say which field an expression failed on, for people who look at decisions. It takes longer, and changes no
// decision.
func (e *Engine) TellDetails() { e.details = true }

// Apply applies an event to its user's ledger. clock is rule E2's, Unix ms, never less than in an earlier call for the
// same partition. What is due by then has been fired (T5), those are forgotten who were erased long ago, and Drop was asked (C4).
func (e *Engine) Apply(l *Ledger, ev *Event, clock int64) *Result {
	if l.due != 0 && l.due <= clock {
		panic("BUG: what is due by the clock comes before the record (T5)")
	}
	e.begin()
	switch {
	case ev.Type == TypeAnswered:
		e.answered(l, ev, clock)
	case ev.isAhead(clock):
		e.result.Rejection = &Rejection{Reason: ReasonFuture, Detail: "time is more than 5 minutes ahead of the record's timestamp (E5)"}
	case ev.Type == TypeErased:
		e.erase(l, ev, clock)
	case strings.HasPrefix(ev.Type, ControlPrefix):
		e.control(l, ev, clock)
	default:
		e.event(l, ev, clock)
	}
	if e.result.Rejection == nil {
		e.judgeAnew(l, ev.User, clock)
	}
	if e.result.Changed {
		e.settleLedger(l, clock)
	}
	return e.end()
}

// isAhead is rule E5, by a clock, Unix ms.
func (ev *Event) isAhead(clock int64) bool { return ev.Time > msToNs(clock)+int64(MaxAhead) }

// begin forgets the last call's result, and end returns this one's.
func (e *Engine) begin() {
	e.rewards, e.claims, e.outcomes, e.decided = e.rewards[:0], e.claims[:0], e.outcomes[:0], e.decided[:0]
	e.result, e.noted, e.remembered, e.released = Result{}, -1, -1, false
}

func (e *Engine) end() *Result {
	e.result.Decisions, e.result.Rewards, e.result.Claims, e.result.Outcomes = e.decided, e.rewards, e.claims, e.outcomes
	return &e.result
}

// settleLedger brings a changed ledger into the form in which it is kept.
func (e *Engine) settleLedger(l *Ledger, clock int64) {
	e.restart(l, clock)
	if e.released || len(l.ids) > maxLedgerIDs {
		l.dropUnusedIDs()
	}
	e.schedule(l, clock)
}

// judgeAnew pays what the evidence is worth by a version that came in force since the user's last record or close, in the campaigns that this
// record does not concern, too (L2).
func (e *Engine) judgeAnew(l *Ledger, user string, clock int64) {
	for _, c := range e.set.revised {
		i, found := l.find(c.key)
		if !found || l.progress[i].revision == c.revision {
			continue
		}
		l.progress[i].revision = c.revision
		l.sizeBound += binary.MaxVarintLen64
		e.issueAll(l, user, clock, func(other *Campaign) bool { return other == c })
		e.result.Changed = true
	}
}

// restart lets begin anew what a version with `on_change: restart` has overtaken, in the campaigns that the record did not concern, too (L2): what
// is kept of another goal means nothing in this one.
func (e *Engine) restart(l *Ledger, clock int64) {
	restarted := false
	for i := len(l.progress) - 1; i >= 0; i-- {
		p := &l.progress[i]
		if c := e.set.byKey[p.campaign]; c != nil && e.restartFor(p, c) {
			if !c.goal.watches { // there it says that the user was watched before
				l.tidy(c, p)
			}
			restarted = true
		}
	}
	if restarted {
		e.watch(l, clock, l.known)
	}
}

// event applies what a user did.
func (e *Engine) event(l *Ledger, ev *Event, clock int64) {
	concerned := e.set.byType[ev.Type]
	if len(concerned) == 0 {
		e.result.Changed = e.meetOnly(l, ev, clock)
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
		e.result.Changed = e.meetOnly(l, ev, clock)
		return
	}
	undo := e.guard(l, ev)
	e.meet(l, ev, clock)
	for _, c := range concerned {
		e.offer(l, c, ev, clock)
	}
	e.remember(l, ev, id, clock)
	e.result.Changed = true
	if undo != nil && e.overflows(l) {
		e.reject(l, undo)
	}
}

// offer lets one campaign decide on an event. The order of the questions is the order of the decisions in decision.go.
func (e *Engine) offer(l *Ledger, c *Campaign, ev *Event, clock int64) {
	switch {
	case ev.Time < c.Starts || ev.Time >= c.Ends:
		e.decide(c, Outside, "")
		return
	case e.tooLate(ev, c.latenessAt(ev.Time), clock):
		e.decide(c, TooLate, "")
		return
	}
	if !l.takesPart(c, ev.Time) {
		e.decide(c, NotEnrolled, "")
		return
	}
	date := e.civil(l, c, ev)
	s := e.scope(l, c, ev, date)
	taken := e.match(c, s)
	if len(taken) == 0 {
		return
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
	of := c.goal.per.of(date.day)
	p := e.beginning(l, c)
	if d := p.exhausted(c, of); d != Counted {
		e.decide(c, d, "")
		return
	}
	b := p.bucket(of, l.in)
	decision := Decision(0)
	h := c.horizon(clock)
	for _, t := range taken {
		leaf := c.goal.leaves[t.leaf]
		cell := b.cell(t.leaf, leaf.per.of(date.day), l.in)
		d := leaf.kind.advance(cell, evidence{at: ev.Time, day: date.day, id: ev.ID, amount: t.amount, value: t.value, in: l.in}, t.matching)
		leaf.kind.settle(cell, h)
		decision = max(decision, d)
	}
	e.decide(c, decision, "")
	if decision != Counted {
		l.tidy(c, p)
		return
	}
	p.tried = true
	e.note(l, b, ev, date.day)
	e.issue(l, c, p, b, ev.User, clock, false)
}

// meetOnly is for an event that counts for nothing: it tells of a user, where that matters to anybody.
func (e *Engine) meetOnly(l *Ledger, ev *Event, clock int64) (changed bool) {
	if !e.set.watchesAt(clock) {
		return false
	}
	l.sizeBound += e.growth(ev)
	return e.meet(l, ev, clock)
}

// meet notes that a user is known (G8), as long as that matters. A time that is too late makes nobody known earlier than one that is in time.
func (e *Engine) meet(l *Ledger, ev *Event, clock int64) (changed bool) {
	was := l.known
	if was == 0 && !e.set.watchesAt(clock) {
		return false
	}
	at := max(floorDiv(ev.Time, int64(time.Millisecond)), clock-e.set.lateness.Milliseconds())
	if was == 0 || at < was {
		l.known, changed = at, true
	}
	return e.watch(l, clock, was) || changed
}

// taken is a leaf that an event matches.
type taken struct {
	leaf     int
	matching uint64 // its filters that took the event
	amount   int64
	value    string
}

// match finds the leaves that an event is evidence for. Where there is none, it decides why.
func (e *Engine) match(c *Campaign, s *scope) []taken {
	e.taken, e.spelled = e.taken[:0], e.spelled[:0]
	why, detail := NotMatching, ""
	for _, leaf := range c.goal.leaves {
		t := taken{leaf: leaf.index}
		for i, f := range leaf.filters {
			if !slices.Contains(f.types, s.event.Type) {
				continue
			}
			if f.where != nil {
				matches, err := f.where.eval(s)
				if err != nil {
					why, detail = WhereError, err.Error()
				}
				if !matches {
					continue
				}
			}
			if f.value != nil {
				if err := e.read(&t, leaf.kind, f.value, s); err != nil {
					why, detail = ValueError, err.Error()
					continue
				}
			}
			t.matching |= 1 << i
		}
		if t.matching != 0 {
			e.taken = append(e.taken, t)
		}
	}
	if len(e.taken) == 0 {
		e.decide(c, why, detail)
	}
	return e.taken
}

// read evaluates what of the event counts.
func (e *Engine) read(t *taken, k leafKind, v *valueExpression, s *scope) error {
	o, err := v.eval(s)
	if err != nil {
		return err
	}
	if _, ok := k.(*distinct); ok {
		from := len(e.spelled)
		e.spelled, err = appendDistinct(e.spelled, o)
		t.value = alias(e.spelled[from:])
		return err
	}
	if !isNumber(o) {
		return errors.New("a value that is added must be a number")
	}
	amount, ok := millionths(o.double())
	if !ok {
		return errors.New("the value is no number that can be added")
	}
	t.amount = amount
	return nil
}

// takesPart is rule C2.
func (l *Ledger) takesPart(c *Campaign, at int64) bool {
	part, from := byDefault, int64(0)
	if i, found := l.find(c.key); found {
		part, from = l.progress[i].part, l.progress[i].from
	}
	switch part {
	case in:
		return at >= from
	case out:
		return false
	default:
		return !c.OptIn
	}
}

// canTakePart says whether there is any time at which the user takes part, as far as is known.
func (l *Ledger) canTakePart(c *Campaign) bool {
	return l.takesPart(c, never)
}

// done says whether nothing more can be earned in a campaign.
func (p *progress) done(c *Campaign) bool {
	return !c.Always && p.paid >= uint64(c.goal.tiers) || c.PerUser > 0 && p.paid >= uint64(c.PerUser) //nolint:gosec // small
}

// exhausted says why nothing more can be earned in a campaign and period, or Counted if something can.
func (p *progress) exhausted(c *Campaign, of period) Decision {
	decision := p.rewarded(c, of)
	if decision != Counted && p.denied > 0 && p.denied == p.paid {
		return Exhausted // all was claimed that there is, and nothing was granted
	}
	return decision
}

func (p *progress) rewarded(c *Campaign, of period) Decision {
	switch {
	case !c.Always && p.paid >= uint64(c.goal.tiers): //nolint:gosec // small
		return AlreadyRewarded
	case p.done(c):
		return LimitReached
	case c.eachPeriodPays():
		if j, found := p.findBucket(of); found && p.buckets[j].paid >= uint64(c.goal.tiers) { //nolint:gosec // small
			return AlreadyRewarded
		}
	}
	return Counted
}

// eachPeriodPays says whether the rewards' cycles are periods and not ordinals (R1).
func (c *Campaign) eachPeriodPays() bool { return c.Always && c.goal.per != noUnit }

// cycleUnit is the period after which the campaign's rewards are called, empty where they are called after ordinals. Ordinals go on through
// restarts. Of periods it is remembered which were paid, as long as they can be paid: so a campaign that has left a unit can't return to it.
func (c *Campaign) cycleUnit() string {
	if !c.eachPeriodPays() {
		return ""
	}
	return unitNames[c.goal.per]
}

// issue pays what the evidence of a bucket is worth and has not been paid, or claims it where there is a budget: a claim counts as paid, so
// that nothing is claimed twice, whatever the budget says. may is for what only a close decides: a `none` (G8).
func (e *Engine) issue(l *Ledger, c *Campaign, p *progress, b *bucket, to string, clock int64, may bool) {
	u := l.user(c, clock)
	u.may = may
	worth := c.goal.root.worth(b, u)
	tiers := uint64(c.goal.tiers) //nolint:gosec // small
	most := uint64(math.MaxInt64)
	paid := &p.paid // what counts against `most`
	if c.eachPeriodPays() {
		paid = &b.paid
	}
	if !c.Always || c.eachPeriodPays() {
		most = tiers
	}
	due := min(uint64(max(worth, 0)), most)
	if c.Always && !c.eachPeriodPays() {
		due += p.before // ordinals go on after a withdrawal (C2)
	}
	issued := false
	for *paid < due && (c.PerUser == 0 || p.paid < uint64(c.PerUser)) {
		if *paid++; paid != &p.paid {
			p.paid++
		}
		r := c.reward(b, to, *paid, clock)
		r.Evidence = l.named(b.ids)
		if date := c.dayOf(b, &r); c.Budget != nil {
			p.waiting++
			e.claims = append(e.claims, Claim{Budget: c.Budget.ID, Home: c.Budget.Home, Date: date, Reward: r})
		} else {
			e.rewards = append(e.rewards, r)
			e.outcome(c, to, Achieved, r.Cycle, r.Tier, date)
		}
		issued = true
	}
	if issued {
		b.ids, e.released = nil, true
	}
	switch {
	case p.done(c):
		p.buckets = nil // nothing can be earned any more: only what was paid is remembered
	case c.eachPeriodPays() && b.paid >= tiers:
		*b = bucket{period: b.period, paid: b.paid}
	}
}

// reward is number n of a bucket or, where periods do not pay each, of the campaign.
func (c *Campaign) reward(b *bucket, to string, n uint64, clock int64) Reward {
	cycle, tier := c.cycleAndTier(b.period, n)
	terms := &c.Rewards[0]
	if c.goal.tiers > 1 {
		terms = &c.Rewards[n-1]
	}
	return Reward{
		ID:            RewardID(c.ID, to, cycle, tier),
		Campaign:      c,
		User:          to,
		Cycle:         cycle,
		Tier:          tier,
		Terms:         terms,
		AchievedAt:    c.achievedAt(b, clock),
		IssuedAt:      clock,
		EvidenceCount: b.count,
	}
}

// cycleAndTier is how number n of a period or, where periods do not pay each, of the campaign is called (R1).
func (c *Campaign) cycleAndTier(of period, n uint64) (cycle, tier string) {
	number := strconv.FormatUint(n, 10)
	switch {
	case c.eachPeriodPays():
		return c.goal.per.key(of), number
	case c.Always:
		return number, "1"
	}
	return "1", number
}

// achievedAt is rule R3: the largest time of the evidence, or the end of what a close decides.
func (c *Campaign) achievedAt(b *bucket, clock int64) int64 {
	if c.decidedByClose(b, clock) {
		return msToNs(c.ends(c.goal.per, b.period))
	}
	return b.latest
}

// dayOf is the civil date of an achievement: that of the evidence's latest event, or the last one of what a close decides.
func (c *Campaign) dayOf(b *bucket, r *Reward) Day {
	switch {
	case c.decidedByClose(b, r.IssuedAt):
		return c.lastDay(c.goal.per, b.period)
	case b.day == noDay:
		return c.zone.at(r.AchievedAt).day
	}
	return b.day
}

func (c *Campaign) decidedByClose(b *bucket, clock int64) bool {
	return c.goal.waits && c.closes(c.goal.per, b.period) <= clock
}

// tidy removes what an event that was not taken has left empty.
func (l *Ledger) tidy(c *Campaign, p *progress) {
	for i := range p.buckets {
		p.buckets[i].cells = slices.DeleteFunc(p.buckets[i].cells, func(c cell) bool { return c.empty() })
	}
	if !c.goal.watches { // there an empty period waits for its close
		p.buckets = slices.DeleteFunc(p.buckets, func(b bucket) bool { return len(b.cells) == 0 && b.count == 0 && b.paid == 0 })
	}
	if len(p.buckets) == 0 && p.paid == 0 && p.part == byDefault && !p.tried {
		i, _ := l.find(p.campaign)
		l.progress = slices.Delete(l.progress, i, i+1)
	}
}

// remembers says whether an event was processed before (E3), after forgetting what the clock makes too late.
func (e *Engine) remembers(l *Ledger, id fingerprint, clock int64) bool {
	return l.seen.hasInTime(id, clock, e.set)
}

// remember notes an event, and drops what no event in time can meet any more. (Both only here: a record that changes
// nothing leaves the ledger's bytes as they were.)
func (e *Engine) remember(l *Ledger, ev *Event, id fingerprint, clock int64) {
	e.forget(l, clock)
	l.seen.list = withRoom(l.in.slabs().sightings, l.seen.list)
	e.remembered = l.seen.add(floorDiv(ev.Time, int64(time.Millisecond)), id)
}

// forget drops what no event that is still in time can ask for.
func (e *Engine) forget(l *Ledger, clock int64) {
	l.seen.forget(clock, e.set)
	horizon := msToNs(clock) - int64(e.set.lateness)
	l.profile.forget(horizon)
	l.profile.forgetRepeats(func(at int64) bool { return e.past(at, clock) })
	if l.profile.hasOldZones(horizon) {
		l.profile.forgetZones(horizon, e.firstOpenDay(clock))
	}
}

// tooLate is rule E4, for a campaign's lateness or for the largest, which holds for an event that happened before it was raised as it was
// then (E3).
func (e *Engine) tooLate(ev *Event, lateness time.Duration, clock int64) bool {
	at := floorDiv(ev.Time, int64(time.Millisecond))
	return clock-min(lateness, e.set.latenessAt(at)).Milliseconds() > at
}

// past says whether what happened at a time (Unix ns) is too late even for the largest lateness. Then all that happened before it is, too.
func (e *Engine) past(at, clock int64) bool {
	ms := floorDiv(at, int64(time.Millisecond))
	return clock-e.set.latenessAt(ms).Milliseconds() > ms
}

// firstOpenDay is the set's, which looks at every campaign, remembered until one closes.
func (e *Engine) firstOpenDay(clock int64) Day {
	if o := &e.open; o.set != e.set || clock < o.from || clock >= o.until {
		first, until := e.set.firstOpenDay(clock)
		*o = openDays{e.set, clock, until, first}
	}
	return e.open.first
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

// scope is what the campaign's conditions see, until the next one.
func (e *Engine) scope(l *Ledger, c *Campaign, ev *Event, date civil) *scope {
	s := &e.asked
	*s = scope{event: ev, day: date.day, hour: date.hour, details: e.details}
	if z := l.profile.zoneAt(ev.Time); z != nil {
		s.userTimezone = z.name
	}
	if c.looksAtUser {
		e.scratch = l.profile.appendAttributes(e.scratch[:0], ev.Time)
		text := append([]byte(nil), e.scratch...) // the document keeps it
		if err := e.attributes.parse(text); err != nil {
			panic("BUG: a profile's attributes are no JSON: " + err.Error())
		}
		s.attributes = e.attributes.root()
	}
	return s
}

// asksUser says whether an expression of the campaign looks at the user's attributes.
func (c *Campaign) asksUser() bool {
	if c.eligible != nil && c.eligible.usesUser() {
		return true
	}
	for _, l := range c.goal.leaves {
		for _, f := range l.filters {
			if f.where != nil && f.where.usesUser() || f.value != nil && f.value.user {
				return true
			}
		}
	}
	return false
}

func (e *Engine) decide(c *Campaign, d Decision, detail string) {
	e.decided = append(e.decided, Decided{c, d, detail})
}

// growth bounds how many bytes an event can add to a ledger: its fingerprint, and in each campaign a new progress, and for each leaf the
// event itself; a control event adds its data and what stands around each part of them.
func (e *Engine) growth(ev *Event) int {
	const (
		perEvent    = 96
		perCampaign = 128
		perLeaf     = 128 + maxDistinctBytes
		perByte     = 16 // an attribute takes at least 4 bytes in `data` and adds less than 64; a date takes 12 and adds less than 32
	)
	if strings.HasPrefix(ev.Type, ControlPrefix) {
		return perEvent + perCampaign*(1+len(e.set.watching)) + perByte*len(ev.Data.Raw())
	}
	growth := perEvent
	for _, c := range e.set.byType[ev.Type] {
		growth += perCampaign + len(ev.ID) + len(c.goal.leaves)*(perLeaf+len(ev.ID))
	}
	return growth + perCampaign*len(e.set.watching)
}

// undo is what a ledger was before an event that may be one too many for it. Most of a ledger that is full is what is remembered of events, and that is
// not copied: a user may send thousands more.
type undo struct {
	rest []byte // all but what is remembered
	seen seen
}

// guard prepares for rule E7. Where the event might take the ledger past its bound, it returns the ledger as it is now;
// otherwise, almost always, it only moves the ledger's own bound on its size.
func (e *Engine) guard(l *Ledger, ev *Event) *undo {
	growth := e.growth(ev)
	if l.sizeBound+growth <= e.maxLedgerBytes {
		l.sizeBound += growth
		return nil
	}
	l.seen.list = slices.Grow(l.seen.list, 1) // else the event moves all of them, and who takes it back moves them again
	return &undo{rest: l.appendRest(nil), seen: l.seen}
}

// appendRest writes a ledger that remembers no event.
func (l *Ledger) appendRest(dst []byte) []byte {
	rest := *l
	rest.seen = seen{}
	return rest.Append(dst)
}

// size is the length of the ledger's encoding, of which the rest has so many bytes.
func (l *Ledger) size(rest int) int { return rest - (&seen{}).encodedBytes() + l.seen.encodedBytes() }

// overflows measures the ledger: whether it is larger than the bound depends on what it holds and on nothing else.
func (e *Engine) overflows(l *Ledger) bool {
	e.scratch = l.appendRest(e.scratch[:0])
	l.sizeBound = l.size(len(e.scratch))
	return l.sizeBound > e.maxLedgerBytes
}

// reject takes back what an event did to a ledger that it would have made too large.
func (e *Engine) reject(l *Ledger, u *undo) {
	before, err := Decode(u.rest)
	if err != nil {
		panic("BUG: a ledger can't be read back: " + err.Error())
	}
	if e.remembered >= 0 { // the list was forgotten from at its beginning, which leaves it where it is
		l.seen.list = slices.Delete(l.seen.list, e.remembered, e.remembered+1)
	}
	before.seen = u.seen
	before.sizeBound = before.size(len(u.rest))
	*l = *before
	e.begin()
	e.result = Result{Rejection: &Rejection{
		Reason: ReasonLedgerFull,
		Detail: "the user's ledger would be larger than ledger.max_bytes = " + strconv.Itoa(e.maxLedgerBytes) + " (E7)",
	}}
}
