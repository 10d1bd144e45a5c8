//go:build synctests

package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/stampede-rewards/stampede/internal/judge"
	"github.com/stampede-rewards/stampede/internal/kafka"
	"github.com/stampede-rewards/stampede/pkg/state"
)

const (
	firstPort   = 1 // of the brokers
	storeMemory = 16 << 20
	storeDir    = "store"
	group       = "stampede"

	// patience is how long after the faults everything must be processed: longer than every timeout of the client and of the runtime
	// one after the other.
	patience     = 4 * time.Minute
	patienceLook = time.Second
	// stuck is how long nothing moves before the world looks whether the broker needs help, and unstuck how long all processes but one are away then.
	stuck   = 50 * time.Second
	unstuck = 45 * time.Second
	// remadeTime is how long the processes run on a topic that was made anew.
	remadeTime = 20 * time.Second
	// idle is how long nothing comes after the load, so that ticks are written where the log's clock is behind.
	idle = 3 * time.Second
	// observed is how long the observer gets to see the last rewards.
	observed = 2 * time.Second
	// lingering is how long a connection that was closed may still sleep: time stands still when the scenario has ended.
	lingering = time.Minute
	// maxTrace bounds the story that is kept.
	maxTrace = 200_000
)

// Violation is a promise that was broken.
type Violation struct {
	Invariant string // its name in internal/judge, or what the simulation itself holds processes to
	Detail    string
}

// Result is what came of a scenario.
type Result struct {
	Seed       uint64
	Violations []Violation    // the first one first
	Covered    map[string]int // faults that struck and paths that were taken, how often
	Leaks      bool           // goroutines hang in a broken store: the test's process must end
	Events     int
	Rewards    int
	Virtual    time.Duration
	Trace      []string // if asked for, or if there are violations
}

// world is one scenario while it runs.
type world struct {
	Scenario
	load    *load
	virtual kfake.VirtualNetwork
	cluster *kfake.Cluster
	brokers []string
	topics  kafka.TopicsState

	upstream  *kgo.Client
	processes []*process
	lives     sync.WaitGroup
	sent      chan struct{}
	ending    chan struct{} // closed when the processes are to end
	began     time.Time     // the load
	calm      atomic.Bool   // the faults are over
	leaks     atomic.Bool
	remade    atomic.Bool // a topic was made anew
	compacted atomic.Bool // topics were, and may begin later than they should (TestTheBrokerMovesTheBeginningOfACompactedLog)
	jumped    atomic.Int64

	publishing chan struct{} // holds one who publishes

	mu         sync.Mutex
	covered    map[string]int
	violations []Violation
	story      []string
	rejections []*kfake.FaultHandle
}

// Run runs a scenario in a bubble of its own.
func Run(t *testing.T, s Scenario, done func(Result)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{
			Scenario: s, load: drawLoad(&s), covered: map[string]int{}, sent: make(chan struct{}), publishing: make(chan struct{}, 1),
		}
		time.Sleep(time.Until(published))
		r := Result{Seed: s.Seed, Covered: w.covered}
		w.run(t.Context(), &r)
		time.Sleep(lingering)
		w.mu.Lock()
		r.Violations, r.Trace = w.violations, w.story
		w.mu.Unlock()
		r.Leaks, r.Virtual = w.leaks.Load(), time.Since(w.began)
		done(r)
	})
}

func (w *world) run(ctx context.Context, r *Result) {
	observer, err := w.begin(ctx)
	if err != nil {
		w.violated("world", err)
		return
	}
	defer w.cluster.Close()
	defer func() { w.upstream.Close() }() // a topic that is made anew has another

	go w.send()
	var timed sync.WaitGroup
	for i := range w.Faults {
		w.schedule(&w.Faults[i], &timed)
	}
	<-w.sent
	timed.Wait()
	time.Sleep(idle)
	w.heal()
	before := w.copies()
	w.pass()
	w.awaitProcessed(ctx)
	if w.load.raised != nil {
		w.publish(w.load.raised)
		w.awaitProcessed(ctx)
	}
	if w.DeleteRetention == shortRetention {
		w.outdated(ctx, before)
	}
	time.Sleep(observed)
	w.end()
	w.violatedAll(observer.Stop())
	w.judge(ctx, r)
	for i := range w.Faults {
		if f := &w.Faults[i]; f.Kind == Recreate && !w.leaks.Load() {
			w.recreate(ctx, f)
		}
	}
}

// begin brings the installation up.
func (w *world) begin(ctx context.Context) (*judge.Observer, error) {
	ports := make([]int, w.Brokers)
	for i := range ports {
		ports[i] = firstPort + i
	}
	options := []kfake.Opt{
		kfake.ListenFn(w.virtual.Listen), kfake.Ports(ports...), kfake.BrokerConfigs(map[string]string{"default.replication.factor": "1"}),
	}
	if w.OldBrokers {
		options = append(options, kfake.MaxVersions(kversion.V3_7_0()))
	}
	var err error
	if w.cluster, err = kfake.NewCluster(options...); err != nil {
		return nil, err
	}
	w.brokers = w.cluster.ListenAddrs()
	if err := w.found(ctx); err != nil {
		return nil, err
	}
	time.Sleep(time.Until(w.load.wall))
	if w.upstream, err = w.connectUpstream(ctx); err != nil {
		return nil, err
	}
	observer, err := w.installation().Observe()
	if err != nil {
		return nil, err
	}
	w.began = time.Now()
	for n := range w.Processes {
		w.processes = append(w.processes, newProcess(w, n))
	}
	w.start()
	return observer, nil
}

// start lets the processes live.
func (w *world) start() {
	w.ending = make(chan struct{})
	for _, p := range w.processes {
		p.ended = make(chan struct{})
		go p.run()
	}
}

// end ends them in order.
func (w *world) end() {
	close(w.ending)
	for _, p := range w.processes {
		<-p.ended
	}
	w.lives.Wait()
}

// connectUpstream is the client of those who send events.
func (w *world) connectUpstream(ctx context.Context) (*kgo.Client, error) {
	return w.connection().Client(ctx, kgo.RecordPartitioner(kgo.BasicConsistentPartitioner(partitionOf)))
}

// found makes the topics and puts the campaigns in force.
func (w *world) found(ctx context.Context) error {
	cl, err := w.connection().Client(ctx)
	if err != nil {
		return err
	}
	defer cl.Close()
	if w.topics, err = kafka.EnsureTopics(ctx, cl, w.topicsConfig()); err != nil {
		return err
	}
	if _, err := kadm.NewClient(cl).AlterTopicConfigs(ctx, []kadm.AlterConfig{
		{Name: "delete.retention.ms", Value: new(fmt.Sprint(w.DeleteRetention.Milliseconds()))},
	}, w.topics.Changelog.Name); err != nil {
		return err
	}
	// The log's clock is not the broker's, whose retention would remove events that have just come.
	if _, err := kadm.NewClient(cl).AlterTopicConfigs(ctx, []kadm.AlterConfig{{Name: "retention.ms", Value: new("-1")}}, w.topics.Events.Name); err != nil {
		return err
	}
	w.publish(w.load.inForce[0])
	return nil
}

// partitionOf sends a user's records to one partition, and those that speak to a partition to that one.
func partitionOf(string) func(*kgo.Record, int) int {
	keyed := kgo.StickyKeyPartitioner(nil).ForTopic("")
	return func(r *kgo.Record, n int) int {
		if strings.HasPrefix(string(r.Key), "\xff") || r.Key == nil {
			return int(r.Partition)
		}
		return keyed.Partition(r, n)
	}
}

func (w *world) topicsConfig() kafka.TopicsConfig {
	return kafka.TopicsConfig{Names: kafka.Topics{Outcomes: partners.Topics()}, Partitions: w.Partitions}
}

// elapsed is the time since the load began.
func (w *world) elapsed() time.Duration { return time.Since(w.began) }

func (w *world) isCalm() bool { return w.calm.Load() }

func (w *world) isEnding() bool {
	select {
	case <-w.ending:
		return true
	default:
		return false
	}
}

// jump is how far the log's clock is off.
func (w *world) jump() time.Duration { return time.Duration(w.jumped.Load()) }

// heal ends all faults: from now on everything must come right by itself.
func (w *world) heal() {
	w.calm.Store(true)
	w.mu.Lock()
	for _, r := range w.rejections {
		r.Remove()
	}
	w.mu.Unlock()
	for _, p := range w.processes {
		l := p.newest()
		if l == nil {
			continue
		}
		l.network.mu.Lock()
		clear(l.network.cut)
		clear(l.network.dark)
		l.network.stop = time.Time{}
		l.network.mu.Unlock()
		l.disk.mu.Lock()
		l.disk.full, l.disk.slow = time.Time{}, time.Time{}
		l.disk.mu.Unlock()
	}
	w.trace("world", "is calm")
}

func (w *world) installation() judge.Case {
	return judge.Case{
		Connection: w.connection(), Topics: w.topics, Group: group, Model: w.load.campaigns, Partners: partners, Erased: w.load.erased(), Budgets: w.load.budgets,
	}
}

// awaitProcessed waits until everything is processed, which is what liveness asks for.
func (w *world) awaitProcessed(ctx context.Context) {
	last, moved := int64(-1), time.Now()
	for deadline := time.Now().Add(patience); ; time.Sleep(patienceLook) {
		remaining, err := w.installation().Remaining(ctx)
		switch {
		case err == nil && remaining == 0:
			return
		case err == nil && remaining != last:
			last, moved = remaining, time.Now()
		case time.Since(moved) > stuck && w.unstick(ctx):
			moved = time.Now()
		}
		if time.Now().After(deadline) {
			if err == nil {
				err = fmt.Errorf("%d events are not processed", remaining)
			}
			w.violated(string(judge.Liveness), fmt.Errorf("%s after the last fault: %w", patience, err))
			return
		}
	}
}

// judge holds what is left behind against the rules.
func (w *world) judge(ctx context.Context, r *Result) {
	c := w.installation()
	for _, p := range w.processes {
		if p.misled {
			continue // what it has of partitions that it was not given since can't be right
		}
		if w.leaks.Load() {
			p.disk = p.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(0, 0))})
		}
		store, err := state.Open(state.Config{Dir: storeDir, FS: p.disk, MemoryBytes: storeMemory})
		if err != nil {
			w.violated("store_opens", fmt.Errorf("%s: %w", p.name, err))
			continue
		}
		defer store.Close() //nolint:errcheck // it was only read
		c.Stores = append(c.Stores, store)
	}
	v, err := judge.Judge(ctx, c)
	w.violatedAll(err)
	r.Events, r.Rewards = v.Events, v.Rewards
}

// violatedAll takes what the judge has found.
func (w *world) violatedAll(err error) {
	for _, name := range judge.Invariants(err) {
		w.violated(string(name), err)
	}
	if err != nil && len(judge.Invariants(err)) == 0 {
		w.violated("world", err)
	}
}

// violated notes a promise that was broken.
func (w *world) violated(invariant string, err error) {
	w.trace("VIOLATION", invariant+": "+err.Error())
	w.mu.Lock()
	defer w.mu.Unlock()
	w.violations = append(w.violations, Violation{invariant, err.Error()})
}

// endedByItself is told of a process that ended without having been asked to.
func (w *world) endedByItself(l *life, err error) {
	w.trace(l.name(), "has ended by itself: "+err.Error())
	if strings.Contains(err.Error(), "BUG") || w.isCalm() || l.settled.Load() || !startRefused(err) {
		w.violated("ends_when_asked", fmt.Errorf("%s has ended by itself: %w", l.name(), err))
		return
	}
	w.cover(nothingAtStart)
}

// startRefused says whether a process could not begin: it ends, and whoever supervises it starts it again.
func startRefused(err error) bool {
	return strings.Contains(err.Error(), "no broker answers") || errors.Is(err, errCut) || errors.Is(err, errNoRoute)
}

// struck notes that a fault has struck.
func (w *world) struck(f *Fault) {
	w.cover(f.name())
	w.trace("fault", f.String())
}

func (w *world) cover(what string) {
	w.mu.Lock()
	w.covered[what]++
	w.mu.Unlock()
}

// trace adds to the story.
func (w *world) trace(who, what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.story) < maxTrace {
		w.story = append(w.story, fmt.Sprintf("%9.3fs %-9s %s", time.Since(w.began).Seconds(), who, what))
	}
}
