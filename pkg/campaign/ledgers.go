package campaign

import "strings"

// Ledgers are ledgers that are used together for a while and then all given up: those that a cycle touches. Their memory is used again for the next
// ones, so to decode a ledger, to add to it and to encode it again allocates nothing but what there was no room for. With 200,000 users of some 900
// bytes, decoding them each into memory of its own was a sixth of a backlog's CPU, and their garbage another sixth.
//
// The zero Ledgers is ready for use. It is not for concurrent use.
type Ledgers struct {
	ledgers   slab[Ledger]
	sightings slab[sighting]
	ids       slab[packedID]
	progress  slab[progress]
	buckets   slab[bucket]
	cells     slab[cell]
	places    slab[uint8]
	days      slab[dayRun]
	marks     slab[mark]
	amounts   slab[periodAmount]
	values    slab[string]
	text      []byte // of ids and values that are new: see space
}

// Decode is like the function of this name, but that the ledger refers to src, which must stay as it is, and that it ends with Reset.
func (m *Ledgers) Decode(src []byte) (*Ledger, error) { return decodeInto(m.New(), src) }

// New is the ledger of a user of whom nothing is known, until Reset.
func (m *Ledgers) New() *Ledger {
	l := &m.ledgers.take(1)[:1][0]
	*l = Ledger{in: m}
	return l
}

// Reset gives all ledgers up.
func (m *Ledgers) Reset() {
	m.ledgers.reset()
	m.sightings.reset()
	m.ids.reset()
	m.progress.reset()
	m.buckets.reset()
	m.cells.reset()
	m.places.reset()
	m.days.reset()
	m.marks.reset()
	m.amounts.reset()
	m.values.reset()
}

// textBytes is what is allocated at a time for the texts of new events.
const textBytes = 16 << 10

// space sees to it that text has room for so many bytes more. What is there is never written over: ledgers refer to it.
func (m *Ledgers) space(n int) {
	if cap(m.text)-len(m.text) < n {
		m.text = make([]byte, 0, max(textBytes, n))
	}
}

// keepID packs an event's id. The texts of ledgers that live long are each in memory of its own, so that none keeps its neighbours'.
func (m *Ledgers) keepID(id string) packedID {
	if m == nil {
		return packID(id)
	}
	m.space(len(id) + maxIDHead)
	from := len(m.text)
	m.text = appendID(m.text, id)
	return packedID(alias(m.text[from:]))
}

// keep is a text that lives as long as the ledger that it is kept for.
func (m *Ledgers) keep(text string) string {
	if m == nil {
		return strings.Clone(text)
	}
	m.space(len(text))
	from := len(m.text)
	m.text = append(m.text, text...)
	return alias(m.text[from:])
}

// slabItems is how many items a slab allocates at a time.
const slabItems = 512

// slab is memory for slices that are all given up together. A reset keeps the chunks that were in use.
type slab[T any] struct {
	chunks [][]T
	used   int // chunks, the last of them in part
}

// take is an empty slice with room for n items. A slice that needs more than a chunk has memory of its own.
func (s *slab[T]) take(n int) []T {
	if n > slabItems {
		return make([]T, 0, n)
	}
	if s.used == 0 || cap(s.chunks[s.used-1])-len(s.chunks[s.used-1]) < n {
		if s.used == len(s.chunks) {
			s.chunks = append(s.chunks, make([]T, 0, slabItems))
		}
		s.used++
	}
	c := &s.chunks[s.used-1]
	from := len(*c)
	*c = (*c)[:from+n]
	return (*c)[from:from:len(*c)]
}

func (s *slab[T]) reset() {
	clear(s.chunks[s.used:])
	s.chunks = s.chunks[:s.used]
	for i := range s.chunks {
		s.chunks[i] = s.chunks[i][:0]
	}
	s.used = 0
}

// room is an empty slice with room for n items and one more, from the slab where there is one.
func room[T any](s *slab[T], n int) []T {
	switch {
	case s != nil && n > 0:
		return s.take(n + 1)
	case n > 0:
		return make([]T, 0, n)
	}
	return nil
}

// withRoom is a slice that one item can be added to, in memory of the slab where there is one.
func withRoom[T any](s *slab[T], x []T) []T {
	if s == nil || len(x) < cap(x) {
		return x
	}
	return append(s.take(2*len(x)+1), x...)
}

// slabs are the slabs for a ledger, each nil where the ledger has memory of its own.
type slabs struct {
	sightings *slab[sighting]
	ids       *slab[packedID]
	progress  *slab[progress]
	buckets   *slab[bucket]
	cells     *slab[cell]
	places    *slab[uint8]
	days      *slab[dayRun]
	marks     *slab[mark]
	amounts   *slab[periodAmount]
	values    *slab[string]
}

func (m *Ledgers) slabs() slabs {
	if m == nil {
		return slabs{}
	}
	return slabs{&m.sightings, &m.ids, &m.progress, &m.buckets, &m.cells, &m.places, &m.days, &m.marks, &m.amounts, &m.values}
}
