package state

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sort"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	// smallRestoreBytes is the size up to which a restore is one write, like a checkpoint, and no file at all: most
	// restores read only the changelog's last seconds.
	smallRestoreBytes = 1 << 20

	restoredChangeBytes = 80 // what a change costs in the buffer beside its own bytes: in its slices, and its place

	// maxDeletedNames bounds the names of deleted users that a restore keeps, some megabytes.
	maxDeletedNames = 100_000
)

// Restore writes ledgers read from a changelog. Add in the order of the changelog, then Finish or Abandon. One
// goroutine uses it, and nothing else writes to its partition meanwhile.
type Restore struct {
	store     *Store
	partition int32
	from      Position
	arena     []byte
	changes   []restoredChange // in the order of their Adds
	settled   []restoredChange // the newest of each name, by name
	places    []place
	marked    bool // the position says that a restore has begun
	files     int
	deleted   map[string]struct{} // users who are, by what was read so far; nil where there were more than maxDeletedNames of them
	ended     bool
}

// restoredChange is a place in the arena: the user's bytes, then the ledger's.
type restoredChange struct {
	start        int
	user, ledger int32 // lengths; -1 for a tombstone
	due          int64
}

// place is a change's in a slice, with a number that decides the order of most: sorting moves few bytes, and compares what it has at hand.
type place struct {
	number uint64
	at     int32
}

// Restore begins to restore partition p over what it holds, which is at a position. Before the first ledger is written, that position is
// stored, marked Restoring, and waited for on the disk, so that a restore cut off is known as one.
func (s *Store) Restore(p int32, from Position) (*Restore, error) {
	if err := s.usable(p); err != nil {
		return nil, err
	}
	return &Restore{store: s, partition: p, from: from, deleted: map[string]struct{}{}}, nil
}

var errRestoreEnded = errors.New("the restore has ended")

// Add sets a user's ledger, and when it is due (Unix ms, 0 for never), or deletes it if nil. A later Add for the same user
// wins. Name and ledger are copied.
//
// What timers the user had is not known here: they stay until their time has come.
func (r *Restore) Add(user string, ledger []byte, due int64) error {
	if r.ended {
		return fmt.Errorf("restore partition %d: %w", r.partition, errRestoreEnded)
	}
	if err := checkDue(user, due, 0); err != nil {
		return fmt.Errorf("restore partition %d: %w", r.partition, err)
	}
	need := len(user) + len(ledger)
	if r.size() > 0 && r.size()+need+restoredChangeBytes > r.store.restoreBuffer {
		if err := r.flush(); err != nil {
			return fmt.Errorf("restore partition %d: %w", r.partition, err)
		}
	}
	c := restoredChange{start: len(r.arena), user: int32(len(user)), ledger: int32(len(ledger)), due: due}
	if ledger == nil {
		c.ledger, c.due = -1, 0
		r.noteDeleted(user)
	} else if len(r.deleted) > 0 {
		delete(r.deleted, user)
	}
	r.arena = append(append(r.arena, user...), ledger...)
	r.changes = append(r.changes, c)
	r.store.counters.restored.Add(1)
	return nil
}

// Finish writes what is left, then the position, without the mark, and clears the journal and the timers that the
// position's clock has reached. The restore is on the disk when it returns.
func (r *Restore) Finish(pos Position) (err error) {
	if r.ended {
		return fmt.Errorf("restore partition %d: %w", r.partition, errRestoreEnded)
	}
	s, p := r.store, r.partition
	if err := s.usable(p); err != nil {
		return err
	}
	if r.size() > smallRestoreBytes {
		if err := r.flush(); err != nil {
			return fmt.Errorf("restore partition %d: %w", p, err)
		}
	}
	pos.Restoring = false
	batch := s.db.NewBatch()
	defer func() { err = errors.Join(err, r.store.release(batch)) }()
	left := r.left()
	earliest, err := s.checkpointBatch(batch, p, pos, left, r.gone(left))
	if err != nil {
		return fmt.Errorf("restore partition %d: %w", p, err)
	}
	if err := s.durably(func() error { return batch.Commit(pebble.Sync) }); err != nil {
		s.forget(p)
		return fmt.Errorf("restore partition %d: %w", p, err)
	}
	s.journalCleared(p)
	s.setEarliestTimer(p, earliest)
	r.Abandon()
	return nil
}

func (r *Restore) noteDeleted(user string) {
	switch {
	case r.deleted == nil:
	case len(r.deleted) == maxDeletedNames:
		r.deleted = nil
	default:
		r.deleted[user] = struct{}{}
	}
}

// gone says of whom there is no ledger any more when what is left is written; nil where nobody was deleted. Which of the deleted were erased is not known.
// Whoever has a timer is asked about, so it asks the store, who takes long to answer for millions, only where there were too many to remember.
func (r *Restore) gone(left []Change) func(user []byte) (bool, error) {
	switch {
	case r.deleted != nil && len(r.deleted) == 0:
		return nil
	case r.deleted != nil:
		return func(user []byte) (bool, error) {
			_, deleted := r.deleted[string(user)]
			return deleted, nil
		}
	}
	has := map[string]bool{}
	for i := range left {
		has[left[i].User] = left[i].Ledger != nil
	}
	return func(user []byte) (bool, error) {
		if has, changed := has[string(user)]; changed {
			return !has, nil
		}
		_, found, err := r.store.Get(r.partition, string(user), nil)
		return !found, err
	}
}

// Abandon ends the restore and leaves the partition as far as it came: marked Restoring if anything was written. After
// Finish it does nothing.
func (r *Restore) Abandon() {
	r.ended, r.arena, r.changes, r.settled, r.places = true, nil, nil, nil, nil
}

func (r *Restore) size() int {
	return len(r.arena) + len(r.changes)*restoredChangeBytes
}

func (r *Restore) user(c restoredChange) []byte {
	return r.arena[c.start : c.start+int(c.user)]
}

func (r *Restore) ledger(c restoredChange) []byte {
	if c.ledger < 0 {
		return nil
	}
	from := c.start + int(c.user)
	to := from + int(c.ledger)
	return r.arena[from:to:to]
}

// settle sorts the buffer by name and keeps of each name only the newest change. Most names differ in the eight bytes behind what all begin with, and
// numbers are compared faster than texts that are somewhere in many megabytes.
func (r *Restore) settle() {
	same := r.commonPrefix()
	r.places = r.places[:0]
	for i := range r.changes {
		var name [8]byte
		copy(name[:], r.user(r.changes[i])[same:])
		r.places = append(r.places, place{binary.BigEndian.Uint64(name[:]), int32(i)}) //nolint:gosec // as many as a buffer holds
	}
	slices.SortFunc(r.places, func(a, b place) int {
		if a.number != b.number {
			return cmp.Compare(a.number, b.number)
		}
		if by := bytes.Compare(r.user(r.changes[a.at]), r.user(r.changes[b.at])); by != 0 {
			return by
		}
		return int(b.at) - int(a.at)
	})
	r.settled = r.settled[:0]
	for i, p := range r.places {
		c := r.changes[p.at]
		if i > 0 && p.number == r.places[i-1].number && bytes.Equal(r.user(c), r.user(r.changes[r.places[i-1].at])) {
			continue // an older one
		}
		r.settled = append(r.settled, c)
	}
}

// commonPrefix is the length of what all names in the buffer begin with.
func (r *Restore) commonPrefix() int {
	if len(r.changes) == 0 {
		return 0
	}
	same := r.user(r.changes[0])
	for _, c := range r.changes {
		name := r.user(c)
		n := 0
		for n < len(same) && n < len(name) && same[n] == name[n] {
			n++
		}
		same = same[:n]
	}
	return len(same)
}

// left returns what is in the buffer, by name.
func (r *Restore) left() []Change {
	r.settle()
	changes := make([]Change, len(r.settled))
	for i, c := range r.settled {
		changes[i] = Change{User: string(r.user(c)), Ledger: r.ledger(c), Due: c.due}
	}
	return changes
}

// flush writes the buffer as one sorted file and hands it to Pebble, where it hides what earlier files say.
func (r *Restore) flush() error {
	if err := r.store.usable(r.partition); err != nil {
		return err
	}
	if err := r.mark(); err != nil {
		return err
	}
	path := filepath.Join(r.store.restoreDir(), fmt.Sprintf("%05d-%06d.sst", r.partition, r.files))
	if err := r.writeFile(path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	r.store.setEarliestTimer(r.partition, 0) // the file's timers may be earlier than all that were there
	err := r.store.guard(func() error { return r.store.db.Ingest(context.Background(), []string{path}) })
	if err != nil {
		return fmt.Errorf("ingest %s: %w", path, err)
	}
	r.files++
	r.arena, r.changes = r.arena[:0], r.changes[:0]
	return nil
}

// mark sets Restoring in the position, on the disk before any file is: a file can't be lost in a power cut any more,
// and would otherwise be found beside a position that knows nothing of it.
func (r *Restore) mark() error {
	if r.marked {
		return nil
	}
	s, pos := r.store, r.from
	pos.Restoring = true
	value := encodePosition(nil, pos)
	err := s.durably(func() error { return s.db.Set(positionKey(r.partition), value, pebble.Sync) })
	if err != nil {
		return fmt.Errorf("mark the position: %w", err)
	}
	r.marked = true
	return nil
}

func (r *Restore) writeFile(path string) (err error) {
	file, err := r.store.fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	options := r.store.options.MakeWriterOptions(len(r.store.options.Levels)-1, pebbleFormat.MaxTableFormat())
	// For the last level a deletion counts as obsolete and is not read: but this file may lie above an older ledger.
	options.WritingToLowestLevel = false
	w := sstable.NewWriter(objstorageprovider.NewFileWritable(file), options)
	defer func() { err = errors.Join(err, w.Close()) }()
	// Keys must come in their order: ledgers, then timers, then what has a name that is no user's.
	r.settle()
	n := sort.Search(len(r.settled), func(i int) bool { return IsNoUser(r.user(r.settled[i])) }) // they are the last
	users, others := r.settled[:n], r.settled[n:]
	if err := r.writeValues(w, users); err != nil {
		return err
	}
	if err := r.writeTimers(w, users); err != nil {
		return err
	}
	return r.writeValues(w, others)
}

func (r *Restore) writeValues(w *sstable.Writer, changes []restoredChange) (err error) {
	var key []byte
	for _, c := range changes {
		key = valueKey(key[:0], r.partition, r.user(c))
		if c.ledger < 0 {
			err = w.Delete(key)
		} else {
			err = w.Set(key, r.ledger(c))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// writeTimers writes the timers of users, who come by name, by their dues.
func (r *Restore) writeTimers(w *sstable.Writer, users []restoredChange) error {
	r.places = r.places[:0]
	for i := range users {
		if due := users[i].due; due != 0 {
			r.places = append(r.places, place{uint64(due), int32(i)}) //nolint:gosec // a due is not negative, and a buffer holds so many
		}
	}
	slices.SortFunc(r.places, func(a, b place) int {
		if by := cmp.Compare(a.number, b.number); by != 0 {
			return by
		}
		return int(a.at) - int(b.at)
	})
	var key []byte
	for _, p := range r.places {
		c := users[p.at]
		key = timerKey(key[:0], r.partition, c.due, r.user(c))
		if err := w.Set(key, nil); err != nil {
			return err
		}
	}
	return nil
}
