package stream

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"github.com/stampede-rewards/stampede/pkg/state"
)

func TestMetadataAndPositionsAreReadAsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := Commit{
			Transaction: state.TransactionID{
				Worker:      rapid.StringMatching(`[a-z0-9.-]{1,40}`).Draw(t, "worker"),
				Incarnation: rapid.Uint64().Draw(t, "incarnation"), Sequence: rapid.Uint64().Draw(t, "sequence"),
			},
			Step: rapid.Int64Min(0).Draw(t, "step"), Clock: rapid.Int64().Draw(t, "clock"),
		}
		if got, err := ParseCommit(m.String()); err != nil || got != m {
			t.Fatalf("%+v is written %q and read %+v, %v", m, m, got, err)
		}
		p := PositionRecord{Input: rapid.Int64Min(0).Draw(t, "input"), Step: m.Step, Clock: m.Clock}
		copy(p.EventsTopic[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "topic"))
		if got, err := ParsePosition(&kgo.Record{Value: []byte(p.String())}); err != nil || got != p {
			t.Fatal(cmp.Diff(p, got), err)
		}
	})
}

func TestWhatNoProcessorWroteIsRefused(t *testing.T) {
	for _, s := range []string{"", "x", "stampede/2 a/1/1 0 5", "stampede/1 a/1/1", "stampede/1 a/1/1 0", "stampede/1 a/1/1 0 x", "stampede/1 a/1/1 x 0", "stampede/1 a 0 5", "stampede/1 a/1/1 0 5 6"} {
		if m, err := ParseCommit(s); err == nil {
			t.Errorf("metadata %q were read as %+v", s, m)
		}
	}
	for _, s := range []string{"", "stampede/1 5", "stampede/2 5 0 6 00112233445566778899aabbccddeeff", "stampede/1 5 0 6 0011", "stampede/1 5 0 6 zz"} {
		if p, err := ParsePosition(&kgo.Record{Value: []byte(s)}); err == nil {
			t.Errorf("position %q was read as %+v", s, p)
		}
	}
}
