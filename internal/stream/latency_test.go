package stream

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// A quantile is right to a factor of 1.1, the width of a bucket.
func TestQuantiles(t *testing.T) {
	l := newLatencies("x", "x")
	now := time.UnixMilli(1_800_000_000_000)
	random := rand.New(rand.NewPCG(1, 2))
	add := func(n int, most time.Duration) (all []time.Duration) {
		for range n {
			took := time.Duration(1 + random.Int64N(int64(most)))
			all = append(all, took)
			l.add([]arrival{{ms: now.Add(-took).UnixMilli(), n: 1}}, now)
		}
		slices.Sort(all)
		return all
	}
	add(1000, 10*time.Second) // earlier, and not to be seen in what follows
	before := LatencySnapshot{l.snapshot()}
	all := add(10_000, 300*time.Millisecond)
	after := LatencySnapshot{l.snapshot()}
	for _, q := range []float64{0.5, 0.9, 0.99} {
		want := all[int(q*float64(len(all)))]
		if got := after.Since(before, q); got < want || got > want*11/10 {
			t.Errorf("the %.2f-quantile is %s, wanted %s", q, got, want)
		}
	}
	if got := before.Since(before, 0.5); got != 0 {
		t.Errorf("of nothing it is %s", got)
	}
}
