package campaign

import "github.com/goccy/go-yaml/ast"

// event is reached by one matching event (G1). With `repeat: always` each one is worth a reward.
type event struct {
	immediate
	filter filter
}

func readEvent(r *reader, n ast.Node, g *goalReader) part {
	k := &event{}
	r.fields(n, "an `event` goal", r.meant(n, "an `event` goal", []field{
		{"event", "the type of event that has to happen, or a list of types", true, words(&k.filter.types)},
		k.filter.whereField(),
	}))
	return g.leaf(r, n, noUnit, k)
}

func (k *event) filters() []*filter { return []*filter{&k.filter} }

func (k *event) advance(c *cell, _ evidence, _ uint64) Decision {
	c.count++
	return Counted
}

func (k *event) worth(c *cell, _ user) int { return int(c.count) } //nolint:gosec // a ledger can't hold so many
