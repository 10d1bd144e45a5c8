package kafka_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/stampede-rewards/stampede/internal/kafka"
)

// A broker that takes longer than a reader usually waits is not one whose log has ended.
func TestASlowBrokerIsReadToTheEnd(t *testing.T) {
	broker, c, cl, topics := onEmbedded(t)
	if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: topics.Changelog.Name, Key: []byte("user"), Value: []byte("ledger")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	slow := true
	broker.Cluster().ControlKey(int16(kmsg.Fetch), func(kmsg.Request) (kmsg.Response, error, bool) {
		broker.Cluster().KeepControl()
		if slow {
			slow = false
			broker.Cluster().SleepControl(func() { time.Sleep(3 * time.Second) })
		}
		return nil, nil, false
	})
	if diff := cmp.Diff([]string{"ledger"}, read(t, c, topics.Changelog.Name, 1)); diff != "" {
		t.Error(diff)
	}
}

// A log whose last records compaction has taken away ends nevertheless.
func TestACompactedLogEnds(t *testing.T) {
	broker, c, cl, topics := onEmbedded(t)
	for i := range 3 {
		if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: topics.Changelog.Name, Key: []byte("user"), Value: fmt.Append(nil, i)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	broker.Cluster().Compact()
	read(t, c, topics.Changelog.Name, 10) // behind the end: as if more had been there
}

// What is in a compacted topic stays there, however old it is.
func TestTheEmbeddedBrokerKeepsWhatIsCompacted(t *testing.T) {
	broker, c, cl, topics := onEmbedded(t)
	for _, topic := range []string{topics.Changelog.Name, topics.Campaigns.Name} {
		for _, key := range []string{"a", "b"} {
			r := &kgo.Record{Topic: topic, Key: []byte(key), Value: []byte(key), Timestamp: time.Now().Add(-365 * 24 * time.Hour)}
			if err := cl.ProduceSync(t.Context(), r).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		broker.Cluster().Compact()
		if diff := cmp.Diff([]string{"a", "b"}, read(t, c, topic, 2)); diff != "" {
			t.Errorf("%s: %s", topic, diff)
		}
	}
}

// Of several partitions each is read in order and to its own end, wherever the others are: one that goes on, one that ends early, as if compaction had
// taken away its last records, one that is empty.
func TestSpansAreReadToTheirEnds(t *testing.T) {
	_, c, _, topics := onEmbedded(t)
	if _, err := kadm.NewClient(connect(t, c)).CreatePartitions(t.Context(), 3, topics.Changelog.Name); err != nil {
		t.Fatal(err)
	}
	cl := connect(t, c, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for n, users := range [][]string{{"a", "b", "c", "d"}, {"e", "e", "e"}, {}, {"f"}} {
		for i, user := range users {
			r := &kgo.Record{Topic: topics.Changelog.Name, Partition: int32(n), Key: []byte(user), Value: fmt.Append(nil, user, i)} //nolint:gosec // small
			if err := cl.ProduceSync(t.Context(), r).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	name := topics.Changelog.Name
	spans := []kafka.Span{{name, 0, 1, 3}, {name, 1, 0, 9}, {name, 2, 0, 0}, {name, 3, 0, 1}}
	got := map[int32][]string{}
	if err := c.ReadCommitted(t.Context(), spans, func(r *kgo.Record) (bool, error) {
		got[r.Partition] = append(got[r.Partition], string(r.Value))
		return true, nil
	}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[int32][]string{0: {"b1", "c2"}, 1: {"e0", "e1", "e2"}, 3: {"f0"}}, got); diff != "" {
		t.Error(diff)
	}
	visited := 0
	if err := c.ReadTopic(t.Context(), topics.Changelog.Name, func(*kgo.Record) error {
		visited++
		return nil
	}); err != nil || visited != 8 {
		t.Errorf("%d records were visited, and the error is %v", visited, err)
	}
}

// onEmbedded is a broker of the test's own, with topics of one partition, and a client.
func onEmbedded(t *testing.T) (*kafka.Embedded, kafka.Connection, *kgo.Client, kafka.TopicsState) {
	t.Helper()
	broker, err := kafka.StartEmbedded(kafka.EmbeddedConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { broker.Close() })
	c := kafka.Connection{Brokers: broker.Brokers()}
	cl := connect(t, c)
	topics, err := kafka.EnsureTopics(t.Context(), cl, kafka.TopicsConfig{Partitions: 1})
	if err != nil {
		t.Fatal(err)
	}
	return broker, c, cl, topics
}

func read(t *testing.T, c kafka.Connection, topic string, end int64) (values []string) {
	t.Helper()
	if err := c.ReadCommitted(t.Context(), []kafka.Span{{Topic: topic, End: end}}, func(r *kgo.Record) (bool, error) {
		values = append(values, string(r.Value))
		return true, nil
	}); err != nil {
		t.Fatal(err)
	}
	return values
}
