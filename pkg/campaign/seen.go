package campaign

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"slices"
)

// fingerprintBytes is how much of an event's hash is remembered. A ledger of 1 MiB holds fewer than 2^17 of them, so a
// new event is mistaken for a remembered one in fewer than 2^17 of 2^80 cases: rule E3 allows one in 2^60.
const fingerprintBytes = 10

// fingerprint stands for an event's source and id: the first bytes of the SHA-256 of both as netstring-like frames.
type fingerprint [fingerprintBytes]byte

// sighting is one remembered event.
type sighting struct {
	at int64 // the event's time, Unix ms, rounded down: as the clock has whole milliseconds, that changes no comparison
	id fingerprint
}

// fingerprintOf hashes an event's identity. scratch is reused from call to call.
func fingerprintOf(scratch *[]byte, source, id string) fingerprint {
	b := binary.AppendUvarint((*scratch)[:0], uint64(len(source)))
	b = append(b, source...)
	b = append(b, id...)
	*scratch = b
	sum := sha256.Sum256(b)
	return fingerprint(sum[:fingerprintBytes])
}

// seen remembers a user's recent events: those that would still be in time if they came again (E3).
type seen struct {
	list  []sighting // sorted by time
	bytes int        // of their encoding
	tags  *tags      // of all that are in the list, and perhaps of others; nil where the list is short
}

// hasInTime says whether an event is remembered: it was seen, and clock <= time + lateness (all ms) still holds for it. The lateness is
// that of the event's time.
func (s *seen) hasInTime(id fingerprint, clock int64, in *Set) bool {
	if len(s.list) >= manySightings {
		if s.tags == nil {
			s.tags = newTags(s.list)
		}
		if !s.tags.mayHave(id) {
			return false
		}
	}
	for i := range s.list {
		if s.list[i].id == id && clock <= s.list[i].at+in.latenessAt(s.list[i].at).Milliseconds() {
			return true
		}
	}
	return false
}

// add remembers an event, behind those of the same time, and returns its place.
func (s *seen) add(at int64, id fingerprint) int {
	i := len(s.list)
	for i > 0 && s.list[i-1].at > at {
		i--
	}
	previous := int64(0)
	if i > 0 {
		previous = s.list[i-1].at
	}
	s.bytes += sightingBytes(at - previous)
	if i < len(s.list) {
		s.bytes += sightingBytes(s.list[i].at-at) - sightingBytes(s.list[i].at-previous)
	}
	s.list = slices.Insert(s.list, i, sighting{at, id})
	if s.tags != nil && !s.tags.add(id) {
		s.tags = nil // it is full, perhaps of others: it is made anew when somebody asks
	}
	return i
}

// forget drops what is too late by the clock (Unix ms) even for the largest lateness: remembered is what has
// clock <= time + lateness. An earlier event never has the larger lateness, so those to drop are the first.
func (s *seen) forget(clock int64, in *Set) {
	n, previous := 0, int64(0)
	for n < len(s.list) && clock > s.list[n].at+in.latenessAt(s.list[n].at).Milliseconds() {
		s.bytes -= sightingBytes(s.list[n].at - previous)
		previous = s.list[n].at
		n++
	}
	if n > 0 && n < len(s.list) {
		s.bytes += sightingBytes(s.list[n].at) - sightingBytes(s.list[n].at-previous)
	}
	s.list = s.list[n:]
}

// encodedBytes is what all of them take in a ledger's encoding.
func (s *seen) encodedBytes() int { return uvarintBytes(uint64(len(s.list))) + s.bytes }

// sightingBytes is what a sighting takes that is so much later than the one before it.
func sightingBytes(later int64) int {
	return uvarintBytes(uint64(later)<<1^uint64(later>>63)) + fingerprintBytes //nolint:gosec // zigzag
}

// uvarintBytes is what a number takes: seven bits a byte.
func uvarintBytes(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

// tags say of a user who has very many events that an event is not among them: with tens of thousands, looking at each would be most of what their
// user's next one costs.
type tags struct {
	table []uint32 // of each fingerprint its first bytes, at the next free place behind that which the bytes behind them name; 0 is free
	n     int
}

// manySightings is from how many on a list has tags.
const manySightings = 4096

func newTags(list []sighting) *tags {
	t := &tags{table: make([]uint32, 1<<bits.Len(uint(2*len(list))))} // half full at most
	for i := range list {
		t.add(list[i].id)
	}
	return t
}

// find is the place of an event's tag, or the free one where it would be.
func (t *tags) find(id fingerprint) (place int, tag uint32) {
	tag = binary.BigEndian.Uint32(id[:]) | 1 // not 0
	place = int(binary.BigEndian.Uint32(id[4:])) & (len(t.table) - 1)
	for t.table[place] != 0 && t.table[place] != tag {
		place = (place + 1) & (len(t.table) - 1)
	}
	return place, tag
}

func (t *tags) mayHave(id fingerprint) bool {
	place, _ := t.find(id)
	return t.table[place] != 0
}

// add notes an event, if there is room for one more.
func (t *tags) add(id fingerprint) bool {
	if 4*t.n >= 3*len(t.table) {
		return false
	}
	place, tag := t.find(id)
	if t.table[place] == 0 {
		t.table[place] = tag
		t.n++
	}
	return true
}
