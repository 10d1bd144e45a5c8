package gateway

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/stampede-rewards/stampede/internal/disk"
	"github.com/stampede-rewards/stampede/pkg/campaign"
)

const (
	// DefaultSpoolBytes bounds a spool where the configuration says nothing else.
	DefaultSpoolBytes = 1 << 30
	// segmentBytes is the size from which on a new file is begun: what is forwarded is deleted a file at a time.
	segmentBytes = 16 << 20
	// spoolQueue bounds the requests that wait for the disk.
	spoolQueue = 4096
	// groupBytes bounds what is written between two syncs of the disk.
	groupBytes = 8 << 20

	segmentSuffix = ".events"
	forwardedName = "forwarded"
	lockName      = "lock"
	frameBytes    = 8 // of a record's length and checksum
)

// Spool keeps events on the disk until they are in Kafka. One goroutine writes: all that waits for it goes to the disk in one write and one
// sync, so many clients cost little more than one. A record is its length, its checksum (CRC-32C of what follows) and the event; records are
// numbered from 0 for ever, and a file is named by its first one.
type Spool struct {
	dir     string
	most    int64
	segment int64 // bytes from which on a new file is begun
	log     *slog.Logger
	unlock  func() error
	create  func(path string) (segmentFile, error)
	syncDir func(dir string) error
	queue   chan waiting
	ending  chan struct{}
	done    chan struct{}

	mu        sync.Mutex
	segments  []segment     // oldest first; the last one is written to
	next      uint64        // the number of the next record
	forwarded uint64        // the number of the first record that is not in Kafka
	grown     chan struct{} // closed when there are more records
	broken    error         // why the newest write failed; nil when one has succeeded since

	file segmentFile // of the last segment; the writer's alone
}

// segmentFile is a file that records are written to: an [os.File], and in tests one on a disk whose power fails.
type segmentFile interface {
	io.WriterAt
	io.Closer
	Sync() error
	Truncate(size int64) error
}

func createSegment(path string) (segmentFile, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_TRUNC, 0o600)
}

// segment is a file of the spool.
type segment struct {
	first uint64 // the number of its first record
	count uint64
	bytes int64 // that are written and synced
}

// waiting is a request that waits for the disk.
type waiting struct {
	records []byte // framed
	count   int
	done    chan<- error
}

// OpenSpool opens the spool of a directory, which is made if it is missing, and takes it for this process alone. What a crash has torn was never
// promised to anybody and is cut off. most bounds its size in bytes; 0 is DefaultSpoolBytes.
func OpenSpool(dir string, most int64, log *slog.Logger) (*Spool, error) {
	if most == 0 {
		most = DefaultSpoolBytes
	}
	s := &Spool{
		dir: dir, most: most, segment: min(segmentBytes, max(most/8, 1)), log: log, create: createSegment, syncDir: disk.SyncDir,
		queue: make(chan waiting, spoolQueue), ending: make(chan struct{}), done: make(chan struct{}), grown: make(chan struct{}),
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	var err error
	if s.unlock, err = disk.Lock(filepath.Join(dir, lockName)); errors.Is(err, disk.ErrInUse) {
		return nil, fmt.Errorf("spool %s is %w: give each gateway a directory of its own", dir, err)
	} else if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	if err := s.recover(); err != nil {
		return nil, errors.Join(err, s.unlock())
	}
	go s.write()
	return s, nil
}

// recover reads what there is.
func (s *Spool) recover() error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	for _, e := range entries {
		number, ok := strings.CutSuffix(e.Name(), segmentSuffix)
		if !ok {
			continue
		}
		first, err := strconv.ParseUint(number, 10, 64)
		if err != nil {
			return fmt.Errorf("spool: %s is no file of a spool: move it away", filepath.Join(s.dir, e.Name()))
		}
		s.segments = append(s.segments, segment{first: first})
	}
	slices.SortFunc(s.segments, func(a, b segment) int { return strings.Compare(name(a.first), name(b.first)) })
	text, err := os.ReadFile(filepath.Join(s.dir, forwardedName))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("spool: %w", err)
	}
	if len(text) > 0 { // a power cut can leave it empty
		if s.forwarded, err = strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64); err != nil {
			return fmt.Errorf("spool: %s has no number: delete it, and what the spool has is sent again, under the same ids", filepath.Join(s.dir, forwardedName))
		}
	}
	for i := range s.segments {
		if err := s.measure(i); err != nil {
			return err
		}
	}
	if n := len(s.segments); n > 0 {
		s.next = s.segments[n-1].first + s.segments[n-1].count
		s.forwarded = max(s.forwarded, s.segments[0].first)
	}
	if s.forwarded > s.next {
		s.next = s.forwarded // all that there was is in Kafka, and the files are gone
	}
	return nil
}

// measure finds out how many records a file has.
func (s *Spool) measure(i int) error {
	seg := &s.segments[i]
	path := s.path(seg.first)
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	most := uint64(math.MaxUint64)
	if i+1 < len(s.segments) { // behind that there may be what could not be synced, and was written again
		most = s.segments[i+1].first - seg.first
	}
	in := newRecords(f)
	for seg.count < most {
		if _, err = in.next(); err != nil {
			break
		}
		seg.count++
	}
	seg.bytes = in.read
	switch {
	case err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, errTorn):
		return fmt.Errorf("spool: %w", err)
	case i+1 == len(s.segments):
	case seg.count < most:
		return fmt.Errorf("spool: %s is damaged at byte %d: %d events that were accepted can't be read; restore the file, or move it away and lose them", path, seg.bytes, most-seg.count)
	default:
		return nil
	}
	if errors.Is(err, errTorn) {
		s.log.Warn("the end of the spool was torn by a crash and is cut off: nobody was told that it was accepted", "file", path, "at", seg.bytes)
		if err := os.Truncate(path, seg.bytes); err != nil {
			return fmt.Errorf("spool: %w", err)
		}
	}
	return nil
}

func name(first uint64) string { return fmt.Sprintf("%020d%s", first, segmentSuffix) }

func (s *Spool) path(first uint64) string { return filepath.Join(s.dir, name(first)) }

// Take writes events, and returns when they are on the disk.
func (s *Spool) Take(_ context.Context, events []Event) []error {
	w := waiting{count: len(events)}
	for i := range events {
		w.records = appendRecord(w.records, &events[i])
	}
	done := make(chan error, 1)
	w.done = done
	select {
	case <-s.ending:
		return failed(events, ErrClosing)
	case s.queue <- w:
	default:
		return failed(events, ErrBusy)
	}
	select {
	case err := <-done:
		return failed(events, err)
	case <-s.done:
	}
	select {
	case err := <-done: // it was written before the end
		return failed(events, err)
	default:
		return failed(events, ErrClosing)
	}
}

// write is the one goroutine that writes.
func (s *Spool) write() {
	defer close(s.done)
	var group []waiting
	for {
		var first waiting
		select {
		case <-s.ending:
			return
		case first = <-s.queue:
		}
		group = group[:0]
		size := s.Bytes()
		end := size + groupBytes
		take := func(w waiting) {
			if size+int64(len(w.records)) > s.most {
				w.done <- ErrFull
				return
			}
			group, size = append(group, w), size+int64(len(w.records))
		}
		take(first)
		for more := true; more && size < end; {
			select {
			case w := <-s.queue:
				take(w)
			default:
				more = false
			}
		}
		if len(group) == 0 {
			continue
		}
		err := s.append(group)
		for _, w := range group {
			w.done <- err
		}
	}
}

// append writes a group of records behind the others and waits for the disk. After an error nothing of the group is there: the file ends
// where it ended before, and the next group begins a new one, because what a disk has after a failed sync is not known.
func (s *Spool) append(group []waiting) (err error) {
	var data []byte
	count := 0
	for _, w := range group {
		data = append(data, w.records...)
		count += w.count
	}
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.broken = err; err != nil {
			return
		}
		seg := &s.segments[len(s.segments)-1]
		seg.count += uint64(count) //nolint:gosec // positive
		seg.bytes += int64(len(data))
		s.next += uint64(count) //nolint:gosec // positive
		close(s.grown)
		s.grown = make(chan struct{})
	}()
	if err := s.room(); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	s.mu.Lock()
	end := s.segments[len(s.segments)-1].bytes
	s.mu.Unlock()
	_, err = s.file.WriteAt(data, end)
	if err == nil {
		err = s.file.Sync()
	}
	if err == nil {
		return nil
	}
	s.log.Error("the spool can't be written: events are refused until it can", "error", err)
	err = errors.Join(err, s.file.Truncate(end), s.file.Close())
	s.file = nil
	return fmt.Errorf("spool: %w", err)
}

// room sees to it that there is a file to write to.
func (s *Spool) room() error {
	s.mu.Lock()
	n, next := len(s.segments), s.next
	fits := n > 0 && s.segments[n-1].bytes < s.segment
	s.mu.Unlock()
	if s.file != nil && fits {
		return nil
	}
	if s.file != nil {
		if err := s.file.Close(); err != nil {
			return err
		}
		s.file = nil
	}
	file, err := s.create(s.path(next))
	if err != nil {
		return err
	}
	if err := s.syncDir(s.dir); err != nil {
		return errors.Join(err, file.Close())
	}
	s.file = file
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.segments); n == 0 || s.segments[n-1].first != next {
		s.segments = append(s.segments, segment{first: next})
	}
	return nil
}

// Ready says why nothing can be written.
func (s *Spool) Ready() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broken
}

// Bytes is how much of the disk the spool takes.
func (s *Spool) Bytes() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	total := int64(0)
	for _, seg := range s.segments {
		total += seg.bytes
	}
	return total
}

// Waiting is how many events are not in Kafka yet.
func (s *Spool) Waiting() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.next - s.forwarded
}

// Forwarded notes that all records before a number are in Kafka, and deletes the files that have no others. A crash that forgets it costs
// nothing but events that are sent again.
func (s *Spool) Forwarded(number uint64) error {
	s.mu.Lock()
	s.forwarded = max(s.forwarded, number)
	var gone []uint64
	for len(s.segments) > 1 && s.segments[0].first+s.segments[0].count <= s.forwarded {
		gone = append(gone, s.segments[0].first)
		s.segments = s.segments[1:]
	}
	text := strconv.FormatUint(s.forwarded, 10) + "\n"
	s.mu.Unlock()
	temporary := filepath.Join(s.dir, forwardedName+".new")
	if err := os.WriteFile(temporary, []byte(text), 0o600); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	errs := []error{os.Rename(temporary, filepath.Join(s.dir, forwardedName))}
	for _, first := range gone {
		errs = append(errs, os.Remove(s.path(first)))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	return nil
}

// Close ends the writing. What waits for it is told ErrClosing.
func (s *Spool) Close() error {
	close(s.ending)
	<-s.done
	var err error
	if s.file != nil {
		err = s.file.Close()
	}
	return errors.Join(err, s.unlock())
}

// cursor reads the records that are on the disk, from a number on.
type cursor struct {
	spool  *Spool
	number uint64 // of the next record
	file   *os.File
	first  uint64   // of the file
	offset int64    // in it, of what follows in
	in     *records // of what was synced when it was made
}

// next is the next record; false where there is none yet.
func (c *cursor) next() (number uint64, e Event, ok bool, err error) {
	for {
		if c.in == nil {
			if ok, err := c.fill(); !ok || err != nil {
				return 0, Event{}, false, err
			}
		}
		record, err := c.in.next()
		if errors.Is(err, io.EOF) {
			c.offset += c.in.read
			c.in = nil
			continue
		}
		if err == nil {
			e, err = readEvent(record)
		}
		if err != nil {
			return 0, Event{}, false, fmt.Errorf("spool: %s at byte %d: %w", c.file.Name(), c.offset+c.in.read, err)
		}
		c.number++
		return c.number - 1, e, true, nil
	}
}

// fill finds the next record's file and what of it is on the disk; false where nothing is.
func (c *cursor) fill() (ok bool, err error) {
	s := c.spool
	s.mu.Lock()
	i := slices.IndexFunc(s.segments, func(seg segment) bool { return seg.first <= c.number && c.number < seg.first+seg.count })
	var seg segment
	if i >= 0 {
		seg = s.segments[i]
	}
	s.mu.Unlock()
	if i < 0 {
		return false, nil
	}
	if c.file == nil || c.first != seg.first {
		if err := c.close(); err != nil {
			return false, err
		}
		if c.file, err = os.Open(s.path(seg.first)); err != nil {
			return false, fmt.Errorf("spool: %w", err)
		}
		c.first, c.offset = seg.first, 0
		skip := newRecords(io.NewSectionReader(c.file, 0, seg.bytes))
		for range c.number - seg.first {
			if _, err := skip.next(); err != nil {
				return false, fmt.Errorf("spool: %s at byte %d: %w", c.file.Name(), skip.read, err)
			}
		}
		c.offset = skip.read
	}
	c.in = newRecords(io.NewSectionReader(c.file, c.offset, seg.bytes-c.offset))
	return true, nil
}

func (c *cursor) close() error {
	if c.file == nil {
		return nil
	}
	err := c.file.Close()
	c.file = nil
	return err
}

// more is closed when there are records from a number on.
func (s *Spool) more(from uint64) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if from < s.next {
		now := make(chan struct{})
		close(now)
		return now
	}
	return s.grown
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendRecord frames an event: the user's length and the user, the number of headers and each as two texts, the value to the end.
func appendRecord(dst []byte, e *Event) []byte {
	start := len(dst)
	dst = append(dst, make([]byte, frameBytes)...)
	text := func(s string) { dst = append(binary.AppendUvarint(dst, uint64(len(s))), s...) }
	text(e.User)
	dst = binary.AppendUvarint(dst, uint64(len(e.Headers)))
	for _, h := range e.Headers {
		text(h.Key)
		text(string(h.Value))
	}
	dst = append(dst, e.Value...)
	body := dst[start+frameBytes:]
	binary.LittleEndian.PutUint32(dst[start:], uint32(len(body))) //nolint:gosec // a request is smaller
	binary.LittleEndian.PutUint32(dst[start+4:], crc32.Checksum(body, castagnoli))
	return dst
}

var (
	errTorn     = errors.New("there is no whole record")
	errNoRecord = errors.New("the record is no event: was it written by a newer version?")
)

func readEvent(record []byte) (e Event, err error) {
	text := func() []byte {
		n, size := binary.Uvarint(record)
		if size <= 0 || n > uint64(len(record)-size) {
			err = errNoRecord
			return nil
		}
		t := record[size : size+int(n)] //nolint:gosec // not more than there is
		record = record[size+int(n):]   //nolint:gosec // the same
		return t
	}
	e.User = string(text())
	count, size := binary.Uvarint(record)
	if err != nil || size <= 0 || count > uint64(len(record)) {
		return e, errNoRecord
	}
	record = record[size:]
	for range count {
		key := string(text())
		e.Headers = append(e.Headers, campaign.Header{Key: key, Value: bytes.Clone(text())})
	}
	e.Value = bytes.Clone(record)
	return e, err
}

// records reads framed records.
type records struct {
	in     *bufio.Reader
	buffer []byte
	read   int64 // bytes of whole records
}

// maxRecordBytes bounds a record: a larger length is no length.
const maxRecordBytes = 64 << 20

func newRecords(r io.Reader) *records { return &records{in: bufio.NewReaderSize(r, 64<<10)} }

// next is the next record, valid until the next call; io.EOF at the end, errTorn where no whole record is.
func (r *records) next() ([]byte, error) {
	var frame [frameBytes]byte
	if _, err := io.ReadFull(r.in, frame[:]); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, errTorn
		}
		return nil, err
	}
	n := binary.LittleEndian.Uint32(frame[:])
	if n == 0 || n > maxRecordBytes {
		return nil, errTorn
	}
	r.buffer = slices.Grow(r.buffer[:0], int(n))[:n]
	if _, err := io.ReadFull(r.in, r.buffer); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, errTorn
		}
		return nil, err
	}
	if crc32.Checksum(r.buffer, castagnoli) != binary.LittleEndian.Uint32(frame[4:]) {
		return nil, errTorn
	}
	r.read += frameBytes + int64(n)
	return r.buffer, nil
}
