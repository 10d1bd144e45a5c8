package stream_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stampede-rewards/stampede/internal/judge"
	"github.com/stampede-rewards/stampede/internal/kafka"
	"github.com/stampede-rewards/stampede/internal/kafka/kafkatest"
	"github.com/stampede-rewards/stampede/internal/model"
	"github.com/stampede-rewards/stampede/internal/partner"
	"github.com/stampede-rewards/stampede/internal/stream"
	"github.com/stampede-rewards/stampede/internal/workload"
	"github.com/stampede-rewards/stampede/pkg/campaign"
	"github.com/stampede-rewards/stampede/pkg/state"
)

func TestMain(m *testing.M) { kafkatest.Main(m) }

// patience bounds every wait of these tests. Nothing is expected to take a fraction of it; a test that reaches it has failed.
const patience = 90 * time.Second

// bench is a broker with topics, and what a test does to it.
type bench struct {
	*testing.T
	connection kafka.Connection
	wanted     kafka.TopicsConfig
	topics     kafka.TopicsState
	group      string
	campaigns  *campaign.Set
	partners   *partner.Partners
	model      []*model.Campaign // if the rewards are to be the model's
	erased     []string          // users who may be erased
	earlier    bool              // an earlier release has worked on the log
	client     *kgo.Client
	generator  workload.Generator
	produced   uint64
	dirs       string
}

// newBench has an embedded broker of its own, where the campaigns are published.
func newBench(t *testing.T) *bench {
	t.Helper()
	b := newBenchWith(t, kafka.TopicsConfig{})
	b.publish()
	return b
}

func newBenchWith(t *testing.T, topics kafka.TopicsConfig) *bench {
	t.Helper()
	broker, err := kafka.StartEmbedded(kafka.EmbeddedConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { broker.Close() })
	return newBenchOn(t, kafka.Connection{Brokers: broker.Brokers()}, topics)
}

var benches atomic.Int64

// newRealBench has topics and a group of its own on this package's Apache Kafka.
func newRealBench(t *testing.T) *bench {
	t.Helper()
	if testing.Short() {
		t.Skip("needs Apache Kafka")
	}
	broker := kafkatest.Shared(t)
	name := func(topic string) string { return fmt.Sprintf("%s-%d", topic, benches.Load()) }
	benches.Add(1)
	b := newBenchOn(t, kafka.Connection{Brokers: broker.Addresses()}, kafka.TopicsConfig{Names: kafka.Topics{
		Events: name("events"), Rewards: name("rewards"), Changelog: name("changelog"), DeadLetters: name("dead-letters"), Campaigns: name("campaigns"),
	}})
	b.group = name("group")
	b.publish()
	return b
}

func newBenchOn(t *testing.T, c kafka.Connection, topics kafka.TopicsConfig) *bench {
	t.Helper()
	b := &bench{T: t, connection: c, wanted: topics, group: "stampede", dirs: t.TempDir(), generator: workload.New(workload.Config{Seed: 1, Users: 300, Odd: true})}
	var err error
	if b.campaigns, err = campaign.Load(os.DirFS("../../deploy"), "campaigns"); err != nil {
		t.Fatal(err)
	}
	asking, err := c.Client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer asking.Close()
	if b.topics, err = kafka.EnsureTopics(t.Context(), asking, topics); err != nil {
		t.Fatal(err)
	}
	if b.client, err = c.Client(t.Context(), b.topics.BatchBytes()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.client.Close)
	return b
}

// publish puts the bench's campaigns in force. What was produced before is judged by none.
func (b *bench) publish() *stream.Publication {
	b.Helper()
	p, err := stream.Publish{Connection: b.connection, Topics: b.wanted, Campaigns: b.campaigns, Partners: b.partners.Names()}.Run(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	return p
}

// produce adds n events of the generator.
func (b *bench) produce(n int) {
	b.Helper()
	records := make([]*kgo.Record, n)
	for i := range records {
		user, value := b.generator.Event(b.produced, time.Now())
		b.produced++
		records[i] = &kgo.Record{Topic: b.topics.Events.Name, Key: []byte(user), Value: value}
	}
	if err := b.client.ProduceSync(context.Background(), records...).FirstErr(); err != nil {
		b.Fatal(err)
	}
}

// worker is one running worker.
type worker struct {
	*stream.Worker
	metrics *stream.Metrics
	store   *state.Store
	stop    context.CancelFunc
	done    chan error
}

func (b *bench) store(dir string) *state.Store {
	b.Helper()
	store, err := state.Open(state.Config{Dir: dir, MemoryBytes: 16 << 20})
	if err != nil {
		b.Fatal(err)
	}
	return store
}

// start runs a worker on a store; change may alter its configuration.
func (b *bench) start(dir string, change ...func(*stream.Config)) *worker {
	b.Helper()
	w := &worker{store: b.store(dir), metrics: stream.NewMetrics(), done: make(chan error, 1)}
	cfg := stream.Config{
		Connection: b.connection, Topics: b.wanted, Group: b.group, Store: w.store, Partners: b.partners,
		Metrics: w.metrics, CommitInterval: 10 * time.Millisecond, CheckpointInterval: 300 * time.Millisecond,
		Log: slog.New(slog.NewTextHandler(b.Output(), nil)).With("worker", filepath.Base(dir)),
	}
	for _, c := range change {
		c(&cfg)
	}
	w.Worker = stream.NewWorker(cfg)
	ctx, stop := context.WithCancel(context.Background())
	w.stop = stop
	go func() {
		err := w.Run(ctx)
		if err != nil {
			cfg.Log.Error("the worker has ended", "error", err)
		}
		w.done <- err
	}()
	b.Cleanup(func() {
		stop()
		<-w.done
		w.store.Close()
	})
	return w
}

// metric is the sum of a worker's metric over its labels.
func (w *worker) metric(name string) int {
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(w.metrics)
	families, err := registry.Gather()
	if err != nil {
		panic(err)
	}
	sum := -1.0
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		sum = 0
		for _, m := range f.GetMetric() {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return int(sum)
}

// dir is where a worker of a name has its store.
func (b *bench) dir(name string) string { return filepath.Join(b.dirs, name) }

// work runs a worker until all events are processed. It is still to be ended.
func (b *bench) work(name string) *worker {
	b.Helper()
	w := b.start(b.dir(name))
	b.processed()
	return w
}

// end stops a worker in order.
func (b *bench) end(w *worker) {
	b.Helper()
	w.stop()
	if err := <-w.done; err != nil {
		b.Errorf("worker: %v", err)
	}
	close(w.done)
	if err := w.store.Close(); err != nil {
		b.Error(err)
	}
}

// eventually waits for a condition.
func (b *bench) eventually(what string, holds func() bool) {
	b.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.Fatalf("%s: not within %s", what, patience)
		}
	}
}

// processed waits until the group has committed every event.
func (b *bench) processed() {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := b.judged().AwaitProcessed(ctx); err != nil {
		b.Fatal(err)
	}
}

// judged is what the judge is given.
func (b *bench) judged() judge.Case {
	return judge.Case{Connection: b.connection, Topics: b.topics, Group: b.group, Model: b.model, Partners: b.partners, Erased: b.erased, Earlier: b.earlier}
}

// judge compares everything with the engine; dirs are the stores of workers that have ended.
func (b *bench) judge(dirs ...string) judge.Verdict {
	b.Helper()
	c := b.judged()
	for _, dir := range dirs {
		store := b.store(dir)
		defer store.Close()
		c.Stores = append(c.Stores, store)
	}
	v, err := judge.Judge(context.Background(), c)
	b.Logf("judged: %s", v)
	if err != nil {
		b.Error(err)
	}
	return v
}
