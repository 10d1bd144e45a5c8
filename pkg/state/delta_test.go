package state

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"
)

// Whatever a ledger was and is, the one follows from the other, and from no third.
func FuzzDelta(f *testing.F) {
	f.Add([]byte("what it was"), []byte("what it is, and it was"), []byte("another"))
	f.Add([]byte{}, []byte{}, []byte{1})
	f.Fuzz(func(t *testing.T, was, ledger, other []byte) {
		delta := appendDelta(nil, was, ledger)
		if len(ledger) > len(was)+len(delta) {
			return // such a one is written whole
		}
		got, err := applyDelta(was, delta)
		if err != nil || !bytes.Equal(got, ledger) {
			t.Errorf("%x after %x becomes %x (%v)", ledger, was, got, err)
		}
		if got, err := applyDelta(other, delta); err == nil && !bytes.Equal(got, ledger) {
			t.Errorf("%x follows from %x, by the delta of %x", got, other, ledger)
		}
		_, _ = applyDelta(was, other) // what is damaged is an error, and no panic
	})
}

// A ledger that is edited as events edit one, in a few places, costs the bytes that are new and little more.
func TestADeltaIsSmall(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "bytes"), 0))
		random := func(n int) []byte {
			b := make([]byte, n)
			for i := range b {
				b[i] = byte(r.Uint32())
			}
			return b
		}
		was := random(rapid.IntRange(100, 20_000).Draw(rt, "length"))
		ledger := bytes.Clone(was)
		edits := rapid.IntRange(1, 4).Draw(rt, "edits")
		fresh := 0
		for range edits {
			at := rapid.IntRange(0, len(ledger)).Draw(rt, "at")
			gone := rapid.IntRange(0, min(20, len(ledger)-at)).Draw(rt, "gone")
			added := random(rapid.IntRange(0, 20).Draw(rt, "added"))
			fresh += len(added)
			ledger = slices.Replace(ledger, at, at+gone, added...)
		}
		step := max(pieceStep, len(was)/maxPlaces)
		// Between two edits may be less than leads to a place: it is written as if it were new.
		most := crcBytes + 3 + fresh + (edits+1)*(8+2*step+pieceBytes)
		if delta := appendDelta(nil, was, ledger); len(delta) > most {
			rt.Errorf("%d edits with %d new bytes of %d take %d, at most %d are expected", edits, fresh, len(was), len(delta), most)
		}
	})
}

// The journal gives each ledger whole, whatever it was written as: after a checkpoint, after an entry before, twice in one entry, deleted and begun anew.
func TestTheJournalGivesLedgersWhole(t *testing.T) {
	s := mustOpen(t, vfs.NewMem(), "s")
	long := func(n int) string {
		return fmt.Sprintf("%s%04d%s", bytes.Repeat([]byte("a"), 100), n, bytes.Repeat([]byte("b"), 100))
	}
	must(t, s.Checkpoint(1, Position{Input: 1}, []Change{set("ann", long(1)), set("bob", long(2))}))
	before := map[string][]byte{"ann": []byte(long(1)), "bob": []byte(long(2))}
	var want []Change
	for n := range 3 {
		e := entry(1, n+2, set("cid", "whole"))
		e.Edits = &Edits{}
		for _, ch := range []Change{set("ann", long(10+n)), set("bob", long(20+n)), set("ann", long(30+n)), gone("bob"), set("bob", long(40+n)), set("new", long(50+n))} {
			e.Edits.Add(ch.User, before[ch.User], ch.Ledger)
			before[ch.User] = ch.Ledger
			want = append(want, ch)
		}
		want = append(want, e.Changes...)
		must(t, s.Prepare([]Prepared{e}))
	}
	var got []Change
	must(t, s.Journal(1, func(e Prepared) error { got = append(got, e.Changes...); return nil }))
	if !slices.EqualFunc(want, got, func(a, b Change) bool {
		return a.User == b.User && bytes.Equal(a.Ledger, b.Ledger) && (a.Ledger == nil) == (b.Ledger == nil)
	}) {
		t.Errorf("got %v\nwant %v", got, want)
	}
	if stats := s.Metrics(); stats.JournalBytes > 3*700 {
		t.Errorf("the journal has %d bytes for 15 ledgers of 204 that changed by four", stats.JournalBytes)
	}
}

// An entry that says how a ledger follows from another one than the store has is an error: the partition is to be dropped.
func TestAnEditOfAnotherLedgerIsAnError(t *testing.T) {
	s := mustOpen(t, vfs.NewMem(), "s")
	was := bytes.Repeat([]byte("a"), 100)
	must(t, s.Checkpoint(1, Position{Input: 1}, []Change{{User: "ann", Ledger: append([]byte("b"), was...)}}))
	e := entry(1, 2)
	e.Edits = &Edits{}
	e.Edits.Add("ann", was, append(was, 'c'))
	must(t, s.Prepare([]Prepared{e}))
	if err := s.Journal(1, func(Prepared) error { return nil }); err == nil {
		t.Error("the journal was read")
	}
}

// The memory of a large cycle does not stay for small ones.
func TestEditsGiveBackMemory(t *testing.T) {
	var e Edits
	e.Add("ann", nil, make([]byte, 16*fewEdits))
	e.Reset()
	if cap(e.encoded) < 16*fewEdits {
		t.Error("what was needed may be needed again")
	}
	e.Add("ann", nil, nil)
	if e.Reset(); cap(e.encoded) != 0 {
		t.Errorf("%d bytes stay", cap(e.encoded))
	}
}

func BenchmarkDelta(b *testing.B) {
	was := make([]byte, 600)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range was {
		was[i] = byte(r.Uint32())
	}
	ledger := slices.Insert(slices.Clone(was), 200, was[:12]...)
	ledger[3]++
	ledger = slices.Insert(ledger, 400, was[20:37]...)
	var delta []byte
	for b.Loop() {
		delta = appendDelta(delta[:0], was, ledger)
	}
	b.ReportMetric(float64(len(delta)), "bytes")
}
