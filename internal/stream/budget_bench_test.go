package stream_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stampede-rewards/stampede/internal/kafka"
	"github.com/stampede-rewards/stampede/internal/stream"
	"github.com/stampede-rewards/stampede/pkg/campaign"
	"github.com/stampede-rewards/stampede/pkg/state"
)

// BenchmarkOneBudget is the whole way of claims of one budget, from their records to rewards and answers that are committed, in one worker and on the
// broker inside the process, which takes its share of the machine. Run it with -benchtime 200000x: less measures the start.
func BenchmarkOneBudget(b *testing.B) {
	broker, err := kafka.StartEmbedded(kafka.EmbeddedConfig{})
	if err != nil {
		b.Fatal(err)
	}
	defer broker.Close()
	connection := kafka.Connection{Brokers: broker.Brokers()}
	c := logged(b, "c", 1, "{rewards: 2000000000}")
	set, err := campaign.NewSet([]*campaign.Campaign{c})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := (stream.Publish{Connection: connection, Campaigns: set}).Run(b.Context()); err != nil {
		b.Fatal(err)
	}
	cl, err := connection.Client(b.Context(), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		b.Fatal(err)
	}
	defer cl.Close()
	topics, err := kafka.EnsureTopics(b.Context(), cl, kafka.TopicsConfig{})
	if err != nil {
		b.Fatal(err)
	}
	home := stream.HomeOf(c.Budget.ID, topics.Events.Partitions)
	now := time.Now()
	for n := range b.N {
		user := fmt.Sprintf("user-%07d", n)
		claim := campaign.Claim{Budget: "c", Home: home, Date: campaign.DayOf(now.Date()), Reward: campaign.Reward{
			ID: campaign.RewardID("c", user, "1", "1"), Campaign: c, User: user, Cycle: "1", Tier: "1", Terms: &c.Rewards[0],
			AchievedAt: now.UnixNano(), IssuedAt: now.UnixMilli(), Evidence: []string{"0198a7a0-52c1-7d2e-9a53-0b1f2f6c7a11"}, EvidenceCount: 1,
		}}
		cl.Produce(b.Context(), &kgo.Record{
			Topic: topics.Events.Name, Partition: home, Key: []byte(campaign.ControlKey),
			Value: claim.Append(nil, int32(n)%topics.Events.Partitions), //nolint:gosec // small
		}, nil)
	}
	if err := cl.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
	store, err := state.Open(state.Config{Dir: b.TempDir(), MemoryBytes: 64 << 20})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	ctx, stop := context.WithCancel(context.Background())
	w := stream.NewWorker(stream.Config{Connection: connection, Store: store})
	b.ResetTimer()
	began := time.Now()
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	for deadline := began.Add(patience); w.Status().Rewards < int64(b.N); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.Fatalf("%d of %d claims are decided", w.Status().Rewards, b.N)
		}
	}
	b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "claims/s")
	b.StopTimer()
	stop()
	if err := <-done; err != nil {
		b.Error(err)
	}
}
