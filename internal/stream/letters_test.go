package stream_test

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stampede-rewards/stampede/internal/kafka"
	"github.com/stampede-rewards/stampede/internal/stream"
	"github.com/stampede-rewards/stampede/internal/workload"
)

// Dead letters are read as the records that they were, also those in parts, and are sent again once, however often somebody asks.
func TestDeadLettersAreSentAgainOnce(t *testing.T) {
	broken, err := workload.Broken()
	if err != nil {
		t.Fatal(err)
	}
	b := newBenchWith(t, kafka.TopicsConfig{EventBytes: 32 << 20})
	b.tellAt(workload.BrokenClock)
	rows := map[string]workload.BrokenRecord{} // by place
	wanted := map[string]int{}                 // by reason
	for _, row := range broken {
		r := &kgo.Record{Topic: b.topics.Events.Name, Key: row.Key, Value: row.Value, Timestamp: workload.BrokenClock}
		for name, value := range row.Headers {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: name, Value: []byte(value)})
		}
		if err := b.client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
		rows[fmt.Sprintf("%s/%d@%d", r.Topic, r.Partition, r.Offset)] = row
		wanted[row.Reason]++
	}
	w := b.work("a")
	letters := stream.Letters{Connection: b.connection, Topics: b.topics}
	read := func() (all []*stream.Letter) {
		t.Helper()
		if err := letters.Read(t.Context(), func(l *stream.Letter) error { all = append(all, l); return nil }); err != nil {
			t.Fatal(err)
		}
		return all
	}
	for _, l := range read() {
		row, ok := rows[l.Place()]
		if !ok || l.Reason != row.Reason || string(l.Record.Key) != string(row.Key) || string(l.Record.Value) != string(row.Value) || len(l.Record.Headers) != len(row.Headers) || !l.Replayed.IsZero() {
			t.Errorf("the letter of %s (%s): %s, %d bytes, %d headers, replayed %s", l.Place(), row.Name, l.Reason, len(l.Record.Value), len(l.Record.Headers), l.Replayed)
		}
		delete(rows, l.Place())
	}
	if len(rows) > 0 {
		t.Errorf("%d records have no letter", len(rows))
	}

	const reason = "not_json"
	sent := 0
	replay := func() {
		t.Helper()
		if err := letters.Replay(t.Context(), func(l *stream.Letter) bool {
			return l.Reason == reason && stream.Header(l.Record, "stampede_replay_of") == ""
		}, func(*stream.Letter) { sent++ }); err != nil {
			t.Fatal(err)
		}
	}
	replay()
	replay()
	if sent != wanted[reason] || sent == 0 {
		t.Errorf("%d letters were sent again, there are %d", sent, wanted[reason])
	}
	b.processed()
	replayed, again := 0, 0
	for _, l := range read() { // they are as broken as they were
		if !l.Replayed.IsZero() {
			replayed++
		}
		if of := stream.Header(l.Record, "stampede_replay_of"); of != "" {
			again++
			if l.Reason != reason {
				t.Errorf("the letter of %s, which is %s again, says %s", l.Place(), of, l.Reason)
			}
		}
	}
	if replayed != sent || again != sent {
		t.Errorf("%d letters say that they were sent again and %d that they are, %d were", replayed, again, sent)
	}
	b.end(w)
}
