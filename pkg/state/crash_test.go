package state

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const crashPartitions = 3

// history is what a partition has held, after each of its operations.
type history struct {
	states  []content
	durable int // the newest state that a power cut must not lose
}

func (h *history) now() content {
	c := h.states[len(h.states)-1]
	c.Ledgers, c.Campaigns = maps.Clone(c.Ledgers), maps.Clone(c.Campaigns)
	c.Journal, c.Timers = slices.Clone(c.Journal), slices.Clone(c.Timers)
	return c
}

func (h *history) add(c content, waited bool) {
	h.states = append(h.states, c)
	if waited {
		h.durable = len(h.states) - 1
	}
}

// After a power cut every partition is as it was after one of its operations: the newest may be missing, never one in the
// middle, never a part of one, and never one that was waited for; timers included. With Sync that is everything that was prepared.
func TestPowerCutLosesOnlyTheNewest(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		sync := rapid.Bool().Draw(rt, "sync")
		fs := vfs.NewCrashableMem()
		open := func(fs vfs.FS) *Store {
			s, err := Open(Config{Dir: "s", FS: fs, MemoryBytes: testMemory, Sync: sync})
			if err != nil {
				rt.Fatal(err)
			}
			s.restoreBuffer = 200
			return s
		}
		s := open(fs)
		var partitions [crashPartitions]history
		for p := range partitions {
			partitions[p].add(contentOf(t, s, int32(p)), true) //nolint:gosec // small
		}
		for n := range rapid.IntRange(1, 30).Draw(rt, "operations") {
			p := rapid.IntRange(0, crashPartitions-1).Draw(rt, "partition")
			h := &partitions[p]
			c, waited := operate(t, rt, s, int32(p), n+1, h.now()) //nolint:gosec // small
			found := contentOf(t, s, int32(p))                     //nolint:gosec // small
			if timer, ok := wrongTimer(c, found.Timers); ok {
				rt.Fatalf("partition %d: %v is missing, or should not be there; there are\n%v of\n%v", p, timer, found.Timers, c.Timers)
			}
			c.Timers = found.Timers
			if diff := diffOf(c, found); diff != "" {
				rt.Fatalf("partition %d differs by\n%s", p, diff)
			}
			h.add(c, waited || sync && len(c.Journal) > len(h.now().Journal))
		}
		seed := rapid.Uint64().Draw(rt, "cut")
		after := fs.CrashClone(vfs.CrashCloneCfg{
			UnsyncedDataPercent: rapid.SampledFrom([]int{0, 50, 100}).Draw(rt, "kept"), RNG: rand.New(rand.NewPCG(seed, 0)),
		})
		must(t, s.Close())

		s = open(after)
		defer s.Close()
		for p, h := range partitions {
			found := contentOf(t, s, int32(p)) //nolint:gosec // small
			same := func(c content) bool { return diffOf(c, found) == "" }
			if !slices.ContainsFunc(h.states[h.durable:], same) {
				rt.Fatalf("partition %d is at none of the states from %d to %d; from the newest it differs by\n%s",
					p, h.durable, len(h.states)-1, cmp.Diff(h.now(), found))
			}
		}
	})
}

// dueOf is when a ledger of this test is due: its bytes say so, like those of a real one.
func dueOf(ledger string) int64 {
	if ledger == "" {
		return 0
	}
	return int64(ledger[0])
}

// wrongTimer looks among the timers found for one that a ledger of c needs and that is missing, and for one that is not among
// those of c, which are all that there may be.
func wrongTimer(c content, found []Timer) (Timer, bool) {
	for user, ledger := range c.Ledgers {
		if timer := (Timer{dueOf(ledger), user}); timer.Due > c.Position.Clock && !slices.Contains(found, timer) {
			return timer, true
		}
	}
	for _, timer := range found {
		if !slices.Contains(c.Timers, timer) {
			return timer, true
		}
	}
	return Timer{}, false
}

// operate does one of what can be done to a partition, and returns what it holds then and whether that was waited for. Of
// timers it returns all that may be there: a restore leaves more or fewer that are out of date.
func operate(t *testing.T, rt *rapid.T, s *Store, p int32, n int, c content) (content, bool) {
	users := rapid.SliceOfN(rapid.IntRange(0, 10), 0, 8).Draw(rt, "users")
	pos := Position{Input: int64(n), Partitions: 8, Clock: c.Position.Clock + rapid.Int64Range(0, 50).Draw(rt, "clock")}
	changes := make([]Change, len(users))
	for i, n := range users {
		changes[i].User = fmt.Sprintf("user-%d", n)
		if n == 10 {
			changes[i].User = "\xffcampaign"
		}
		if rapid.IntRange(0, 4).Draw(rt, "delete") > 0 {
			changes[i].Ledger = rapid.SliceOfN(rapid.Byte(), 0, 60).Draw(rt, "ledger")
		}
	}
	apply := func(known bool) {
		for i := range changes {
			ch := &changes[i]
			values := c.Ledgers
			if IsNoUser(ch.User) {
				values = c.Campaigns
			} else {
				if ch.Due = dueOf(string(ch.Ledger)); known && rapid.IntRange(0, 3).Draw(rt, "known") > 0 {
					ch.Was = dueOf(c.Ledgers[ch.User])
				}
				if ch.Was != ch.Due {
					c.Timers = slices.DeleteFunc(c.Timers, func(timer Timer) bool { return timer == Timer{ch.Was, ch.User} })
				}
				c.Timers = append(c.Timers, Timer{ch.Due, ch.User})
			}
			if ch.Ledger == nil {
				delete(values, ch.User)
			} else {
				values[ch.User] = string(ch.Ledger)
			}
		}
		c.Timers = slices.DeleteFunc(c.Timers, func(timer Timer) bool { return timer.Due <= pos.Clock })
		c.Position, c.Known, c.Journal = pos, true, nil
	}
	switch rapid.IntRange(0, 9).Draw(rt, "operation") {
	case 0:
		must(t, s.Drop(p))
		return content{Ledgers: map[string]string{}, Campaigns: map[string]string{}}, true
	case 1:
		apply(false)
		r, err := s.Restore(p, positionOf(t, s, p))
		must(t, err)
		for _, ch := range changes {
			must(t, r.Add(ch.User, ch.Ledger, ch.Due))
		}
		must(t, r.Finish(pos))
		return c, true
	case 2, 3, 4:
		apply(true)
		must(t, s.Checkpoint(p, pos, changes))
		return c, false
	default:
		e := entry(p, n, changes...)
		e.Position = pos
		written := e
		if rapid.Bool().Draw(rt, "edits") {
			edited := rapid.IntRange(0, len(changes)).Draw(rt, "edited")
			written.Edits, written.Changes = &Edits{}, changes[edited:]
			for i, ch := range changes[:edited] {
				written.Edits.Add(ch.User, c.ledger(ch.User, changes[:i]), ch.Ledger)
			}
		}
		must(t, s.Prepare([]Prepared{written}))
		c.Journal = append(c.Journal, e)
		return c, false
	}
}

// ledger is what is known of a user when the journal and some changes have been applied.
func (c *content) ledger(user string, changes []Change) []byte {
	var ledger []byte
	for _, values := range []map[string]string{c.Ledgers, c.Campaigns} {
		if value, ok := values[user]; ok {
			ledger = []byte(value)
		}
	}
	for _, e := range append(slices.Clone(c.Journal), Prepared{Changes: changes}) {
		for _, ch := range e.Changes {
			if ch.User == user {
				ledger = ch.Ledger
			}
		}
	}
	return ledger
}

// A restore of any size holds no more than its buffer.
func TestRestoreIsBoundedInMemory(t *testing.T) {
	s := mustOpen(t, vfs.NewMem(), "s")
	s.restoreBuffer = 64 << 10
	r, err := s.Restore(1, positionOf(t, s, 1))
	must(t, err)
	ledger := make([]byte, 200)
	const users = 5000
	most := 0
	for i := range users {
		must(t, r.Add(fmt.Sprintf("user-%05d", i), ledger, 0))
		most = max(most, len(r.arena))
	}
	must(t, r.Finish(Position{Input: 9}))
	if most > 64<<10+300 || r.files < 10 {
		t.Errorf("the buffer held up to %d bytes and %d files were written", most, r.files)
	}
	if c := contentOf(t, s, 1); len(c.Ledgers) != users || c.Position.Input != 9 {
		t.Errorf("%d ledgers at %d", len(c.Ledgers), c.Position.Input)
	}
	left, err := s.fs.List(filepath.Join("s", "restore"))
	if err != nil || len(left) > 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
}

func TestGetDoesNotAllocate(t *testing.T) {
	if raceDetector {
		t.Skip("allocations can't be counted with the race detector")
	}
	s := mustOpen(t, vfs.NewMem(), "s")
	must(t, s.Checkpoint(1, Position{}, []Change{set("ann", string(make([]byte, 300)))}))
	buffer := make([]byte, 0, 1024)
	for name, user := range map[string]string{"a user who is there": "ann", "a user who is not": "bob"} {
		if n := testing.AllocsPerRun(1000, func() {
			var err error
			if buffer, _, err = s.Get(1, user, buffer[:0]); err != nil {
				t.Fatal(err)
			}
		}); n > 0 {
			t.Errorf("%s: %.1f allocations", name, n)
		}
	}
}
