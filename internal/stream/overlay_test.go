package stream

import (
	"fmt"
	"runtime"
	"testing"
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
