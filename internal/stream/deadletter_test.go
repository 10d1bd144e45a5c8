package stream_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stampede-rewards/stampede/internal/kafka"
	"github.com/stampede-rewards/stampede/internal/stream"
	"github.com/stampede-rewards/stampede/internal/workload"
	"github.com/stampede-rewards/stampede/pkg/campaign"
)

// Every broken record goes to the dead letters with its bytes and its reason, and every good one counts: the judge
// compares the bytes, this test the reasons with what the table says.
func TestBrokenRecordsAmongGoodOnes(t *testing.T) {
	broken, err := workload.Broken()
	if err != nil {
		t.Fatal(err)
	}
	b := newBenchWith(t, kafka.TopicsConfig{EventBytes: 32 << 20})
	b.tellAt(workload.BrokenClock)
	reasons := map[string]string{} // by place
	good := 0
	for _, row := range broken {
		r := &kgo.Record{Topic: b.topics.Events.Name, Key: row.Key, Value: row.Value, Timestamp: workload.BrokenClock}
		for name, value := range row.Headers {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: name, Value: []byte(value)})
		}
		user := fmt.Sprintf("user-%d", good)
		birth := &kgo.Record{
			Topic: b.topics.Events.Name, Key: []byte(user), Timestamp: workload.BrokenClock,
			Value: fmt.Appendf(nil, `{"specversion":"1.0","id":"1","source":"/app","type":"birth.reported","subject":%q,"time":"2026-03-01T10:00:00Z"}`, user),
		}
		good++
		if err := b.client.ProduceSync(t.Context(), birth, r).FirstErr(); err != nil {
			t.Fatalf("%s: %v", row.Name, err)
		}
		reasons[fmt.Sprintf("%d@%d", r.Partition, r.Offset)] = row.Reason
	}
	b.end(b.work("a"))
	if v := b.judge(b.dir("a")); v.Rewards != good || v.DeadLetters != len(broken) {
		t.Errorf("%d good and %d broken records were judged: %s", good, len(broken), v)
	}
	if err := b.connection.ReadTopic(t.Context(), b.topics.DeadLetters.Name, func(r *kgo.Record) error {
		place := stream.Header(r, "stampede_partition") + "@" + stream.Header(r, "stampede_offset")
		if got := stream.Header(r, "stampede_reason"); got != reasons[place] {
			t.Errorf("dead letter of %s has the reason %q, wanted %q", place, got, reasons[place])
		}
		if stream.Header(r, "stampede_topic") != b.topics.Events.Name || stream.Header(r, "stampede_detail") == "" || stream.Header(r, "stampede_timestamp") == "" {
			t.Errorf("dead letter of %s lacks a header: %v", place, r.Headers)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// tellAt puts the campaigns in force at a time of the test's choice: the embedded broker keeps what it is given.
func (b *bench) tellAt(clock time.Time) {
	b.Helper()
	cl, err := b.connection.Client(b.Context(), kgo.RecordPartitioner(kgo.ManualPartitioner()), b.topics.BatchBytes())
	if err != nil {
		b.Fatal(err)
	}
	defer cl.Close()
	for _, c := range b.campaigns.Campaigns() {
		value := fmt.Appendf(nil, `{"specversion":"1.0","id":"1","source":"/test","type":%q,"time":"2026-01-01T00:00:00Z","data":%s}`,
			campaign.TypePublished, c.Definition().Append(nil))
		for n := range b.topics.Events.Partitions {
			r := &kgo.Record{Topic: b.topics.Events.Name, Partition: n, Key: []byte(campaign.ControlKey), Value: value, Timestamp: clock}
			if err := cl.ProduceSync(b.Context(), r).FirstErr(); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func TestALargeRecordIsPutTogetherFromItsParts(t *testing.T) {
	part := func(i, of int, value []byte) *kgo.Record {
		return &kgo.Record{Topic: "dead-letters", Value: value, Headers: []kgo.RecordHeader{{Key: "stampede_part", Value: fmt.Appendf(nil, "%d/%d", i, of)}}}
	}
	for _, c := range []struct {
		name    string
		letters []*kgo.Record
	}{
		{"none", nil},
		{"a part is missing", []*kgo.Record{part(1, 3, []byte("a")), part(3, 3, []byte("c"))}},
		{"out of order", []*kgo.Record{part(2, 2, []byte("b")), part(1, 2, []byte("a"))}},
		{"no record", []*kgo.Record{part(1, 2, []byte("a")), part(2, 2, []byte("b"))}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if r, err := stream.WholeRecord(c.letters); err == nil {
				t.Errorf("it became %v", r)
			}
		})
	}
	// Headers of the record's own that look like ours stay.
	own := []kgo.RecordHeader{{Key: "a", Value: []byte("1")}, {Key: "stampede_reason", Value: []byte("mine")}}
	ours := []kgo.RecordHeader{
		{Key: "stampede_topic"},
		{Key: "stampede_partition"},
		{Key: "stampede_offset"},
		{Key: "stampede_timestamp"},
		{Key: "stampede_reason"},
		{Key: "stampede_detail"},
	}
	r, err := stream.WholeRecord([]*kgo.Record{{Key: []byte("k"), Value: []byte("v"), Headers: slices.Concat(own, ours)}})
	if err != nil || len(r.Headers) != 2 || string(r.Headers[1].Value) != "mine" {
		t.Errorf("%v, %v", r, err)
	}
}
