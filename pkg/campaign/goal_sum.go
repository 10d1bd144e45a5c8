package campaign

import (
	"math"
	"math/big"
	"math/bits"
	"slices"

	"github.com/goccy/go-yaml/ast"
)

// sum is reached when the values of matching events add up to a number (G2): exactly, in whole millionths.
type sum struct {
	filter  filter
	numbers []int64 // millionths
	window  window
	net     bool // values below 0 are taken, and the sum counts when its period is closed
}

// millionth is the unit of a sum: 6 decimals.
const millionth = 1_000_000

// maxSum bounds a sum's number: so high, one more value can't overflow.
const maxSum = math.MaxInt64 / 4

func readSum(r *reader, n ast.Node, g *goalReader) part {
	k := &sum{}
	per := noUnit
	r.fields(n, "a `sum` goal", r.meant(n, "a `sum` goal", []field{
		{"sum", "what the values must add up to", true, decimals(&k.numbers)},
		k.filter.of(),
		k.filter.whereField(),
		k.filter.valueField("a number, for example event.data.km"),
		perField(&per),
		k.window.field(),
		{"net", "true where values below 0 are taken off; the sum counts when its period, or the campaign, is closed", false, yesOrNo(&k.net)},
	}))
	k.window.check(r, n, per, len(k.numbers))
	if k.net && k.window.is() {
		r.wrong(n, "a `net` sum counts when its period is closed, and a window never is: write `per`, or take `within` out")
	}
	g.tiers(r, n, len(k.numbers))
	return g.leaf(r, n, per, k)
}

func (k *sum) filters() []*filter { return []*filter{&k.filter} }

func (k *sum) waits() bool { return k.net }

func (k *sum) advance(c *cell, e evidence, _ uint64) Decision {
	d := addable(c.sum, e.amount)
	if k.net {
		d = addableNet(c.sum, e.amount)
	}
	if d != Counted {
		return d
	}
	c.sum += e.amount
	if k.window.is() { // no window can hold more than all of it
		k.window.add(c, mark{at: e.at, day: e.day, id: e.id, amount: e.amount}, e.in)
	}
	return Counted
}

func (k *sum) settle(c *cell, h horizon) {
	if k.window.is() {
		k.window.settle(c, h, &sumTally{needs: k.numbers[0]})
	}
}

func (k *sum) final(*cell) int64 { return never }

// addable says whether an amount can be added to a sum.
func addable(to, amount int64) Decision {
	switch {
	case amount < 0:
		return NegativeValue
	case amount > maxSum || to > maxSum-amount:
		return Overflow
	}
	return Counted
}

// addableNet is addable where values below 0 are taken, too.
func addableNet(to, amount int64) Decision {
	if total := to + amount; max(amount, -amount) > maxSum || max(total, -total) > maxSum {
		return Overflow
	}
	return Counted
}

func (k *sum) worth(c *cell, u user) int {
	switch {
	case k.window.is():
		return k.window.most(c, &sumTally{needs: k.numbers[0]})
	case k.net && (!u.closed || c.sum < 0):
		return 0
	}
	return reached(c.sum, k.numbers)
}

type sumTally struct{ needs, has int64 }

func (t *sumTally) add(m mark)   { t.has += m.amount }
func (t *sumTally) drop(m mark)  { t.has -= m.amount }
func (t *sumTally) enough() bool { return t.has >= t.needs }

// millionths rounds a double's exact value half to even to 6 decimals (G2). ok is false where it is no number that a sum can hold.
//
// A double is a whole number of 53 bits, shifted. What a sum can hold is below 2^42, so it is shifted to the right, by 11 bits or more, and a million
// times it has 73 bits: two words hold it exactly. The obvious way, by big numbers, is the test's; it was a fifth of what an event allocates.
func millionths(f float64) (amount int64, ok bool) {
	if math.IsNaN(f) || math.Abs(f) > maxSum/millionth {
		return 0, false
	}
	const mantissa, words = 53, 128
	fraction, exponent := math.Frexp(math.Abs(f))
	hi, lo := bits.Mul64(uint64(fraction*(1<<mantissa)), millionth)
	shift := mantissa - exponent
	if shift >= words {
		return 0, true // less than a half
	}
	whole := lo>>shift | hi<<uint(words/2-shift) | hi>>uint(shift-words/2) //nolint:gosec // a shift below 0 becomes a large one, which leaves nothing
	endHi, endLo := bitAt(shift)
	maskLo, borrow := bits.Sub64(endLo, 1, 0)
	rest := [2]uint64{hi & (endHi - borrow), lo & maskLo}
	var half [2]uint64
	half[0], half[1] = bitAt(shift - 1)
	if order := slices.Compare(rest[:], half[:]); order > 0 || order == 0 && whole%2 == 1 {
		whole++
	}
	amount = int64(whole) //nolint:gosec // at most maxSum
	if f < 0 {
		amount = -amount
	}
	return amount, true
}

// bitAt is a number of two words of which one bit is set.
func bitAt(n int) (hi, lo uint64) {
	const word = 64
	return 1 << uint(n-word), 1 << n //nolint:gosec // as above
}

// decimals reads a positive number of at most 6 decimals, or a list of rising ones, as millionths.
func decimals(to *[]int64) func(*reader, ast.Node) {
	return rising(to, decimal, func(r *reader, n ast.Node) int64 {
		if r.note(anyText) {
			return 0
		}
		s, _ := scalar(n)
		exact, ok := new(big.Rat).SetString(s)
		if ok {
			exact.Mul(exact, big.NewRat(millionth, 1))
		}
		if !ok || !exact.IsInt() || exact.Sign() <= 0 || !exact.Num().IsInt64() || exact.Num().Int64() > maxSum {
			r.wrong(n, "write a number above 0 with at most 6 decimals, not %s", describe(n))
			return 0
		}
		return exact.Num().Int64()
	})
}
