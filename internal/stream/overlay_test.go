package stream

import (
	"fmt"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"

	"github.com/stampede-rewards/stampede/pkg/campaign"
)

// What an overlay says that it takes is what it takes, or more: the memory that a processor is given is shared out by it. Users come and go, as they do where
// there is not room for all of them.
func TestAnOverlayTakesWhatItSays(t *testing.T) {
	if testing.Short() {
		t.Skip("looks at the whole heap")
	}
	heap := func() int64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc) //nolint:gosec // far below
	}
	var ledger [600]byte
	for _, bytes := range []int{60, 100, len(ledger)} {
		before := heap()
		o := newOverlay()
		most := int64(20 << 20)
		for n := range 4_000_000 { // of which it has a few hundredths, ever others
			user := fmt.Sprintf("user-%08d", n)
			o.add(user, append([]byte(nil), ledger[:bytes]...)) // as large as the allocator makes it
			if o.bytes > most {
				o.shrink(most - most/roomShare)
			}
		}
		for _, left := range []int64{most, most / 8} { // another partition needs the room
			o.shrink(left)
			took, said := heap()-before, o.bytes
			t.Logf("%d users with %d bytes each: %d KiB, %d are told, %d bytes each beside what they have", len(o.users), bytes, took>>10, said>>10,
				took/int64(len(o.users))-int64(bytes+13))
			if took > said+said/10 || took < said/2 {
				t.Errorf("%d users with %d bytes each take %d bytes, and %d are told", len(o.users), bytes, took, said)
			}
		}
		runtime.KeepAlive(&o)
	}
}

// A ledger that grows by an event and loses one is written where it was, and what it was decoded from does not come through.
func TestALedgerIsWrittenWhereItWas(t *testing.T) {
	c, err := campaign.Definition{Language: campaign.Language, Source: "campaign: c\nversion: 1\nstarts: 2000-01-01\nlateness: 2 days\ngoal: {count: 100000, of: visit}\nreward: {kind: points}\n"}.Compile()
	if err != nil {
		t.Fatal(err)
	}
	set, err := campaign.NewSet([]*campaign.Campaign{c})
	if err != nil {
		t.Fatal(err)
	}
	engine, o := campaign.NewEngine(set, 0), newOverlay()
	e := o.add("ada", nil)
	other, clock := &campaign.Ledger{}, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	moved, events := 0, 0
	visit := func() {
		clock = clock.Add(time.Hour + time.Duration(events%7)*time.Minute)
		ev := campaign.Event{User: "ada", Source: "/test", ID: fmt.Sprintf("visit-%d", events), Type: "visit", Time: clock.UnixNano()}
		events++
		if err := o.decode(e); err != nil {
			t.Fatal(err)
		}
		for _, l := range []*campaign.Ledger{e.ledger, other} {
			for l.Due() != 0 && l.Due() <= clock.UnixMilli() {
				engine.Fire(l, "ada")
			}
			engine.Apply(l, &ev, clock.UnixMilli())
		}
		e.ahead = true
		was := unsafe.SliceData(e.encoded)
		o.encode()
		if unsafe.SliceData(e.encoded) != was {
			moved++
		}
		if diff := cmp.Diff(other.Append(nil), e.encoded); diff != "" {
			t.Fatalf("after %d events it is not the ledger of one who was never written down (-want +got):\n%s", events, diff)
		}
		if o.bytes != e.bytes() {
			t.Fatalf("after %d events the overlay says %d bytes, and has %d", events, o.bytes, e.bytes())
		}
	}
	for range 100 {
		visit()
	}
	grown := moved
	for range 1000 {
		visit()
	}
	if grown > 40 || moved > grown+3 {
		t.Errorf("a ledger has had memory anew %d times in its first 100 events, and %d times in the next 1000", grown, moved-grown)
	}
}
