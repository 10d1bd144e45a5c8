//go:build synctests

package sim

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var (
	seeds    = flag.Int("seeds", 100, "how many seeds are run")
	from     = flag.Uint64("from", 1, "the first seed")
	seed     = flag.Uint64("seed", 0, "run this seed alone, and tell its story")
	times    = flag.Int("times", 1, "how often a seed that is run alone is run, until it fails")
	drop     = flag.String("drop", "", "with -seed: leave these faults out, by their numbers")
	asChild  = flag.String("child", "", "run seeds as a part of a run: first, step, end")
	first    = flag.Bool("first", false, "stop at the first seed that fails")
	reportTo = flag.String("report", "", "write the outcome to this file every minute, as JSON; a run that finds one there goes on from it")
)

// covering is from how many seeds on a run must have met everything that is rare.
const covering = 1000

// hang is how long one scenario may take of the real clock while this process runs: a hundred times of what it needs.
const hang = 2 * time.Minute

// saved is how often a run writes its report.
const saved = time.Minute

// TestSimulation runs seeds on all cores, each core in a process of its own, and asserts that nothing was violated and that everything rare has
// happened.
func TestSimulation(t *testing.T) {
	switch {
	case *asChild != "":
		child(t)
	case *seed != 0:
		alone(t)
	default:
		all(t)
	}
}

// child runs every step-th seed and writes a line of JSON for each.
func child(t *testing.T) {
	var begin, step, end uint64
	if _, err := fmt.Sscan(*asChild, &begin, &step, &end); err != nil {
		t.Fatal(err)
	}
	runtime.GOMAXPROCS(1)   // so that a seed is likely to do the same again
	debug.SetGCPercent(800) // a world is small, and gone after it
	out := os.NewFile(3, "results")
	for n := begin; n < end; n += step {
		if _, err := fmt.Fprintf(out, "%d\n", n); err != nil {
			t.Fatal(err) // nobody reads any more
		}
		Run(t, Draw(n), func(r Result) {
			if len(r.Violations) == 0 {
				r.Trace = nil
			}
			line, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(out, "%s\n", line)
			if r.Leaks {
				os.Exit(0)
			}
		})
	}
}

// report is what came of a run, as far as it has come.
type report struct {
	From                 uint64
	Seeds                int
	Next                 []uint64 // the seed that comes next, for each core: core i runs every len(Next)-th one
	Took                 time.Duration
	Run, Events, Rewards int
	Virtual              time.Duration
	Covered              map[string]int
	Failed               []Result
}

// newReport is that of the run that the flags ask for: from its beginning, or from where an earlier process has left it.
func newReport() (r report, err error) {
	r = report{From: *from, Seeds: *seeds, Covered: map[string]int{}}
	for i := range runtime.GOMAXPROCS(0) {
		r.Next = append(r.Next, r.From+uint64(i)) //nolint:gosec // positive
	}
	if *reportTo == "" {
		return r, nil
	}
	text, err := os.ReadFile(*reportTo)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return r, err
	}
	var earlier report
	if err := json.Unmarshal(text, &earlier); err != nil {
		return r, fmt.Errorf("%s: %w", *reportTo, err)
	}
	if earlier.From != r.From || earlier.Seeds != r.Seeds {
		return r, fmt.Errorf("%s is of %d seeds from %d on, and %d from %d on are asked for: name another file", *reportTo, earlier.Seeds, earlier.From, r.Seeds, r.From)
	}
	return earlier, nil
}

// outcome gathers a report from several processes.
type outcome struct {
	tell  func(format string, args ...any)
	began time.Time     // in this process
	spent time.Duration // in those before it

	mu sync.Mutex
	report
}

// take adds what came of a seed of a core.
func (o *outcome) take(core int, r Result) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.Run++
	o.Took = o.spent + time.Since(o.began)
	o.Next[core] = r.Seed + uint64(len(o.Next))
	o.Events, o.Rewards, o.Virtual = o.Events+r.Events, o.Rewards+r.Rewards, o.Virtual+r.Virtual
	for what, n := range r.Covered {
		o.Covered[what] += n
	}
	if len(r.Violations) > 0 {
		o.Failed = append(o.Failed, r)
		o.tell("seed %d has failed: %s", r.Seed, r.Violations[0].Invariant) // at once: a long run may be ended before its report
	}
}

// save writes the report, if one is asked for.
func (o *outcome) save() error {
	if *reportTo == "" {
		return nil
	}
	o.mu.Lock()
	text, err := json.Marshal(o.report)
	o.mu.Unlock()
	if err != nil {
		return err
	}
	if err := os.WriteFile(*reportTo+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(*reportTo+".new", *reportTo)
}

// follow tells how far the run is and saves it, until it has ended.
func (o *outcome) follow(ctx context.Context, t *testing.T) {
	telling, saving := time.NewTicker(20*time.Second), time.NewTicker(saved)
	defer telling.Stop()
	defer saving.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-telling.C:
			o.mu.Lock()
			t.Logf("%d of %d seeds, %d failed, %.0f/s", o.Run, o.Seeds, len(o.Failed), float64(o.Run)/o.Took.Seconds())
			o.mu.Unlock()
		case <-saving.C:
			if err := o.save(); err != nil {
				t.Error(err)
			}
		}
	}
}

func all(t *testing.T) {
	r, err := newReport()
	if err != nil {
		t.Fatal(err)
	}
	o := &outcome{tell: t.Logf, began: time.Now(), spent: r.Took, report: r}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var cores, following sync.WaitGroup
	for i, next := range r.Next {
		c := &core{o, i, next, uint64(len(r.Next)), r.From + uint64(r.Seeds)} //nolint:gosec // positive
		cores.Go(func() { c.work(ctx, t, stop) })
	}
	following.Go(func() { o.follow(ctx, t) })
	cores.Wait()
	stop()
	following.Wait()
	if err := o.save(); err != nil {
		t.Error(err)
	}
	t.Logf("%d seeds in %s (%.0f a second on %d cores): %d events, %d rewards, %s of their own time, %d failed",
		o.Run, o.Took.Round(time.Second), float64(o.Run)/o.Took.Seconds(), len(o.Next), o.Events, o.Rewards, o.Virtual.Round(time.Second), len(o.Failed))
	for _, what := range slices.Sorted(maps.Keys(o.Covered)) {
		t.Logf("%8d  %s", o.Covered[what], what)
	}
	if o.Run >= covering {
		for _, what := range missed(o.Covered) {
			t.Errorf("not covered in %d seeds: %s", o.Run, what)
		}
	}
	slices.SortFunc(o.Failed, func(a, b Result) int { return int(a.Seed) - int(b.Seed) }) //nolint:gosec // small
	for i, r := range o.Failed {
		if i == 5 {
			t.Errorf("... and %d more seeds", len(o.Failed)-5)
			break
		}
		t.Errorf("seed %d: %s: %s", r.Seed, r.Violations[0].Invariant, r.Violations[0].Detail)
	}
	if len(o.Failed) > 0 && !*first {
		explain(t, o.Failed[0])
	}
}

const (
	// tries is how often a seed is run to see whether it still fails: the scheduler is not the seed's.
	tries = 5
	// maxStory bounds what is shown of the story of a failing seed: its end.
	maxStory = 400
)

// explain tells a failing seed's story, and which of its faults are needed for it.
func explain(t *testing.T, r Result) {
	t.Log(Draw(r.Seed))
	if n := len(r.Trace); n > maxStory {
		t.Logf("(%d lines before these)", n-maxStory)
		r.Trace = r.Trace[n-maxStory:]
	}
	t.Log(strings.Join(r.Trace, "\n"))
	var dropped []string
	fails := func(dropped []string) bool {
		cmd := exec.Command(os.Args[0], "-test.run=^TestSimulation$", "-seed", fmt.Sprint(r.Seed), "-times", fmt.Sprint(tries), "-drop", strings.Join(dropped, ",")) //nolint:gosec // our own words
		return cmd.Run() != nil
	}
	if !fails(nil) {
		t.Logf("seed %d did not fail again in %d runs: the story above is all that there is", r.Seed, tries)
		return
	}
	for i := range Draw(r.Seed).Faults {
		if less := append(slices.Clone(dropped), strconv.Itoa(i)); fails(less) {
			dropped = less
		}
	}
	t.Logf("it still fails without faults %s: make sim SEED=%d DROP=%s", strings.Join(dropped, ", "), r.Seed, strings.Join(dropped, ","))
}

// core runs seeds on one core, in one process after the other.
type core struct {
	*outcome
	number          int
	next, step, end uint64
}

func (c *core) work(ctx context.Context, t *testing.T, stop func()) {
	for c.next < c.end && ctx.Err() == nil {
		if err := c.process(ctx, stop); err != nil {
			if ctx.Err() == nil {
				t.Error(err)
			}
			return
		}
	}
}

// process runs seeds in a process until it ends: because all were run, because a scenario left a broken store behind, or because it died.
func (c *core) process(ctx context.Context, stop func()) error {
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestSimulation$", "-test.timeout=0", "-child", fmt.Sprint(c.next, " ", c.step, " ", c.end)) //nolint:gosec // our own words
	reader, writer, err := os.Pipe()
	if err != nil {
		return err
	}
	defer reader.Close()
	cmd.ExtraFiles = []*os.File{writer}
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	err = cmd.Start()
	writer.Close()
	if err != nil {
		return err
	}
	watch := newWatch(func() { _ = cmd.Process.Signal(syscall.SIGQUIT) }) // it tells where every goroutine is
	at, err := c.read(reader, stop, watch.alive)
	watch.stop()
	ended := cmd.Wait()
	if err != nil || ctx.Err() != nil {
		return err
	}
	if at.running || ended != nil && !at.leaks { // else all were run, or the last one has left a broken store behind
		text, seed := said.String(), c.next
		if !at.running {
			seed -= c.step
		}
		c.take(c.number, Result{Seed: seed, Violations: []Violation{{"crash", fmt.Sprintf("the process has ended: %v\n%s", ended, text[:min(len(text), maxSaid)])}}})
		if *first {
			stop()
		}
	}
	if at.running {
		c.next += c.step
	}
	return nil
}

// watch sees to it that a process that hangs does not hang for ever.
type watch struct {
	quiet atomic.Int64 // seconds
	ended chan struct{}
}

func newWatch(hangs func()) *watch {
	w := &watch{ended: make(chan struct{})}
	go func() {
		seconds := time.NewTicker(time.Second) // counted, because those in which all of us were stopped by a signal are nobody's
		defer seconds.Stop()
		for {
			select {
			case <-w.ended:
				return
			case <-seconds.C:
				if w.quiet.Add(1) == int64(hang.Seconds()) {
					hangs()
				}
			}
		}
	}()
	return w
}

func (w *watch) alive() { w.quiet.Store(0) }

func (w *watch) stop() { close(w.ended) }

// progress is where a process was when it ended.
type progress struct {
	running bool // at a seed
	leaks   bool // the seed before has left a broken store behind
}

// maxSaid bounds what is shown of the last words of a process.
const maxSaid = 8000

// read takes results until the process has ended, and says where it was then.
func (c *core) read(r io.Reader, stop, alive func()) (at progress, err error) {
	lines := bufio.NewReaderSize(r, 1<<20)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return at, nil
		}
		if err != nil {
			return at, err
		}
		alive()
		if line[0] != '{' {
			at = progress{running: true}
			continue
		}
		var result Result
		if err := json.Unmarshal(line, &result); err != nil {
			return at, err
		}
		c.take(c.number, result)
		c.next = result.Seed + c.step
		at = progress{leaks: result.Leaks}
		if *first && len(result.Violations) > 0 {
			stop()
		}
	}
}

// alone runs one seed and tells everything.
func alone(t *testing.T) {
	runtime.GOMAXPROCS(1)
	s := Draw(*seed)
	var dropped []int
	for n := range strings.SplitSeq(*drop, ",") {
		if n != "" {
			i, err := strconv.Atoi(n)
			if err != nil {
				t.Fatal(err)
			}
			dropped = append(dropped, i)
		}
	}
	s = s.without(dropped)
	t.Log(s)
	for i := range *times {
		stop := false
		Run(t, s, func(r Result) {
			if stop = len(r.Violations) > 0; stop || i == *times-1 {
				for _, line := range r.Trace {
					t.Log(line)
				}
				t.Logf("%d events, %d rewards, %s", r.Events, r.Rewards, r.Virtual)
			}
			for _, v := range r.Violations {
				t.Errorf("%s: %s", v.Invariant, v.Detail)
			}
			if r.Leaks {
				fmt.Println("the store is broken; the process ends")
				os.Exit(2)
			}
		})
		if stop {
			break
		}
	}
}

func TestARunGoesOnFromItsReport(t *testing.T) {
	defer func(name string, n int) { *reportTo, *seeds = name, n }(*reportTo, *seeds)
	*reportTo, *seeds = filepath.Join(t.TempDir(), "report.json"), 10
	begun, err := newReport()
	if err != nil {
		t.Fatal(err)
	}
	o := &outcome{tell: t.Logf, began: time.Now(), spent: time.Hour, report: begun}
	o.take(0, Result{Seed: begun.Next[0], Events: 7, Covered: map[string]int{"paused": 1}})
	if err := o.save(); err != nil {
		t.Fatal(err)
	}
	went, err := newReport()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(o.report, went); diff != "" {
		t.Error(diff)
	}
	if want := *from + uint64(len(went.Next)); went.Next[0] != want || went.Took < time.Hour {
		t.Errorf("core 0 goes on with seed %d after %s, want %d after more than an hour", went.Next[0], went.Took, want)
	}
	if *seeds = 11; newReportErr() == nil {
		t.Error("the report of another run was taken")
	}
}

func newReportErr() error {
	_, err := newReport()
	return err
}
