package state

import (
	"bytes"
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// golden is what the first release writes, one "name hex" a line. What is in there must be readable for ever; a changed line is
// a changed format, and needs a new version.
func golden(t testing.TB) map[string][]byte {
	t.Helper()
	return goldenIn(t, "testdata/formats-v1.hex")
}

func goldenIn(t testing.TB, path string) map[string][]byte {
	t.Helper()
	src, err := os.ReadFile(path)
	must(t, err)
	values := map[string][]byte{}
	for line := range strings.Lines(string(src)) {
		name, digits, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || name == "#" {
			continue
		}
		if values[name], err = hex.DecodeString(digits); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	return values
}

var (
	goldenPosition = Position{
		EventsTopic: [16]byte{1, 2, 3}, ChangelogTopic: [16]byte{15: 9}, Partitions: 6, Input: 1 << 40, Step: 2, Changelog: 12345,
		Clock: 1_772_366_400_000, CaughtUp: -1, Restoring: true,
	}
	goldenPrepared = Prepared{
		Transaction: TransactionID{"stampede-a", 0xfedcba9876543210, 300},
		Position:    Position{Partitions: 6, Input: 7, Changelog: 8, Clock: 9},
		Changes:     []Change{set("ann", "ledger"), gone("bob"), set("zoë", "")},
	}
)

func TestFormatsStayWhatTheyAre(t *testing.T) {
	values := golden(t)
	for name, encoded := range map[string][]byte{
		"position":   encodePosition(nil, goldenPosition),
		"identity":   encodeIdentity([identityBytes]byte{1, 2, 3, 4, 5, 6, 7, 8}),
		"ledger-key": valueKey(nil, 258, "ann"), "timer-key": timerKey(nil, 258, 1_772_366_400_000, "ann"),
		"campaign-key": valueKey(nil, 258, "\xffspring"), "position-key": positionKey(258),
		"journal-key": journalKey(258, 77), "identity-key": identityKey(),
	} {
		if !bytes.Equal(values[name], encoded) {
			t.Errorf("%s %x\nis written now, and was\n%s %x", name, encoded, name, values[name])
		}
	}
	prepared := goldenIn(t, "testdata/formats-v2.hex")
	for name, e := range map[string]Prepared{"prepared": goldenPrepared, "edited": goldenEdited()} {
		if encoded := encodePrepared(nil, &e); !bytes.Equal(prepared[name], encoded) {
			t.Errorf("%s %x\nis written now, and was\n%s %x", name, encoded, name, prepared[name])
		} else if n := preparedBytes(&e); n != len(encoded) {
			t.Errorf("%s has %d bytes, and is said to have %d", name, len(encoded), n)
		}
	}
	due := goldenPrepared
	due.Changes = []Change{due.Changes[0].due(7, 3), due.Changes[1].due(0, 3), due.Changes[2].due(1, 0)}
	if !bytes.Equal(encodePrepared(nil, &due), prepared["prepared"]) {
		t.Error("dues have found their way into the journal")
	}
	position, err := decodePosition(values["position"])
	if diff := cmp.Diff(goldenPosition, position); err != nil || diff != "" {
		t.Error(err, diff)
	}
	for name, value := range map[string][]byte{"prepared": prepared["prepared"], "prepared of version 1": values["prepared"]} {
		got, err := decodePrepared(value, newBefore(nil))
		if diff := cmp.Diff(goldenPrepared, got); err != nil || diff != "" {
			t.Error(name, err, diff)
		}
	}
	want := goldenPrepared
	want.Changes = append([]Change{set("ann", goldenLedger)}, want.Changes[1:]...)
	got, err := decodePrepared(prepared["edited"], newBefore(storedGolden))
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
}

const (
	goldenBefore = "what the ledger was, of forty bytes and some"
	goldenLedger = "what it is now; the ledger was, of fifty bytes and some"
)

func storedGolden(string) ([]byte, error) { return []byte(goldenBefore), nil }

// goldenEdited does what goldenPrepared does, to a user of whom something is known.
func goldenEdited() Prepared {
	e := goldenPrepared
	e.Edits, e.Changes = &Edits{}, e.Changes[1:]
	e.Edits.Add("ann", []byte(goldenBefore), []byte(goldenLedger))
	return e
}

// Every value has one encoding: what is decoded is encoded to the same bytes, and anything else is refused.
func FuzzPosition(f *testing.F) {
	f.Add(golden(f)["position"])
	f.Fuzz(func(t *testing.T, value []byte) {
		if pos, err := decodePosition(resealed(value)); err == nil && !bytes.Equal(encodePosition(nil, pos), resealed(value)) {
			t.Errorf("%x becomes %+v becomes %x", value, pos, encodePosition(nil, pos))
		}
	})
}

// What is decoded is encoded, every ledger whole, to what is decoded alike. Of the same entry that need not be the same bytes: it may have edits.
func FuzzPrepared(f *testing.F) {
	for _, path := range []string{"testdata/formats-v1.hex", "testdata/formats-v2.hex"} {
		for _, value := range goldenIn(f, path) {
			f.Add(value)
		}
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		e, err := decodePrepared(resealed(value), newBefore(storedGolden))
		if err != nil {
			return
		}
		whole := encodePrepared(nil, &e)
		if n := preparedBytes(&e); n != len(whole) {
			t.Errorf("%+v has %d bytes, and is said to have %d", e, len(whole), n)
		}
		again, err := decodePrepared(whole, newBefore(nil))
		if diff := cmp.Diff(e, again); err != nil || diff != "" {
			t.Errorf("%x becomes another entry (%v):\n%s", value, err, diff)
		}
	})
}

// resealed gives a fuzzed value the checksum that lets it through to the decoder.
func resealed(value []byte) []byte {
	if len(value) < crcBytes {
		return value
	}
	return seal(bytes.Clone(value[:len(value)-crcBytes]), 0)
}
