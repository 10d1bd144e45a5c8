package campaign

import (
	"crypto/sha256"
	"encoding/binary"
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

// seen remembers a user's recent events, sorted by time: the events that would still be in time if they came again (E3).
type seen []sighting

// hasInTime says whether an event is remembered: it was seen, and clock <= time + lateness (all ms) still holds for it. The lateness is
// that of the event's time.
func (s seen) hasInTime(id fingerprint, clock int64, in *Set) bool {
	for i := range s {
		if s[i].id == id && clock <= s[i].at+in.latenessAt(s[i].at).Milliseconds() {
			return true
		}
	}
	return false
}

// add remembers an event, behind those of the same time.
func (s *seen) add(at int64, id fingerprint) {
	i := len(*s)
	for i > 0 && (*s)[i-1].at > at {
		i--
	}
	*s = slices.Insert(*s, i, sighting{at, id})
}

// forget drops what is too late by the clock (Unix ms) even for the largest lateness: remembered is what has
// clock <= time + lateness. An earlier event never has the larger lateness, so those to drop are the first.
func (s *seen) forget(clock int64, in *Set) {
	n := 0
	for n < len(*s) && clock > (*s)[n].at+in.latenessAt((*s)[n].at).Milliseconds() {
		n++
	}
	if n > 0 {
		*s = slices.Delete(*s, 0, n)
	}
}
