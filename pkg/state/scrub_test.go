package state

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// filesWith are the files of a directory that have a text in them.
func filesWith(t *testing.T, dir, text string) (names []string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return nil //nolint:nilerr // it is being removed
		}
		content, err := os.ReadFile(path)
		if err == nil && bytes.Contains(content, []byte(text)) {
			names = append(names, filepath.Base(path))
		}
		return nil
	}))
	return names
}

// awaitNoFileWith waits until Pebble has removed what it needs no more.
func awaitNoFileWith(t *testing.T, dir, text string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		with := filesWith(t, dir, text)
		if len(with) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%q is still in %v", text, with)
		}
	}
}

// The names and ledgers of erased users are in the log, in tables of every level, in timers of now and of before, in journal entries, and, as the
// ends of tables, in manifests. After a scrub they are nowhere; everybody else is where they were.
func TestAScrubLeavesNothingOfAnErasedUser(t *testing.T) {
	for _, c := range []struct {
		name    string
		restart bool
		write   func(s *Store, changes []Change)
	}{
		{"in memory only", false, func(s *Store, changes []Change) {
			must(t, s.Checkpoint(3, Position{Clock: 1}, changes))
		}},
		{"in tables", true, func(s *Store, changes []Change) {
			for part := range slices.Chunk(changes, 100) {
				must(t, s.Prepare([]Prepared{{Partition: 3, Changes: part}}))
				must(t, s.db.Flush())
				must(t, s.Checkpoint(3, Position{Clock: 1}, part))
				must(t, s.db.Flush())
			}
		}},
		{"restored", false, func(s *Store, changes []Change) {
			s.restoreBuffer = 10_000
			r, err := s.Restore(3, Position{})
			must(t, err)
			for _, ch := range changes {
				must(t, r.Add(ch.User, ch.Ledger, ch.Due))
			}
			must(t, r.Finish(Position{Clock: 1}))
		}},
		{"at the bottom, with a deletion above", true, func(s *Store, changes []Change) {
			must(t, s.Checkpoint(3, Position{Clock: 1}, changes))
			must(t, s.db.Compact(t.Context(), partitionStart(3), partitionStart(4), false))
			must(t, s.Checkpoint(2, Position{Clock: 1}, []Change{set("other", "x")}))
			must(t, s.db.Flush())
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			s, err := Open(Config{Dir: dir, MemoryBytes: testMemory})
			must(t, err)
			random := rand.New(rand.NewPCG(1, 2))
			name := func() string { return fmt.Sprintf("%016x%016x", random.Uint64(), random.Uint64()) }
			var changes []Change
			var names []string
			for range 500 {
				user := name()
				names = append(names, user)
				changes = append(changes, set(user, "ledger of "+user).due(5_000, 0))
			}
			slices.Sort(names)
			erased := []string{names[0], names[250], names[499]} // the first and the last are ends of tables
			c.write(s, changes)
			must(t, s.Checkpoint(3, Position{Clock: 2}, []Change{set(erased[1], "ledger of "+erased[1]).due(9_000, 0)})) // leaves a row at 5,000
			var gone []Change
			for _, user := range erased {
				gone = append(gone, Change{User: user, Erased: true})
			}
			must(t, s.Prepare([]Prepared{{Partition: 3, Changes: gone}})) // after that nothing is in a buffer
			for _, user := range erased {
				if len(filesWith(t, dir, user)) == 0 {
					t.Fatal("the search finds nothing of a user who is there")
				}
			}
			must(t, s.Checkpoint(3, Position{Clock: 3}, gone))
			for _, row := range timerRows(t, s, 3) {
				if slices.Contains(erased, row.User) {
					t.Errorf("a timer of an erased user is left: %v", row)
				}
			}
			if c.restart { // what is to be scrubbed outlives the process
				must(t, s.Close())
				s, err = Open(Config{Dir: dir, MemoryBytes: testMemory})
				must(t, err)
			}
			if n, err := s.Scrub(t.Context()); n != 1 || err != nil {
				t.Fatalf("%d partitions were scrubbed, %v", n, err)
			}
			for _, user := range erased {
				awaitNoFileWith(t, dir, user)
			}
			if left := len(contentOf(t, s, 3).Ledgers); left != 497 {
				t.Errorf("%d users are left of 497", left)
			}
			// Again, now that the fences are there.
			must(t, s.Checkpoint(3, Position{Clock: 4}, []Change{{User: names[1], Was: 5_000, Erased: true}}))
			if n, err := s.Scrub(t.Context()); n != 1 || err != nil {
				t.Fatalf("%d partitions were scrubbed, %v", n, err)
			}
			awaitNoFileWith(t, dir, names[1])
			if n, err := s.Scrub(t.Context()); n != 0 || err != nil {
				t.Errorf("%d partitions were scrubbed for nothing, %v", n, err)
			}
			must(t, s.Close())
		})
	}
}

// Of a partition that was dropped, the files that it shared with others have nothing after a scrub.
func TestAScrubLeavesNothingOfADroppedPartition(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(Config{Dir: dir, MemoryBytes: testMemory})
	must(t, err)
	random := rand.New(rand.NewPCG(1, 3))
	users := map[int32]string{}
	for p := range int32(4) {
		var changes []Change
		for range 50 {
			users[p] = fmt.Sprintf("%016x%016x", random.Uint64(), random.Uint64())
			changes = append(changes, set(users[p], "x").due(5_000, 0))
		}
		must(t, s.Checkpoint(p, Position{Clock: 1}, changes))
	}
	must(t, s.db.Flush())
	must(t, s.Drop(2))
	must(t, s.Drop(0))
	if len(filesWith(t, dir, users[2])) == 0 {
		t.Fatal("the search finds nothing of a partition that shares a file")
	}
	if n, err := s.Scrub(t.Context()); n != 3 || err != nil { // partitions 1 and 3, and the store's own keys
		t.Fatalf("%d were scrubbed, %v", n, err)
	}
	awaitNoFileWith(t, dir, users[0])
	awaitNoFileWith(t, dir, users[2])
	if all, err := s.Partitions(); err != nil || !slices.Equal(all, []int32{1, 3}) {
		t.Errorf("partitions are %v, %v", all, err)
	}
	id := s.ID()
	must(t, s.Close())
	if s, err = Open(Config{Dir: dir, MemoryBytes: testMemory}); err != nil || s.ID() != id {
		t.Fatalf("the store is %s, %v", id, err)
	}
	must(t, s.Close())
}

// A scrub does not fill the disk.
func TestAScrubWantsRoom(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, fs, "store")
	must(t, s.Checkpoint(0, Position{Clock: 1}, []Change{set("ann", strings.Repeat("x", 1000)), {User: "bob", Erased: true}}))
	must(t, s.db.Flush())
	fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 10, TotalBytes: 100, UsedBytes: 90})
	if _, err := s.Scrub(t.Context()); !errors.Is(err, ErrNoRoom) {
		t.Errorf("got %v", err)
	}
	fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1 << 30, TotalBytes: 2 << 30, UsedBytes: 1 << 30})
	if n, err := s.Scrub(t.Context()); n != 1 || err != nil {
		t.Errorf("%d were scrubbed, %v", n, err)
	}
}

// A restore that deletes knows nothing of timers. What is left of them goes with the users.
func TestARestoreThatDeletesLeavesNoTimer(t *testing.T) {
	for _, buffer := range []int{0, 1} {
		dir := t.TempDir()
		s, err := Open(Config{Dir: dir, MemoryBytes: testMemory, RestoreBufferBytes: buffer})
		must(t, err)
		must(t, s.Checkpoint(0, Position{Clock: 1}, []Change{set("ann", "1").due(100, 0), set("bob", "1").due(200, 0), set("cid", "1").due(300, 0)}))
		r, err := s.Restore(0, positionOf(t, s, 0))
		must(t, err)
		must(t, r.Add("ann", nil, 0))
		must(t, r.Add("bob", []byte("2"), 250))
		must(t, r.Finish(Position{Clock: 2}))
		for _, row := range timerRows(t, s, 0) {
			if row.User == "ann" {
				t.Errorf("with a buffer of %d: %v is left", buffer, row)
			}
		}
		if pending, err := s.toScrub(); err != nil || len(pending) != 1 {
			t.Errorf("to be scrubbed are %v, %v", pending, err)
		}
		must(t, s.Close())
	}
}

// A user who is erased and begins anew between two checkpoints has the timer of the new ledger, also where it is due when the old one was.
func TestWhoBeginsAnewHasATimer(t *testing.T) {
	s := mustOpen(t, vfs.NewMem(), "store")
	must(t, s.Checkpoint(0, Position{Clock: 1}, []Change{set("ann", "old").due(100, 0), set("bob", "old").due(100, 0)}))
	ann, bob := set("ann", "new").due(100, 100), set("bob", "new").due(200, 100)
	ann.Erased, bob.Erased = true, true
	must(t, s.Checkpoint(0, Position{Clock: 2}, []Change{ann, bob}))
	checkTimers(t, s, 0, Timer{100, "ann"}, Timer{200, "bob"})
}

// A log that is not needed any more is removed, and not kept to be written over.
func TestNoLogIsKept(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(Config{Dir: dir, MemoryBytes: testMemory})
	must(t, err)
	defer func() { must(t, s.Close()) }()
	for range 5 {
		must(t, s.db.Set([]byte("\x00\x00\x01k"), []byte("v"), pebble.NoSync))
		must(t, s.db.Flush())
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		logs, err := filepath.Glob(filepath.Join(dir, "*.log"))
		must(t, err)
		if len(logs) == 1 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%v are kept", logs)
		}
	}
}

// Two manifests are begun anew, each after as much has changed as the store has files: of a small store that is a few files.
func TestAScrubOfASmallStoreWritesFewFiles(t *testing.T) {
	s, err := Open(Config{Dir: t.TempDir(), MemoryBytes: 16 << 20})
	must(t, err)
	defer func() { must(t, s.Close()) }()
	must(t, s.Checkpoint(3, Position{Clock: 1}, []Change{set("ada", "x"), set("bob", "y")}))
	must(t, s.Checkpoint(3, Position{Clock: 2}, []Change{{User: "ada", Erased: true}}))
	before := s.db.Metrics().Flush.Count
	if n, err := s.Scrub(t.Context()); n != 1 || err != nil {
		t.Fatalf("%d partitions were scrubbed, %v", n, err)
	}
	if wrote := s.db.Metrics().Flush.Count - before; wrote > 20 {
		t.Errorf("a scrub of a store with two users has written %d files", wrote)
	}
}

// A manifest has the ends of every table that there was since it began. Where a store has many tables, what a scrub changes is too little for Pebble to begin
// one by itself.
func TestAScrubBeginsTheManifestOfALargeStoreAnew(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(Config{Dir: dir, MemoryBytes: 16 << 20, RestoreBufferBytes: 10_000})
	must(t, err)
	defer func() { must(t, s.Close()) }()
	const erased = "ada-who-is-erased"
	r, err := s.Restore(1, Position{}) // below the other, so that no table of that spans these
	must(t, err)
	for n := range 1000 {
		must(t, r.Add(fmt.Sprintf("other-%05d", n), make([]byte, 1000), 0))
	}
	must(t, r.Finish(Position{Clock: 1}))
	must(t, s.db.Flush())
	must(t, s.Checkpoint(3, Position{Clock: 1}, []Change{set(erased, "x"), set("bob", "y")}))
	must(t, s.db.Flush())
	if with := filesWith(t, dir, erased); !slices.ContainsFunc(with, func(name string) bool { return strings.HasPrefix(name, "MANIFEST") }) {
		t.Fatalf("the user to be erased is in %v, and in no manifest: the test shows nothing", with)
	}
	must(t, s.Checkpoint(3, Position{Clock: 2}, []Change{{User: erased, Erased: true}}))
	if n, err := s.Scrub(t.Context()); n != 1 || err != nil {
		t.Fatalf("%d partitions were scrubbed, %v", n, err)
	}
	awaitNoFileWith(t, dir, erased)
}
