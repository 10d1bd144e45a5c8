package judge_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stampede-rewards/stampede/internal/judge"
	"github.com/stampede-rewards/stampede/internal/kafka"
	"github.com/stampede-rewards/stampede/internal/model"
	"github.com/stampede-rewards/stampede/internal/stream"
	"github.com/stampede-rewards/stampede/pkg/state"
)

const (
	group      = "stampede"
	partitions = 2
	minRewards = 6           // of each partition, of which some are late in the log
	patience   = time.Minute // bounds every wait; nothing is expected to take a fraction of it
)

// base is a directory with a broker's data and a store, left behind by a worker that did everything right. Tests tamper with copies.
var base struct {
	sync.Once
	dir   string
	model []*model.Campaign
}

func TestMain(m *testing.M) {
	code := m.Run()
	if base.dir != "" {
		_ = os.RemoveAll(base.dir)
	}
	os.Exit(code)
}

// run is what a worker left behind, and a client that does what nobody should.
type run struct {
	*testing.T
	judge.Case
	dir    string
	client *kgo.Client
	store  *state.Store

	observer *judge.Observer
}

// open starts the broker and opens the store of a directory.
func open(t *testing.T, dir string) *run {
	t.Helper()
	broker, err := kafka.StartEmbedded(kafka.EmbeddedConfig{Dir: filepath.Join(dir, "broker")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { broker.Close() })
	r := &run{T: t, dir: dir, Case: judge.Case{Connection: kafka.Connection{Brokers: broker.Brokers()}, Group: group, Model: base.model, Settle: 300 * time.Millisecond}}
	if r.client, err = r.Connection.Client(t.Context(), kgo.RecordPartitioner(kgo.ManualPartitioner())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.client.Close)
	if r.Topics, err = kafka.EnsureTopics(t.Context(), r.client, kafka.TopicsConfig{Partitions: partitions}); err != nil {
		t.Fatal(err)
	}
	if r.store, err = state.Open(state.Config{Dir: filepath.Join(dir, "store"), MemoryBytes: 16 << 20}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.store.Close() })
	r.Stores = []*state.Store{r.store}
	return r
}

// left is a copy of what a worker left behind.
func left(t *testing.T) *run {
	t.Helper()
	base.Do(func() { makeBase(t) })
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(base.dir)); err != nil {
		t.Fatal(err)
	}
	return open(t, dir)
}

// makeBase lets a worker do a drawn story, some of it twice, with a stop in between.
func makeBase(t *testing.T) {
	dir, err := os.MkdirTemp("", "judge") //nolint:usetesting // it outlives the test that makes it
	if err != nil {
		t.Fatal(err)
	}
	base.dir = dir
	t.Run("a worker", func(t *testing.T) {
		r := open(t, dir)
		stories := make([]model.Story, partitions)
		for n := range stories {
			stories[n] = rewarding(t, uint64(n), fmt.Sprint("ann-", n), fmt.Sprint("bob-", n)) //nolint:gosec // small
			base.model = append(base.model, stories[n].Campaigns...)
		}
		for _, half := range []int{0, 1} {
			for n, story := range stories {
				middle := len(story.Steps) / 2
				steps := [][]model.Step{story.Steps[:middle], story.Steps[middle:]}[half]
				for _, step := range steps {
					r.produce(&kgo.Record{Topic: r.Topics.Events.Name, Partition: int32(n), Key: step.Key, Value: step.Value, Timestamp: step.Clock}) //nolint:gosec // small
				}
				r.produce(&kgo.Record{Topic: r.Topics.Events.Name, Partition: int32(n), Key: []byte("ann"), Value: []byte("broken"), Timestamp: steps[len(steps)-1].Clock}) //nolint:gosec // small
			}
			r.work()
			if half == 0 {
				if err := os.CopyFS(filepath.Join(dir, "earlier"), os.DirFS(filepath.Join(dir, "store"))); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

// rewarding draws a story with some rewards.
func rewarding(t *testing.T, seed uint64, users ...string) model.Story {
	t.Helper()
	for attempt := range uint64(1000) {
		story := model.DrawStory(model.Rand(rand.New(rand.NewPCG(seed, attempt))), users, 40) //nolint:gosec // a seed
		log := model.NewLog(story.Campaigns...)
		for _, e := range story.Entries(0) {
			if err := log.Read(e); err != nil {
				t.Fatal(err)
			}
		}
		if len(log.Rewards()) >= 2*minRewards {
			return story
		}
	}
	t.Fatal("no story has rewards")
	return model.Story{}
}

func (r *run) produce(records ...*kgo.Record) {
	r.Helper()
	if err := r.client.ProduceSync(context.Background(), records...).FirstErr(); err != nil {
		r.Fatal(err)
	}
}

// work runs a worker until everything is processed.
func (r *run) work() {
	r.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ctx, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	w := stream.NewWorker(stream.Config{Connection: r.Connection, Topics: kafka.TopicsConfig{Partitions: partitions}, Group: group, Store: r.store})
	go func() { done <- w.Run(ctx) }()
	err := r.AwaitProcessed(ctx)
	stop()
	if err := errors.Join(err, <-done); err != nil {
		r.Fatal(err)
	}
}

// rewrite makes a topic anew, with other records.
func (r *run) rewrite(topic kafka.Topic, change func([]*kgo.Record) []*kgo.Record) {
	r.Helper()
	var all []*kgo.Record
	if err := r.Connection.ReadTopic(r.Context(), topic.Name, func(rec *kgo.Record) error {
		all = append(all, &kgo.Record{Topic: topic.Name, Partition: rec.Partition, Key: rec.Key, Value: rec.Value, Headers: rec.Headers, Timestamp: rec.Timestamp})
		return nil
	}); err != nil {
		r.Fatal(err)
	}
	slices.SortStableFunc(all, func(a, b *kgo.Record) int { return int(a.Partition - b.Partition) })
	admin := kadm.NewClient(r.client)
	var err error
	if _, err = admin.DeleteTopics(r.Context(), topic.Name); err != nil {
		r.Fatal(err)
	}
	r.client.Close()
	if r.client, err = r.Connection.Client(r.Context(), kgo.RecordPartitioner(kgo.ManualPartitioner())); err != nil {
		r.Fatal(err)
	}
	r.Cleanup(r.client.Close)
	if r.Topics, err = kafka.EnsureTopics(r.Context(), r.client, kafka.TopicsConfig{Partitions: partitions}); err != nil {
		r.Fatal(err)
	}
	r.produce(change(all)...)
}

// commit puts the group's offset of a partition somewhere, with something beside it.
func (r *run) commit(partition int32, offset int64, metadata string) {
	r.Helper()
	offsets := kadm.Offsets{}
	offsets.Add(kadm.Offset{Topic: r.Topics.Events.Name, Partition: partition, At: offset, LeaderEpoch: -1, Metadata: metadata})
	if err := kadm.NewClient(r.client).CommitAllOffsets(r.Context(), group, offsets); err != nil {
		r.Fatal(err)
	}
}

// committed is the group's offset of partition 0.
func (r *run) committed() kadm.OffsetResponse {
	r.Helper()
	fetched, err := kadm.NewClient(r.client).FetchOffsets(r.Context(), group)
	if err != nil {
		r.Fatal(err)
	}
	o, _ := fetched.Lookup(r.Topics.Events.Name, 0)
	return o
}

// where is the place of the first record that is wanted.
func (r *run) where(records []*kgo.Record, wanted func(*kgo.Record) bool) int {
	r.Helper()
	i := slices.IndexFunc(records, wanted)
	if i < 0 {
		r.Fatal("there is no such record")
	}
	return i
}

func isLedger(r *kgo.Record) bool { return !stream.IsPosition(r) && r.Value != nil }

func of(partition int32) func(*kgo.Record) bool {
	return func(r *kgo.Record) bool { return r.Partition == partition }
}

func TestWhatIsRightIsFoundRight(t *testing.T) {
	r := left(t)
	v, err := judge.Judge(t.Context(), r.Case)
	if err != nil {
		t.Error(err)
	}
	if v.Rewards < partitions*minRewards || v.Modelled != v.Rewards || v.DeadLetters < 2 || v.InStores != partitions || v.Ledgers == 0 || v.Told == 0 || v.Uncommitted != 0 {
		t.Errorf("too little happened to prove anything: %s, %d modelled", v, v.Modelled)
	}
}

// A store that is behind is held against the engine at the offset that it says.
func TestAStoreThatIsBehindIsComparedWhereItIs(t *testing.T) {
	r := left(t)
	earlier, err := state.Open(state.Config{Dir: filepath.Join(r.dir, "earlier"), MemoryBytes: 16 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer earlier.Close()
	r.Stores = append(r.Stores, earlier)
	if v, err := judge.Judge(t.Context(), r.Case); err != nil || v.InStores != partitions || v.Behind != partitions {
		t.Errorf("%s, %v", v, err)
	}
	r.store = earlier
	r.checkpoint(func(*state.Position) []state.Change { return []state.Change{{User: "ann-0", Ledger: []byte{1}}} })
	if _, err := judge.Judge(t.Context(), r.Case); !slices.Equal(judge.Invariants(err), []judge.Invariant{judge.StoreContents}) {
		t.Errorf("another ledger in it: %v", err)
	}
}

// Each invariant is broken on purpose, and must be named. What else breaks with it is not looked at.
func TestWhatIsWrongIsNamed(t *testing.T) {
	rewrite := func(topic func(*run) kafka.Topic, change func(*run, []*kgo.Record) []*kgo.Record) func(*run) {
		return func(r *run) {
			r.rewrite(topic(r), func(records []*kgo.Record) []*kgo.Record { return change(r, records) })
		}
	}
	rewards := func(r *run) kafka.Topic { return r.Topics.Rewards }
	letters := func(r *run) kafka.Topic { return r.Topics.DeadLetters }
	changelog := func(r *run) kafka.Topic { return r.Topics.Changelog }
	for _, c := range []struct {
		name   string
		tamper func(*run)
		wanted judge.Invariant
	}{
		{"a reward is missing", rewrite(rewards, func(_ *run, rs []*kgo.Record) []*kgo.Record { return rs[1:] }), judge.FoldEquality},
		{"a reward is missing, by the model", rewrite(rewards, func(_ *run, rs []*kgo.Record) []*kgo.Record { return rs[1:] }), judge.ModelEquality},
		{"a reward says something else", rewrite(rewards, func(_ *run, rs []*kgo.Record) []*kgo.Record {
			rs[0].Value = bytes.Replace(rs[0].Value, []byte(`"tier":"1"`), []byte(`"tier":"9"`), 1)
			return rs
		}), judge.FoldEquality},
		{"a reward is of another version, by the model", rewrite(rewards, func(_ *run, rs []*kgo.Record) []*kgo.Record {
			rs[0].Value = bytes.Replace(rs[0].Value, []byte(`"version":`), []byte(`"version":1`), 1)
			return rs
		}), judge.ModelEquality},
		{"a reward names another record", rewrite(rewards, func(_ *run, rs []*kgo.Record) []*kgo.Record {
			rs[0].Headers[slices.IndexFunc(rs[0].Headers, func(h kgo.RecordHeader) bool { return h.Key == "stampede_offset" })].Value = []byte("0")
			return rs
		}), judge.FoldEquality},
		{"a reward does not say where it comes from", rewrite(rewards, func(_ *run, rs []*kgo.Record) []*kgo.Record {
			rs[0].Headers = nil
			return rs
		}), judge.FoldEquality},
		{"a reward is in a trace of which its event says nothing", rewrite(rewards, func(_ *run, rs []*kgo.Record) []*kgo.Record {
			rs[0].Headers = append(rs[0].Headers, kgo.RecordHeader{Key: "traceparent", Value: []byte("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")})
			return rs
		}), judge.FoldEquality},
		{"two rewards have changed places", rewrite(rewards, func(_ *run, rs []*kgo.Record) []*kgo.Record {
			last := 0
			for last+1 < len(rs) && rs[last+1].Partition == rs[0].Partition {
				last++
			}
			rs[0], rs[last] = rs[last], rs[0]
			return rs
		}), judge.CauseMonotonic},
		{"a reward is there twice", rewrite(rewards, func(_ *run, rs []*kgo.Record) []*kgo.Record { return append(rs, rs[len(rs)-1]) }), judge.NoDuplicate},
		{"a dead letter is missing", rewrite(letters, func(_ *run, rs []*kgo.Record) []*kgo.Record { return rs[1:] }), judge.DeadLetters},
		{"a dead letter's bytes are others", rewrite(letters, func(_ *run, rs []*kgo.Record) []*kgo.Record {
			rs[0].Value = append(rs[0].Value, ' ')
			return rs
		}), judge.DeadLetters},
		{"a dead letter too many does not say where it comes from", rewrite(letters, func(_ *run, rs []*kgo.Record) []*kgo.Record {
			return append(rs, &kgo.Record{Topic: rs[0].Topic, Value: []byte("x")})
		}), judge.FoldEquality},
		{"a ledger in the changelog is another", rewrite(changelog, func(r *run, rs []*kgo.Record) []*kgo.Record {
			slices.Reverse(rs)
			i := r.where(rs, isLedger)
			rs[i].Value = append(bytes.Clone(rs[i].Value), 0)
			slices.Reverse(rs)
			return rs
		}), judge.ChangelogFold},
		{"a campaign is missing in the changelog", rewrite(changelog, func(_ *run, rs []*kgo.Record) []*kgo.Record {
			return slices.DeleteFunc(rs, func(r *kgo.Record) bool { return strings.HasPrefix(string(r.Key), "\xffcampaign/c0") })
		}), judge.ChangelogFold},
		{"the last position record is missing", rewrite(changelog, func(r *run, rs []*kgo.Record) []*kgo.Record {
			slices.Reverse(rs)
			rs = slices.Delete(rs, 0, r.where(rs, stream.IsPosition)+1)
			slices.Reverse(rs)
			return rs
		}), judge.ChangelogPosition},
		{"position records have changed places", rewrite(changelog, func(r *run, rs []*kgo.Record) []*kgo.Record {
			first := r.where(rs, stream.IsPosition)
			second := first + 1 + r.where(rs[first+1:], stream.IsPosition)
			rs[first].Value, rs[second].Value = rs[second].Value, rs[first].Value
			return rs
		}), judge.ChangelogMonotonic},
		{"the committed offset was set back", func(r *run) { r.commit(0, 1, "") }, judge.NothingUncommitted},
		{"the store is ahead", func(r *run) {
			r.checkpoint(func(p *state.Position) []state.Change { p.Input++; return nil })
		}, judge.StoreBehindCommit},
		{"a ledger in the store is another", func(r *run) {
			r.checkpoint(func(*state.Position) []state.Change { return []state.Change{{User: "ann-0", Ledger: []byte{1}}} })
		}, judge.StoreContents},
		{"the store says that it is behind, and is not", func(r *run) {
			r.checkpoint(func(p *state.Position) []state.Change { p.Input = 3; return nil })
		}, judge.StoreContents},
		{"the store's clock is another", func(r *run) {
			r.checkpoint(func(p *state.Position) []state.Change { p.Clock++; return nil })
		}, judge.StoreContents},
		{"a transaction is open", func(r *run) {
			cl, err := r.Connection.Client(r.Context(), kgo.TransactionalID("hanging"))
			if err != nil {
				r.Fatal(err)
			}
			r.Cleanup(cl.Close)
			if err := errors.Join(cl.BeginTransaction(), cl.ProduceSync(r.Context(), &kgo.Record{Topic: r.Topics.Rewards.Name, Value: []byte("x")}).FirstErr()); err != nil {
				r.Fatal(err)
			}
		}, judge.NoOpenTransaction},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := left(t)
			c.tamper(r)
			_, err := judge.Judge(t.Context(), r.Case)
			if !slices.Contains(judge.Invariants(err), c.wanted) {
				t.Errorf("wanted %s, found %v:\n%v", c.wanted, judge.Invariants(err), err)
			}
			t.Log(judge.Invariants(err))
		})
	}
}

// checkpoint changes what the store holds of partition 0, and where it says that it is.
func (r *run) checkpoint(change func(*state.Position) []state.Change) {
	r.Helper()
	p, _, err := r.store.Position(0)
	if err != nil {
		r.Fatal(err)
	}
	changes := change(&p)
	if err := r.store.Checkpoint(0, p, changes); err != nil {
		r.Fatal(err)
	}
}

func TestLivenessIsNamed(t *testing.T) {
	r := left(t)
	r.produce(&kgo.Record{Topic: r.Topics.Events.Name, Key: []byte("u"), Value: []byte("x")})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := r.AwaitProcessed(ctx); !slices.Contains(judge.Invariants(err), judge.Liveness) {
		t.Errorf("nobody works, and it is said: %v", err)
	}
}

// What goes wrong while an observer reads along is named, too.
func TestWhatGoesWrongMeanwhileIsSeen(t *testing.T) {
	last := func(r *run, topic kafka.Topic, wanted func(*kgo.Record) bool) *kgo.Record {
		var found *kgo.Record
		if err := r.Connection.ReadTopic(r.Context(), topic.Name, func(rec *kgo.Record) error {
			if wanted(rec) {
				found = rec
			}
			return nil
		}); err != nil {
			r.Fatal(err)
		}
		return &kgo.Record{Topic: topic.Name, Partition: found.Partition, Key: found.Key, Value: found.Value, Headers: found.Headers}
	}
	for _, c := range []struct {
		name   string
		tamper func(*run)
		wanted judge.Invariant
	}{
		{"nothing", func(*run) {}, ""},
		{"a reward comes again", func(r *run) { r.produce(last(r, r.Topics.Rewards, of(0))) }, judge.NoDuplicate},
		{"a reward for something earlier", func(r *run) {
			reward := last(r, r.Topics.Rewards, of(0))
			reward.Headers = []kgo.RecordHeader{{Key: "stampede_partition", Value: []byte("0")}, {Key: "stampede_offset", Value: []byte("0")}}
			r.produce(reward)
		}, judge.CauseMonotonic},
		{"a reward for something that is not committed", func(r *run) {
			reward := last(r, r.Topics.Rewards, of(0))
			reward.Value = []byte(`{"id":"another"}`)
			reward.Headers = []kgo.RecordHeader{{Key: "stampede_partition", Value: []byte("0")}, {Key: "stampede_offset", Value: []byte("999999")}}
			r.produce(reward)
		}, judge.NothingUncommitted},
		{"no reward", func(r *run) { r.produce(&kgo.Record{Topic: r.Topics.Rewards.Name, Value: []byte("x")}) }, judge.FoldEquality},
		{"a position record comes again", func(r *run) { r.produce(last(r, r.Topics.Changelog, stream.IsPosition)) }, judge.ChangelogMonotonic},
		{"a position record that is none", func(r *run) {
			p := last(r, r.Topics.Changelog, stream.IsPosition)
			p.Value = []byte("x")
			r.produce(p)
		}, judge.ChangelogPosition},
		{"the offset goes back", func(r *run) {
			o := r.committed()
			r.commit(0, o.At-1, o.Metadata)
		}, judge.OffsetsMonotonic},
		{"the offset's step goes back", func(r *run) {
			o := r.committed()
			for _, step := range []int{2, 1} {
				r.commit(0, o.At+1, fmt.Sprintf("stampede/1 %s %d 0", state.TransactionID{Worker: "w", Incarnation: 1, Sequence: 1}, step))
				r.asked()
			}
		}, judge.OffsetsMonotonic},
		{"an earlier life commits", func(r *run) {
			o := r.committed()
			for i, life := range []int{1, 2, 1} {
				id := state.TransactionID{Worker: "w", Incarnation: uint64(life), Sequence: 1} //nolint:gosec // small
				r.commit(0, o.At+int64(i), fmt.Sprintf("stampede/1 %s 0 0", id))
				r.asked()
			}
		}, judge.Fencing},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := left(t)
			observer, err := r.Observe()
			if err != nil {
				t.Fatal(err)
			}
			r.observer = observer
			r.eventually("all rewards are seen", func() bool { return observer.Count() >= partitions*minRewards })
			r.asked()
			c.tamper(r)
			if c.wanted == "" {
				r.asked()
			} else {
				r.eventually("it is seen", func() bool { return slices.Contains(judge.Invariants(observer.Findings()), c.wanted) })
			}
			began := time.Now()
			err = observer.Stop()
			if took := time.Since(began); took > patience/10 {
				t.Errorf("it took %s to stop", took)
			}
			if names := judge.Invariants(err); c.wanted == "" && err != nil || c.wanted != "" && !slices.Contains(names, c.wanted) {
				t.Errorf("wanted %q, found %v:\n%v", c.wanted, names, err)
			}
		})
	}
}

// asked waits until the observer was told the committed offsets, by a question that was asked after now.
func (r *run) asked() {
	r.Helper()
	before := r.observer.Polls()
	r.eventually("the committed offsets are told", func() bool { return r.observer.Polls() >= before+2 })
}

func (r *run) eventually(what string, holds func() bool) {
	r.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			_ = r.observer.Stop()
			r.Fatalf("%s: not within %s", what, patience)
		}
	}
}
