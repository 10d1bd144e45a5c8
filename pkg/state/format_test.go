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
	src, err := os.ReadFile("testdata/formats-v1.hex")
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
		"prepared":   encodePrepared(nil, &goldenPrepared),
		"identity":   encodeIdentity([identityBytes]byte{1, 2, 3, 4, 5, 6, 7, 8}),
		"ledger-key": valueKey(nil, 258, "ann"), "timer-key": timerKey(nil, 258, 1_772_366_400_000, "ann"),
		"campaign-key": valueKey(nil, 258, "\xffspring"), "position-key": positionKey(258),
		"journal-key": journalKey(258, 77), "identity-key": identityKey(),
	} {
		if !bytes.Equal(values[name], encoded) {
			t.Errorf("%s %x\nis written now, and was\n%s %x", name, encoded, name, values[name])
		}
	}
	due := goldenPrepared
	due.Changes = []Change{due.Changes[0].due(7, 3), due.Changes[1].due(0, 3), due.Changes[2].due(1, 0)}
	if !bytes.Equal(encodePrepared(nil, &due), values["prepared"]) {
		t.Error("dues have found their way into the journal")
	}
	position, err := decodePosition(values["position"])
	if diff := cmp.Diff(goldenPosition, position); err != nil || diff != "" {
		t.Error(err, diff)
	}
	prepared, err := decodePrepared(values["prepared"])
	if diff := cmp.Diff(goldenPrepared, prepared); err != nil || diff != "" {
		t.Error(err, diff)
	}
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

func FuzzPrepared(f *testing.F) {
	f.Add(golden(f)["prepared"])
	f.Fuzz(func(t *testing.T, value []byte) {
		if e, err := decodePrepared(resealed(value)); err == nil && !bytes.Equal(encodePrepared(nil, &e), resealed(value)) {
			t.Errorf("%x becomes %+v becomes %x", value, e, encodePrepared(nil, &e))
		} else if err == nil && preparedBytes(&e) != len(resealed(value)) {
			t.Errorf("%+v has %d bytes, and is said to have %d", e, len(resealed(value)), preparedBytes(&e))
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
