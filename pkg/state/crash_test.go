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
	"github.com/google/go-cmp/cmp/cmpopts"
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
	c.Journal = slices.Clone(c.Journal)
	return c
}

func (h *history) add(c content, waited bool) {
	h.states = append(h.states, c)
	if waited {
		h.durable = len(h.states) - 1
	}
}

// After a power cut every partition is as it was after one of its operations: the newest may be missing, never one in the
// middle, never a part of one, and never one that was waited for. With Sync that is everything that was prepared.
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
			c, waited := operate(t, rt, s, int32(p), n+1, h.now())                               //nolint:gosec // small
			if found := contentOf(t, s, int32(p)); !cmp.Equal(c, found, cmpopts.EquateEmpty()) { //nolint:gosec // small
				rt.Fatalf("partition %d differs by\n%s", p, cmp.Diff(c, found))
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
			same := func(c content) bool { return cmp.Equal(c, found, cmpopts.EquateEmpty()) }
			if !slices.ContainsFunc(h.states[h.durable:], same) {
				rt.Fatalf("partition %d is at none of the states from %d to %d; from the newest it differs by\n%s",
					p, h.durable, len(h.states)-1, cmp.Diff(h.now(), found))
			}
		}
	})
}

// operate does one of what can be done to a partition, and returns what it holds then and whether that was waited for.
func operate(t *testing.T, rt *rapid.T, s *Store, p int32, n int, c content) (content, bool) {
	changes := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) Change {
		user := fmt.Sprintf("user-%d", rapid.IntRange(0, 9).Draw(rt, "user"))
		if rapid.IntRange(0, 4).Draw(rt, "delete") == 0 {
			return Change{User: user}
		}
		return Change{User: user, Ledger: rapid.SliceOfN(rapid.Byte(), 0, 60).Draw(rt, "ledger")}
	}), 0, 8).Draw(rt, "changes")
	apply := func() {
		for _, ch := range changes {
			if ch.Ledger == nil {
				delete(c.Ledgers, ch.User)
			} else {
				c.Ledgers[ch.User] = string(ch.Ledger)
			}
		}
	}
	pos := Position{Input: int64(n), Partitions: 8}
	switch rapid.IntRange(0, 9).Draw(rt, "operation") {
	case 0:
		must(t, s.Drop(p))
		return content{Ledgers: map[string]string{}, Campaigns: map[string]string{}}, true
	case 1:
		r, err := s.Restore(p)
		must(t, err)
		for _, ch := range changes {
			must(t, r.Add(ch.User, ch.Ledger))
		}
		must(t, r.Finish(pos))
		apply()
		return content{Position: pos, Known: true, Ledgers: c.Ledgers, Campaigns: c.Campaigns}, true
	case 2, 3, 4:
		apply()
		must(t, s.Checkpoint(p, pos, changes))
		return content{Position: pos, Known: true, Ledgers: c.Ledgers, Campaigns: c.Campaigns}, false
	default:
		e := Prepared{p, TransactionID{"w", 7, uint64(n)}, pos, changes} //nolint:gosec // small
		must(t, s.Prepare([]Prepared{e}))
		c.Journal = append(c.Journal, e)
		return c, false
	}
}

// A restore of any size holds no more than its buffer.
func TestRestoreIsBoundedInMemory(t *testing.T) {
	s := mustOpen(t, vfs.NewMem(), "s")
	s.restoreBuffer = 64 << 10
	r, err := s.Restore(1)
	must(t, err)
	ledger := make([]byte, 200)
	const users = 5000
	most := 0
	for i := range users {
		must(t, r.Add(fmt.Sprintf("user-%05d", i), ledger))
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
