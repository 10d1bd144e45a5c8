package stream

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stampede-rewards/stampede/pkg/state"
)

// What is due by the clock fires before the record that moves the clock there is applied, in the order (due, user) (T5). Who is due is told
// by the timers in memory for the users of whom the store does not have what is known, and by the store's for all others.
//
// At the end of a month everybody can be due at once. So a cycle fires no more than CycleFired of a partition. Where more is due, the record
// is not applied yet: the cycle commits what has fired, at the same input and one step further, and the record is polled again.

// Of the store's timers so many are read first, and four times as many each time after, up to a bound. Most often the first is in the future, and is all that
// is looked at before the next checkpoint.
const (
	timersFirst = 4
	timersRead  = 256
)

// storedTimers reads the store's timers in order, as of the last checkpoint.
type storedTimers struct {
	next  []state.Timer // read and not passed yet
	last  state.Timer   // the last one that was read
	asked int           // how many were asked for, with it
	ended bool          // there is none behind it
}

// advance fires what is due by a record's clock. It is not done where there is more than a cycle takes.
func (p *partition) advance(r *kgo.Record, clock int64) (done bool, err error) {
	for {
		user, due, err := p.nextDue()
		if err != nil {
			return false, err
		}
		if due == 0 || due > clock {
			p.next.Clock = max(p.next.Clock, clock)
			return true, nil
		}
		if p.fired == p.maxFired {
			return false, nil
		}
		if err := p.fire(r, user, due); err != nil {
			return false, err
		}
	}
}

// nextDue is who is due first, and when; 0 where nobody is.
func (p *partition) nextDue() (user string, due int64, err error) {
	stored, err := p.nextStored()
	if err != nil {
		return "", 0, err
	}
	if first := p.timers.Next(); first != nil {
		user, due = first.User, first.Due()
	}
	if stored != nil && (due == 0 || stored.Due < due || stored.Due == due && stored.User < user) {
		return stored.User, stored.Due, nil
	}
	return user, due, nil
}

// nextStored is the store's first timer of a user of whom the store has all that is known; nil where there is none.
func (p *partition) nextStored() (*state.Timer, error) {
	t := &p.stored
	for {
		for len(t.next) > 0 {
			if !p.overlay.isAhead(t.next[0].User) {
				return &t.next[0], nil
			}
			t.next = t.next[1:]
		}
		if t.ended {
			return nil, nil
		}
		t.asked = min(max(timersFirst, 4*t.asked), timersRead)
		var err error
		if t.next, err = p.store.Timers(p.number, t.last, t.asked); err != nil {
			return nil, err
		}
		if n := len(t.next); n > 0 {
			t.last = t.next[n-1]
		}
		t.ended = len(t.next) < t.asked
	}
}

// fire applies what is due for a user. The store's timer can be of a ledger that is no more: then nothing is.
func (p *partition) fire(r *kgo.Record, user string, due int64) error {
	e, err := p.lookUp(user)
	if err != nil {
		return err
	}
	if e.ledger.Due() != due { // of timers in memory there is none like that
		p.stored.next = p.stored.next[1:]
		return nil
	}
	if err := p.renew(); err != nil {
		return err
	}
	result := p.engine.Fire(e.ledger, e.timer.User)
	if after := e.ledger.Due(); after != 0 && after <= due {
		return fmt.Errorf("BUG: the ledger of %q is due at %d again", user, after)
	}
	p.next.Clock = max(p.next.Clock, due-1) // others may be due at the same instant
	p.fired++
	p.tally.fired++
	p.took(e, result, passing(r))
	return nil
}
