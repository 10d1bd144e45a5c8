package state

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// due gives a change its dues.
func (c Change) due(due, was int64) Change {
	c.Due, c.Was = due, was
	return c
}

// timerRows reads the rows of partition p as they are on the disk, whatever the store remembers of them.
func timerRows(t testing.TB, s *Store, p int32) (rows []Timer) {
	t.Helper()
	start, end := kindRange(p, kindTimer)
	iter, err := s.db.NewIter(&pebble.IterOptions{LowerBound: start, UpperBound: end})
	must(t, err)
	for ok := iter.First(); ok; ok = iter.Next() {
		due, err := timerDue(iter.Key())
		must(t, err)
		rows = append(rows, Timer{due, string(iter.Key()[prefixBytes+dueBytes:])})
	}
	must(t, errors.Join(iter.Error(), iter.Close()))
	return rows
}

func checkTimers(t testing.TB, s *Store, p int32, want ...Timer) {
	t.Helper()
	if diff := cmp.Diff(want, contentOf(t, s, p).Timers, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("timers of partition %d: %s", p, diff)
	}
}

func TestTimersComeInTheirOrder(t *testing.T) {
	want := []Timer{{1, "zoe"}, {255, "ann"}, {255, "ann\x00"}, {255, "bob"}, {256, ""}, {1 << 40, "ann2"}, {math.MaxInt64, "cid"}}
	check := func(s *Store) {
		t.Helper()
		checkTimers(t, s, 0)
		checkTimers(t, s, 1, want...)
		checkTimers(t, s, 2, Timer{5, "ann"})
		checkTimers(t, s, MaxPartition, Timer{3, "ann"})
		behind := func(after Timer, limit int, want ...Timer) {
			t.Helper()
			got, err := s.Timers(1, after, limit)
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("behind %v: %v, %v, want %v", after, got, err, want)
			}
		}
		for i := range want {
			behind(want[i], 1, want[i+1:min(i+2, len(want))]...)
			behind(want[i], 9, want[i+1:]...)
		}
		behind(Timer{}, 0)
		behind(Timer{}, 2, want[:2]...)
		behind(Timer{-1, "x"}, 1, want[0])
		behind(Timer{255, "b"}, 1, want[3]) // behind one that is not there
	}
	f := func(fs vfs.FS, dir string) {
		t.Helper()
		s := mustOpen(t, fs, dir)
		changes := []Change{set("never", "x")}
		for _, timer := range want {
			changes = append(changes, set(timer.User, "x").due(timer.Due, 0))
		}
		must(t, s.Checkpoint(1, Position{}, changes))
		must(t, s.Checkpoint(2, Position{}, []Change{set("ann", "x").due(5, 0)}))
		must(t, s.Checkpoint(MaxPartition, Position{}, []Change{set("ann", "x").due(3, 0)}))
		check(s)
		must(t, s.Close())
		check(mustOpen(t, fs, dir))
	}
	f(vfs.NewMem(), "store")
	f(nil, t.TempDir())
}

// The timers of users follow their ledgers, in one checkpoint and over several.
func TestTimersFollowTheirLedgers(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, fs, "s")
	must(t, s.Checkpoint(1, Position{Clock: 10}, []Change{
		set("moved", "1").due(20, 0), set("stays", "1").due(20, 0), set("deleted", "1").due(20, 0), set("stopped", "1").due(20, 0),
		set("stale", "1").due(20, 0), set("earlier", "1").due(50, 0), set("past", "1").due(10, 0),
	}))
	checkTimers(t, s, 1, Timer{20, "deleted"}, Timer{20, "moved"}, Timer{20, "stale"}, Timer{20, "stays"}, Timer{20, "stopped"}, Timer{50, "earlier"})
	must(t, s.Checkpoint(1, Position{Clock: 19}, []Change{
		set("moved", "2").due(30, 20), set("stays", "2").due(20, 20), gone("deleted").due(40, 20), set("stopped", "2").due(0, 20),
		set("stale", "2").due(40, 0), // it is not known that there is a timer
		set("earlier", "2").due(20, 50), set("past", "2").due(11, 10),
		set("twice", "1").due(60, 0), set("twice", "2").due(70, 60), set("there and back", "1").due(60, 0), set("there and back", "2").due(60, 60),
	}))
	must(t, s.Close())
	s = mustOpen(t, fs, "s")
	checkTimers(t, s, 1, Timer{20, "earlier"}, Timer{20, "stale"}, Timer{20, "stays"}, Timer{30, "moved"}, Timer{40, "stale"}, Timer{60, "there and back"}, Timer{70, "twice"})
	must(t, s.Checkpoint(1, Position{Clock: 19}, nil))
	must(t, s.Checkpoint(1, Position{Clock: 20}, []Change{set("stays", "3").due(35, 20), set("earlier", "3")}))
	checkTimers(t, s, 1, Timer{30, "moved"}, Timer{35, "stays"}, Timer{40, "stale"}, Timer{60, "there and back"}, Timer{70, "twice"})
}

// When the clock has reached timers, they are gone; few of them one by one, and what exceeds that by one range.
func TestClockTakesTimers(t *testing.T) {
	for _, rows := range []int{1, maxTimerDeletions, maxTimerDeletions + 1, 3 * maxTimerDeletions} {
		fs := vfs.NewMem()
		s := mustOpen(t, fs, "s")
		changes := []Change{set("later", "x").due(201, 0), set("last", "x").due(900, 0)}
		for i := range rows {
			changes = append(changes, set(fmt.Sprintf("user-%05d", i), "x").due(int64(200-i%100), 0))
		}
		must(t, s.Checkpoint(1, Position{Clock: 100}, changes))
		must(t, s.Checkpoint(2, Position{Clock: 100}, []Change{set("ann", "x").due(150, 0)}))
		must(t, s.db.Flush())

		batch := s.db.NewBatch()
		earliest, err := s.clearTimers(batch, 1, 200)
		must(t, err)
		deletions := min(rows, maxTimerDeletions)
		if rows > maxTimerDeletions {
			deletions++
		}
		if int(batch.Count()) != deletions || earliest != 201 {
			t.Errorf("%d rows: %d deletions, the earliest is then %d", rows, batch.Count(), earliest)
		}
		must(t, batch.Close())

		must(t, s.Checkpoint(1, Position{Clock: 200}, []Change{set("new", "x").due(300, 0), set("user-00000", "y").due(250, 200)}))
		checkTimers(t, s, 1, Timer{201, "later"}, Timer{250, "user-00000"}, Timer{300, "new"}, Timer{900, "last"})
		checkTimers(t, s, 2, Timer{150, "ann"})
		must(t, s.Checkpoint(1, Position{Clock: 899}, nil))
		must(t, s.Close())
		s = mustOpen(t, fs, "s")
		checkTimers(t, s, 1, Timer{900, "last"})
		must(t, s.Checkpoint(1, Position{Clock: math.MaxInt64}, nil))
		checkTimers(t, s, 1)
	}
}

// While no timer is due, timers cost a checkpoint no look at the disk, and no allocation.
func TestTimersDoNotAllocate(t *testing.T) {
	if raceDetector {
		t.Skip("allocations can't be counted with the race detector")
	}
	s := mustOpen(t, vfs.NewMem(), "s")
	f := func(prepare func(), changes ...Change) float64 {
		return testing.AllocsPerRun(1000, func() {
			prepare()
			must(t, s.Checkpoint(1, Position{Clock: 10}, changes))
		})
	}
	nothing, forget := func() {}, func() { s.setEarliestTimer(1, 0) }
	ann, bob := set("ann", "x").due(100, 200), set("bob", "x").due(20, 100)
	without, with, looking := f(nothing, set("ann", "x"), set("bob", "x")), f(nothing, ann, bob), f(forget, ann, bob)
	if with > without || with >= looking {
		t.Errorf("%.1f allocations with timers, %.1f without, %.1f with a look at the disk", with, without, looking)
	}
}

// A checkpoint that finds no timer due leaves the bound as it is; one that finds some reads which is the next.
func TestCheckpointKnowsTheEarliestTimer(t *testing.T) {
	s := mustOpen(t, vfs.NewMem(), "s")
	f := func(clock, earliest int64, changes ...Change) {
		t.Helper()
		must(t, s.Checkpoint(1, Position{Clock: clock}, changes))
		if s.timers[1] != earliest {
			t.Errorf("at %d the earliest is %d, want %d", clock, s.timers[1], earliest)
		}
		contentOf(t, s, 1)
	}
	f(0, noTimer, set("zoe", "x"))
	f(10, 50, set("ann", "x").due(50, 0), set("bob", "x").due(60, 0))
	f(20, 30, set("cid", "x").due(30, 0))
	f(25, 30, set("cid", "x").due(70, 30)) // a bound: nothing is read to make it better
	f(30, 50)
	f(55, 60)
	f(60, 70)
	f(70, noTimer)
	r, err := s.Restore(1, positionOf(t, s, 1))
	must(t, err)
	s.restoreBuffer = 1
	must(t, r.Add("ann", []byte("x"), 90))
	must(t, r.Add("bob", []byte("x"), 80))
	must(t, r.Finish(Position{Clock: 75}))
	if s.timers[1] != 80 {
		t.Errorf("after the restore the earliest is %d", s.timers[1])
	}
	must(t, s.Drop(1))
	f(0, noTimer)
}

func TestRestoreWritesTimers(t *testing.T) {
	for _, buffer := range []int{maxRestoreBuffer, 1, 400} {
		fs := vfs.NewMem()
		s := mustOpen(t, fs, "s")
		s.restoreBuffer = buffer
		must(t, s.Checkpoint(1, Position{Clock: 5}, []Change{
			set("kept", "k").due(50, 0), set("done", "d").due(7, 0), set("stale", "s").due(60, 0),
		}))
		r, err := s.Restore(1, positionOf(t, s, 1))
		must(t, err)
		want := []Timer{{50, "kept"}, {60, "stale"}, {300, "stale"}}
		must(t, r.Add("deleted", nil, 70))
		for i := range 40 {
			user, due := fmt.Sprintf("user-%02d", i), int64(200-3*i)
			must(t, r.Add(user, []byte("x"), due))
			must(t, r.Add("\xffcampaign", fmt.Append(nil, i), 0))
			want = append(want, Timer{due, user})
		}
		must(t, r.Add("stale", []byte("x"), 300))
		must(t, r.Add("never", []byte("x"), 0))
		must(t, r.Add("past", []byte("x"), 8))
		must(t, r.Finish(Position{Clock: 10}))
		slices.SortFunc(want, func(a, b Timer) int { return int(a.Due-b.Due)*10 + strings.Compare(a.User, b.User) })
		must(t, s.Close())
		s = mustOpen(t, fs, "s")
		checkTimers(t, s, 1, want...)
		if c := contentOf(t, s, 1); len(c.Ledgers) != 45 || c.Campaigns["\xffcampaign"] != "39" {
			t.Errorf("with a buffer of %d bytes: %d ledgers, campaigns %v", buffer, len(c.Ledgers), c.Campaigns)
		}
	}
}

// Of the changes of one user in a restore's buffer only the newest has a timer: a busy user does not leave one for each.
func TestRestoreKeepsOneTimerAUser(t *testing.T) {
	for _, small := range []bool{true, false} {
		s := mustOpen(t, vfs.NewMem(), "s")
		r, err := s.Restore(1, positionOf(t, s, 1))
		must(t, err)
		for i := range 100 {
			must(t, r.Add("ann", []byte("x"), int64(1000-i)))
			must(t, r.Add("bob", []byte("x"), int64(1000+i)))
			must(t, r.Add("cid", []byte("x"), int64(1000+i)))
		}
		must(t, r.Add("cid", nil, 0))
		if !small {
			must(t, r.flush())
		}
		must(t, r.Finish(Position{}))
		checkTimers(t, s, 1, Timer{901, "ann"}, Timer{1099, "bob"})
	}
}

// Whoever reads timers while others are written sees those of one checkpoint.
func TestTimersAreReadWhileTheyMove(t *testing.T) {
	s := mustOpen(t, vfs.NewMem(), "s")
	const first = 2
	must(t, s.Checkpoint(1, Position{}, []Change{set("ann", "x").due(first, 0)}))
	const checkpoints = 2000
	var wait sync.WaitGroup
	stop := make(chan struct{})
	wait.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if timers, err := s.Timers(1, Timer{}, 9); err != nil || len(timers) != 1 {
				t.Errorf("%v, %v", timers, err)
				return
			}
		}
	})
	// The timer goes far ahead and comes back, so that the bound rises and falls.
	const far = 100 * checkpoints
	for i := range int64(checkpoints) {
		clock := 10 * i
		from, to := max(clock-5, first), int64(far)
		if i%2 == 1 {
			from, to = far, clock+5
		}
		must(t, s.Checkpoint(1, Position{Clock: clock}, []Change{set("ann", "x").due(to, from)}))
	}
	close(stop)
	wait.Wait()
}

func TestImpossibleDuesAreRefused(t *testing.T) {
	s := mustOpen(t, vfs.NewMem(), "s")
	r, err := s.Restore(2, positionOf(t, s, 2))
	must(t, err)
	f := func(c Change) {
		t.Helper()
		err := s.Checkpoint(1, Position{Input: 1}, []Change{set("ann", "x"), c})
		if err == nil || !strings.Contains(err.Error(), "BUG") || !strings.Contains(err.Error(), fmt.Sprintf("%q", c.User)) {
			t.Errorf("%+v: error %v", c, err)
		}
		if c.Due == 0 {
			return
		}
		if err := r.Add(c.User, c.Ledger, c.Due); err == nil || !strings.Contains(err.Error(), "BUG") {
			t.Errorf("restore of %+v: error %v", c, err)
		}
	}
	f(set("bob", "x").due(-1, 0))
	f(set("bob", "x").due(0, -1))
	f(gone("bob").due(-1, 0))
	f(set("\xffspring", "x").due(1, 0))
	f(set("\xffspring", "x").due(0, 1))
	must(t, r.Finish(Position{}))
	if c := contentOf(t, s, 1); c.Known || len(c.Ledgers) > 0 {
		t.Errorf("a refused checkpoint left %+v", c)
	}
}
