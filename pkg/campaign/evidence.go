package campaign

import (
	"slices"
)

// A reward names the events that it is for (R2). Their ids are most of what a ledger holds, and one event is often evidence in many
// campaigns. So a ledger keeps each id once, in the order of arrival, and a bucket refers to it by its place.

const (
	// maxEvidence is how many event ids a reward can name (R2).
	maxEvidence = 32
	// maxLedgerIDs bounds the ids that a ledger keeps in all. Beyond it the oldest goes that the longest list has.
	maxLedgerIDs = 64
	// maxPlaces bounds them while an event is added, and in what is read.
	maxPlaces = 1 << 7
)

// packedID is an event's id as a ledger's encoding has it: a UUID in its usual spelling takes 17 bytes instead of 37.
type packedID string

func packID(id string) packedID { return packedID(appendID(nil, id)) }

// String is the id as the event had it.
func (id packedID) String() string {
	d := decoding{src: []byte(id)}
	return d.id()
}

// note counts an event of a civil date as evidence in a bucket. e.noted is its place among the ledger's ids, once it has one.
func (e *Engine) note(l *Ledger, b *bucket, ev *Event, day Day) {
	if e.noted < 0 {
		e.noted = len(l.ids)
		l.ids = append(withRoom(l.in.slabs().ids, l.ids), l.in.keepID(ev.ID))
	}
	if b.count == 0 || ev.Time > b.latest || ev.Time == b.latest && day > b.day {
		b.latest, b.day = ev.Time, day
	}
	b.count++
	b.ids = append(withRoom(l.in.slabs().places, b.ids), uint8(e.noted)) //nolint:gosec // at most maxLedgerIDs
	if len(b.ids) > maxEvidence {
		b.ids = slices.Delete(b.ids, 0, 1)
		e.released = true
	}
}

// named are the ids at certain places.
func (l *Ledger) named(places []uint8) []string {
	if len(places) == 0 {
		return nil
	}
	ids := make([]string, len(places))
	for i, at := range places {
		ids[i] = l.ids[at].String()
	}
	return ids
}

// allIDs are all of them.
func (l *Ledger) allIDs() (ids []string) {
	for _, id := range l.ids {
		ids = append(ids, id.String())
	}
	return ids
}

// eachID visits every reference to an id.
func (l *Ledger) eachID(visit func(*uint8)) {
	for i := range l.progress {
		for j := range l.progress[i].buckets {
			b := &l.progress[i].buckets[j]
			for k := range b.ids {
				visit(&b.ids[k])
			}
		}
	}
}

// dropUnusedIDs drops the ids that nothing refers to any more, and keeps the bound.
func (l *Ledger) dropUnusedIDs() {
	for {
		var used [maxPlaces]bool
		l.eachID(func(at *uint8) { used[*at] = true })
		var places [maxPlaces]uint8
		kept := l.ids[:0]
		for i, id := range l.ids {
			places[i] = uint8(len(kept)) //nolint:gosec // below maxPlaces
			if used[i] {
				kept = append(kept, id)
			}
		}
		clear(l.ids[len(kept):])
		l.ids = kept
		l.eachID(func(at *uint8) { *at = places[*at] })
		if len(l.ids) <= maxLedgerIDs {
			return
		}
		b := l.longestIDs()
		b.ids = slices.Delete(b.ids, 0, 1)
	}
}

// longestIDs is the bucket that refers to most ids, the first of several.
func (l *Ledger) longestIDs() (longest *bucket) {
	for i := range l.progress {
		for j := range l.progress[i].buckets {
			if b := &l.progress[i].buckets[j]; longest == nil || len(b.ids) > len(longest.ids) {
				longest = b
			}
		}
	}
	return longest
}
