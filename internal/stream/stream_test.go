package stream_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stampede-rewards/stampede/internal/judge"
	"github.com/stampede-rewards/stampede/internal/kafka"
	"github.com/stampede-rewards/stampede/internal/stream"
	"github.com/stampede-rewards/stampede/internal/workload"
	"github.com/stampede-rewards/stampede/pkg/campaign"
	"github.com/stampede-rewards/stampede/pkg/state"
)

// patience bounds every wait of these tests. Nothing is expected to take a fraction of it; a test that reaches it has failed.
const patience = 90 * time.Second

// bench is a broker with topics, and what a test does to it.
type bench struct {
	*testing.T
	connection kafka.Connection
	topics     kafka.TopicsState
	campaigns  *campaign.Set
	client     *kgo.Client
	generator  workload.Generator
	produced   uint64
}

// newBench has an embedded broker of its own.
func newBench(t *testing.T) *bench {
	t.Helper()
	broker, err := kafka.StartEmbedded(kafka.EmbeddedConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { broker.Close() })
	return newBenchOn(t, kafka.Connection{Brokers: broker.Brokers()}, kafka.TopicsConfig{})
}

func newBenchOn(t *testing.T, c kafka.Connection, topics kafka.TopicsConfig) *bench {
	t.Helper()
	b := &bench{T: t, connection: c, generator: workload.New(workload.Config{Seed: 1, Users: 300, Odd: true})}
	var err error
	if b.campaigns, err = campaign.Load(os.DirFS("../../deploy"), "campaigns"); err != nil {
		t.Fatal(err)
	}
	if b.client, err = c.Client(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.client.Close)
	if b.topics, err = kafka.EnsureTopics(t.Context(), b.client, topics); err != nil {
		t.Fatal(err)
	}
	return b
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
	store *state.Store
	stop  context.CancelFunc
	done  chan error
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
	w := &worker{store: b.store(dir), done: make(chan error, 1)}
	cfg := stream.Config{
		Connection: b.connection, Campaigns: b.campaigns, Store: w.store,
		CommitInterval: 10 * time.Millisecond, CheckpointInterval: 300 * time.Millisecond,
		Log: slog.New(slog.NewTextHandler(b.Output(), nil)).With("worker", filepath.Base(dir)),
	}
	for _, c := range change {
		c(&cfg)
	}
	w.Worker = stream.NewWorker(cfg)
	ctx, stop := context.WithCancel(context.Background())
	w.stop = stop
	go func() { w.done <- w.Run(ctx) }()
	b.Cleanup(func() {
		stop()
		<-w.done
		w.store.Close()
	})
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
	admin := kadm.NewClient(b.client)
	lag := "unknown"
	defer func() {
		if b.Failed() {
			b.Logf("not processed: %s", lag)
		}
	}()
	b.eventually("all events processed", func() bool {
		ends, err := b.connection.Ends(context.Background(), b.topics.Events.Name)
		if err != nil {
			b.Fatal(err)
		}
		offsets, err := admin.FetchOffsetsForTopics(context.Background(), "stampede", b.topics.Events.Name)
		if err != nil {
			lag = err.Error()
			return false
		}
		lag = ""
		for n, end := range ends {
			if o, ok := offsets.Lookup(b.topics.Events.Name, n); !ok || o.At < end && end > 0 && (o.At >= 0 || end > 0) {
				lag += fmt.Sprintf(" %d: %d of %d;", n, o.At, end)
			}
		}
		return lag == ""
	})
}

// judge compares everything with the engine; dirs are the stores of workers that have ended.
func (b *bench) judge(dirs ...string) judge.Verdict {
	b.Helper()
	c := judge.Case{Connection: b.connection, Topics: b.topics, Group: "stampede", Campaigns: b.campaigns}
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

func TestEventsInRewardsOut(t *testing.T) {
	b := newBench(t)
	b.produce(5000)
	dir := filepath.Join(t.TempDir(), "a")
	w := b.start(dir)
	b.processed()
	b.produce(3000)
	b.processed()
	b.end(w)
	v := b.judge(dir)
	if v.Events != 8000 || v.Rewards < 100 || v.DeadLetters < 5 || v.InStores != 6 {
		t.Errorf("too little happened to prove anything: %s", v)
	}
	if status := w.Status(); status.Events != 8000 || status.Rewards != int64(v.Rewards) || status.Rejected != int64(v.DeadLetters) {
		t.Errorf("the status is %+v, judged was %s", status, v)
	}
}

func TestRestartGoesOnWhereItWas(t *testing.T) {
	b := newBench(t)
	dir := filepath.Join(t.TempDir(), "a")
	for range 3 {
		b.produce(1000)
		w := b.start(dir)
		b.processed()
		b.end(w)
	}
	b.judge(dir)
}

func TestWorkersComeAndGo(t *testing.T) {
	b := newBench(t)
	dirs := []string{filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b"), filepath.Join(t.TempDir(), "c")}
	observer, err := judge.Observe(b.connection, b.topics.Rewards.Name)
	if err != nil {
		t.Fatal(err)
	}
	b.produce(2000)
	first := b.start(dirs[0])
	b.processed()
	second := b.start(dirs[1])
	for range 20 {
		b.produce(100)
	}
	b.eventually("both have partitions", func() bool { return first.Status().Open == 3 && second.Status().Open == 3 })
	third := b.start(dirs[2])
	b.produce(1000)
	b.eventually("all have partitions", func() bool { return third.Status().Open == 2 })
	b.end(second)
	b.produce(1000)
	b.eventually("the others have taken over", func() bool { return first.Status().Open+third.Status().Open == 6 })
	b.processed()
	b.end(first)
	b.end(third)
	b.judge(dirs...)
	if err := observer.Stop(); err != nil {
		t.Error(err)
	}
}
