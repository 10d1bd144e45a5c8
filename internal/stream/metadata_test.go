package stream

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/stampede-rewards/stampede/pkg/state"
)

func TestMetadataAndPositionsAreReadAsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := commitMetadata{
			transaction: state.TransactionID{
				Worker:      rapid.StringMatching(`[a-z0-9.-]{1,40}`).Draw(t, "worker"),
				Incarnation: rapid.Uint64().Draw(t, "incarnation"), Sequence: rapid.Uint64().Draw(t, "sequence"),
			},
			step: rapid.Int64Min(0).Draw(t, "step"), clock: rapid.Int64().Draw(t, "clock"),
		}
		if got, err := parseMetadata(m.String()); err != nil || got != m {
			t.Fatalf("%+v is written %q and read %+v, %v", m, m, got, err)
		}
		p := positionRecord{point: point{rapid.Int64Min(0).Draw(t, "input"), m.step}, clock: m.clock}
		copy(p.eventsTopic[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "topic"))
		if got, err := parsePosition(p.String()); err != nil || got != p {
			t.Fatal(cmp.Diff(p, got, cmp.AllowUnexported(positionRecord{}, point{})), err)
		}
	})
}

func TestWhatNoProcessorWroteIsRefused(t *testing.T) {
	for _, s := range []string{"", "x", "stampede/2 a/1/1 0 5", "stampede/1 a/1/1", "stampede/1 a/1/1 0", "stampede/1 a/1/1 0 x", "stampede/1 a/1/1 x 0", "stampede/1 a 0 5", "stampede/1 a/1/1 0 5 6"} {
		if m, err := parseMetadata(s); err == nil {
			t.Errorf("metadata %q were read as %+v", s, m)
		}
	}
	for _, s := range []string{"", "stampede/1 5", "stampede/2 5 0 6 00112233445566778899aabbccddeeff", "stampede/1 5 0 6 0011", "stampede/1 5 0 6 zz"} {
		if p, err := parsePosition(s); err == nil {
			t.Errorf("position %q was read as %+v", s, p)
		}
	}
}
