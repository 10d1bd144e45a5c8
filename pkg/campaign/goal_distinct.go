package campaign

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/goccy/go-yaml/ast"
)

// distinct is reached when the matching events have enough different values (G2). It is exact: the values are kept.
type distinct struct {
	filter  filter
	numbers []int
	window  window
}

const (
	// maxDistinct bounds a distinct's number (G2).
	maxDistinct = 10_000
	// maxDistinctBytes bounds one value.
	maxDistinctBytes = 256
)

func readDistinct(r *reader, n ast.Node, g *goalReader) part {
	k := &distinct{}
	per := noUnit
	r.fields(n, "a `distinct` goal", r.meant(n, "a `distinct` goal", []field{
		{"distinct", "how many different values it takes", true, tierNumbers(&k.numbers, maxDistinct)},
		k.filter.of(),
		k.filter.whereField(),
		k.filter.valueField("a text, a whole number or true or false, for example event.data.cuisine"),
		perField(&per),
		k.window.field(),
	}))
	k.window.check(r, n, per, len(k.numbers))
	g.tiers(r, n, len(k.numbers))
	return g.leaf(r, n, per, k)
}

func (k *distinct) filters() []*filter { return []*filter{&k.filter} }

func (k *distinct) advance(c *cell, e evidence, _ uint64) Decision {
	if k.window.is() {
		k.window.add(c, mark{at: e.at, day: e.day, id: e.id, value: e.value}, e.in)
		return Counted
	}
	if i, found := slices.BinarySearch(c.values, e.value); !found {
		c.values = slices.Insert(withRoom(e.in.slabs().values, c.values), i, e.in.keep(e.value))
	}
	return Counted
}

func (k *distinct) settle(c *cell, h horizon) {
	if k.window.is() {
		k.window.settle(c, h, &distinctTally{needs: k.numbers[0], has: map[string]int{}})
	}
}

func (k *distinct) final(*cell) int64 { return never }

func (k *distinct) worth(c *cell, _ user) int {
	if k.window.is() {
		return k.window.most(c, &distinctTally{needs: k.numbers[0], has: map[string]int{}})
	}
	return reached(len(c.values), k.numbers)
}

// appendDistinct writes a value in its one spelling: of 3 and 3.0 too.
func appendDistinct(dst []byte, o operand) ([]byte, error) {
	switch {
	case o.kind == textOperand && len(o.s) <= maxDistinctBytes:
		return append(append(dst, 's'), o.s...), nil
	case o.kind == boolOperand:
		return strconv.AppendBool(append(dst, 'b'), o.b), nil
	case o.kind == intOperand:
		return strconv.AppendInt(append(dst, 'n'), o.i, 10), nil
	case o.kind == doubleOperand && o.f == math.Trunc(o.f) && math.Abs(o.f) < 1<<53:
		return strconv.AppendInt(append(dst, 'n'), int64(o.f), 10), nil
	}
	return dst, fmt.Errorf("a value that is counted must be a text of at most %d bytes, a whole number, or true or false", maxDistinctBytes)
}

type distinctTally struct {
	needs int
	has   map[string]int // how often
}

func (t *distinctTally) add(m mark) { t.has[m.value]++ }

func (t *distinctTally) drop(m mark) {
	if t.has[m.value]--; t.has[m.value] == 0 {
		delete(t.has, m.value)
	}
}

func (t *distinctTally) enough() bool { return len(t.has) >= t.needs }
