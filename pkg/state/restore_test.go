package state

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"
)

// A restore's buffer holds of each name the newest change, by name, whatever names begin with.
func TestARestoresBufferSettles(t *testing.T) {
	s := mustOpen(t, vfs.NewMem(), "s")
	rapid.Check(t, func(t *rapid.T) {
		r, err := s.Restore(1, Position{})
		if err != nil {
			t.Fatal(err)
		}
		begin := rapid.SampledFrom([]string{"", "user-", "user-0000000"}).Draw(t, "begin")
		want := map[string]string{}
		for i := range rapid.IntRange(0, 60).Draw(t, "changes") {
			name := begin + rapid.StringOfN(rapid.SampledFrom([]rune{0, 'a', 'b'}), 0, 12, -1).Draw(t, "name")
			want[name] = fmt.Sprint(i)
			if err := r.Add(name, []byte(want[name]), 0); err != nil {
				t.Fatal(err)
			}
		}
		var names []string
		for _, c := range r.left() {
			if names = append(names, c.User); string(c.Ledger) != want[c.User] {
				t.Fatalf("%q has %s, want %s", c.User, c.Ledger, want[c.User])
			}
		}
		if !slices.Equal(names, slices.Sorted(maps.Keys(want))) {
			t.Fatalf("%q, want %q", names, slices.Sorted(maps.Keys(want)))
		}
	})
}

// Of those who were deleted no timer is left, also where there are too many to remember them all.
func TestARestoreOfManyDeletedLeavesNoTimers(t *testing.T) {
	for _, deleted := range []int{5, maxDeletedNames + 5} {
		s := mustOpen(t, vfs.NewMem(), "s")
		must(t, s.Checkpoint(1, Position{Clock: 5}, []Change{set("ann", "k").due(50, 0), set("bob", "d").due(60, 0), set("cid", "d").due(70, 0)}))
		r, err := s.Restore(1, positionOf(t, s, 1))
		must(t, err)
		for i := range deleted {
			must(t, r.Add(fmt.Sprintf("user-%d", i), nil, 0))
		}
		must(t, r.Add("bob", nil, 0))
		must(t, r.Add("cid", nil, 0))
		must(t, r.Add("cid", []byte("x"), 80))
		must(t, r.Finish(Position{Clock: 10}))
		checkTimers(t, s, 1, Timer{50, "ann"}, Timer{70, "cid"}, Timer{80, "cid"})
		must(t, s.Close())
	}
}
