package stream_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/stampede-rewards/stampede/internal/kafka"
	"github.com/stampede-rewards/stampede/internal/stream"
)

// These tests give a worker a store that is not what it left. It must end up with the right state, or refuse, and never go on
// from a wrong one: the judge compares everything at the end.

// copyDir copies a store. Of a live one the writer must be idle.
func copyDir(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

func TestAStoreThatIsGoneIsRebuilt(t *testing.T) {
	b := newBench(t)
	b.produce(3000)
	b.end(b.work("a"))
	if err := os.RemoveAll(b.dir("a")); err != nil {
		t.Fatal(err)
	}
	b.produce(500)
	w := b.work("a")
	b.end(w)
	if n := w.metric("stampede_restores_total"); n != 6 {
		t.Errorf("%d partitions were restored", n)
	}
	b.judge(b.dir("a"))
}

func TestAStoreFromEarlierCatchesUp(t *testing.T) {
	b := newBench(t)
	b.produce(2000)
	b.end(b.work("a"))
	copyDir(t, b.dir("a"), b.dir("earlier"))
	b.produce(2000)
	b.end(b.work("a"))
	b.produce(500)
	w := b.work("earlier")
	b.end(w)
	if read, all := w.metric("stampede_changelog_records_read_total"), 4000; read == 0 || read >= all {
		t.Errorf("%d records of the changelog were read: a part was enough", read)
	}
	if n := w.metric("stampede_stores_quarantined_total"); n != 0 {
		t.Errorf("%d stores were dropped: none had to be", n)
	}
	b.judge(b.dir("earlier"))
}

// A power cut leaves a journal without its end: entries are missing that were committed, and the last one may be torn.
func TestAJournalWithATornTailIsMadeUpForByTheChangelog(t *testing.T) {
	b := newBench(t)
	never := func(cfg *stream.Config) { cfg.CheckpointInterval = time.Hour }
	b.produce(1500)
	b.end(b.work("a")) // the store exists, with its positions
	w := b.start(b.dir("a"), never)
	for range 10 {
		b.produce(200)
		b.processed()
	}
	var torn []string
	for _, missing := range []int64{1, 7, 1000, 20_000} {
		dir := b.dir(fmt.Sprintf("torn-%d", missing))
		copyDir(t, b.dir("a"), dir)
		tear(t, dir, missing)
		torn = append(torn, dir)
	}
	b.end(w)
	for _, dir := range torn {
		b.produce(100)
		w := b.start(dir)
		b.processed()
		b.end(w)
		if n := w.metric("stampede_stores_quarantined_total"); n != 0 {
			t.Errorf("%s: %d stores were dropped: none had to be", filepath.Base(dir), n)
		}
		if w.metric("stampede_changelog_records_read_total") == 0 {
			t.Errorf("%s: nothing was missing", filepath.Base(dir))
		}
		b.judge(dir)
	}
}

// tear takes bytes off the end of a store's newest write-ahead log.
func tear(t *testing.T, dir string, bytes int64) {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil || len(logs) == 0 {
		t.Fatalf("no write-ahead log in %s: %v", dir, err)
	}
	newest := logs[len(logs)-1]
	info, err := os.Stat(newest)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(newest, max(0, info.Size()-bytes)); err != nil {
		t.Fatal(err)
	}
}

// All topics were deleted and made again under their names, and the store is of the old ones.
func TestAStoreOfTopicsThatWereMadeAnewIsRebuilt(t *testing.T) {
	b := newBench(t)
	b.produce(3000)
	b.end(b.work("a"))
	admin := kadm.NewClient(b.client)
	if _, err := admin.DeleteGroup(t.Context(), b.group); err != nil {
		t.Fatal(err)
	}
	b.recreate(b.topics.Events.Name, b.topics.Rewards.Name, b.topics.Changelog.Name, b.topics.DeadLetters.Name)
	b.publish() // in the new topic nothing is in force, whatever the registry says of the old one
	b.produce(500)
	w := b.work("a")
	b.end(w)
	if n := w.metric("stampede_stores_quarantined_total"); n != 6 {
		t.Errorf("%d stores were dropped, all 6 are of topics that are gone", n)
	}
	if v := b.judge(b.dir("a")); v.Events != 500 {
		t.Errorf("judged were %s", v)
	}
}

// recreate deletes topics and makes them again.
func (b *bench) recreate(names ...string) {
	b.Helper()
	if _, err := kadm.NewClient(b.client).DeleteTopics(context.Background(), names...); err != nil {
		b.Fatal(err)
	}
	b.client.Close()
	var err error
	if b.client, err = b.connection.Client(context.Background()); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(b.client.Close)
	if b.topics, err = kafka.EnsureTopics(context.Background(), b.client, b.wanted); err != nil {
		b.Fatal(err)
	}
}

func TestAnEventsTopicThatWasMadeAnewAloneIsRefused(t *testing.T) {
	b := newBench(t)
	b.produce(1000)
	b.end(b.work("a"))
	if _, err := kadm.NewClient(b.client).DeleteGroup(t.Context(), b.group); err != nil {
		t.Fatal(err)
	}
	b.recreate(b.topics.Events.Name)
	b.produce(500)
	b.refused("a", "topic events was deleted and made anew, and topic changelog is of the old one: to begin anew, delete changelog too, and restart")
}

func TestAChangelogThatIsGoneIsRefused(t *testing.T) {
	b := newBench(t)
	b.produce(1000)
	b.end(b.work("a"))
	b.recreate(b.topics.Changelog.Name)
	b.refused("a", "topic changelog has been read whole and does not lead to offset")
}

// The group's offsets have expired: to begin with the oldest event would issue every reward again.
func TestOffsetsThatAreGoneAreRefusedUntilTheyArePutBack(t *testing.T) {
	b := newBench(t)
	b.produce(1000)
	b.end(b.work("a"))
	admin := kadm.NewClient(b.client)
	was, err := admin.FetchOffsets(t.Context(), b.group)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := admin.DeleteGroup(t.Context(), b.group); err != nil {
		t.Fatal(err)
	}
	for _, why := range b.refused("a", "the group has no committed offset, but by topic changelog everything up to offset") {
		var e *stream.RefusedError
		if !errors.As(why, &e) {
			t.Fatal(why)
		}
		o, _ := was.Lookup(b.topics.Events.Name, e.Partition)
		if want := fmt.Sprintf("--to-offset %d --topic events:%d ", o.At, e.Partition); !strings.Contains(e.Why, want) {
			t.Errorf("%v\nmust name %q", e, want)
		}
	}
	// What the refusal says is done: offsets without metadata, as the tool of Kafka commits them.
	put := kadm.Offsets{}
	was.Each(func(o kadm.OffsetResponse) { put.AddOffset(o.Topic, o.Partition, o.At, -1) })
	if err := admin.CommitAllOffsets(t.Context(), b.group, put); err != nil {
		t.Fatal(err)
	}
	b.produce(500)
	b.end(b.work("a"))
	b.judge(b.dir("a"))
}

// The group's offsets were put back: the store and the changelog are ahead of them.
func TestOffsetsThatWereSetBackAreRefused(t *testing.T) {
	b := newBench(t)
	b.produce(1000)
	b.end(b.work("a"))
	b.produce(1000)
	b.end(b.work("a"))
	admin := kadm.NewClient(b.client)
	was, err := admin.FetchOffsets(t.Context(), b.group)
	if err != nil {
		t.Fatal(err)
	}
	put := kadm.Offsets{}
	was.Each(func(o kadm.OffsetResponse) { put.AddOffset(o.Topic, o.Partition, o.At-5, -1) })
	if err := admin.CommitAllOffsets(t.Context(), b.group, put); err != nil {
		t.Fatal(err)
	}
	b.refused("a", "does not lead to offset")
}

// Another program, or a version to come, has committed with the group's name.
func TestForeignMetadataAreRefused(t *testing.T) {
	b := newBench(t)
	b.produce(1000)
	b.end(b.work("a"))
	admin := kadm.NewClient(b.client)
	was, err := admin.FetchOffsets(t.Context(), b.group)
	if err != nil {
		t.Fatal(err)
	}
	put := kadm.Offsets{}
	was.Each(func(o kadm.OffsetResponse) {
		put.Add(kadm.Offset{Topic: o.Topic, Partition: o.Partition, At: o.At, LeaderEpoch: -1, Metadata: "hello"})
	})
	if err := admin.CommitAllOffsets(t.Context(), b.group, put); err != nil {
		t.Fatal(err)
	}
	b.refused("a", `metadata is "hello": it was not committed by this version of the processor; does another program use the same consumer group?`)
}

// refused runs a worker that must refuse every partition, for a reason.
func (b *bench) refused(name, why string) []error {
	b.Helper()
	w := b.start(b.dir(name))
	b.eventually("all partitions are refused", func() bool { return len(w.Status().Refused) == 6 })
	status := w.Status()
	for _, err := range status.Refused {
		if !strings.Contains(err.Error(), why) {
			b.Errorf("refused with %v\nwant %s", err, why)
		}
	}
	if status.Ready() || status.Open != 0 {
		b.Errorf("the worker has %d open partitions and is ready: %t", status.Open, status.Ready())
	}
	b.end(w)
	return status.Refused
}

// One partition's offset is gone, and nobody may go on from anywhere else. The others are processed meanwhile.
func TestAPartitionThatIsRefusedTakesNoOtherDown(t *testing.T) {
	b := newBench(t)
	b.produce(1000)
	b.end(b.work("a"))
	const gone = 2
	if deleted, err := kadm.NewClient(b.client).DeleteOffsets(t.Context(), b.group, kadm.TopicsSet{b.topics.Events.Name: {gone: {}}}); err != nil || deleted.Error() != nil {
		t.Fatal(err, deleted.Error())
	}
	w := b.start(b.dir("a"))
	b.eventually("the others are open, and it is refused", func() bool { s := w.Status(); return s.Open == 5 && len(s.Refused) == 1 })
	before := w.Status().Events
	b.produce(600)
	b.eventually("the others are processed", func() bool { return w.Status().Events >= before+400 })
	status := w.Status()
	var refused *stream.RefusedError
	if !errors.As(status.Refused[0], &refused) || refused.Partition != gone || status.Ready() || status.Open != 5 {
		t.Errorf("ready: %t, open: %d, refused: %v", status.Ready(), status.Open, status.Refused)
	}
	if n := w.metric("stampede_partitions_refused"); n != 1 { // an alert looks at it
		t.Errorf("stampede_partitions_refused is %d", n)
	}
	b.end(w)
}
