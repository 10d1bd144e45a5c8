package campaign

import (
	"math"

	"github.com/goccy/go-yaml/ast"
)

// count is reached when enough events matched (G2), in all, in a civil period (G3) or within a window (G4).
type count struct {
	filter  filter
	numbers []int
	window  window
}

func readCount(r *reader, n ast.Node, g *goalReader) part {
	k := &count{}
	per := noUnit
	r.fields(n, "a `count` goal", r.meant(n, "a `count` goal", []field{
		{"count", "how many events it takes", true, tierNumbers(&k.numbers, math.MaxInt32)},
		k.filter.of(),
		k.filter.whereField(),
		perField(&per),
		k.window.field(),
	}))
	k.window.check(r, n, per, len(k.numbers))
	g.tiers(r, n, len(k.numbers))
	return g.leaf(r, n, per, k)
}

func (k *count) filters() []*filter { return []*filter{&k.filter} }

func (k *count) advance(c *cell, e evidence, _ uint64) Decision {
	if k.window.is() {
		k.window.add(c, mark{at: e.at, day: e.day}, e.in) // one is as good as another: no id decides between two
		return Counted
	}
	c.count++
	return Counted
}

func (k *count) settle(c *cell, h horizon) {
	if k.window.is() {
		k.window.settle(c, h, &countTally{needs: k.numbers[0]})
	}
}

func (k *count) final(*cell) int64 { return never }

func (k *count) worth(c *cell, _ user) int {
	if k.window.is() {
		return k.window.most(c, &countTally{needs: k.numbers[0]})
	}
	return reached(int(c.count), k.numbers) //nolint:gosec // a ledger can't hold so many
}

type countTally struct{ needs, has int }

func (t *countTally) add(mark)     { t.has++ }
func (t *countTally) drop(mark)    { t.has-- }
func (t *countTally) enough() bool { return t.has >= t.needs }
