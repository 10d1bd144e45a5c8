package state

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const testMemory = minMemoryBytes

func mustOpen(t testing.TB, fs vfs.FS, dir string) *Store {
	t.Helper()
	s, err := Open(Config{Dir: dir, FS: fs, MemoryBytes: testMemory})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func positionOf(t testing.TB, s *Store, p int32) Position {
	t.Helper()
	position, _, err := s.Position(p)
	must(t, err)
	return position
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// set is a change that gives a user, or another name, a ledger.
func set(user, ledger string) Change { return Change{User: user, Ledger: []byte(ledger)} }

// gone is a change that deletes a ledger.
func gone(user string) Change { return Change{User: user} }

// content is everything a partition holds.
type content struct {
	Position  Position
	Known     bool
	Ledgers   map[string]string
	Campaigns map[string]string
	Timers    []Timer
	Journal   []Prepared
}

func contentOf(t testing.TB, s *Store, p int32) content {
	t.Helper()
	c := content{Ledgers: map[string]string{}, Campaigns: map[string]string{}}
	var err error
	c.Position, c.Known, err = s.Position(p)
	must(t, err)
	must(t, s.Each(p, func(user, ledger []byte) error {
		c.Ledgers[string(user)] = string(ledger)
		return nil
	}))
	must(t, s.Campaigns(p, func(name string, value []byte) error {
		c.Campaigns[name] = string(value)
		return nil
	}))
	c.Timers, err = s.Timers(p, Timer{}, math.MaxInt)
	must(t, err)
	if rows := timerRows(t, s, p); !slices.Equal(rows, c.Timers) {
		t.Errorf("partition %d has the timers %v, and Timers gives %v", p, rows, c.Timers)
	}
	must(t, s.Journal(p, func(e Prepared) error {
		c.Journal = append(c.Journal, e)
		return nil
	}))
	return c
}

// diffOf tells in what two contents differ.
func diffOf(want, got content) string { return cmp.Diff(want, got, cmpopts.EquateEmpty()) }

func entry(p int32, n int, changes ...Change) Prepared {
	return Prepared{Partition: p, Transaction: TransactionID{"w", 7, uint64(n)}, Position: Position{Input: int64(n), Partitions: 8}, Changes: changes}
}

func TestCheckpointMovesLedgersAndEmptiesJournal(t *testing.T) {
	f := func(fs vfs.FS, dir string) {
		t.Helper()
		s := mustOpen(t, fs, dir)
		id := s.ID()
		a, b := entry(3, 1, set("ann", "1"), set("bob", "")), entry(3, 2, gone("ann"))
		other := entry(4, 9, set("ann", "x"))
		must(t, s.Prepare([]Prepared{a, other}))
		must(t, s.Prepare([]Prepared{b}))
		must(t, s.Close())

		s = mustOpen(t, fs, dir)
		if s.ID() != id || len(id) != 16 {
			t.Errorf("id %q, was %q", s.ID(), id)
		}
		want := content{Journal: []Prepared{a, b}}
		if diff := diffOf(want, contentOf(t, s, 3)); diff != "" {
			t.Error(diff)
		}
		must(t, s.Checkpoint(3, b.Position, []Change{set("cid", "3"), set("bob", ""), set("ann", "4"), gone("ann")}))
		c := entry(3, 3, set("dan", "5"))
		must(t, s.Prepare([]Prepared{c}))
		must(t, s.Close())

		s = mustOpen(t, fs, dir)
		want = content{Position: b.Position, Known: true, Ledgers: map[string]string{"bob": "", "cid": "3"}, Journal: []Prepared{c}}
		if diff := diffOf(want, contentOf(t, s, 3)); diff != "" {
			t.Error(diff)
		}
		if got := contentOf(t, s, 4).Journal; !cmp.Equal(got, []Prepared{other}) {
			t.Errorf("the other partition's journal became %v", got)
		}
		partitions, err := s.Partitions()
		must(t, err)
		if diff := cmp.Diff([]int32{3, 4}, partitions); diff != "" {
			t.Error(diff)
		}
	}
	f(vfs.NewMem(), "store")
	f(nil, t.TempDir())
}

func TestGetAppendsTheLedger(t *testing.T) {
	s := mustOpen(t, vfs.NewMem(), "store")
	must(t, s.Checkpoint(0, Position{}, []Change{set("ann", "led")}))
	f := func(p int32, user string, want string, found bool) {
		t.Helper()
		got, ok, err := s.Get(p, user, []byte("-"))
		must(t, err)
		if string(got) != want || ok != found {
			t.Errorf("Get(%d, %q) = %q, %v, want %q, %v", p, user, got, ok, want, found)
		}
	}
	f(0, "ann", "-led", true)
	f(0, "an", "-", false)
	f(1, "ann", "-", false)
}

func TestRestoreLaterChangesWin(t *testing.T) {
	f := func(buffer int) {
		t.Helper()
		s := mustOpen(t, vfs.NewMem(), "store")
		s.restoreBuffer = buffer
		must(t, s.Checkpoint(2, Position{Changelog: 5}, []Change{set("gone", "x"), set("kept", "k")}))
		must(t, s.Prepare([]Prepared{entry(2, 1, set("ghost", "g"))}))
		r, err := s.Restore(2, positionOf(t, s, 2))
		must(t, err)
		for i := range 300 {
			must(t, r.Add(fmt.Sprintf("user%02d", (i*37)%100), fmt.Append(nil, i), 0))
		}
		must(t, r.Add("", nil, 0))
		must(t, r.Add("", []byte{}, 0))
		must(t, r.Add("gone", []byte("y"), 0))
		must(t, r.Add("gone", nil, 0))
		want := content{Position: Position{Changelog: 99}, Known: true, Ledgers: map[string]string{"kept": "k", "": ""}}
		for i := range 100 {
			want.Ledgers[fmt.Sprintf("user%02d", (i*37)%100)] = fmt.Sprint(200 + i)
		}
		must(t, r.Finish(Position{Changelog: 99, Restoring: true}))
		if diff := diffOf(want, contentOf(t, s, 2)); diff != "" {
			t.Error(diff)
		}
		if err := r.Add("late", nil, 0); !errors.Is(err, errRestoreEnded) {
			t.Errorf("Add after Finish: %v", err)
		}
	}
	f(maxRestoreBuffer)
	f(1)
	f(1000)
}

// A deletion that a restore writes to a file hides the ledger below it, wherever Pebble puts the file.
func TestRestoredDeletionsHideOlderLedgers(t *testing.T) {
	s := mustOpen(t, vfs.NewMem(), "s")
	s.restoreBuffer = 100
	var older []Change
	for i := range 20 {
		older = append(older, set(fmt.Sprintf("user-%02d", i), "old"))
	}
	must(t, s.Checkpoint(1, Position{Input: 1}, older))
	must(t, s.db.Flush())
	r, err := s.Restore(1, positionOf(t, s, 1))
	must(t, err)
	for i := range 20 {
		must(t, r.Add(fmt.Sprintf("user-%02d", i), nil, 0))
	}
	must(t, r.Finish(Position{Input: 2}))
	if c := contentOf(t, s, 1); len(c.Ledgers) > 0 || r.files == 0 {
		t.Errorf("%d files were written, and there still are %v", r.files, c.Ledgers)
	}
}

func TestRestoreCutOffIsMarked(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, fs, "store")
	s.restoreBuffer = 1
	must(t, s.Checkpoint(2, Position{Changelog: 5}, nil))
	r, err := s.Restore(2, positionOf(t, s, 2))
	must(t, err)
	must(t, r.Add("a", []byte("1"), 0))
	must(t, r.Add("b", []byte("2"), 0))
	r.Abandon()
	must(t, s.Close())
	want := content{Position: Position{Changelog: 5, Restoring: true}, Known: true, Ledgers: map[string]string{"a": "1"}}
	if diff := diffOf(want, contentOf(t, mustOpen(t, fs, "store"), 2)); diff != "" {
		t.Error(diff)
	}
}

func TestDroppedPartitionHasNoGhosts(t *testing.T) {
	s := mustOpen(t, vfs.NewMem(), "store")
	s.restoreBuffer = 1
	for _, p := range []int32{4, 5, MaxPartition} {
		r, err := s.Restore(p, positionOf(t, s, p))
		must(t, err)
		must(t, r.Add("a", []byte("1"), 9))
		must(t, r.Add("b", []byte("2"), 4))
		must(t, r.Finish(Position{Input: 1}))
		must(t, s.Prepare([]Prepared{entry(p, 2)}))
	}
	before, id := contentOf(t, s, 5), s.ID()
	must(t, s.Drop(4))
	must(t, s.Drop(MaxPartition))
	var empty content
	for _, p := range []int32{4, MaxPartition} {
		if diff := diffOf(empty, contentOf(t, s, p)); diff != "" {
			t.Errorf("partition %d: %s", p, diff)
		}
	}
	if diff := diffOf(before, contentOf(t, s, 5)); diff != "" {
		t.Errorf("the neighbour changed: %s", diff)
	}
	e := entry(4, 1, set("c", "3"))
	must(t, s.Prepare([]Prepared{e}))
	empty.Journal = []Prepared{e}
	if diff := diffOf(empty, contentOf(t, s, 4)); diff != "" {
		t.Error(diff)
	}
	must(t, s.identify())
	if s.ID() != id {
		t.Error("dropping the last partition took the store's id")
	}
}

func TestOpenRefuses(t *testing.T) {
	f := func(cfg Config, want error, text string) {
		t.Helper()
		s, err := Open(cfg)
		if err == nil {
			must(t, s.Close())
			t.Fatal("it opened")
		}
		if want != nil && !errors.Is(err, want) || !strings.Contains(err.Error(), text) {
			t.Errorf("error %v, want %v with %q", err, want, text)
		}
	}
	f(Config{}, nil, "directory is empty")
	f(Config{Dir: "x", MemoryBytes: 1}, nil, "too little")

	fs, dir := vfs.NewMem(), t.TempDir()
	mustOpen(t, fs, "store")
	mustOpen(t, nil, dir)
	f(Config{Dir: "store", FS: fs}, ErrInUse, "stop it")
	f(Config{Dir: dir}, ErrInUse, "stop it")

	newer := vfs.NewMem()
	db, err := pebble.Open("store", &pebble.Options{FS: newer, FormatMajorVersion: pebbleFormat + 1, Logger: pebbleLog{Config{}.withDefaults().Log}})
	must(t, err)
	must(t, db.Close())
	f(Config{Dir: "store", FS: newer}, ErrNewer, "Pebble format")

	s := mustOpen(t, newer, "identity")
	must(t, s.db.Set(identityKey(), seal([]byte{identityVersion + 1, 0}, 0), pebble.Sync))
	must(t, s.Close())
	f(Config{Dir: "identity", FS: newer}, ErrNewer, "record version 2")
}

// A first restore that is cut off leaves the position that it began from: whoever opens the store next must not take it for one of other topics.
func TestACutOffRestoreKeepsWhereItBegan(t *testing.T) {
	s := mustOpen(t, vfs.NewMem(), "store")
	s.restoreBuffer = 1
	from := Position{EventsTopic: [16]byte{1}, ChangelogTopic: [16]byte{2}, Partitions: 6}
	r, err := s.Restore(1, from)
	must(t, err)
	for _, user := range []string{"a", "b"} {
		must(t, r.Add(user, []byte("ledger"), 0))
	}
	r.Abandon()
	from.Restoring = true
	if found := positionOf(t, s, 1); found != from {
		t.Errorf("the position is %+v, wanted %+v", found, from)
	}
}

func TestPartitionOutsideTheKeyspaceIsRefused(t *testing.T) {
	s := mustOpen(t, vfs.NewMem(), "store")
	for _, p := range []int32{-1, MaxPartition + 1} {
		if _, err := s.Restore(p, Position{}); err == nil {
			t.Errorf("partition %d was taken", p)
		}
		if err := s.Prepare([]Prepared{entry(1, 1), entry(p, 1)}); err == nil {
			t.Errorf("partition %d was taken", p)
		}
	}
	if got := contentOf(t, s, 1).Journal; got != nil {
		t.Errorf("a refused Prepare left %v", got)
	}
	must(t, s.Close())
	if _, _, err := s.Get(0, "a", nil); !errors.Is(err, ErrClosed) {
		t.Errorf("Get after Close: %v", err)
	}
}

func TestTransactionIDRoundTrip(t *testing.T) {
	for _, id := range []TransactionID{{}, {"a/b", 255, 10}, {"w", ^uint64(0), ^uint64(0)}} {
		got, err := ParseTransactionID(id.String())
		if err != nil || got != id {
			t.Errorf("%s came back as %v, %v", id, got, err)
		}
	}
	for _, text := range []string{"", "w", "w/1", "w/g/1", "w/1/a", "w/01/1", "w/F/1", "w/1/+1"} {
		if id, err := ParseTransactionID(text); err == nil {
			t.Errorf("%q was taken as %v", text, id)
		}
	}
}
