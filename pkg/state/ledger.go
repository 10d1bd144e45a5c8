package state

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"
)

// Get appends the ledger of a user, as of the last checkpoint, to dst. Not found leaves dst as it was. It allocates
// nothing if dst has the room. A name that is no user's is as good as a user.
func (s *Store) Get(p int32, user string, dst []byte) (ledger []byte, found bool, err error) {
	if err := s.usable(p); err != nil {
		return dst, false, err
	}
	key := s.keys.Get().(*[]byte)
	*key = valueKey((*key)[:0], p, user)
	value, closer, err := s.db.Get(*key)
	s.keys.Put(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return dst, false, nil
	}
	if err != nil {
		return dst, false, fmt.Errorf("read ledger of user %q in partition %d: %w", user, p, err)
	}
	dst = append(dst, value...)
	if err := closer.Close(); err != nil {
		return dst, false, fmt.Errorf("read ledger of user %q in partition %d: %w", user, p, err)
	}
	return dst, true, nil
}

// Checkpoint moves the ledgers of partition p to pos in one write: it sets and deletes the changed ledgers and their timers,
// writes the position, deletes the timers that its clock has reached, and deletes the whole journal of p. So the caller
// sees to it that everything prepared for p is decided, that changes hold what was committed of it, and that every timer
// was fired before the clock went past it. The changes are sorted in place; the last of two for one user wins.
//
// The write is not waited for on the disk: should a power cut lose it, the journal before it is still there.
func (s *Store) Checkpoint(p int32, pos Position, changes []Change) (err error) {
	if err := s.usable(p); err != nil {
		return err
	}
	batch := s.batchFor(changes)
	defer func() { err = errors.Join(err, s.release(batch)) }()
	earliest, err := s.checkpointBatch(batch, p, pos, changes, erasedOf(changes))
	if err != nil {
		return fmt.Errorf("checkpoint partition %d: %w", p, err)
	}
	if err := s.commit(batch, pebble.NoSync); err != nil {
		s.forget(p)
		return fmt.Errorf("checkpoint partition %d: %w", p, err)
	}
	s.journalCleared(p)
	s.setEarliestTimer(p, earliest)
	s.counters.checkpoints.Add(1)
	s.counters.checkpointed.Add(int64(len(changes)))
	return nil
}

// batchFor is a batch with room for changes: one that grows to many megabytes leaves as many behind.
func (s *Store) batchFor(changes []Change) *pebble.Batch {
	size := 0
	for i := range changes {
		size += changeOverhead + len(changes[i].User) + len(changes[i].Ledger)
	}
	return s.db.NewBatchWithSize(size)
}

// changeOverhead is what a change takes in a batch beside its texts: keys' prefixes and lengths, and a timer now and then.
const changeOverhead = 64

// erasedOf says of whom every timer is to go; nil where nobody was erased.
func erasedOf(changes []Change) func(user []byte) (bool, error) {
	var erased map[string]bool
	for i := range changes {
		if c := &changes[i]; c.Erased {
			if erased == nil {
				erased = map[string]bool{}
			}
			erased[c.User] = true
		}
	}
	if erased == nil {
		return nil
	}
	return func(user []byte) (bool, error) { return erased[string(user)], nil }
}

// checkpointBatch fills the batch of a checkpoint, and returns what [Store.setEarliestTimer] is to be told after the commit. gone says of whom
// nothing may stay, nil is of nobody.
func (s *Store) checkpointBatch(batch *pebble.Batch, p int32, pos Position, changes []Change, gone func(user []byte) (bool, error)) (earliest int64, err error) {
	byUser := func(a, b Change) int { return strings.Compare(a.User, b.User) }
	if !slices.IsSortedFunc(changes, byUser) { // in key order the memtable's inserts are cheaper
		slices.SortStableFunc(changes, byUser)
	}
	key := s.keys.Get().(*[]byte)
	defer s.keys.Put(key)
	for _, c := range changes {
		*key = valueKey((*key)[:0], p, c.User)
		if c.Ledger == nil {
			err = batch.Delete(*key, nil)
		} else {
			err = batch.Set(*key, c.Ledger, nil)
		}
		if err != nil {
			return 0, err
		}
	}
	if gone != nil {
		if err := errors.Join(noteErased(batch, p), s.clearTimersOf(batch, p, gone)); err != nil {
			return 0, err
		}
	}
	if earliest, err = s.moveTimers(batch, p, pos.Clock, changes); err != nil {
		return 0, err
	}
	if err := batch.Set(positionKey(p), encodePosition(nil, pos), nil); err != nil {
		return 0, err
	}
	return earliest, s.clearJournal(batch, p)
}

// Each visits the ledgers of partition p in the order of their users, all as they were when it began. Both are the
// visitor's until it returns.
func (s *Store) Each(p int32, visit func(user, ledger []byte) error) error {
	return s.each(p, kindLedger, "ledger", visit)
}

// Campaigns visits, like Each, what has a name that is no user's: one that begins with the byte 0xff.
func (s *Store) Campaigns(p int32, visit func(name string, value []byte) error) error {
	return s.each(p, kindCampaigns, "campaign", func(name, value []byte) error { return visit(string(name), value) })
}

// each visits the values of one kind; what says for an error what one is.
func (s *Store) each(p int32, kind byte, what string, visit func(name, value []byte) error) (err error) {
	if err := s.usable(p); err != nil {
		return err
	}
	start, end := kindRange(p, kind)
	iter, err := s.db.NewIter(&pebble.IterOptions{LowerBound: start, UpperBound: end})
	if err != nil {
		return fmt.Errorf("read %ss of partition %d: %w", what, p, err)
	}
	defer func() { err = errors.Join(err, iter.Close()) }()
	for ok := iter.First(); ok; ok = iter.Next() {
		name := iter.Key()[prefixBytes:]
		value, err := iter.ValueAndErr()
		if err != nil {
			return fmt.Errorf("read %s %q in partition %d: %w", what, name, p, err)
		}
		if err := visit(name, value); err != nil {
			return err
		}
	}
	if err := iter.Error(); err != nil {
		return fmt.Errorf("read %ss of partition %d: %w", what, p, err)
	}
	return nil
}
