package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/cockroachdb/pebble/v2"
)

// Timer says that the ledger of a user is due at an instant.
//
// Timers are an index, and it may be out of date in one direction: a ledger that is due has its row, but a row may be left
// from what a ledger was before. So whoever fires a timer reads the ledger again, and does what that says.
type Timer struct {
	Due  int64 // Unix ms, > 0
	User string
}

const (
	dueBytes = 8

	// maxTimerDeletions is how many rows a checkpoint deletes one by one. A range deletion is a thing that every read has to
	// look at until compactions are rid of it, so it is for when many ledgers were due at once.
	maxTimerDeletions = 1000

	noTimer = math.MaxInt64 // the earliest due of a partition without timers
)

// Timers returns the first timers of partition p behind one of them, limit at most, in the order of their dues and then of
// their users, as of the last checkpoint. Behind the zero Timer are all.
func (s *Store) Timers(p int32, after Timer, limit int) (timers []Timer, err error) {
	if err := s.usable(p); err != nil {
		return nil, err
	}
	iter, err := s.timersBehind(p, after)
	if err != nil {
		return nil, fmt.Errorf("read timers of partition %d: %w", p, err)
	}
	defer func() { err = errors.Join(err, iter.Close()) }()
	for ok := iter.First(); ok && len(timers) < limit; ok = iter.Next() {
		due, err := timerDue(iter.Key())
		if err != nil {
			return nil, fmt.Errorf("read timers of partition %d: %w", p, err)
		}
		timers = append(timers, Timer{due, string(iter.Key()[prefixBytes+dueBytes:])})
	}
	if err := iter.Error(); err != nil {
		return nil, fmt.Errorf("read timers of partition %d: %w", p, err)
	}
	return timers, nil
}

// timersBehind returns an iterator that begins at the row behind a timer, and not before the earliest row that there can be:
// so it does not meet the deletions of those that are done with, which lie at the front and can be many.
//
// The lock makes the bound and what the iterator sees be of one moment, whatever a checkpoint does meanwhile.
func (s *Store) timersBehind(p int32, after Timer) (*pebble.Iterator, error) {
	_, end := kindRange(p, kindTimer)
	s.mu.Lock()
	defer s.mu.Unlock()
	start := append(timerKey(nil, p, after.Due, after.User), 0)
	if earliest := s.timers[p]; earliest > after.Due { // also where after.Due is negative
		start = timerKey(nil, p, earliest, "")
	}
	return s.db.NewIter(&pebble.IterOptions{LowerBound: start, UpperBound: end})
}

func timerDue(key []byte) (int64, error) {
	if len(key) >= prefixBytes+dueBytes {
		if due := binary.BigEndian.Uint64(key[prefixBytes:]); due > 0 && due <= math.MaxInt64 {
			return int64(due), nil
		}
	}
	return 0, fmt.Errorf("the key %x is no timer key", key)
}

// moveTimers adds to the batch what the changes mean for the timers, and the deletion of every row that the clock has
// reached. It returns the earliest due that is left, or a bound below it, for
// [Store.setEarliestTimer] after the commit.
func (s *Store) moveTimers(batch *pebble.Batch, p int32, clock int64, changes []Change) (earliest int64, err error) {
	earliest, err = s.clearTimers(batch, p, clock)
	if err != nil {
		return 0, err
	}
	key := s.keys.Get().(*[]byte)
	defer s.keys.Put(key)
	for i := range changes {
		c := &changes[i]
		if err := checkDue(c.User, c.Due, c.Was); err != nil {
			return 0, err
		}
		due, was := c.Due, c.Was
		if c.Ledger == nil {
			due = 0
		}
		if c.Erased {
			was = 0 // every row was cleared
		}
		if due == was {
			continue
		}
		// What the clock has reached was cleared, and must not be written again.
		if was > clock {
			*key = timerKey((*key)[:0], p, was, c.User)
			if err := batch.Delete(*key, nil); err != nil {
				return 0, err
			}
		}
		if due > 0 && due > clock {
			*key = timerKey((*key)[:0], p, due, c.User)
			if err := batch.Set(*key, nil, nil); err != nil {
				return 0, err
			}
			earliest = min(earliest, due)
		}
	}
	s.mu.Lock()
	s.timers[p] = min(s.timers[p], earliest) // right before the commit and after it, and also if it fails
	s.mu.Unlock()
	return earliest, nil
}

// clearTimers adds to the batch the deletion of every row that the clock has reached, and returns the earliest due behind it.
// Mostly there is none, which the bound in memory tells without a look at the disk. No two range deletions overlap, as
// long as the clock does not run backwards.
func (s *Store) clearTimers(batch *pebble.Batch, p int32, clock int64) (earliest int64, err error) {
	s.mu.Lock()
	earliest = s.timers[p]
	s.mu.Unlock()
	if earliest > clock {
		return earliest, nil
	}
	iter, err := s.timersBehind(p, Timer{})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, iter.Close()) }()
	deleted := 0
	for ok := iter.First(); ok; {
		due, err := timerDue(iter.Key())
		if err != nil || due > clock {
			return due, err
		}
		if deleted == maxTimerDeletions {
			end := timerKey(nil, p, clock+1, "")
			if err := batch.DeleteRange(iter.Key(), end, nil); err != nil {
				return 0, err
			}
			ok = iter.SeekGE(end)
			continue
		}
		if err := batch.Delete(iter.Key(), nil); err != nil {
			return 0, err
		}
		deleted++
		ok = iter.Next()
	}
	return noTimer, iter.Error()
}

// setEarliestTimer notes that no timer of partition p is due before an instant; 0 if that is not known.
func (s *Store) setEarliestTimer(p int32, due int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.timers[p] = due
}

// checkDue refuses dues that can't be meant.
func checkDue(name string, due, was int64) error {
	switch {
	case due < 0 || was < 0:
		return fmt.Errorf("BUG: %q is due at %d and was due at %d: an instant is later than 1970, and never is 0", name, due, was)
	case IsNoUser(name) && (due != 0 || was != 0):
		return fmt.Errorf("BUG: %q is due at %d and was due at %d: it is no user, and only a user's ledger is ever due", name, due, was)
	}
	return nil
}
