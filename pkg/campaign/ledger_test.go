package campaign

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "accept the golden files as they come out")

// sampleLedger has one of everything that an encoding can hold.
func sampleLedger() *Ledger {
	l := &Ledger{}
	undated := l.progressOf(campaignKey("without a date")).bucket(0, nil)
	undated.count, undated.latest, undated.day = 1, 1767268800000000000, noDay
	l.seen.add(1767268800000, fingerprint{1, 2, 3})
	l.seen.add(1767268800000, fingerprint{4, 5, 6})
	l.seen.add(1767268799000, fingerprint{7, 8, 9})
	l.profile.setZone(-5, loadZone("America/New_York"))
	l.profile.setZone(1767268800000000000, loadZone("Asia/Tokyo"))
	l.profile.setAttribute(10, "plan", []byte(`"gold"`))
	l.profile.setAttribute(20, "plan", nil)
	l.profile.setAttribute(15, "employer", []byte(`{"name":"acme"}`))
	p := l.progressOf(campaignKey("five-days-of-logging"))
	p.paid = 2
	b := p.bucket(0, nil)
	l.due, l.known = 1767441600000, 1767268699000
	l.ids = []packedID{packID("0198a7a0-52c1-7d2e-9a53-0b1f2f6c7a11"), packID("order-17")}
	b.count, b.latest, b.day, b.ids = 2, 1767268800123456789, DayOf(2026, 1, 2), []uint8{0, 1}
	c := b.cell(0, 0, nil)
	c.days.add(DayOf(2026, 1, 1))
	c.days.add(DayOf(2026, 1, 2))
	c.days.add(DayOf(2026, 1, 9))
	c.amounts = []periodAmount{{100, 5}, {103, -7}}
	other := b.cell(1, perMonth.of(DayOf(2026, 1, 1)), nil)
	other.count, other.sum, other.values = 3, -25, []string{"bitter", "sweet"}
	other.marks = []mark{{at: 5, day: 6, id: "a", amount: 7, value: "x", steps: 3}, {at: 9, day: 6, id: "0198a7a0-52c1-7d2e-9a53-0b1f2f6c7a11"}}
	p.bucket(-4, nil).paid = 1
	l.excuse(0, []Day{DayOf(2026, 1, 3)})
	l.excuse(campaignKey("five-days-of-logging"), []Day{DayOf(2026, 1, 4), DayOf(2026, 1, 5)})
	withdrawn := l.progressOf(campaignKey("withdrawn"))
	withdrawn.tried, withdrawn.epoch = true, 2
	withdrawn.part, withdrawn.from, withdrawn.before, withdrawn.paid = out, 1767268800000000000, 3, 3
	l.progressOf(campaignKey("birth-reported")).paid = 1
	return l
}

// TestLedgerGolden holds the encoding to the files of every release: what was written once is read for ever.
func TestLedgerGolden(t *testing.T) {
	const file = "testdata/ledger-v2.hex"
	got := hex.EncodeToString(sampleLedger().Append(nil)) + "\n"
	if *rewrite {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want, _ := goldenLedger(t, file); got != want {
		t.Errorf("the encoding changed:\n got %s\nwant %s", got, want)
	}
}

// goldenLedger is a file's text and its ledger, which is written again as it was read.
func goldenLedger(t *testing.T, file string) (text string, l *Ledger) {
	t.Helper()
	golden, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := hex.DecodeString(strings.TrimSpace(string(golden)))
	if err != nil {
		t.Fatal(err)
	}
	if l, err = Decode(encoded); err != nil {
		t.Fatal(err)
	}
	if again := l.Append(nil); !bytes.Equal(again, encoded) {
		t.Errorf("read back and written again: %x", again)
	}
	return string(golden), l
}

// TestLedgerWithoutDates reads what version 1 wrote, and writes it as it was as long as nothing new counts.
func TestLedgerWithoutDates(t *testing.T) {
	_, l := goldenLedger(t, "testdata/ledger-v1.hex")
	b := l.progressOf(campaignKey("five-days-of-logging")).bucket(0, nil)
	if b.count != 2 || b.day != noDay {
		t.Errorf("%+v", b)
	}
	bound := l.sizeBound
	b.count, b.latest, b.day = 3, b.latest+1, DayOf(2026, 1, 1)
	holdsOnce(t, l.Append(nil))
	if l.sizeBound > bound+1 { // the count may take a byte more
		t.Errorf("it has %d bytes, and was to have %d at most", l.sizeBound, bound)
	}
}

// TestLedgerDamaged cuts and flips every byte: a damaged value is refused, or it is the one encoding of another ledger.
func TestLedgerDamaged(t *testing.T) {
	encoded := sampleLedger().Append(nil)
	for n := range encoded {
		if _, err := Decode(encoded[:n]); err == nil {
			t.Errorf("cut to %d of %d bytes, it was read", n, len(encoded))
		}
		for bit := range 8 {
			damaged := bytes.Clone(encoded)
			damaged[n] ^= 1 << bit
			holdsOnce(t, damaged)
		}
	}
	if _, err := Decode(append(bytes.Clone(encoded), 0)); err == nil {
		t.Error("with a byte behind its end, it was read")
	}
	if _, err := Decode(append([]byte{3}, encoded[1:]...)); err == nil || !strings.Contains(err.Error(), "newer") {
		t.Errorf("a later version: %v", err)
	}
}

// holdsOnce checks that what Decode accepts is what Append writes.
func holdsOnce(t *testing.T, src []byte) {
	t.Helper()
	l, err := Decode(src)
	if err != nil {
		return
	}
	if again := l.Append(nil); !bytes.Equal(again, src) {
		t.Fatalf("two encodings of one ledger:\n%x\n%x", src, again)
	}
}

func FuzzLedger(f *testing.F) {
	f.Add(sampleLedger().Append(nil))
	f.Add((&Ledger{}).Append(nil))
	f.Add([]byte{1, 1, 0})
	f.Fuzz(func(t *testing.T, src []byte) { holdsOnce(t, src) })
}
