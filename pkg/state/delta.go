package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/bits"
)

// An event changes little of a ledger: it adds a hash and an id, and counts. So the journal says how a ledger follows from what it was before, in a
// quarter of its bytes, for all that goes through the write-ahead log, the memtable and a flush is most often read by nobody. By turns a backlog came to
// 14 and 2 % more events per CPU-second, half of what no journal at all would bring.
//
// A delta is [CRC-32C of the ledger, u32 little endian][its length], and then in turn [length][bytes] that are new, and [length][where] of a piece of
// what was before: where it begins, less where the piece before it has ended.

const (
	// pieceBytes is the shortest piece that is looked for.
	pieceBytes = 8
	// pieceStep is how far the places of what was are apart that a hash leads to, at least: so many bytes are compared in vain at most, and a piece is
	// followed back to where it begins.
	pieceStep  = 16
	maxPlaces  = 192
	placesBits = 8
)

// pieces finds in what a ledger was what it still has.
type pieces struct {
	was, ledger []byte
	known       bool
	places      [1 << placesBits]uint32 // in was, plus one, by the hash of what begins there
}

// appendDelta writes how a ledger follows from what it was.
func appendDelta(dst, was, ledger []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, crc32.Checksum(ledger, castagnoli))
	dst = binary.AppendUvarint(dst, uint64(len(ledger)))
	p := pieces{was: was, ledger: ledger}
	for at, end := 0, 0; at < len(ledger); {
		begin, from, n := p.next(at, end)
		dst = binary.AppendUvarint(dst, uint64(begin-at))
		dst = append(dst, ledger[at:begin]...)
		if n > 0 {
			dst = binary.AppendUvarint(dst, uint64(n))
			dst = binary.AppendVarint(dst, int64(from-end))
		}
		at, end = begin+n, from+n
	}
	return dst
}

// next is the next piece: where it begins in the ledger, from at on, and in what was, where the last one ended at end. Without one all that is left is new.
func (p *pieces) next(at, end int) (begin, from, n int) {
	for begin = at; begin+pieceBytes <= len(p.ledger); begin++ {
		word := binary.LittleEndian.Uint64(p.ledger[begin:])
		switch {
		case p.is(end, word): // something is new before it
			from = end
		case p.is(end+begin-at, word): // something has changed before it
			from = end + begin - at
		default:
			if from = p.place(word); from < 0 {
				continue
			}
			for begin > at && from > 0 && p.ledger[begin-1] == p.was[from-1] {
				begin, from = begin-1, from-1
			}
		}
		return begin, from, same(p.ledger[begin:], p.was[from:])
	}
	return len(p.ledger), end, 0
}

// is says whether what was has a word somewhere.
func (p *pieces) is(at int, word uint64) bool {
	return at+pieceBytes <= len(p.was) && binary.LittleEndian.Uint64(p.was[at:]) == word
}

// place is where what was has a word, -1 where none is known.
func (p *pieces) place(word uint64) int {
	if !p.known {
		p.known = true
		for at := 0; at+pieceBytes <= len(p.was); at += max(pieceStep, len(p.was)/maxPlaces) {
			p.places[hashOf(binary.LittleEndian.Uint64(p.was[at:]))] = uint32(at) + 1 //nolint:gosec // a ledger has a few megabytes at most
		}
	}
	if at := int(p.places[hashOf(word)]) - 1; at >= 0 && p.is(at, word) {
		return at
	}
	return -1
}

// hashOf spreads words over places, by the golden ratio.
func hashOf(word uint64) uint64 { return word * 0x9e3779b97f4a7c15 >> (64 - placesBits) }

// same is how many bytes two begin with alike.
func same(a, b []byte) (n int) {
	most := min(len(a), len(b))
	for ; n+pieceBytes <= most; n += pieceBytes {
		if differ := binary.LittleEndian.Uint64(a[n:]) ^ binary.LittleEndian.Uint64(b[n:]); differ != 0 {
			return n + bits.TrailingZeros64(differ)/8
		}
	}
	for ; n < most && a[n] == b[n]; n++ {
	}
	return n
}

// applyDelta is the ledger that follows from what it was. That it does not follow from this one is an error.
func applyDelta(was, delta []byte) ([]byte, error) {
	if len(delta) < crcBytes {
		return nil, errTorn
	}
	d := decoder{rest: delta[crcBytes:]}
	length := d.uvarint()
	if d.err == nil && length > uint64(len(was)+len(delta)) { // such a ledger is written whole
		d.err = fmt.Errorf("it makes %d bytes of %d", length, len(was))
	}
	if d.err != nil {
		return nil, d.err
	}
	ledger := make([]byte, 0, length)
	for end := int64(0); len(d.rest) > 0 && d.err == nil; {
		ledger = append(ledger, d.bytes(d.uvarint())...)
		if len(d.rest) == 0 || d.err != nil {
			break
		}
		n, from := d.uvarint(), d.varint()
		from += end
		if d.err == nil && (from < 0 || from > int64(len(was)) || n > uint64(int64(len(was))-from) || n > length-uint64(len(ledger))) {
			d.err = errors.New("a piece of it lies outside of what was before")
		}
		if d.err == nil {
			end = from + int64(n) //nolint:gosec // within was
			ledger = append(ledger, was[from:end]...)
		}
	}
	if d.err != nil {
		return nil, d.err
	}
	if got, want := crc32.Checksum(ledger, castagnoli), binary.LittleEndian.Uint32(delta); got != want || uint64(len(ledger)) != length {
		return nil, fmt.Errorf("what follows has %d bytes and the checksum %08x, and should have %d and %08x: it is of another ledger", len(ledger), got, length, want)
	}
	return ledger, nil
}
