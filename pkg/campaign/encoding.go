package campaign

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"
)

// The encoding of a ledger, version 2. Integers are varints (uvarint, or zigzag where they can be negative), strings and
// blocks have their length in front, times are differences to the one before:
//
//	byte      version
//	due       Unix ms, 0 for never
//	known     Unix ms, 0 for none
//	seen      n, n x (time difference in ms, fingerprint)
//	zones     n, n x (time difference in ns, zone name)
//	attributes n, n x (name, m, m x (time difference in ns, length+1 and JSON text, 0 where removed))
//	excused   n, n x (campaign key or 0: 8 bytes big endian, days)
//	ids       n, n x (2 x length and text, or 1 and 16 bytes of a UUID in its usual spelling), each one that a bucket names
//	progress  n, n x (campaign key, paid, part and flags, from in ns where part is not 0, before, epoch, revision and claims where a flag says so, buckets)
//	claims    those that wait, those that were denied
//	buckets   n, n x (period difference, paid, count, latest in ns where there is a count, and its civil date as a difference to that in UTC, m, m x place in ids, cells)
//	cells     n, n x (leaf, what follows as bits, then in this order: period, count, sum, days, amounts, marks, values)
//	days      n, n x (first day difference, days in the run - 1)
//	amounts   n, n x (period difference, amount)
//	marks     what they have as bits; n, n x (time difference in ns, day difference, then what they have: id, amount, value, steps)
//	values    n, n x text
//
// Version 1 has no civil dates. A ledger in which none is known is still written so: there is one encoding of a ledger, and every later version reads this one.
const (
	encodingVersion   = 2
	versionWithoutDay = 1
)

// dayUnknown is written for a civil date that is not known, of a ledger that has others. Where one is, it is at most two days before that in UTC (the clocks are
// behind, and `day_starts` is late), and at most one behind it.
const dayUnknown = 2

// Append writes the ledger behind dst.
func (l *Ledger) Append(dst []byte) []byte {
	start, version := len(dst), l.version()
	dst = append(dst, version)
	dst = binary.AppendVarint(dst, l.due)
	dst = binary.AppendVarint(dst, l.known)

	dst = binary.AppendUvarint(dst, uint64(len(l.seen.list)))
	previous := int64(0)
	for _, s := range l.seen.list {
		dst = binary.AppendVarint(dst, s.at-previous)
		dst = append(dst, s.id[:]...)
		previous = s.at
	}

	dst = binary.AppendUvarint(dst, uint64(len(l.profile.zones)))
	previous = 0
	for _, z := range l.profile.zones {
		dst = binary.AppendVarint(dst, z.at-previous)
		dst = appendText(dst, z.zone.name)
		previous = z.at
	}

	dst = binary.AppendUvarint(dst, uint64(len(l.profile.attributes)))
	for _, a := range l.profile.attributes {
		dst = appendText(dst, a.name)
		dst = binary.AppendUvarint(dst, uint64(len(a.versions)))
		previous = 0
		for _, v := range a.versions {
			dst = binary.AppendVarint(dst, v.at-previous)
			if v.value == nil {
				dst = append(dst, 0)
			} else {
				dst = binary.AppendUvarint(dst, uint64(len(v.value))+1)
				dst = append(dst, v.value...)
			}
			previous = v.at
		}
	}

	dst = binary.AppendUvarint(dst, uint64(len(l.excused)))
	for _, x := range l.excused {
		dst = binary.BigEndian.AppendUint64(dst, x.campaign)
		dst = x.dates.append(dst)
	}

	dst = binary.AppendUvarint(dst, uint64(len(l.ids)))
	for _, id := range l.ids {
		dst = append(dst, id...)
	}

	dst = binary.AppendUvarint(dst, uint64(len(l.progress)))
	for i := range l.progress {
		dst = l.progress[i].append(dst, version)
	}
	l.sizeBound = len(dst) - start
	return dst
}

// version is that of the ledger's encoding.
func (l *Ledger) version() byte {
	for i := range l.progress {
		for j := range l.progress[i].buckets {
			if b := &l.progress[i].buckets[j]; b.count > 0 && b.day != noDay {
				return encodingVersion
			}
		}
	}
	return versionWithoutDay
}

// appendDay writes the civil date of a bucket's latest time.
func (b *bucket) appendDay(dst []byte) []byte {
	if b.day == noDay {
		return binary.AppendVarint(dst, dayUnknown)
	}
	return binary.AppendVarint(dst, int64(b.day-civilAt(b.latest, 0).day))
}

// What a progress has, as bits beside its part.
const (
	partBits         = 1<<2 - 1
	progressTried    = 1 << 2
	progressBefore   = 1 << 3
	progressEpoch    = 1 << 4
	progressRevision = 1 << 5
	progressClaims   = 1 << 6
	progressBits     = 1<<7 - 1
)

func (p *progress) has() byte {
	has := byte(p.part)
	if p.tried {
		has |= progressTried
	}
	if p.before != 0 {
		has |= progressBefore
	}
	if p.epoch != 0 {
		has |= progressEpoch
	}
	if p.revision != 0 {
		has |= progressRevision
	}
	if p.waiting != 0 || p.denied != 0 {
		has |= progressClaims
	}
	return has
}

func (p *progress) append(dst []byte, version byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, p.campaign)
	dst = binary.AppendUvarint(dst, p.paid)
	has := p.has()
	dst = append(dst, has)
	if p.part != byDefault {
		dst = binary.AppendVarint(dst, p.from)
	}
	if has&progressBefore != 0 {
		dst = binary.AppendUvarint(dst, p.before)
	}
	if has&progressEpoch != 0 {
		dst = binary.AppendUvarint(dst, p.epoch)
	}
	if has&progressRevision != 0 {
		dst = binary.AppendUvarint(dst, p.revision)
	}
	if has&progressClaims != 0 {
		dst = binary.AppendUvarint(dst, p.waiting)
		dst = binary.AppendUvarint(dst, p.denied)
	}
	dst = binary.AppendUvarint(dst, uint64(len(p.buckets)))
	previous := period(0)
	for i := range p.buckets {
		b := &p.buckets[i]
		dst = binary.AppendVarint(dst, int64(b.period-previous))
		previous = b.period
		dst = binary.AppendUvarint(dst, b.paid)
		dst = binary.AppendUvarint(dst, b.count)
		if b.count > 0 {
			dst = binary.AppendVarint(dst, b.latest)
			if version != versionWithoutDay {
				dst = b.appendDay(dst)
			}
		}
		dst = binary.AppendUvarint(dst, uint64(len(b.ids)))
		for _, at := range b.ids {
			dst = binary.AppendUvarint(dst, uint64(at)) //nolint:gosec // a place is not negative
		}
		dst = binary.AppendUvarint(dst, uint64(len(b.cells)))
		for j := range b.cells {
			dst = b.cells[j].append(dst)
		}
	}
	return dst
}

// What a cell has, as bits.
const (
	cellPeriod = 1 << iota
	cellCount
	cellSum
	cellDays
	cellAmounts
	cellMarks
	cellValues
	cellBits = 1<<iota - 1
)

func (c *cell) has() byte {
	var has byte
	note := func(bit byte, present bool) {
		if present {
			has |= bit
		}
	}
	note(cellPeriod, c.period != 0)
	note(cellCount, c.count != 0)
	note(cellSum, c.sum != 0)
	note(cellDays, len(c.days) > 0)
	note(cellAmounts, len(c.amounts) > 0)
	note(cellMarks, len(c.marks) > 0)
	note(cellValues, len(c.values) > 0)
	return has
}

func (c *cell) append(dst []byte) []byte {
	has := c.has()
	dst = append(binary.AppendUvarint(dst, uint64(c.leaf)), has) //nolint:gosec // small
	if has&cellPeriod != 0 {
		dst = binary.AppendVarint(dst, int64(c.period))
	}
	if has&cellCount != 0 {
		dst = binary.AppendUvarint(dst, c.count)
	}
	if has&cellSum != 0 {
		dst = binary.AppendVarint(dst, c.sum)
	}
	if has&cellDays != 0 {
		dst = c.days.append(dst)
	}
	if has&cellAmounts != 0 {
		dst = binary.AppendUvarint(dst, uint64(len(c.amounts)))
		previous := period(0)
		for _, a := range c.amounts {
			dst = binary.AppendVarint(dst, int64(a.period-previous))
			dst = binary.AppendVarint(dst, a.amount)
			previous = a.period
		}
	}
	if has&cellMarks != 0 {
		dst = appendMarks(dst, c.marks)
	}
	if has&cellValues != 0 {
		dst = binary.AppendUvarint(dst, uint64(len(c.values)))
		for _, v := range c.values {
			dst = appendText(dst, v)
		}
	}
	return dst
}

// What any mark of a cell has, as bits.
const (
	markID = 1 << iota
	markAmount
	markValue
	markSteps
	markBits = 1<<iota - 1
)

func haveMarks(marks []mark) (has byte) {
	for i := range marks {
		m := &marks[i]
		if m.id != "" {
			has |= markID
		}
		if m.amount != 0 {
			has |= markAmount
		}
		if m.value != "" {
			has |= markValue
		}
		if m.steps != 0 {
			has |= markSteps
		}
	}
	return has
}

func appendMarks(dst []byte, marks []mark) []byte {
	has := haveMarks(marks)
	dst = binary.AppendUvarint(append(dst, has), uint64(len(marks)))
	previous := mark{}
	for i := range marks {
		m := &marks[i]
		dst = binary.AppendVarint(dst, m.at-previous.at)
		dst = binary.AppendVarint(dst, int64(m.day)-int64(previous.day))
		if has&markID != 0 {
			dst = appendID(dst, m.id)
		}
		if has&markAmount != 0 {
			dst = binary.AppendVarint(dst, m.amount)
		}
		if has&markValue != 0 {
			dst = appendText(dst, m.value)
		}
		if has&markSteps != 0 {
			dst = binary.AppendUvarint(dst, m.steps)
		}
		previous = *m
	}
	return dst
}

func (d days) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(d)))
	previous := Day(0)
	for _, r := range d {
		dst = binary.AppendVarint(dst, int64(r.first)-int64(previous))
		dst = binary.AppendUvarint(dst, uint64(r.last-r.first))
		previous = r.last
	}
	return dst
}

func appendText(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

// appendID writes an event id; one that is a UUID in its usual spelling takes 17 bytes instead of 37.
func appendID(dst []byte, id string) []byte {
	if packed, ok := packUUID(id); ok {
		return append(append(dst, 1), packed[:]...)
	}
	dst = binary.AppendUvarint(dst, uint64(len(id))<<1)
	return append(dst, id...)
}

const (
	uuidLength      = 36
	packedUUIDBytes = 16
	// maxIDHead is the most that stands before an id's text.
	maxIDHead = binary.MaxVarintLen64
)

func packUUID(id string) (packed [packedUUIDBytes]byte, ok bool) {
	if len(id) != uuidLength || id[8] != '-' || id[13] != '-' || id[18] != '-' || id[23] != '-' {
		return packed, false
	}
	n, wrong := 0, byte(0)
	for _, part := range [...]string{id[:8], id[9:13], id[14:18], id[19:23], id[24:]} {
		for i := 0; i < len(part); i += 2 {
			high, low := hexValues[part[i]], hexValues[part[i+1]]
			packed[n] = high<<4 | low
			wrong |= high | low
			n++
		}
	}
	return packed, wrong < notHex
}

// hexValues are small hexadecimal digits' values, and notHex for all other bytes.
var hexValues = func() (values [256]byte) {
	for c := range values {
		switch {
		case c >= '0' && c <= '9':
			values[c] = byte(c - '0')
		case c >= 'a' && c <= 'f':
			values[c] = byte(c - 'a' + 10)
		default:
			values[c] = notHex
		}
	}
	return values
}()

const notHex = 0x80

func formatUUID(b []byte) string {
	var dst [uuidLength]byte
	hex.Encode(dst[0:8], b[0:4])
	hex.Encode(dst[9:13], b[4:6])
	hex.Encode(dst[14:18], b[6:8])
	hex.Encode(dst[19:23], b[8:10])
	hex.Encode(dst[24:36], b[10:16])
	dst[8], dst[13], dst[18], dst[23] = '-', '-', '-', '-'
	return string(dst[:])
}

var errLedger = errors.New("this is no ledger")

// Decode reads a ledger. It accepts only what Append writes, so that a damaged value is an error and never a wrong state.
// Nothing of src is kept.
func Decode(src []byte) (*Ledger, error) { return decodeInto(&Ledger{}, src) }

// WithoutDates is an encoded ledger without the civil dates that version 2 knows, as version 1 would have written it: to compare the two by.
func WithoutDates(src []byte) ([]byte, error) {
	l, err := Decode(src)
	if err != nil {
		return nil, err
	}
	for i := range l.progress {
		for j := range l.progress[i].buckets {
			l.progress[i].buckets[j].day = noDay
		}
	}
	return l.Append(nil), nil
}

// decodeInto reads a ledger into an empty one. It refers to src if its memory is shared.
func decodeInto(l *Ledger, src []byte) (*Ledger, error) {
	d := &decoding{src: src, refers: l.in != nil, slabs: l.in.slabs()}
	d.ledger(l)
	switch {
	case d.err != nil:
		return nil, d.err
	case d.left() > 0:
		return nil, fmt.Errorf("%w: %d bytes behind its end", errLedger, d.left())
	}
	l.sizeBound = len(src) + d.undated // which may become longer by a byte each
	return l, nil
}

// DueOf is the Due of an encoded ledger, Unix ms, without the rest of it.
func DueOf(src []byte) (int64, error) {
	d := &decoding{src: src}
	d.readVersion()
	due := d.varint()
	return due, d.err
}

// decoding reads src; after its first error it reads zeros.
type decoding struct {
	src     []byte
	at      int // what is before was read
	err     error
	version byte
	undated int  // buckets whose civil date is not known
	dated   bool // one has one
	refers  bool // what is read refers to src, and is not a copy
	slabs   slabs
	used    [maxPlaces]bool // ids that a bucket names
}

func (d *decoding) readVersion() {
	d.version = d.bytes(1)[0]
	if d.err == nil && d.version != encodingVersion && d.version != versionWithoutDay {
		d.err = fmt.Errorf("%w: version %d, this program reads version %d: it was written by a newer one", errLedger, d.version, encodingVersion)
	}
}

func (d *decoding) ledger(l *Ledger) {
	if d.readVersion(); d.err != nil {
		return
	}
	if l.due, l.known = d.varint(), d.varint(); l.due < 0 {
		d.fail("due at %d", l.due)
	}
	previous := int64(0)
	n := d.count(1 + fingerprintBytes)
	from := d.at
	l.seen.list = room(d.slabs.sightings, n)
	for range n {
		at := d.after(previous, len(l.seen.list) == 0, true)
		l.seen.list = append(l.seen.list, sighting{at, fingerprint(d.bytes(fingerprintBytes))})
		previous = at
	}
	l.seen.bytes = d.at - from
	previous = 0
	for range d.count(2) {
		at := d.after(previous, len(l.profile.zones) == 0, false)
		name := d.text()
		z := loadZone(name)
		if z == nil {
			d.fail("no zone %q in the tz database %s", name, ZoneVersion)
			return
		}
		l.profile.zones = append(l.profile.zones, zoneChange{at, z})
		previous = at
	}
	for range d.count(3) {
		a := attribute{name: d.text()}
		if n := len(l.profile.attributes); n > 0 && a.name <= l.profile.attributes[n-1].name {
			d.fail("attributes out of order")
		}
		previous = 0
		for range d.count(2) {
			at := d.after(previous, len(a.versions) == 0, false)
			a.versions = append(a.versions, version{at, d.value()})
			previous = at
		}
		if len(a.versions) == 0 {
			d.fail("an attribute without a value")
		}
		l.profile.attributes = append(l.profile.attributes, a)
	}
	for range d.count(8 + 1) {
		x := excused{campaign: binary.BigEndian.Uint64(d.bytes(8)), dates: d.days()}
		if n := len(l.excused); len(x.dates) == 0 || n > 0 && x.campaign <= l.excused[n-1].campaign {
			d.fail("excused dates out of order")
		}
		l.excused = append(l.excused, x)
	}
	if n = d.count(2); n > maxPlaces {
		d.fail("%d event ids", n)
		return
	}
	l.ids = room(d.slabs.ids, n)
	for range n {
		l.ids = append(l.ids, d.packedID())
	}
	n = d.count(8 + 3)
	l.progress = room(d.slabs.progress, n)
	for range n {
		l.progress = l.progress[:len(l.progress)+1]
		p := &l.progress[len(l.progress)-1]
		d.progress(p, len(l.ids))
		if n := len(l.progress); n > 1 && p.campaign <= l.progress[n-2].campaign {
			d.fail("campaigns out of order")
		}
	}
	if slices.Contains(d.used[:len(l.ids)], false) {
		d.fail("an event's id that nothing names")
	}
	if d.version != versionWithoutDay && !d.dated {
		d.fail("version %d, and no civil date", d.version)
	}
}

// progress reads a progress of a ledger with so many ids.
func (d *decoding) progress(p *progress, ids int) {
	*p = progress{campaign: binary.BigEndian.Uint64(d.bytes(8)), paid: d.uvarint()}
	has := d.bytes(1)[0]
	p.part, p.tried = taking(has&partBits), has&progressTried != 0
	if p.part > out || has > progressBits {
		d.fail("a part in a campaign that does not exist")
	}
	if p.part != byDefault {
		p.from = d.varint()
	}
	if has&progressBefore != 0 {
		p.before = d.uvarint()
	}
	if has&progressEpoch != 0 {
		p.epoch = d.uvarint()
	}
	if has&progressRevision != 0 {
		p.revision = d.uvarint()
	}
	if has&progressClaims != 0 {
		p.waiting, p.denied = d.uvarint(), d.uvarint()
	}
	if p.has() != has {
		d.fail("a progress says that it has what it has not")
	}
	previous := period(0)
	n := d.count(5)
	p.buckets = room(d.slabs.buckets, n)
	for range n {
		p.buckets = p.buckets[:len(p.buckets)+1]
		b := &p.buckets[len(p.buckets)-1]
		*b = bucket{period: previous + period(d.varint()), paid: d.uvarint(), count: d.uvarint()}
		if b.count > 0 {
			b.latest = d.varint()
			b.day = d.dayOf(b.latest)
		}
		if len(p.buckets) > 1 && b.period <= previous {
			d.fail("periods out of order")
		}
		previous = b.period
		n := d.count(1)
		b.ids = room(d.slabs.places, n)
		for _, at := range d.bytes(n) { // each is its own varint: it is below maxPlaces
			if int(at) >= ids {
				d.fail("event id %d", at)
				break
			}
			d.used[at] = true
			b.ids = append(b.ids, at)
		}
		if len(b.ids) > maxEvidence {
			d.fail("%d event ids", len(b.ids))
		}
		n = d.count(2)
		b.cells = room(d.slabs.cells, n)
		for range n {
			b.cells = b.cells[:len(b.cells)+1]
			c := &b.cells[len(b.cells)-1]
			d.cell(c)
			if n := len(b.cells); n > 1 && c.compare(b.cells[n-2].leaf, b.cells[n-2].period) <= 0 {
				d.fail("cells out of order")
			}
		}
	}
}

// dayOf reads the civil date of a time, Unix ns.
func (d *decoding) dayOf(at int64) Day {
	if d.version != versionWithoutDay {
		switch later := d.varint(); {
		case later == dayUnknown:
		case later < -2 || later > 1:
			d.fail("a civil date %d days later than in UTC", later)
		default:
			d.dated = true
			return civilAt(at, 0).day + Day(later) //nolint:gosec // just bounded
		}
	}
	d.undated++
	return noDay
}

func (d *decoding) cell(c *cell) {
	*c = cell{}
	leaf := d.uvarint()
	if leaf >= maxLeaves {
		d.fail("leaf %d", leaf)
		return
	}
	c.leaf = int(leaf)
	has := d.bytes(1)[0]
	if has&^byte(cellBits) != 0 {
		d.fail("a cell of an unknown form")
	}
	if has&cellPeriod != 0 {
		c.period = period(d.varint())
	}
	if has&cellCount != 0 {
		c.count = d.uvarint()
	}
	if has&cellSum != 0 {
		c.sum = d.varint()
	}
	if has&cellDays != 0 {
		c.days = d.days()
	}
	if has&cellAmounts != 0 {
		previous := period(0)
		n := d.count(2)
		c.amounts = room(d.slabs.amounts, n)
		for range n {
			a := periodAmount{previous + period(d.varint()), d.varint()}
			if len(c.amounts) > 0 && a.period <= previous {
				d.fail("periods out of order")
			}
			previous = a.period
			c.amounts = append(c.amounts, a)
		}
	}
	if has&cellMarks != 0 {
		c.marks = d.marks()
	}
	if has&cellValues != 0 {
		n := d.count(1)
		c.values = room(d.slabs.values, n)
		for range n {
			v := d.text()
			if n := len(c.values); n > 0 && v <= c.values[n-1] {
				d.fail("values out of order")
			}
			c.values = append(c.values, v)
		}
	}
	if d.err == nil && c.has() != has {
		d.fail("a cell says that it has what it has not")
	}
}

func (d *decoding) marks() (marks []mark) {
	has := d.bytes(1)[0]
	if has&^byte(markBits) != 0 {
		d.fail("marks of an unknown form")
	}
	previous := mark{}
	n := d.count(2)
	marks = room(d.slabs.marks, n)
	for range n {
		m := mark{at: previous.at + d.varint()}
		day := int64(previous.day) + d.varint()
		if m.day = Day(day); int64(m.day) != day { //nolint:gosec // checked
			d.fail("a day out of range")
		}
		if has&markID != 0 {
			m.id = d.id()
		}
		if has&markAmount != 0 {
			m.amount = d.varint()
		}
		if has&markValue != 0 {
			m.value = d.text()
		}
		if has&markSteps != 0 {
			m.steps = d.uvarint()
		}
		marks = append(marks, m)
		previous = m
	}
	if d.err == nil && haveMarks(marks) != has {
		d.fail("marks say that they have what they have not")
	}
	return marks
}

func (d *decoding) days() days {
	previous := int64(0)
	n := d.count(2)
	runs := days(room(d.slabs.days, n))
	for range n {
		first := previous + d.varint()
		last := first + int64(d.uvarint()&(1<<40-1))
		if int64(Day(first)) != first || int64(Day(last)) != last || last < first || len(runs) > 0 && first <= previous+1 {
			d.fail("days out of order")
		}
		runs = append(runs, dayRun{Day(first), Day(last)})
		previous = last
	}
	return runs
}

func (d *decoding) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s", errLedger, fmt.Sprintf(format, args...))
	}
	d.src, d.at = nil, 0
}

// left is how many bytes are left to read.
func (d *decoding) left() int { return len(d.src) - d.at }

// zeros is what is read behind an error: longer than any field of fixed length.
var zeros [32]byte

func (d *decoding) bytes(n int) []byte {
	if d.left() < n {
		d.fail("it ends too early")
		return zeros[:min(n, len(zeros))]
	}
	d.at += n
	return d.src[d.at-n : d.at]
}

// uvarint reads an integer in its shortest form: a longer one would be a second encoding of the same ledger.
func (d *decoding) uvarint() uint64 {
	if d.at < len(d.src) && d.src[d.at] < 0x80 { // most are small
		d.at++
		return uint64(d.src[d.at-1])
	}
	v, n := binary.Uvarint(d.src[d.at:])
	if n <= 0 || n > 1 && d.src[d.at+n-1] == 0 {
		d.fail("a broken number")
		return 0
	}
	d.at += n
	return v
}

func (d *decoding) varint() int64 {
	v := d.uvarint()
	return int64(v>>1) ^ -int64(v&1)
}

// count reads how many items follow, each of at least so many bytes: no damaged number makes the reader allocate more
// than a small multiple of what is there.
func (d *decoding) count(least int) int {
	n := d.uvarint()
	if n > uint64(d.left()/least) { //nolint:gosec // not negative
		d.fail("%d items in %d bytes", n, d.left())
		return 0
	}
	return int(n)
}

// after reads a time as a difference to the one before, which it must follow.
func (d *decoding) after(previous int64, first, same bool) int64 {
	at := previous + d.varint()
	if !first && (at < previous || at == previous && !same) {
		d.fail("times out of order")
	}
	return at
}

func (d *decoding) text() string { return d.string(d.uvarint()) }

func (d *decoding) string(n uint64) string {
	if n > uint64(d.left()) { //nolint:gosec // not negative
		d.fail("a text of %d bytes", n)
		return ""
	}
	s := d.keep(d.bytes(int(n))) //nolint:gosec // just bounded
	if !utf8.ValidString(s) {
		d.fail("a text that is not UTF-8")
	}
	return s
}

func (d *decoding) value() []byte {
	n := d.uvarint()
	if n == 0 {
		return nil
	}
	if n-1 > uint64(d.left()) { //nolint:gosec // not negative
		d.fail("a value of %d bytes", n-1)
		return nil
	}
	v := slices.Clone(d.bytes(int(n - 1))) //nolint:gosec // just bounded
	if v == nil {
		v = []byte{}
	}
	var doc document
	if d.err == nil && doc.parse(v) != nil {
		d.fail("an attribute's value that is not JSON")
	}
	return v
}

// keep is a piece of src as a text.
func (d *decoding) keep(b []byte) string {
	if d.refers {
		return alias(b)
	}
	return string(b)
}

// packedID reads an event's id and leaves it packed.
func (d *decoding) packedID() packedID {
	from := d.at
	switch n := d.uvarint(); {
	case n == 1:
		d.bytes(packedUUIDBytes)
	case n&1 == 1:
		d.fail("a broken event id")
	case n>>1 > uint64(d.left()): //nolint:gosec // not negative
		d.fail("a text of %d bytes", n>>1)
	default:
		text := d.bytes(int(n >> 1)) //nolint:gosec // just bounded
		if _, packs := packUUID(alias(text)); packs {
			d.fail("a UUID that is not packed")
		}
		if !utf8.Valid(text) {
			d.fail("a text that is not UTF-8")
		}
	}
	if d.err != nil {
		return ""
	}
	return packedID(d.keep(d.src[from:d.at]))
}

func (d *decoding) id() string {
	n := d.uvarint()
	if n&1 == 0 {
		s := d.string(n >> 1)
		if _, packs := packUUID(s); packs {
			d.fail("a UUID that is not packed")
		}
		return s
	}
	if n != 1 {
		d.fail("a broken event id")
	}
	return formatUUID(d.bytes(packedUUIDBytes))
}
