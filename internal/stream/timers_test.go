package stream_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stampede-rewards/stampede/internal/kafka"
	"github.com/stampede-rewards/stampede/pkg/campaign"
	"github.com/stampede-rewards/stampede/pkg/state"
)

// closing is a campaign that ends at an instant.
func closing(t *testing.T, id string, ends time.Time, goal string) *campaign.Campaign {
	t.Helper()
	c, err := campaign.Definition{Language: campaign.Language, Source: fmt.Sprintf(
		"campaign: %s\nversion: 1\nstarts: 2000-01-01\nends: %s\nlateness: 2s\nreward: {kind: points}\ngoal: %s\n", id, ends.UTC().Format(time.RFC3339), goal)}.Compile()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// visits lets users in a partition of events do one thing each, with a clock.
func (b *bench) visits(partition int32, from, to int, clock time.Time) {
	b.Helper()
	client, err := b.connection.Client(b.Context(), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	var records []*kgo.Record
	for user := from; user < to; user++ {
		records = append(records, &kgo.Record{
			Topic: b.topics.Events.Name, Partition: partition, Key: fmt.Appendf(nil, "user-%06d", user), Timestamp: clock,
			Value: fmt.Appendf(nil, `{"specversion":"1.0","id":"%d","source":"/test","type":"visit","time":%q}`, clock.UnixNano(), clock.UTC().Format(time.RFC3339Nano)),
		})
	}
	if err := client.ProduceSync(context.Background(), records...).FirstErr(); err != nil {
		b.Fatal(err)
	}
}

// someFired holds when a worker has fired something, or has nothing left to fire: how much it gets done before it is stopped is not up to
// the test.
func (b *bench) someFired(w *worker) func() bool {
	return func() bool {
		if w.metric("stampede_ledgers_fired_total") > 0 {
			return true
		}
		remaining, err := b.judged().Remaining(context.Background())
		return err == nil && remaining == 0
	}
}

// Everybody is due at one instant, more than a cycle fires. The worker stops, is started anew, and loses its store in the middle of that; in
// the end nobody was forgotten and nothing is left.
func TestEverybodyIsDueAtOnce(t *testing.T) {
	const users = 32_000
	b := newBenchWith(t, kafka.TopicsConfig{Partitions: 1})
	now := time.Now()
	if midnight := now.Truncate(24 * time.Hour).Add(24 * time.Hour); now.Add(3 * time.Hour).After(midnight) {
		now = midnight // what is remembered is tidied then: everybody would be due once more
	}
	b.inForce(
		closing(t, "two-visits", now.Add(time.Hour), "{count: 2, of: visit}"),
		closing(t, "no-complaints", now.Add(time.Hour), "{none: complaint}"),
	)
	b.visits(0, 0, users, now)
	b.end(b.work("a"))
	b.visits(0, users, users+1, now.Add(2*time.Hour)) // the clock passes the ends of both

	w := b.start(b.dir("a"))
	b.eventually("some have fired", b.someFired(w))
	b.end(w)
	fired := w.metric("stampede_ledgers_fired_total")
	if err := os.RemoveAll(b.dir("a")); err != nil {
		t.Fatal(err)
	}
	w = b.start(b.dir("a"))
	b.eventually("more have fired", b.someFired(w))
	b.end(w)
	t.Logf("%d had fired before, %d more after the store was lost", fired, w.metric("stampede_ledgers_fired_total"))
	fired += w.metric("stampede_ledgers_fired_total")
	w = b.work("a")
	b.end(w)
	if fired += w.metric("stampede_ledgers_fired_total"); fired != users {
		t.Errorf("%d ledgers were fired, wanted %d", fired, users)
	}
	if v := b.judge(b.dir("a")); v.Rewards != users || v.Failures != users {
		t.Errorf("%d were rewarded and %d failed, wanted %d of each", v.Rewards, v.Failures, users)
	}

	// A month later the remembered ids, and who was known, are forgotten as well.
	b.visits(0, users+1, users+2, now.Add(40*24*time.Hour))
	b.visits(0, users+1, users+2, now.Add(80*24*time.Hour))
	b.end(b.work("a"))
	b.judge(b.dir("a"))
	store := b.store(b.dir("a"))
	defer store.Close()
	last := fmt.Sprintf("user-%06d", users+1) // who came just now, and moved the clock
	if err := store.Each(0, func(user, _ []byte) error {
		if string(user) != last {
			t.Errorf("%s is left", user)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if timers, err := store.Timers(0, state.Timer{}, 10); err != nil || len(timers) != 1 || timers[0].User != last {
		t.Errorf("timers are left: %v %v", timers, err)
	}
}

// Nothing arrives, and a campaign ends: the owners of the partitions see to it that the clocks pass that.
func TestIdlePartitionsAreTicked(t *testing.T) {
	onBoth(t, func(b *bench) {
		const users = 60
		ends := time.Now().Add(3 * time.Second)
		b.inForce(closing(b.T, "no-complaints", ends, "{none: complaint}"), closing(b.T, "two-visits", ends, "{count: 2, of: visit}"))
		for n := range b.topics.Events.Partitions {
			b.visits(n, int(n)*users, int(n+1)*users, time.Now())
		}
		w := b.start(b.dir("a"))
		all := users * int(b.topics.Events.Partitions)
		b.eventually("everybody without a complaint is rewarded", func() bool { return int(w.Status().Rewards) == all })
		b.processed()
		b.end(w)
		if ticks := w.metric("stampede_ticks_total"); ticks < int(b.topics.Events.Partitions) {
			b.Errorf("%d ticks", ticks)
		}
		if v := b.judge(b.dir("a")); v.Failures != all {
			b.Errorf("%d failed, wanted %d", v.Failures, all)
		}
	})
}
