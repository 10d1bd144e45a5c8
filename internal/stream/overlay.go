package stream

import (
	"slices"
	"strings"

	"github.com/stampede-rewards/stampede/pkg/campaign"
	"github.com/stampede-rewards/stampede/pkg/state"
)

// overlay is the ledgers of a partition that are in memory, as they are encoded: those that have changed since the last checkpoint, and of the others
// those that were used lately, as many as there is room for. A ledger is decoded when it is used and soon encoded again: decoded it takes several
// times as much, and what the garbage collector must look into.
type overlay struct {
	users      map[string]*entry
	clock      []*entry // the same; the hand goes round
	hand       int
	peak       int      // the most users since both were made
	dirty      []*entry // changed since the last checkpoint, in the order of their first change
	decoded    []*entry // those that are, at most maxDecoded
	ledgers    campaign.Ledgers
	large      []*entry // and those that stay so until the cycle ends
	largeBytes int      // of them, encoded
	bytes      int64
	dirtyBytes int64 // of those that are dirty, as of their first change
	scratch    []byte
	edits      state.Edits // of this cycle, for the journal
}

// entry is one user's ledger in the overlay.
type entry struct {
	timer   campaign.Timer   // the user's, in memory: only what is changed or dirty has an instant
	ledger  *campaign.Ledger // nil where it is not decoded
	encoded []byte           // nil where nothing is known of the user. Until a cycle ends, who has it from prepare reads it
	due     int64            // of encoded; 0 for never
	stored  int64            // under which the store has a timer, 0 for none
	ahead   bool             // the ledger has changed since it was decoded
	changed bool             // in this cycle
	dirty   bool             // since the last checkpoint
	erased  bool             // the same
	used    bool             // since the hand has passed
	place   int              // in the clock
}

// maxDecoded is how many ledgers of a partition are decoded at a time: few enough to stay in a core's cache, and to be no part of the memory that counts.
const maxDecoded = 256

// A ledger with thousands of events takes a millisecond to decode and another to encode, and its user is likely to come again at once: it is decoded once a
// cycle. So many bytes of such ledgers are, of a partition; decoded they take three times as much.
const (
	largeLedger   = 16 << 10
	maxLargeBytes = 4 << 20
)

// entryOverhead is what an entry takes beside its bytes: the struct, its slots in the map and the slices, what the allocator rounds up.
const entryOverhead = 192

func (e *entry) bytes() int64 { return int64(entryOverhead + len(e.timer.User) + cap(e.encoded)) }

func newOverlay() overlay { return overlay{users: map[string]*entry{}} }

// add takes a user in.
func (o *overlay) add(user string, encoded []byte) *entry {
	e := &entry{timer: campaign.Timer{User: strings.Clone(user)}, encoded: encoded, place: len(o.clock)}
	o.users[e.timer.User] = e
	o.clock = append(o.clock, e)
	o.peak = max(o.peak, len(o.clock))
	o.bytes += e.bytes()
	return e
}

// decode sees to it that an entry has its ledger, until the next call.
func (o *overlay) decode(e *entry) (err error) {
	e.used = true
	if e.ledger != nil {
		return nil
	}
	if n := len(e.encoded); n >= largeLedger {
		if o.largeBytes += n; o.largeBytes > maxLargeBytes {
			o.letGo(&o.large)
			o.largeBytes = n
		}
		o.large = append(o.large, e)
		e.ledger, err = campaign.Decode(e.encoded)
		return err
	}
	if len(o.decoded) == maxDecoded {
		o.letGo(&o.decoded)
		o.ledgers.Reset()
	}
	if e.encoded == nil {
		e.ledger = o.ledgers.New()
	} else if e.ledger, err = o.ledgers.Decode(e.encoded); err != nil {
		return err
	}
	o.decoded = append(o.decoded, e)
	return nil
}

// encode writes down what has changed of all ledgers that are decoded, and lets go of them.
func (o *overlay) encode() {
	o.letGo(&o.decoded)
	o.ledgers.Reset()
	o.letGo(&o.large)
	o.largeBytes = 0
}

func (o *overlay) letGo(decoded *[]*entry) {
	for _, e := range *decoded {
		if e.ahead {
			o.write(e)
		}
		e.ledger, e.ahead = nil, false
	}
	clear(*decoded)
	*decoded = (*decoded)[:0]
}

func (o *overlay) write(e *entry) {
	o.bytes -= e.bytes()
	var encoded []byte // nil where nothing is left to know: the key goes, here and in the changelog
	if !e.ledger.Empty() {
		o.scratch = e.ledger.Append(o.scratch[:0]) // not over what the ledger was decoded from: it refers to that
		encoded = o.scratch
	}
	if exactlyOnce {
		o.edits.Add(e.timer.User, e.encoded, encoded) // while both are in the core's cache
	}
	if encoded != nil {
		encoded = o.keep(e.encoded)
	}
	e.encoded = encoded
	e.due = e.ledger.Due()
	o.bytes += e.bytes()
}

// How much longer a ledger may become before it needs memory anew: a part of itself, and room for two events. Most grow by an event at a time until the first
// of their events are too old: then each is written where it was, and nothing is allocated.
const (
	ledgerRoom = 8
	eventsRoom = 64
)

// keep is the scratch in memory of its own: where the ledger was, if it fits there and leaves less than half of it empty.
func (o *overlay) keep(was []byte) []byte {
	n := len(o.scratch) + len(o.scratch)/ledgerRoom + eventsRoom
	if len(o.scratch) > cap(was) || n < cap(was)/2 {
		was = slices.Grow[[]byte](nil, n) // its cap is all that the allocator gives
	}
	return append(was[:0], o.scratch...)
}

// committed notes what a cycle has changed: it waits for a checkpoint.
func (o *overlay) committed(changed []*entry) {
	o.edits.Reset()
	for _, e := range changed {
		e.changed = false
		if !e.dirty {
			e.dirty = true
			o.dirty = append(o.dirty, e)
			o.dirtyBytes += e.bytes()
		}
	}
	if invariants {
		o.check()
	}
}

// changes are those since the last checkpoint, by user.
func (o *overlay) changes() []state.Change {
	slices.SortFunc(o.dirty, func(a, b *entry) int { return strings.Compare(a.timer.User, b.timer.User) })
	changes := make([]state.Change, len(o.dirty))
	for i, e := range o.dirty {
		changes[i] = state.Change{User: e.timer.User, Ledger: e.encoded, Due: e.due, Was: e.stored, Erased: e.erased}
	}
	return changes
}

// checkpointed notes that the store has all changes.
func (o *overlay) checkpointed() {
	for _, e := range o.dirty {
		e.dirty, e.erased, e.stored = false, false, e.due
		if e.encoded == nil {
			o.drop(e)
		}
	}
	clear(o.dirty)
	o.dirty, o.dirtyBytes = o.dirty[:0], 0
	if invariants {
		o.check()
	}
}

func (o *overlay) drop(e *entry) {
	delete(o.users, e.timer.User)
	last := len(o.clock) - 1
	o.clock[e.place], o.clock[last].place = o.clock[last], e.place
	o.clock[last] = nil
	o.clock = o.clock[:last]
	o.bytes -= e.bytes()
	if last < o.peak/2 {
		o.fit()
	}
}

// isAhead says whether the store does not have what is known of a user.
func (o *overlay) isAhead(user string) bool {
	e := o.users[user]
	return e != nil && (e.changed || e.dirty)
}

// shrink drops what the store has, until no more than so many bytes are left: first who was not used since the hand last came by, then anybody.
//
// Whom a walk through the map itself meets are neighbours in it. To drop those empties some of the map's tables while the others fill and are
// split, and a table is never given back: a map of a steady number of users grew to ten times what it needs.
func (o *overlay) shrink(most int64) {
	for range 2 * len(o.clock) {
		if o.bytes <= most {
			return
		}
		if o.hand >= len(o.clock) {
			o.hand = 0
		}
		switch e := o.clock[o.hand]; {
		case e.dirty:
			o.hand++
		case e.used:
			e.used = false
			o.hand++
		default:
			o.drop(e) // and the last one takes its place
		}
	}
}

// fit makes the map and the clock anew, as large as they must be: neither gives back what it has taken. A partition that had a backlog alone filled the
// memory of all of them, and kept its map when the others came.
func (o *overlay) fit() {
	o.peak = len(o.clock)
	o.clock = slices.Clone(o.clock)
	o.users = make(map[string]*entry, len(o.clock))
	for _, e := range o.clock {
		o.users[e.timer.User] = e
	}
}
