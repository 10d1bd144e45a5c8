package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"

	"github.com/cockroachdb/pebble/v2"
)

// Change is what became of one user's ledger.
type Change struct {
	User   string // the Kafka key, verbatim; or a name that is no user's, which begins with the byte 0xff: see [Store.Campaigns]
	Ledger []byte // nil deletes the ledger; empty is a ledger of no bytes

	// Due is when the ledger is due, Unix ms; 0 is never. An instant that the position's clock has reached is past: it
	// gets no timer.
	Due int64
	// Was is the due under which the store has a timer of the user, which is the Due of the last checkpoint or restore that
	// wrote the ledger; a Due that equals it writes nothing. 0 where there is none, or it is not known: then a timer that
	// there is stays until its time has come.
	Was int64

	// Erased says that no trace of what was known of the user may stay, whatever Ledger is now: every timer goes but the new one, and the
	// partition is scrubbed. The journal does not say it: whoever replays it takes every ledger that was deleted for an erased one.
	Erased bool
}

// Prepared is a journal entry: what one transaction does to one partition.
type Prepared struct {
	Partition   int32
	Transaction TransactionID
	Position    Position // after the transaction
	Changes     []Change
	Edits       *Edits // come before the changes. Who reads the journal finds all of it in Changes, each ledger whole
}

// Edits are what has become of ledgers, written down as the journal keeps it: of each what has changed. A ledger that changes twice has two, in order.
type Edits struct {
	encoded []byte
	count   int
	delta   []byte
}

// Add adds what has become of a user's ledger: nil is deleted. What it was is what the edit before says, or the journal, or else the store; nil is unknown.
func (e *Edits) Add(user string, was, ledger []byte) {
	e.count++
	e.encoded = appendUser(e.encoded, user)
	if was != nil && ledger != nil {
		if e.delta = appendDelta(e.delta[:0], was, ledger); len(e.delta) < len(ledger) && len(ledger) <= len(was)+len(e.delta) {
			e.encoded = binary.AppendUvarint(e.encoded, tagOf(len(e.delta), isDelta))
			e.encoded = append(e.encoded, e.delta...)
			return
		}
	}
	e.encoded = appendWhole(e.encoded, ledger)
}

// sparse is of how much less than its memory edits may take before the memory goes, and fewEdits from how many bytes on.
const (
	sparse   = 4
	fewEdits = 64 << 10
)

// Reset forgets all edits. The memory stays, unless it was far too much.
func (e *Edits) Reset() {
	if cap(e.encoded) > fewEdits && len(e.encoded) < cap(e.encoded)/sparse {
		e.encoded = nil
	}
	e.encoded, e.count = e.encoded[:0], 0
}

// The journal's versions: in the first one every ledger is whole.
const (
	journalWhole   = 1
	journalVersion = 2
)

// What stands before a ledger is 0 where it is deleted, and else its length and which of these it is.
const (
	isWhole = 1
	isDelta = 2
)

func tagOf(n int, kind uint64) uint64 { return uint64(n)<<1 + kind } //nolint:gosec // a length

// ofTag takes apart what tagOf has made.
func ofTag(tag uint64) (n, kind uint64) { return (tag - isWhole) >> 1, (tag-isWhole)&1 + isWhole }

// journal is what the store keeps in memory of a partition's journal: the entries [first, next) exist.
type journal struct {
	first, next uint64
	bytes       int64
}

// Prepare appends the entries to the journals of their partitions, all or none, in one write. Every entry must be
// prepared before its transaction is committed, and the one before it in the same partition must be decided: only the
// newest entry of a partition may be in doubt.
//
// An error of the disk leaves the store unusable (see [ErrBroken]), and whether the entries are there unknown.
func (s *Store) Prepare(entries []Prepared) (err error) {
	if len(entries) == 0 {
		return nil
	}
	// A cycle's ledgers are many megabytes: the batch has the room for them at once, and they are encoded where they stay.
	sizes, total := make([]int, len(entries)), 0
	for i := range entries {
		sizes[i] = preparedBytes(&entries[i])
		total += changeOverhead + sizes[i]
	}
	batch := s.db.NewBatchWithSize(total)
	defer func() { err = errors.Join(err, s.release(batch)) }()
	var written int64
	for i := range entries {
		e := &entries[i]
		if err := s.usable(e.Partition); err != nil {
			s.forgetAll(entries[:i])
			return fmt.Errorf("prepare transaction %s: %w", e.Transaction, err)
		}
		j, err := s.journal(e.Partition)
		if err != nil {
			s.forgetAll(entries[:i])
			return fmt.Errorf("prepare transaction %s: %w", e.Transaction, err)
		}
		key := journalKey(e.Partition, j.next)
		op := batch.SetDeferred(len(key), sizes[i])
		copy(op.Key, key)
		encoded := encodePrepared(op.Value[:0:sizes[i]], e)
		if err = op.Finish(); err == nil && len(encoded) != sizes[i] {
			err = fmt.Errorf("BUG: it has %d bytes, and room for %d", len(encoded), sizes[i])
		}
		if err != nil {
			s.forgetAll(entries[:i+1])
			return fmt.Errorf("prepare transaction %s: %w", e.Transaction, err)
		}
		j.next++
		j.bytes += int64(sizes[i])
		written += int64(sizes[i])
	}
	if err := s.commit(batch, pebble.Sync); err != nil {
		s.forgetAll(entries)
		return fmt.Errorf("prepare transaction %s: %w", entries[0].Transaction, err)
	}
	s.counters.prepares.Add(1)
	s.counters.journalBytes.Add(written)
	return nil
}

// Journal visits the journal of partition p from the oldest entry to the newest. The entry is the visitor's to keep.
// An entry that is damaged, or missing between two others, is an error that names it: the partition must be dropped.
func (s *Store) Journal(p int32, visit func(Prepared) error) (err error) {
	if err := s.usable(p); err != nil {
		return err
	}
	start, end := kindRange(p, kindJournal)
	iter, err := s.db.NewIter(&pebble.IterOptions{LowerBound: start, UpperBound: end})
	if err != nil {
		return fmt.Errorf("read journal of partition %d: %w", p, err)
	}
	defer func() { err = errors.Join(err, iter.Close()) }()
	before := newBefore(func(user string) ([]byte, error) {
		ledger, _, err := s.Get(p, user, nil)
		return ledger, err
	})
	var expected uint64
	for ok := iter.First(); ok; ok = iter.Next() {
		sequence, err := journalSequence(iter.Key())
		if err != nil {
			return fmt.Errorf("read journal of partition %d: %w", p, err)
		}
		if expected != 0 && sequence != expected {
			return fmt.Errorf("read journal of partition %d: entry %d is missing, the one after %d is %d", p, expected, expected-1, sequence)
		}
		expected = sequence + 1
		value, err := iter.ValueAndErr()
		if err != nil {
			return fmt.Errorf("read journal of partition %d: entry %d: %w", p, sequence, err)
		}
		entry, err := decodePrepared(append([]byte(nil), value...), before)
		if err != nil {
			return fmt.Errorf("read journal of partition %d: entry %d: %w", p, sequence, err)
		}
		entry.Partition = p
		if err := visit(entry); err != nil {
			return err
		}
	}
	if err := iter.Error(); err != nil {
		return fmt.Errorf("read journal of partition %d: %w", p, err)
	}
	return nil
}

func journalSequence(key []byte) (uint64, error) {
	if len(key) != prefixBytes+8 {
		return 0, fmt.Errorf("the key %x is no journal key", key)
	}
	return binary.BigEndian.Uint64(key[prefixBytes:]), nil
}

// journal returns the bounds of partition p's journal, read from the disk at first use. Only the goroutine that
// writes to p changes them.
func (s *Store) journal(p int32) (*journal, error) {
	s.mu.Lock()
	j := s.journals[p]
	s.mu.Unlock()
	if j != nil {
		return j, nil
	}
	j, err := s.findJournal(p)
	if err != nil {
		return nil, fmt.Errorf("find the journal's end in partition %d: %w", p, err)
	}
	s.mu.Lock()
	s.journals[p] = j
	s.mu.Unlock()
	s.counters.journalBytes.Add(j.bytes)
	return j, nil
}

func (s *Store) findJournal(p int32) (j *journal, err error) {
	start, end := kindRange(p, kindJournal)
	iter, err := s.db.NewIter(&pebble.IterOptions{LowerBound: start, UpperBound: end})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, iter.Close()) }()
	j = &journal{}
	for ok := iter.First(); ok; ok = iter.Next() {
		sequence, err := journalSequence(iter.Key())
		if err != nil {
			return nil, err
		}
		value, err := iter.ValueAndErr()
		if err != nil {
			return nil, err
		}
		if j.bytes == 0 {
			j.first = sequence
		}
		j.next = sequence + 1
		j.bytes += int64(len(value))
	}
	return j, iter.Error()
}

// clearJournal adds to the batch the deletion of everything prepared for p. One range a checkpoint, and no two ranges
// overlap, which is what keeps range deletions cheap for the reads that come after.
func (s *Store) clearJournal(batch *pebble.Batch, p int32) error {
	j, err := s.journal(p)
	if err != nil || j.first == j.next {
		return err
	}
	return batch.DeleteRange(journalKey(p, j.first), journalKey(p, j.next), nil)
}

// journalCleared notes that the deletion of [Store.clearJournal] is committed.
func (s *Store) journalCleared(p int32) {
	s.mu.Lock()
	j := s.journals[p]
	s.mu.Unlock()
	s.counters.journalBytes.Add(-j.bytes)
	j.first, j.bytes = j.next, 0
}

// forgetAll lets the next use read from the disk what memory holds of the entries' partitions.
func (s *Store) forgetAll(entries []Prepared) {
	for i := range entries {
		s.forget(entries[i].Partition)
	}
}

func (s *Store) forget(p int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.journals, p)
	delete(s.timers, p)
}

// encodePrepared writes an entry without its changes' Due and Was: when a ledger is due follows from its bytes, and whoever
// replays it works that out again.
func encodePrepared(dst []byte, e *Prepared) []byte {
	from := len(dst)
	dst = appendPreparedHead(dst, e)
	if e.Edits != nil {
		dst = append(dst, e.Edits.encoded...)
	}
	for i := range e.Changes {
		c := &e.Changes[i]
		dst = appendUser(dst, c.User)
		dst = appendWhole(dst, c.Ledger)
	}
	return seal(dst, from)
}

// appendPreparedHead writes what stands before an entry's edits and changes.
func appendPreparedHead(dst []byte, e *Prepared) []byte {
	dst = append(dst, journalVersion)
	dst = binary.AppendUvarint(dst, uint64(len(e.Transaction.Worker)))
	dst = append(dst, e.Transaction.Worker...)
	dst = binary.AppendUvarint(dst, e.Transaction.Incarnation)
	dst = binary.AppendUvarint(dst, e.Transaction.Sequence)
	dst = appendPosition(dst, e.Position)
	count := len(e.Changes)
	if e.Edits != nil {
		count += e.Edits.count
	}
	return binary.AppendUvarint(dst, uint64(count)) //nolint:gosec // not negative
}

func appendUser(dst []byte, user string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(user)))
	return append(dst, user...)
}

// appendWhole writes a ledger whole, or that it is deleted.
func appendWhole(dst, ledger []byte) []byte {
	if ledger == nil {
		return binary.AppendUvarint(dst, 0)
	}
	dst = binary.AppendUvarint(dst, tagOf(len(ledger), isWhole))
	return append(dst, ledger...)
}

// preparedBytes is how many bytes encodePrepared writes.
func preparedBytes(e *Prepared) int {
	n := len(appendPreparedHead(nil, e)) + crcBytes
	if e.Edits != nil {
		n += len(e.Edits.encoded)
	}
	for i := range e.Changes {
		c := &e.Changes[i]
		n += uvarintBytes(uint64(len(c.User))) + len(c.User) + 1
		if c.Ledger != nil {
			n += uvarintBytes(tagOf(len(c.Ledger), isWhole)) + len(c.Ledger) - 1
		}
	}
	return n
}

// uvarintBytes is what a number takes: seven bits a byte.
func uvarintBytes(n uint64) int { return (bits.Len64(n|1) + 6) / 7 }

// minChangeBytes is the least a change takes: an empty user and no ledger. It bounds what a damaged count can make the
// decoder allocate.
const minChangeBytes = 2

// edited is the ledger that an edit makes of what it was.
func (d *decoder) edited(user string, delta []byte, before *before) (ledger []byte) {
	if d.err != nil {
		return nil
	}
	was, err := before.ledger(user)
	if err == nil {
		ledger, err = applyDelta(was, delta)
	}
	if err != nil {
		d.err = fmt.Errorf("the ledger of %q: %w", user, err)
	}
	return ledger
}

// before is what ledgers were before a change of the journal: what the changes read so far have made of them, and else what the store has.
type before struct {
	ledgers map[string][]byte
	stored  func(user string) ([]byte, error)
}

func newBefore(stored func(user string) ([]byte, error)) *before {
	return &before{map[string][]byte{}, stored}
}

func (b *before) ledger(user string) ([]byte, error) {
	if ledger, known := b.ledgers[user]; known {
		return ledger, nil
	}
	return b.stored(user)
}

// decodePrepared reads a journal entry but its partition, which is in the key, and the dues, which are nowhere. Ledgers alias the value, or follow from
// what they were before; what they are then is noted there.
func decodePrepared(value []byte, before *before) (Prepared, error) {
	body, version, err := unsealAny(value, journalWhole, journalVersion)
	if err != nil {
		return Prepared{}, err
	}
	d := decoder{rest: body}
	var e Prepared
	e.Transaction.Worker = string(d.bytes(d.uvarint()))
	e.Transaction.Incarnation = d.uvarint()
	e.Transaction.Sequence = d.uvarint()
	e.Position = d.position()
	count := d.uvarint()
	if d.err == nil && count > uint64(len(d.rest))/minChangeBytes {
		d.err = errTorn
	}
	if d.err == nil && count > 0 {
		e.Changes = make([]Change, 0, count)
	}
	for i := uint64(0); i < count && d.err == nil; i++ {
		c := Change{User: string(d.bytes(d.uvarint()))}
		tag := d.uvarint()
		switch n, kind := ofTag(tag); {
		case tag == 0 || d.err != nil:
		case version == journalWhole:
			c.Ledger = d.bytes(tag - 1)
		case kind == isWhole:
			c.Ledger = d.bytes(n)
		default:
			c.Ledger = d.edited(c.User, d.bytes(n), before)
		}
		before.ledgers[c.User] = c.Ledger
		e.Changes = append(e.Changes, c)
	}
	if err := d.end(); err != nil {
		return Prepared{}, err
	}
	return e, nil
}
