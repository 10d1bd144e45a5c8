package stream_test

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stampede-rewards/stampede/internal/kafka"
	"github.com/stampede-rewards/stampede/internal/stream"
	"github.com/stampede-rewards/stampede/internal/workload"
	"github.com/stampede-rewards/stampede/pkg/campaign"
	"github.com/stampede-rewards/stampede/pkg/state"
)

// A release leaves a directory in testdata/releases: a store as its processor has left it in the middle of its work, and the topics that led to it. Every
// later version must go on from there, for ever: that is what a rolling upgrade is. A release adds its directory, by
//
//	go test ./internal/stream -run TestAStoreOfEachReleaseIsGoneOnWith -release v0.2.0
//
// and nobody ever changes one that is there.
var release = flag.String("release", "", "write the store and the log of this version into testdata/releases, under this name")

const releases = "testdata/releases"

// The files of a release.
const (
	storeFile = "store.tar.gz"
	logFile   = "log.ndjson.gz"
)

// released is a line of a release's log: a topic, a record or a transaction's end, or an offset of the group.
type released struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition,omitempty"`

	ID         []byte `json:"id,omitempty"`         // of a topic: Kafka's id of it, which the store has, too
	Partitions int32  `json:"partitions,omitempty"` // of a topic

	Offset        int64          `json:"offset,omitempty"` // of a record; or what the group has committed
	Time          int64          `json:"time,omitempty"`   // Unix ms
	Key           []byte         `json:"key,omitempty"`
	Value         []byte         `json:"value,omitempty"`
	Headers       []releasedPair `json:"headers,omitempty"`
	Transactional bool           `json:"transactional,omitempty"`
	Ends          bool           `json:"ends,omitempty"` // it is no record but the marker of a commit

	Committed *string `json:"committed,omitempty"` // of an offset: what is written beside it
}

type releasedPair struct {
	Key   string `json:"key"`
	Value []byte `json:"value"`
}

// erasedUser is erased in the middle of a release's log.
const erasedUser = "user-000003"

// The store that a release has left, and its topics, are what this version goes on from: the journal is replayed, nothing is dropped or read from the
// changelog, and rewards and ledgers are those of an engine that has seen all events from the beginning.
func TestAStoreOfEachReleaseIsGoneOnWith(t *testing.T) {
	if *release != "" {
		writeRelease(t, filepath.Join(releases, *release))
	}
	dirs, err := filepath.Glob(filepath.Join(releases, "v*"))
	if err != nil || len(dirs) == 0 {
		t.Fatalf("%s has no release: %v", releases, err)
	}
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			b, last := fromRelease(t, filepath.Join(dir, logFile))
			unpack(t, filepath.Join(dir, storeFile), b.dir("a"))
			journal := b.holdsEverything(b.dir("a"))
			before := b.judge()

			// What comes is of the hours after, whenever this test runs: progress goes on, and does not end with its periods. It begins with events that
			// have come before.
			const again, events = 100, 600
			var records []*kgo.Record
			for i := range uint64(events) {
				at := last.Add(time.Duration(i) * 30 * time.Second) //nolint:gosec // small
				k := i
				if i >= again {
					k += 1_000_000
				}
				user, value := b.generator.Event(k, at)
				records = append(records, &kgo.Record{Topic: b.topics.Events.Name, Key: []byte(user), Value: value, Timestamp: at})
			}
			if err := b.client.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
				t.Fatal(err)
			}
			w := b.work("a")
			b.end(w)
			after := b.judge(b.dir("a"))
			if replayed := w.metric("stampede_journal_entries_replayed_total"); replayed != journal {
				t.Errorf("%d of %d journal entries were replayed", replayed, journal)
			}
			for _, lost := range []string{"stampede_stores_quarantined_total", "stampede_changelog_records_read_total", "stampede_journal_entries_dropped_total"} {
				if n := w.metric(lost); n != 0 {
					t.Errorf("%s is %d: the store was not trusted", lost, n)
				}
			}
			if after.Events < before.Events+events || before.Uncommitted+after.Uncommitted != 0 || after.Rewards < before.Rewards+200 || after.InStores != int(b.topics.Events.Partitions) {
				t.Errorf("too little happened to prove anything: %s; then %s", before, after)
			}
		})
	}
}

// more are campaigns beside testdata/campaigns: goals that an end decides, and a budget that is exhausted and re-opened.
var more = []string{
	"campaign: quiet\nversion: 1\nstarts: 2026-01-01\nlateness: 30 days\ngoal: {none: birth.reported, per: month}\nreward: {kind: points}\n",
	"campaign: netted\nversion: 1\nstarts: 2026-01-01\nlateness: 30 days\ngoal: {sum: 300, of: data.logged, value: event.data.value, per: week, net: true}\nreward: {kind: points}\n",
	"campaign: few\nversion: 1\nstarts: 2026-01-01\nlateness: 30 days\ngoal: {event: data.logged}\nrepeat: always\nreward: {kind: gift, amount: 2.00 USD}\nlimits: {budget: {rewards: 60, reopen: 10 days}}\n",
}

// writeRelease makes what a release leaves.
func writeRelease(t *testing.T, dir string) {
	t.Helper()
	if _, err := os.Stat(dir); err == nil {
		t.Fatalf("%s is there: what a release has left is never changed", dir)
	}
	b := newBenchWith(t, kafka.TopicsConfig{Partitions: 2})
	b.generator = workload.New(workload.Config{Seed: 1, Users: 40, Odd: true})
	set, err := campaign.Load(os.DirFS("testdata"), "campaigns")
	if err != nil {
		t.Fatal(err)
	}
	campaigns := set.Campaigns()
	for _, source := range more {
		c, err := campaign.Definition{Language: campaign.Language, Source: source}.Compile()
		if err != nil {
			t.Fatal(err)
		}
		campaigns = append(campaigns, c)
	}
	b.inForce(campaigns...)
	b.produce(150)
	b.end(b.work("a"))
	if _, err := stream.Erase(t.Context(), b.connection, b.topics, stream.PartitionOf(b.topics, erasedUser), erasedUser); err != nil {
		t.Fatal(err)
	}
	b.end(b.work("a"))

	// What comes now stays in the journal.
	w := b.start(b.dir("a"), func(cfg *stream.Config) { cfg.CheckpointInterval = time.Hour })
	for range 3 {
		b.produce(30)
		b.processed()
	}
	b.processed()
	before := b.offsets()
	copyDir(t, b.dir("a"), b.dir("copy"))
	b.end(w)
	if after := b.offsets(); !slices.EqualFunc(before, after, func(a, b released) bool { return a.Offset == b.Offset && *a.Committed == *b.Committed }) {
		t.Fatal("something was committed while the store was copied: try again")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	pack(t, b.dir("copy"), filepath.Join(dir, storeFile))
	b.writeLog(filepath.Join(dir, logFile))
}

// offsets are what the group has committed.
func (b *bench) offsets() (all []released) {
	b.Helper()
	fetched, err := kadm.NewClient(b.client).FetchOffsets(context.Background(), b.group)
	if err != nil {
		b.Fatal(err)
	}
	for _, o := range fetched.Sorted() {
		all = append(all, released{Topic: o.Topic, Partition: o.Partition, Offset: o.At, Committed: &o.Metadata})
	}
	return all
}

// holdsEverything wants a store to have of everything that a version can forget how to read, and returns how many entries its journal has.
func (b *bench) holdsEverything(dir string) (journal int) {
	b.Helper()
	store := b.store(dir)
	defer store.Close()
	var ledgers, timers, budgets, erased int
	for n := range b.topics.Events.Partitions {
		position, ok, err := store.Position(n)
		if !ok || err != nil || position.EventsTopic != b.topics.Events.ID || position.ChangelogTopic != b.topics.Changelog.ID {
			b.Errorf("partition %d is at %+v, %t, %v", n, position, ok, err)
		}
		due, err := store.Timers(n, state.Timer{}, 1000)
		timers += len(due)
		if err := errors.Join(err,
			store.Journal(n, func(state.Prepared) error { journal++; return nil }),
			store.Each(n, func([]byte, []byte) error { ledgers++; return nil }),
			store.Campaigns(n, func(name string, _ []byte) error {
				switch {
				case campaign.IsStoredBudget(name):
					budgets++
				case campaign.IsErased(name):
					erased++
				}
				return nil
			})); err != nil {
			b.Error(err)
		}
	}
	b.Logf("the store has %d ledgers, %d timers, %d values of budgets, %d of erased users, %d journal entries", ledgers, timers, budgets, erased, journal)
	if ledgers < 20 || timers == 0 || budgets < 2 || erased == 0 || journal < 4 {
		b.Error("the store has too little to prove anything")
	}
	return journal
}

// writeLog writes the topics, their records and the group's offsets.
func (b *bench) writeLog(path string) {
	b.Helper()
	var lines []released
	topics := []kafka.Topic{b.topics.Events, b.topics.Rewards, b.topics.Changelog, b.topics.DeadLetters, b.topics.Campaigns}
	for _, topic := range topics {
		lines = append(lines, released{Topic: topic.Name, ID: topic.ID[:], Partitions: topic.Partitions})
	}
	for _, topic := range topics {
		ends, err := b.connection.Ends(context.Background(), topic.Name)
		if err != nil {
			b.Fatal(err)
		}
		for n := range topic.Partitions {
			lines = append(lines, b.readAll(topic.Name, n, ends[n])...)
		}
	}
	compress(b.T, path, func(to io.Writer) error {
		encoder := json.NewEncoder(to)
		for _, line := range append(lines, b.offsets()...) {
			if err := encoder.Encode(line); err != nil {
				return err
			}
		}
		return nil
	})
}

// readAll reads a partition with the markers of its transactions.
func (b *bench) readAll(topic string, partition int32, end int64) (lines []released) {
	b.Helper()
	cl, err := b.connection.Client(context.Background(), kgo.KeepControlRecords(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {partition: kgo.NewOffset().AtStart()}}))
	if err != nil {
		b.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for int64(len(lines)) < end {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			b.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			line := released{Topic: topic, Partition: partition, Offset: r.Offset, Time: r.Timestamp.UnixMilli(), Transactional: r.Attrs.IsTransactional()}
			if line.Ends = r.Attrs.IsControl(); !line.Ends {
				line.Key, line.Value = r.Key, r.Value
				for _, h := range r.Headers {
					line.Headers = append(line.Headers, releasedPair{h.Key, h.Value})
				}
			} else if abort := r.Key[3] == 0; abort {
				b.Fatalf("a transaction was aborted at %s/%d@%d: try again", topic, partition, r.Offset)
			}
			lines = append(lines, line)
		})
	}
	return lines
}

// fromRelease is a bench whose broker has the topics of a release, with their ids, records and offsets. last is when the newest record came.
func fromRelease(t *testing.T, path string) (b *bench, last time.Time) {
	t.Helper()
	lines := readLog(t, path)
	topics := map[string]released{}
	for _, line := range lines {
		if line.Partitions > 0 {
			topics[line.Topic] = line
		}
	}
	dir := t.TempDir()
	broker := startKept(t, dir)
	b = newBenchOn(t, kafka.Connection{Brokers: broker.Brokers()}, kafka.TopicsConfig{Partitions: topics["events"].Partitions})
	forEver := "-1"
	for _, topic := range []string{b.topics.Events.Name, b.topics.DeadLetters.Name} { // by now they are old
		if _, err := kadm.NewClient(b.client).AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Name: "retention.ms", Value: &forEver}}, topic); err != nil {
			t.Fatal(err)
		}
	}
	b.client.Close()
	if err := broker.Close(); err != nil {
		t.Fatal(err)
	}
	giveIDs(t, filepath.Join(dir, "log", "topics.json"), topics)
	broker = startKept(t, dir)
	t.Cleanup(func() { broker.Close() })

	erased := []string{erasedUser}
	b = newBenchOn(t, kafka.Connection{Brokers: broker.Brokers()}, b.wanted)
	b.erased, b.earlier = erased, true
	b.generator = workload.New(workload.Config{Seed: 1, Users: 40, Odd: true})
	for name, topic := range topics {
		for _, got := range []kafka.Topic{b.topics.Events, b.topics.Rewards, b.topics.Changelog, b.topics.DeadLetters, b.topics.Campaigns} {
			if got.Name == name && (!bytes.Equal(got.ID[:], topic.ID) || got.Partitions != topic.Partitions) {
				t.Fatalf("topic %s has the id %x and %d partitions, wanted %x and %d", name, got.ID, got.Partitions, topic.ID, topic.Partitions)
			}
		}
	}
	return b, b.writeAgain(lines)
}

func startKept(t *testing.T, dir string) *kafka.Embedded {
	t.Helper()
	broker, err := kafka.StartEmbedded(kafka.EmbeddedConfig{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return broker
}

// giveIDs gives the topics of an embedded broker that is closed the ids that a store knows them by. Kafka itself draws them.
func giveIDs(t *testing.T, path string, topics map[string]released) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var kept map[string]any
	if err := json.Unmarshal(text, &kept); err != nil {
		t.Fatal(err)
	}
	for _, topic := range kept["topics"].([]any) {
		topic := topic.(map[string]any)
		if line, ok := topics[topic["name"].(string)]; ok {
			topic["id"] = base64.StdEncoding.EncodeToString(line.ID)
		}
	}
	if text, err = json.Marshal(kept); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func readLog(t *testing.T, path string) (lines []released) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	plain, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(bufio.NewReader(plain))
	for {
		var line released
		if err := decoder.Decode(&line); errors.Is(err, io.EOF) {
			return lines
		} else if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
	}
}

// writeAgain writes a release's records, each to the offset that it had, and then commits the group's offsets.
func (b *bench) writeAgain(lines []released) (last time.Time) {
	b.Helper()
	ctx := context.Background()
	cl, err := b.connection.Client(ctx, b.topics.BatchBytes(), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.TransactionalID("release"))
	if err != nil {
		b.Fatal(err)
	}
	defer cl.Close()
	plain, err := b.connection.Client(ctx, b.topics.BatchBytes(), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		b.Fatal(err)
	}
	defer plain.Close()
	offsets := kadm.Offsets{}
	var batch []*kgo.Record
	write := func(end bool) {
		to := plain
		if end {
			to = cl
			if err := cl.BeginTransaction(); err != nil {
				b.Fatal(err)
			}
		}
		for _, result := range to.ProduceSync(ctx, batch...) {
			if want := result.Record.Context.Value(offsetKey{}).(int64); result.Err != nil || result.Record.Offset != want {
				b.Fatalf("%s/%d@%d is written at %d: %v", result.Record.Topic, result.Record.Partition, want, result.Record.Offset, result.Err)
			}
		}
		if end {
			if err := cl.EndTransaction(ctx, kgo.TryCommit); err != nil {
				b.Fatal(err)
			}
		}
		batch = nil
	}
	for i, line := range lines {
		switch {
		case line.Partitions > 0:
		case line.Committed != nil:
			offsets.Add(kadm.Offset{Topic: line.Topic, Partition: line.Partition, At: line.Offset, LeaderEpoch: -1, Metadata: *line.Committed})
		case line.Ends:
			write(true)
		default:
			r := &kgo.Record{
				Topic: line.Topic, Partition: line.Partition, Key: line.Key, Value: line.Value, Timestamp: time.UnixMilli(line.Time),
				Context: context.WithValue(ctx, offsetKey{}, line.Offset),
			}
			for _, h := range line.Headers {
				r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
			}
			if line.Topic == b.topics.Events.Name && r.Timestamp.After(last) {
				last = r.Timestamp
			}
			batch = append(batch, r)
			if next := lines[i+1]; !line.Transactional && (next.Transactional || next.Topic != line.Topic || next.Partition != line.Partition || next.Committed != nil) {
				write(false)
			}
		}
	}
	if err := kadm.NewClient(b.client).CommitAllOffsets(ctx, b.group, offsets); err != nil {
		b.Fatal(err)
	}
	return last
}

// offsetKey is of the offset that a record of a release had.
type offsetKey struct{}

// pack writes a directory's files as an archive.
func pack(t *testing.T, dir, path string) {
	t.Helper()
	compress(t, path, func(to io.Writer) error {
		archive := tar.NewWriter(to)
		return errors.Join(archive.AddFS(os.DirFS(dir)), archive.Close())
	})
}

// compress makes a file of what is written, as small as it can be.
func compress(t *testing.T, path string, write func(io.Writer) error) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	compressed, err := gzip.NewWriterLevel(f, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(write(compressed), compressed.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// unpack makes a directory of an archive.
func unpack(t *testing.T, path, dir string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	plain, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	archive := tar.NewReader(plain)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(dir, filepath.FromSlash(header.Name))
		if header.FileInfo().IsDir() {
			if err := os.MkdirAll(to, 0o700); err != nil {
				t.Fatal(err)
			}
			continue
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o700), os.WriteFile(to, content, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
}
