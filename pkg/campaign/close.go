package campaign

import (
	"math"
	"slices"
	"time"
)

// Time passes for a user without a record of the user's own (T4, T5, R4). So every ledger says at which instant something is due next:
// a period or a campaign closes, a sequence can't be spoilt any more, remembered ids are not needed any longer. Whoever holds ledgers fires
// them in the order (due, user) before a record moves the clock past them. What fires is told by the instant alone and carries it as its
// clock, so it is the same in any batching, on any number of partitions and however long nobody looked.

// never is an instant that does not come.
const never int64 = math.MaxInt64

const (
	// everywhere is how long after a date has ended in UTC it has ended in every place.
	everywhere = 12 * time.Hour
	// revisit bounds the time from one look at a ledger to the next: campaigns can be withdrawn or shortened while its user is idle. In ms.
	revisit = int64(32 * 24 * time.Hour / time.Millisecond)
	// dayMs is the grain at which ledgers are tidied, so that a busy user's timer does not move with every event. In ms.
	dayMs = int64(24 * time.Hour / time.Millisecond)
)

// Due is the instant (Unix ms) at which something is due for the user by the clock alone, 0 where nothing is: Fire is to be called
// before a record with a clock at or behind it is applied.
func (l *Ledger) Due() int64 { return l.due }

// ends is when a period, or without a unit the campaign, has ended for everybody (Unix ms): its last date at UTC-12:00, and no later
// than the campaign.
func (c *Campaign) ends(u unit, p period) int64 {
	end := never
	if c.Ends != math.MaxInt64 {
		end = -floorDiv(-c.Ends, int64(time.Millisecond)) // rounded up: nothing before Ends is behind it
	}
	if u != noUnit {
		end = min(end, c.dateBegins(u.first(p+1)))
	}
	return end
}

// dateBegins is when a date has begun in every place, Unix ms.
func (c *Campaign) dateBegins(d Day) int64 {
	return int64(d)*dayMs + (everywhere + c.dayStarts).Milliseconds()
}

// closes is when nothing that can still arrive counts for a period, or without a unit for the campaign, any more (T4), Unix ms.
func (c *Campaign) closes(u unit, p period) int64 {
	end := c.ends(u, p)
	if end == never {
		return never
	}
	return end + c.Late.Milliseconds()
}

// lastDay is the last civil date of a period, or without a unit of the campaign, in the campaign's zone.
func (c *Campaign) lastDay(u unit, p period) Day {
	last := Day(math.MaxInt32)
	if u != noUnit {
		last = u.first(p+1) - 1
	}
	if c.Ends != math.MaxInt64 {
		last = min(last, c.zone.at(c.Ends-1).day)
	}
	return last
}

// horizon is what no event that is still in time can be before.
type horizon struct {
	first    int64 // the earliest time, Unix ns
	firstDay Day   // and the earliest civil date
}

func (c *Campaign) horizon(clock int64) horizon {
	first := msToNs(clock - c.Late.Milliseconds())
	return horizon{first, c.earliestDay(first)}
}

// earliestDay is the earliest civil date that any event at or after an instant can have: no place is further behind UTC than 12 hours.
func (c *Campaign) earliestDay(at int64) Day {
	return civilAt(at, -int((everywhere+c.dayStarts)/time.Second)).day
}

// Fire applies what is due for a user at the ledger's Due, which is the clock of all that comes of it (T5). It is called again as long as
// Due is not behind the clock.
func (e *Engine) Fire(l *Ledger, user string) *Result {
	e.begin()
	at := l.due
	if at == 0 {
		panic("BUG: nothing is due for the user")
	}
	l.progress = slices.DeleteFunc(l.progress, func(p progress) bool { return e.set.byKey[p.campaign] == nil }) // closed long ago
	for i := 0; i < len(l.progress); {
		p := &l.progress[i]
		c := e.set.byKey[p.campaign]
		e.restartFor(p, c)
		p.revision = c.revision
		e.closePeriods(l, c, p, user, at)
		if c.closes(noUnit, 0) <= at {
			e.closeCampaign(l, c, p, user)
			l.progress = slices.Delete(l.progress, i, i+1)
			continue
		}
		i++
	}
	e.forget(l, at) // only now: a close asks for what held before the end
	e.watch(l, at, l.known)
	e.forgetExcused(l, at)
	if !e.set.watchesAt(at) && len(l.seen.list) == 0 && len(l.excused) == 0 && len(l.progress) == 0 {
		l.known = 0
	}
	const perCampaign = 64 // a bucket for the next period; the revision; the instant at which it is due next
	l.sizeBound += perCampaign * (1 + len(l.progress))
	e.released, e.result.Changed = true, true
	e.settleLedger(l, at)
	return e.end()
}

// closePeriods settles what the clock has made final, pays what that is worth, and takes the periods that are closed out of the progress.
func (e *Engine) closePeriods(l *Ledger, c *Campaign, p *progress, user string, at int64) {
	for j := 0; j < len(p.buckets); {
		of := p.buckets[j].period
		closed := c.closes(c.goal.per, of) <= at
		p.settle(j, c, c.horizon(min(at, c.closes(noUnit, 0)))) // nobody may have looked when a withdrawal closed it
		may := !closed || !c.goal.watches || e.mayAt(l, c, user, c.ends(c.goal.per, of))
		e.issue(l, c, p, &p.buckets[j], user, at, may && (!closed || !c.cutShort(of)))
		if len(p.buckets) == 0 {
			return // all that can be earned is paid
		}
		if !closed {
			j++
			continue
		}
		e.failPeriod(c, p, &p.buckets[j], user, may)
		p.buckets = slices.Delete(p.buckets, j, j+1)
		if next := max(of+1, c.firstPeriod()); c.goal.watches && !p.done(c) && c.goal.per != noUnit && next <= c.lastPeriod() {
			p.bucket(next, l.in) // whoever was known for this one is known for the next
		}
	}
}

// cutShort says that a withdrawal has ended a period, or the campaign, before its time. That nothing happened until then is worth nothing (G8): to withdraw a
// campaign would pay everybody.
func (c *Campaign) cutShort(of period) bool {
	return c.endedEarly && (c.goal.per == noUnit || c.ends(noUnit, 0) < c.dateBegins(c.goal.per.first(of+1)))
}

// mayAt says whether a user takes part and is eligible at the end (Unix ms) of what a close decides (G8).
func (e *Engine) mayAt(l *Ledger, c *Campaign, user string, end int64) bool {
	at := msToNs(end) - 1
	if !l.takesPart(c, at) {
		return false
	}
	if c.eligible == nil {
		return true
	}
	may, err := c.eligible.eval(e.scope(l, c, &Event{User: user, Time: at}, c.zone.at(at)))
	return may && err == nil
}

// failPeriod tells that a period closed unpaid (R4), where each period pays its own. may says that the user could have been rewarded for
// nothing at all, where everybody takes part.
func (e *Engine) failPeriod(c *Campaign, p *progress, b *bucket, user string, may bool) {
	if !c.eachPeriodPays() || b.paid > 0 || p.part == out || b.count == 0 && (!c.goal.allTakePart() || !may) {
		return
	}
	e.outcome(c, user, c.failure(), c.goal.per.key(b.period), "1", c.lastDay(c.goal.per, b.period))
}

// closeCampaign tells that a campaign closed without a reward for somebody who took part (R4).
func (e *Engine) closeCampaign(l *Ledger, c *Campaign, p *progress, user string) {
	if c.eachPeriodPays() || p.paid > 0 || p.part == out {
		return
	}
	if p.tried || p.part == in || c.goal.allTakePart() && e.mayAt(l, c, user, c.ends(noUnit, 0)) {
		e.outcome(c, user, c.failure(), "1", "1", c.lastDay(noUnit, 0))
	}
}

// failure is how a campaign ends for somebody who took part and has no reward.
func (c *Campaign) failure() OutcomeKind {
	if c.withdrawn {
		return Withdrawn
	}
	return Failed
}

// settle lets the leaves' kinds forget what no event that is still in time can change.
func (p *progress) settle(bucket int, c *Campaign, h horizon) {
	b := &p.buckets[bucket]
	for i := range b.cells {
		leaf := c.goal.leaves[b.cells[i].leaf]
		leaf.kind.settle(&b.cells[i], h)
	}
	for _, leaf := range c.goal.leaves {
		if leaf.per != noUnit {
			leaf.dropClosed(b, c, h)
		}
	}
}

// dropClosed removes the cells of a leaf with a `per` of its own that can't be reached any more, and all others once one is reached for good.
func (l *leaf) dropClosed(b *bucket, c *Campaign, h horizon) {
	closed := func(x *cell) bool { return l.per.first(x.period+1) <= h.firstDay }
	reached := slices.IndexFunc(b.cells, func(x cell) bool {
		return x.leaf == l.index && (!l.waits || closed(&x)) && l.kind.worth(&x, user{campaign: c, closed: closed(&x)}) > 0
	})
	var keep period
	if reached >= 0 {
		keep = b.cells[reached].period
	}
	b.cells = slices.DeleteFunc(b.cells, func(x cell) bool {
		if x.leaf != l.index || reached >= 0 && x.period == keep {
			return false
		}
		return reached >= 0 || closed(&x)
	})
}

// watch sees to it that the next period of each campaign with a `none` waits for its close, for everybody who is known (G8). was is since when
// the user was known before, 0 for not at all. It returns whether anything was new.
func (e *Engine) watch(l *Ledger, clock, was int64) (changed bool) {
	if l.known == 0 {
		return false
	}
	for _, c := range e.set.watching {
		if clock >= c.closes(noUnit, 0) || !l.canTakePart(c) {
			continue
		}
		i, found := l.find(c.key)
		if found && (l.progress[i].epoch != c.epoch || l.progress[i].done(c)) {
			continue
		}
		of := c.watchedFrom(l.known, clock) // what is closed has been decided, or the user was not known when it closed
		if !found && was != 0 {
			// The user may have been known and idle when the campaign came in force. What has closed since is for who was known by then.
			if first := c.watchedFrom(was, c.since); first <= c.lastPeriod() && was < c.ends(c.goal.per, first) && c.closes(c.goal.per, first) <= clock {
				of = first
			}
		}
		if of > c.lastPeriod() || l.known >= c.ends(c.goal.per, of) || found && len(l.progress[i].buckets) > 0 && l.progress[i].buckets[0].period <= of {
			continue
		}
		e.beginning(l, c).bucket(of, l.in)
		changed = true
	}
	return changed
}

// watchedFrom is the first period that is not closed by a clock and has not ended before a user was known (both Unix ms).
func (c *Campaign) watchedFrom(known, clock int64) period {
	per := c.goal.per
	if per == noUnit {
		return 0
	}
	of := max(c.firstPeriod(), per.of(c.earliestDay(msToNs(known))), per.of(c.earliestDay(msToNs(clock-c.Late.Milliseconds()))))
	for c.closes(per, of) <= clock { // an end of the campaign within the period can have closed it
		of++
		if of > c.lastPeriod() {
			break
		}
	}
	return of
}

// firstPeriod is the period of the goal's `per` in which the campaign starts, where it is.
func (c *Campaign) firstPeriod() period { return c.goal.per.of(c.zone.at(c.Starts).day) }

// lastPeriod is the period of the goal's `per` in which the campaign ends.
func (c *Campaign) lastPeriod() period {
	switch {
	case c.goal.per == noUnit:
		return 0
	case c.Ends == math.MaxInt64:
		return math.MaxInt32
	}
	return c.goal.per.of(c.zone.at(c.Ends - 1).day)
}

// schedule notes when the ledger is due next, behind a clock (Unix ms).
func (e *Engine) schedule(l *Ledger, clock int64) {
	due := never
	if n := len(l.seen.list); n > 0 {
		due = (floorDiv(l.seen.list[n-1].at+e.set.lateness.Milliseconds(), dayMs) + 1) * dayMs
	}
	for i := range l.progress {
		due = min(due, e.nextOf(&l.progress[i], clock))
	}
	watched := l.known != 0 && e.set.watchesAt(clock)
	if watched {
		due = min(due, e.set.watched) // then it matters no more who is known
	}
	if due != never || watched || len(l.progress) > 0 || len(l.excused) > 0 {
		due = min(due, (floorDiv(clock, revisit)+1)*revisit)
	}
	if due == never {
		l.due = 0
		return
	}
	l.due = max(due, clock+1)
}

// nextOf is when time alone next changes a progress, by a clock; both Unix ms.
func (e *Engine) nextOf(p *progress, clock int64) int64 {
	c := e.set.byKey[p.campaign]
	if c == nil {
		return never
	}
	due := c.closes(noUnit, 0)
	for i := range p.buckets {
		b := &p.buckets[i]
		if i == 0 && c.goal.per != noUnit { // the others close later
			due = min(due, c.closes(c.goal.per, b.period))
		}
		for j := range b.cells {
			leaf := c.goal.leaves[b.cells[j].leaf]
			if final := leaf.kind.final(&b.cells[j]); final != never {
				due = min(due, final+c.Late.Milliseconds())
			}
			if leaf.waits && leaf.per != noUnit {
				if closes := c.closes(leaf.per, b.cells[j].period); closes > clock { // else it is kept as what was reached
					due = min(due, closes)
				}
			}
		}
	}
	return due
}
