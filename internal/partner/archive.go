package partner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stampede-rewards/stampede/internal/disk"
	"github.com/stampede-rewards/stampede/internal/kafka"
)

// Archive writes a partner's outcomes to Parquet files in a directory, each once.
//
// A file is named TOPIC-PARTITION-FIRST-LAST.parquet, by the offsets of its records. It has another name until it is whole and on the disk, so the files say
// how far the topic has been read, and after a crash they are where to go on from. There is no other position that could disagree with them. Beside them
// TOPIC.source.json says which topic they are of.
type Archive struct {
	Connection kafka.Connection
	Topic      string
	Dir        string        // made if it is missing; one process at a time
	FileRows   int           // default 100,000: files are written when so many rows wait, those of all partitions together
	FileEvery  time.Duration // default 1 min: or when the first of them has waited so long
	Log        *slog.Logger  // default none
}

// ArchiveRow is an outcome in a file.
type ArchiveRow struct {
	Pseudonym string  `parquet:"pseudonym"`
	KeyID     string  `parquet:"key_id,dict"`
	Campaign  string  `parquet:"campaign,dict"`
	Sponsor   string  `parquet:"sponsor,dict"`
	Outcome   string  `parquet:"outcome,dict"`
	Cycle     string  `parquet:"cycle,dict"`
	Tier      string  `parquet:"tier,dict"`
	Date      int32   `parquet:"date,date"` // days since 1970-01-01
	Others    []Other `parquet:"other_pseudonyms,list"`
}

func (a Archive) withDefaults() Archive {
	if a.FileRows == 0 {
		a.FileRows = 100_000
	}
	if a.FileEvery == 0 {
		a.FileEvery = time.Minute
	}
	if a.Log == nil {
		a.Log = slog.New(slog.DiscardHandler)
	}
	return a
}

// archiving is an archive at work.
type archiving struct {
	Archive
	client  *kgo.Client
	source  source
	next    map[int32]int64 // by partition: the offset behind the newest file
	read    map[int32]int64 // by partition: the offset behind all that was read, markers of transactions, too
	waiting map[int32]*stretch
	rows    int
	since   time.Time // when the first of them came
}

// stretch is the rows of one partition that wait for their file.
type stretch struct {
	first, last int64
	rows        []ArchiveRow
}

// Run writes until ctx ends, and then what waits (nil). The error needs somebody: a disk that refuses, a directory that can't be right, Kafka.
func (a Archive) Run(ctx context.Context) (err error) {
	w := &archiving{Archive: a.withDefaults(), waiting: map[int32]*stretch{}, read: map[int32]int64{}}
	unlock, err := w.lock()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if w.next, err = w.positions(); err != nil {
		return err
	}
	if w.source, err = w.readSource(); err != nil {
		return err
	}
	w.client, err = a.Connection.Client(ctx, kgo.ConsumeResetOffset(kgo.NoResetOffset()), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())
	if err != nil {
		return err
	}
	defer w.client.Close()
	known := map[int32]bool{}
	for ctx.Err() == nil {
		topic, err := w.look(ctx)
		if ctx.Err() != nil {
			return nil // all that was read is in files
		}
		if err != nil {
			return err
		}
		if err := w.recognise(topic.ID.String()); err != nil {
			return err
		}
		w.consume(topic.Partitions, known)
		if err := w.fill(ctx); err != nil {
			return err
		}
		if err := w.write(); err != nil {
			return err
		}
	}
	return nil
}

// look looks at the topic. It tries until a broker answers.
func (w *archiving) look(ctx context.Context) (kadm.TopicDetail, error) {
	for again := (backoff{retryMin, retryMax}); ; {
		topic, err := lookUp(ctx, w.Connection, w.Topic)
		if err == nil || !passes(err) {
			return topic, err
		}
		wait := again.next(0)
		w.Log.Warn("the topic can't be looked at, it is tried again", "topic", w.Topic, "error", err, "wait", wait)
		if err := pause(ctx, wait); err != nil {
			return topic, err
		}
	}
}

// consume reads the partitions that are not read yet: the topic may have got some.
func (w *archiving) consume(partitions kadm.PartitionDetails, known map[int32]bool) {
	fresh := map[int32]kgo.Offset{}
	for n := range partitions {
		if known[n] {
			continue
		}
		known[n] = true
		fresh[n] = kgo.NewOffset().AtStart()
		at, ok := w.next[n]
		if !ok {
			continue
		}
		if passed := w.source.Passed[n]; passed[0] == at {
			at = passed[1]
		}
		w.read[n] = at
		fresh[n] = kgo.NewOffset().At(at)
	}
	if len(fresh) > 0 {
		w.client.AddConsumePartitions(map[string]map[int32]kgo.Offset{w.Topic: fresh})
	}
}

// recognise wants the topic to be the one that the files are of.
func (w *archiving) recognise(id string) error {
	switch w.source.TopicID {
	case id:
		return nil
	case "":
		w.source.TopicID = id
		return w.writeSource(w.source)
	}
	return fmt.Errorf("the files in %s are of another topic %s, which was deleted and made anew since: its offsets began anew, so the files don't say what of it is there. "+
		"Begin in another directory", w.Dir, w.Topic)
}

// fill takes records until files are to be written, or ctx ends.
func (w *archiving) fill(ctx context.Context) error {
	began := time.Now()
	for ctx.Err() == nil && w.rows < w.FileRows {
		if w.rows > 0 {
			began = w.since
		}
		left := time.Until(began.Add(w.FileEvery)) // without a row, too: partitions may be new
		if left <= 0 {
			return nil
		}
		waiting, cancel := context.WithTimeout(ctx, left)
		fetches := w.client.PollRecords(waiting, w.FileRows-w.rows)
		cancel()
		for _, f := range fetches.Errors() {
			switch {
			case errors.Is(f.Err, context.Canceled), errors.Is(f.Err, context.DeadlineExceeded):
			case errors.Is(f.Err, kerr.OffsetOutOfRange):
				return fmt.Errorf("the files in %s lead to an offset that %s/%d does not have: its retention was quicker, or the topic was cut off (%s). Begin in another directory",
					w.Dir, f.Topic, f.Partition, lostFrom(ctx, w.client, f.Topic, f.Partition, w.read[f.Partition]))
			case errors.Is(f.Err, kerr.UnknownTopicID), errors.Is(f.Err, kerr.UnknownTopicOrPartition):
				return nil // it was deleted: the next look says so, or that it is another
			default:
				return fmt.Errorf("read %s/%d: %w", f.Topic, f.Partition, w.Connection.Denied(f.Err, kafka.OnTopic(w.Topic, kafka.Read)))
			}
		}
		for iter := fetches.RecordIter(); !iter.Done(); {
			if err := w.add(iter.Next()); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *archiving) add(r *kgo.Record) error {
	w.read[r.Partition] = r.Offset + 1
	if r.Attrs.IsControl() {
		return nil
	}
	o, err := Read(r)
	if err != nil {
		return err
	}
	date, err := time.Parse(time.DateOnly, o.Date)
	if err != nil {
		return err
	}
	if w.rows == 0 {
		w.since = time.Now()
	}
	s := w.waiting[r.Partition]
	if s == nil {
		s = &stretch{first: r.Offset}
		w.waiting[r.Partition] = s
	}
	s.last = r.Offset
	s.rows = append(s.rows, ArchiveRow{
		o.Pseudonym, o.KeyID, o.Campaign, o.Sponsor, o.Kind, o.Cycle, o.Tier, int32(date.Unix() / int64(24*time.Hour/time.Second)), o.Others, //nolint:gosec // a date
	})
	w.rows++
	return nil
}

// write makes a file of each partition that has rows, and keeps what was passed behind them.
func (w *archiving) write() error {
	for n, s := range w.waiting {
		name := fmt.Sprintf("%s-%d-%d-%d.parquet", w.Topic, n, s.first, s.last)
		if err := disk.WriteFile(filepath.Join(w.Dir, name), func(to io.Writer) error {
			return parquet.Write(to, s.rows, parquet.Compression(&parquet.Zstd))
		}); err != nil {
			return err
		}
		w.Log.Info("a file is written", "file", name, "rows", len(s.rows))
		delete(w.waiting, n)
		w.rows -= len(s.rows)
		w.next[n] = s.last + 1
	}
	passed := map[int32][2]int64{}
	for n, next := range w.next {
		if w.read[n] > next {
			passed[n] = [2]int64{next, w.read[n]}
		}
	}
	if maps.Equal(passed, w.source.Passed) {
		return nil
	}
	w.source.Passed = passed
	return w.writeSource(w.source)
}

// positions are told by the names of the files. What a crash left unfinished is removed.
func (w *archiving) positions() (map[int32]int64, error) {
	entries, err := os.ReadDir(w.Dir)
	if err != nil {
		return nil, err
	}
	form := regexp.MustCompile(`^` + regexp.QuoteMeta(w.Topic) + `-(\d{1,9})-(\d{1,18})-(\d{1,18})\.parquet$`)
	files := map[int32][][2]int64{}
	for _, e := range entries {
		name, isUnfinished := strings.CutSuffix(e.Name(), disk.Unfinished)
		match := form.FindStringSubmatch(name)
		switch {
		case match == nil:
			continue // not ours
		case isUnfinished:
			if err := os.Remove(filepath.Join(w.Dir, e.Name())); err != nil {
				return nil, err
			}
			continue
		}
		var n [3]int64
		for i := range n {
			if n[i], err = strconv.ParseInt(match[i+1], 10, 64); err != nil {
				return nil, fmt.Errorf("%s: %w", e.Name(), err)
			}
		}
		files[int32(n[0])] = append(files[int32(n[0])], [2]int64{n[1], n[2]}) //nolint:gosec // 9 digits
	}
	next := map[int32]int64{}
	for partition, spans := range files {
		slices.SortFunc(spans, func(a, b [2]int64) int { return cmp.Compare(a[0], b[0]) })
		for _, span := range spans {
			if span[0] < next[partition] || span[1] < span[0] {
				return nil, fmt.Errorf("%s has two files of offset %d of %s/%d: files of another directory were copied there; take them out", w.Dir, span[0], w.Topic, partition)
			}
			next[partition] = span[1] + 1
		}
	}
	return next, nil
}

// lock takes the directory for this process.
func (w *archiving) lock() (unlock func() error, err error) {
	if err := os.MkdirAll(w.Dir, 0o755); err != nil {
		return nil, err
	}
	if unlock, err = disk.Lock(filepath.Join(w.Dir, "LOCK")); errors.Is(err, disk.ErrInUse) {
		err = fmt.Errorf("%s is %w: stop it, or use a directory of its own", w.Dir, err)
	}
	return unlock, err
}
