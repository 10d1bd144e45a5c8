package stream_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stampede-rewards/stampede/internal/kafka"
	"github.com/stampede-rewards/stampede/internal/stream"
)

// C4: some time after a user was erased, no file of the store has the user's id, nor has the changelog once it is compacted: not the ledger's, nor that of
// a claim which a budget has denied and keeps in another partition. Everything else is as it should be, and the store is opened again as always.
func TestNothingOfAnErasedUserIsLeft(t *testing.T) {
	t.Run("embedded", func(t *testing.T) {
		broker, err := kafka.StartEmbedded(kafka.EmbeddedConfig{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { broker.Close() })
		b := newBenchOn(t, kafka.Connection{Brokers: broker.Brokers()}, kafka.TopicsConfig{})
		b.publish()
		nothingIsLeft(b, broker.Cluster().Compact)
	})
	t.Run("real", func(t *testing.T) {
		b := newRealBench(t)
		nothingIsLeft(b, func() {}) // it compacts by itself
	})
}

func nothingIsLeft(b *bench, compact func()) {
	b.Helper()
	b.compactSoon()
	const user = "7b1f03c2-erased-user-9d55"
	const before = "c1d0aa57-erased-before-02e1"
	b.erased = []string{user, before}
	budget := "few"
	home := func() int32 { return stream.HomeOf(budget, b.topics.Events.Partitions) }
	for home() == stream.PartitionOf(b.topics, user) || home() == stream.PartitionOf(b.topics, before) {
		budget += "er"
	}
	b.inForce(append(b.campaigns.Campaigns(), logged(b.T, budget, 1, "{rewards: 1}"))...)
	w := b.start(b.dir("a"), func(c *stream.Config) { c.ScrubInterval = 200 * time.Millisecond })
	b.produce(2000)
	for _, user := range []string{before, user} {
		for i := range 5 {
			b.event(user, fmt.Sprint("own-", i), "data.logged")
		}
		b.processed()
	}
	b.eventually("the user is in the store and in the changelog", func() bool { return len(filesWith(b, b.dir("a"), user)) > 0 && b.inChangelog(user) > 1 })
	scrubs := func() int64 { return w.store.Metrics().Scrubs }
	if _, err := stream.Erase(b.Context(), b.connection, b.topics, stream.PartitionOf(b.topics, before), before); err != nil {
		b.Fatal(err)
	}
	b.eventually("partitions are scrubbed, and so the user is in tables", func() bool {
		b.produce(10)
		b.processed()
		return scrubs() == 2 // the user's, and the budget's
	})
	if _, err := stream.Erase(b.Context(), b.connection, b.topics, stream.PartitionOf(b.topics, user), user); err != nil {
		b.Fatal(err)
	}
	b.event(user, "own-late", "data.logged")
	b.event(user, "own-unknown", "stampede.unknown")
	b.eventually("nothing is left", func() bool {
		b.produce(100) // a segment that nothing is added to is not closed
		b.processed()
		compact()
		return scrubs() == 4 && len(filesWith(b, b.dir("a"), user)) == 0 && b.inChangelog(user) == 0
	})
	if n := w.metric("stampede_erased_records_total"); n != 2 {
		b.Errorf("%d records of the user were dropped, wanted 2", n)
	}
	b.end(w)
	if v := b.judge(b.dir("a")); v.InStores != int(b.topics.Events.Partitions) {
		b.Errorf("judged were %s", v)
	}
	if left := filesWith(b, b.dir("a"), user); len(left) > 0 {
		b.Errorf("after a restart the user is in %v", left)
	}
}

// compactSoon makes the changelog be compacted as soon as Kafka can.
func (b *bench) compactSoon() {
	b.Helper()
	set := func(name, value string) kadm.AlterConfig {
		return kadm.AlterConfig{Op: kadm.SetConfig, Name: name, Value: &value}
	}
	_, err := kadm.NewClient(b.client).AlterTopicConfigs(b.Context(), []kadm.AlterConfig{
		set("delete.retention.ms", "0"), set("segment.ms", "500"), set("min.cleanable.dirty.ratio", "0.01"), set("max.compaction.lag.ms", "500"),
	}, b.topics.Changelog.Name)
	if err != nil {
		b.Fatal(err)
	}
}

// event adds an event that happens now.
func (b *bench) event(user, id, kind string) {
	b.Helper()
	value := fmt.Appendf(nil, `{"specversion":"1.0","id":%q,"source":"/test","type":%q,"time":%q,"data":{"metric":"weight"}}`, id, kind, time.Now().UTC().Format(time.RFC3339Nano))
	if err := b.client.ProduceSync(context.Background(), &kgo.Record{Topic: b.topics.Events.Name, Key: []byte(user), Value: value}).FirstErr(); err != nil {
		b.Fatal(err)
	}
}

// inChangelog counts the records in which a text is.
func (b *bench) inChangelog(text string) (n int) {
	b.Helper()
	if err := b.connection.ReadTopic(b.Context(), b.topics.Changelog.Name, func(r *kgo.Record) error {
		if bytes.Contains(r.Key, []byte(text)) || bytes.Contains(r.Value, []byte(text)) {
			n++
		}
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	return n
}

// filesWith are the files below a directory in which a text is.
func filesWith(b *bench, dir, text string) (names []string) {
	b.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return nil //nolint:nilerr // it is being removed
		}
		if content, err := os.ReadFile(path); err == nil && bytes.Contains(content, []byte(text)) {
			names = append(names, path)
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return names
}
