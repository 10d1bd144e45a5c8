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
		l.ids = append(withRoom(l.in.slabs().ids, l.ids), l.in.keepID("another"))
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

// What is kept of an event is a copy: the event's bytes are used for the next one, while its ledger is still decoded. Ledgers that stay so become what
// those become that are written down and read after each event.
func TestNothingThatIsKeptIsTheEvents(t *testing.T) {
	set := setOf(t,
		sized(t, "values", "once", "{distinct: 100, of: x, value: event.data.v}"), sized(t, "both", "once", "{all: [{distinct: 100, of: x, value: event.data.v}, {distinct: 100, of: x, value: event.data.n}]}"),
		sized(t, "values-within", "always", "{distinct: 50, of: x, value: event.data.v, within: 7 days}"), sized(t, "sum-within", "always", "{sum: 1000000, of: x, value: event.data.n, within: 7 days}"),
		sized(t, "days", "once", "{streak: 50, of: x}"), sized(t, "amounts", "once", "{streak: 50, of: x, at_least: 3}"), sized(t, "steps", "once", "{sequence: [{of: x, where: event.data.n > 7}, {of: y}]}"))
	const users, events = 5, 12
	var encoded [2][users][]byte
	for i, stays := range []bool{false, true} {
		engine := NewEngine(set, 0)
		var decoder Decoder
		var ev Event
		var shared Ledgers
		var ledgers [users]*Ledger
		for user := range ledgers {
			ledgers[user] = &Ledger{}
			if stays {
				ledgers[user] = shared.New()
			}
		}
		for n := range events {
			for user, l := range ledgers {
				value := fmt.Appendf(nil, `{"specversion":"1.0","id":"e-%d-%d","source":"s","type":"x","time":"2026-01-%02dT%02d:00:00Z","data":{"n":%d,"v":"value %d of %d"}}`, n, user, 9+n%2, 20-n, 6+n%4, n, user)
				if why := decoder.Decode(&Record{Key: fmt.Appendf(nil, "u%d", user), Value: value}, &ev); why != nil {
					t.Fatal(why)
				}
				if result := engine.Apply(l, &ev, int64(DayOf(2026, 1, 11))*dayMs); !result.Changed {
					t.Fatalf("nothing has counted: %v", result.Decisions)
				}
				if !stays {
					var err error
					if ledgers[user], err = Decode(l.Append(nil)); err != nil {
						t.Fatal(err)
					}
				}
				clear(value)
			}
		}
		for user, l := range ledgers {
			encoded[i][user] = l.Append(nil)
		}
	}
	for user := range users {
		if !bytes.Equal(encoded[0][user], encoded[1][user]) {
			t.Errorf("user %d: written down after each event the ledger is\n%q, and else\n%q", user, encoded[0][user], encoded[1][user])
		}
	}
}
