package campaign

import (
	"bytes"
	"fmt"
	"testing"
)

// A ledger that was decoded, added to and encoded again costs nothing but the room for what it grew by, once the memory has been used before.
func TestACycleOfLedgersAllocatesNothing(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	set := setOf(t, sized(t, "c", "once", "{count: 400, of: x, where: event.data.n >= 3}"), sized(t, "d", "once", "{streak: 5, of: x}"))
	engine := NewEngine(set, 0)
	var decoder Decoder
	var ev Event
	clock := DayOf(2026, 1, 10)
	at := int64(clock) * dayMs
	encoded := make([][]byte, 200)
	var cycle Ledgers
	n, record := 0, &Record{Key: []byte("u")}
	run := func() {
		for user := range encoded {
			l := cycle.New()
			if encoded[user] != nil {
				var err error
				if l, err = cycle.Decode(encoded[user]); err != nil {
					t.Fatal(err)
				}
			}
			n++
			value := fmt.Appendf(nil, `{"specversion":"1.0","id":"0198a7a0-52c1-7d2e-9a53-%d","source":"s","type":"x","time":"2026-01-09T10:00:00Z","data":{"n":5}}`, 100_000_000_000+n)
			record.Value = value
			if why := decoder.Decode(record, &ev); why != nil {
				t.Fatal(why)
			}
			if result := engine.Apply(l, &ev, at); !result.Changed {
				t.Fatal("nothing has counted")
			}
			encoded[user] = l.Append(make([]byte, 0, 2048))
		}
		cycle.Reset()
	}
	for range 5 {
		run()
	}
	const ours = 3 // a value, the number in it, and where the ledger is encoded
	if perEvent := testing.AllocsPerRun(10, run) / float64(len(encoded)); perEvent > ours+0.1 {
		t.Errorf("%.2f allocations for an event beside those of the test", perEvent-ours)
	}
}

// What a ledger refers to is its encoding, and the encoding of a new ledger is not written over by the next cycle.
func TestLedgersOfTheNextCycleTouchNoneBefore(t *testing.T) {
	var cycle Ledgers
	first := sampleLedger().Append(nil)
	want := bytes.Clone(first)
	for range 3 {
		l, err := cycle.Decode(first)
		if err != nil {
			t.Fatal(err)
		}
		l.seen.add(5, fingerprint{9})
		l.ids = append(withRoom(l.in.slabs().ids, l.ids), l.in.keep("another"))
		b := l.progressOf(campaignKey("five-days-of-logging")).bucket(0, l.in)
		b.ids = append(b.ids, uint8(len(l.ids)-1))
		again := l.Append(nil)
		cycle.Reset()
		if other, err := cycle.Decode(again); err != nil || !bytes.Equal(other.Append(nil), again) {
			t.Fatal(err, "it is not read as it was written")
		}
		if !bytes.Equal(first, want) {
			t.Fatal("the encoding that was read has changed")
		}
		cycle.Reset()
	}
}

// A zone outlives the ledger that named it first, whose memory is used again.
func TestAZoneKeepsItsName(t *testing.T) {
	const name, at = "Antarctica/Troll", 1 // that nothing else here asks for
	z := loadZone("Antarctica/Vostok")
	if z == nil {
		t.Fatal("no zone Antarctica/Vostok")
	}
	l := &Ledger{profile: profile{zones: []zoneChange{{at, &zone{name: name, location: z.location}}}}}
	encoded := l.Append(nil)
	var ledgers Ledgers
	decoded, err := ledgers.Decode(encoded)
	if err != nil {
		t.Fatal(err)
	}
	clear(encoded)
	if z := decoded.profile.zones[0].zone; z.name != name {
		t.Errorf("the zone %s is called %q when the ledger is written over", name, z.name)
	}
}
