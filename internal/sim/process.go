//go:build synctests

package sim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/stampede-rewards/stampede/internal/judge"
	"github.com/stampede-rewards/stampede/internal/kafka"
	"github.com/stampede-rewards/stampede/internal/stream"
	"github.com/stampede-rewards/stampede/pkg/campaign"
	"github.com/stampede-rewards/stampede/pkg/state"
)

// process is a processor with its name and its disk. It lives again and again, until the world ends.
type process struct {
	world  *world
	number int
	name   string
	ended  chan struct{} // closed when the last life has ended in order

	undecided atomic.Bool // the newest client was given up with a transaction whose outcome is not known

	mu     sync.Mutex
	random *rand.Rand
	faults []*armed
	disk   *vfs.MemFS // what the next life finds
	old    *vfs.MemFS // what the life before the last one found
	away   time.Duration
	misled bool  // of all lives from now on
	life   *life // the newest
}

// armed is a fault that waits for its moment.
type armed struct {
	*Fault
	left int // strikes at the last of so many occasions
}

func newProcess(w *world, number int) *process {
	return &process{
		world: w, number: number, name: fmt.Sprintf("p%d", number),
		random: rand.New(rand.NewPCG(w.Seed, uint64(number))), disk: vfs.NewCrashableMem(), //nolint:gosec // few
	}
}

// newest is the newest life, nil before the first.
func (p *process) newest() *life {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.life
}

// arm adds a fault that strikes at an occasion.
func (p *process) arm(f *Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, &armed{f, f.Nth})
}

// strike says which fault strikes at this occasion, if any does.
func (p *process) strike(fits func(*Fault) bool) *Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.faults) == 0 || p.world.isCalm() {
		return nil
	}
	now := p.world.elapsed()
	for i, a := range p.faults {
		if now < a.At || !fits(a.Fault) {
			continue
		}
		if a.left--; a.left > 0 {
			continue
		}
		p.faults = append(p.faults[:i:i], p.faults[i+1:]...)
		p.world.struck(a.Fault)
		return a.Fault
	}
	return nil
}

// run lives until the world ends.
func (p *process) run() {
	defer close(p.ended)
	for number := 1; ; number++ {
		l, err := p.begin(number)
		if err != nil {
			p.world.violated("store_opens", fmt.Errorf("%s can't open its store: %w", p.name, err))
			return
		}
		select {
		case <-l.over:
		case <-p.world.ending:
			l.end()
			<-l.over
		}
		p.mu.Lock()
		away := p.away
		p.away = 0
		p.mu.Unlock()
		select {
		case <-time.After(away):
		case <-p.world.ending:
		}
		if p.world.isEnding() {
			return
		}
	}
}

// restartWait is how long whoever supervises a process waits before it starts it again.
const restartWait = time.Second

// life is one life of a process.
type life struct {
	process *process
	world   *world
	number  int
	network *network
	disk    *disk
	store   *state.Store
	metrics *stream.Metrics
	worker  *stream.Worker
	end     context.CancelFunc
	over    chan struct{} // closed when the next life may begin

	dead    sync.Once
	misled  bool        // the store that it found can't be right, and it is to see that
	settled atomic.Bool // it has worked once: nothing may end it any more
	dropped sync.Map    // partitions of which the newest journal entry was dropped
}

// begin opens the store that is there and starts to work.
func (p *process) begin(number int) (*life, error) {
	campaign.Forget()
	ctx, end := context.WithCancel(context.Background())
	l := &life{process: p, world: p.world, number: number, over: make(chan struct{}), end: end}
	p.mu.Lock()
	l.disk = newDisk(l, p.disk)
	l.misled = p.misled
	l.network = newNetwork(l, p.life)
	p.mu.Unlock()
	var err error
	l.store, err = state.Open(state.Config{
		Dir: storeDir, FS: l.disk, MemoryBytes: storeMemory, Sync: p.world.Sync, RestoreBufferBytes: p.world.RestoreBufferBytes, Log: p.world.log(l, slog.LevelInfo),
	})
	if err != nil {
		end()
		return nil, err
	}
	if !l.misled {
		l.behindTheCommits()
	}
	l.metrics = stream.NewMetrics()
	l.worker = stream.NewWorker(stream.Config{
		Connection: kafka.Connection{Brokers: p.world.brokers, Dial: l.network.dial},
		Topics:     p.world.topicsConfig(), Store: l.store, Instance: p.name, Partners: partners,
		CommitInterval: p.world.CommitInterval, CheckpointInterval: p.world.CheckpointInterval, ScrubInterval: p.world.ScrubInterval, CycleRecords: p.world.CycleRecords, CycleFired: p.world.CycleFired, OverlayBytes: p.world.OverlayBytes,
		Metrics: l.metrics, Log: p.world.log(l, slog.LevelDebug),
	})
	p.mu.Lock()
	p.life = l
	p.mu.Unlock()
	p.world.trace(l.name(), "begins")
	p.world.lives.Go(func() { l.work(ctx) })
	return l, nil
}

func (l *life) name() string { return fmt.Sprintf("%s.%d", l.process.name, l.number) }

// work runs the worker until it ends or is dead, and buries it.
func (l *life) work(ctx context.Context) {
	err := l.worker.Run(ctx)
	l.counted()
	alive := false
	l.dead.Do(func() { alive = true })
	closing := l.store.Close()
	if errors.Is(closing, state.ErrBroken) {
		// Goroutines hang in Pebble for ever, as in a process that can do nothing but end.
		l.world.leaks.Store(true)
	}
	if !alive {
		return // killed: what it says in the end, nobody hears
	}
	p := l.process
	if errors.Is(err, state.ErrBroken) || errors.Is(closing, state.ErrBroken) {
		l.world.cover(endedByDisk)
		l.next(l.disk.copy(100, p.random), restartWait)
		l.network.die()
		return
	}
	if closing != nil {
		l.world.violated("store_closes", fmt.Errorf("%s: %w", l.name(), closing))
	}
	away := time.Duration(0)
	if err != nil {
		l.world.endedByItself(l, err)
		away = restartWait
	} else {
		l.world.trace(l.name(), "has stopped in order")
		l.world.cover(stoppedInOrder)
	}
	p.mu.Lock()
	away = max(away, p.away)
	p.mu.Unlock()
	l.next(l.disk.FS.(*vfs.MemFS), away)
}

// next lets the next life begin, with a disk.
func (l *life) next(fs *vfs.MemFS, away time.Duration) {
	p := l.process
	p.mu.Lock()
	if !l.misled {
		p.old = l.disk.copy(100, p.random)
	}
	p.disk, p.away = fs, away
	p.mu.Unlock()
	close(l.over)
}

// crash ends the life at this very moment: nothing that it still does is seen by anybody.
func (l *life) crash(f *Fault) {
	l.dead.Do(func() {
		p := l.process
		kept := 100
		if f.Kind == CrashAtDisk {
			kept = f.Kept
		}
		p.mu.Lock()
		fs, old := l.disk.copy(kept, p.random), p.old
		p.mu.Unlock()
		switch {
		case f.Kind == LoseStore:
			fs = vfs.NewCrashableMem()
		case f.Kind == AheadStore:
			if err := ahead(fs); err != nil {
				l.world.violated("world", err)
			}
			p.mu.Lock()
			p.misled = true
			p.mu.Unlock()
		case f.Kind == OldStore && old != nil:
			fs = old.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: p.random})
			l.world.cover(oldStore)
		}
		l.network.die()
		l.world.trace(l.name(), "is dead")
		l.next(fs, f.For)
		l.end()
	})
}

// ahead makes a store say that it has processed more than it has.
func ahead(fs *vfs.MemFS) (err error) {
	store, err := state.Open(state.Config{Dir: storeDir, FS: fs, MemoryBytes: storeMemory})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	numbers, err := store.Partitions()
	if err != nil {
		return err
	}
	for _, n := range numbers {
		position, ok, err := store.Position(n)
		if err != nil {
			return err
		}
		position.Input += 1000
		if ok {
			err = store.Checkpoint(n, position, nil)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// behindTheCommits holds a store that was found against the group's offsets: it has what was committed, and never more.
func (l *life) behindTheCommits() {
	numbers, err := l.store.Partitions()
	if err != nil {
		l.world.violated("store_opens", err)
		return
	}
	if len(numbers) == 0 {
		return
	}
	committed, err := kadm.NewClient(l.world.upstream).FetchOffsetsForTopics(context.Background(), group, l.world.topics.Events.Name)
	if err != nil {
		l.world.trace("world", fmt.Sprintf("the group's offsets are not told: %v", err))
		return
	}
	for _, n := range numbers {
		position, _, err := l.store.Position(n)
		if err != nil {
			l.world.violated("store_opens", err)
			return
		}
		if o, ok := committed.Lookup(l.world.topics.Events.Name, n); ok && o.Err == nil && position.Input > max(0, o.At) {
			l.world.violated(string(judge.StoreBehindCommit), fmt.Errorf("the store of %s is at offset %d of partition %d, and %d is committed", l.name(), position.Input, n, o.At))
		}
	}
}

// stop asks for an orderly end.
func (l *life) stop(away time.Duration) {
	l.process.mu.Lock()
	l.process.away = away
	l.process.mu.Unlock()
	l.end()
}
