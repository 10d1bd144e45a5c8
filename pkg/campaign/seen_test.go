package campaign

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// What is remembered is a list that is searched from its beginning to its end, however long it is and whatever makes the search short.
func TestSeenIsAList(t *testing.T) {
	set := setOf(t, sized(t, "c", "once", "{count: 400, of: x}"))
	lateness := set.lateness.Milliseconds()
	rapid.Check(t, func(t *rapid.T) {
		var s seen
		var slow []sighting
		n, clock := uint64(0), int64(1_767_268_800_000)
		ids := rapid.Uint64Range(0, 1<<20) // and what it maps to is not in order
		idOf := func(n uint64) (id fingerprint) {
			binary.BigEndian.PutUint64(id[:], n*0x9e3779b97f4a7c15)
			return id
		}
		add := func(at int64, id fingerprint) {
			place := s.add(at, id)
			slow = append(slow, sighting{at, id})
			slices.SortStableFunc(slow, func(a, b sighting) int { return int(a.at - b.at) })
			if slow[place] != (sighting{at, id}) {
				t.Fatalf("added at %d, where %v is", place, slow[place])
			}
		}
		if rapid.Bool().Draw(t, "many") {
			for range manySightings + rapid.IntRange(-2, 2000).Draw(t, "more") {
				n++
				s.add(clock+int64(n), idOf(n))
				slow = append(slow, sighting{clock + int64(n), idOf(n)})
			}
		}
		for range rapid.IntRange(0, 50).Draw(t, "steps") {
			clock += rapid.Int64Range(0, lateness/20).Draw(t, "passed")
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0:
				n++
				add(clock-rapid.Int64Range(0, 2*lateness).Draw(t, "late"), idOf(n))
			case 1:
				add(clock, idOf(ids.Draw(t, "id")))
			case 2:
				s.forget(clock, set)
				slow = slices.DeleteFunc(slow, func(x sighting) bool { return clock > x.at+lateness })
			case 3:
				id := idOf(ids.Draw(t, "id"))
				if len(slow) > 0 && rapid.Bool().Draw(t, "known") {
					id = slow[rapid.IntRange(0, len(slow)-1).Draw(t, "which")].id
				}
				want := slices.ContainsFunc(slow, func(x sighting) bool { return x.id == id && clock <= x.at+lateness })
				if got := s.hasInTime(id, clock, set); got != want {
					t.Fatalf("remembers %x: %t, want %t", id, got, want)
				}
			}
			if !slices.Equal(s.list, slow) {
				t.Fatalf("%d are remembered, want %d", len(s.list), len(slow))
			}
			with, without := Ledger{seen: s}, Ledger{}
			if got, want := s.encodedBytes(), len(with.Append(nil))-len(without.Append(nil))+1; got != want {
				t.Fatalf("they take %d bytes, want %d", got, want)
			}
		}
	})
}

// Whether an event is one too many (E7) depends on what the ledger would be with it, and one that is leaves every byte as it was. The same engine without a
// bound says what the ledger would be.
func TestAnEventTooManyIsAsIfItHadNotCome(t *testing.T) {
	set := setOf(t,
		sized(t, "all", "always", "{count: 400, of: x}"), sized(t, "values", "always", "{distinct: 90, of: x, value: event.data.place}"),
		sized(t, "window", "always", "{sum: 90, of: x, value: event.data.n, within: 3 days}"))
	const hour = int64(time.Hour / time.Millisecond)
	rapid.Check(t, func(t *rapid.T) {
		bound := rapid.IntRange(200, 4000).Draw(t, "bound")
		bounded, free := NewEngine(set, bound), NewEngine(set, 1<<30)
		var decoder Decoder
		var cycle Ledgers
		var kept []byte
		clock := int64(DayOf(2026, 1, 10)) * dayMs
		rejected := 0
		for n := range rapid.IntRange(20, 120).Draw(t, "events") {
			clock += rapid.Int64Range(0, hour).Draw(t, "passed")
			at := time.UnixMilli(clock - rapid.Int64Range(0, 40*hour).Draw(t, "late")).UTC().Format(time.RFC3339Nano)
			kind, data := "x", fmt.Sprintf(`{"place":"place-%d","n":%d}`, rapid.IntRange(0, 40).Draw(t, "place"), n%4)
			if rapid.IntRange(0, 9).Draw(t, "control") == 0 {
				kind, data = "stampede.profile", fmt.Sprintf(`{"attributes":{"a%d":"%d"},"timezone":"Asia/Tokyo"}`, n%5, n)
			}
			value := fmt.Appendf(nil, `{"specversion":"1.0","id":"event-%d","source":"s","type":%q,"time":%q,"data":%s}`, n, kind, at, data)
			var ev Event
			if why := decoder.Decode(&Record{Key: []byte("u"), Value: value}, &ev); why != nil {
				t.Fatal(why)
			}
			decode := func(m *Ledgers) (l *Ledger) {
				if l = m.New(); kept != nil {
					var err error
					if l, err = m.Decode(kept); err != nil {
						t.Fatal(err)
					}
				}
				return l
			}
			would := decode(&Ledgers{})
			if would.Due() != 0 && would.Due() <= clock {
				clock = would.Due() - 1
			}
			if result := free.Apply(would, &ev, clock); result.Rejection != nil {
				t.Fatal(result.Rejection)
			}
			want := would.Append(nil)
			cycle.Reset()
			l := decode(&cycle)
			result := bounded.Apply(l, &ev, clock)
			size := sizeAsked(free, decode(&Ledgers{}), &ev, clock)
			if full := result.Rejection != nil; full != (size > bound) {
				t.Fatalf("%d bytes, at most %d: %v", size, bound, result.Rejection)
			} else if full {
				rejected++
				if result.Rejection.Reason != ReasonLedgerFull {
					t.Fatal(result.Rejection)
				}
				want = kept
				if want == nil {
					want = (&Ledger{}).Append(nil)
				}
			}
			got := l.Append(nil)
			if !bytes.Equal(got, want) {
				t.Fatalf("event %d (%v):\n%x\nwant\n%x", n, result.Rejection, got, want)
			}
			if len(got) > l.sizeBound {
				t.Fatalf("%d bytes, and the bound says %d", len(got), l.sizeBound)
			}
			kept = got
		}
		t.Logf("%d were too many", rejected)
	})
}

// sizeAsked is how long a ledger's encoding is when the bound is asked: with the event, and before it is brought into the form in which it is kept.
func sizeAsked(e *Engine, l *Ledger, ev *Event, clock int64) int {
	e.begin()
	if IsUserControl(ev.Type) {
		e.control(l, ev, clock)
	} else {
		e.event(l, ev, clock)
	}
	return len(l.Append(nil))
}
