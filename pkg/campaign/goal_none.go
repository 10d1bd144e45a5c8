package campaign

import "github.com/goccy/go-yaml/ast"

// none is reached when a period closes, or the campaign, in which nothing happened (G8).
type none struct {
	immediate
	filter filter
}

func readNone(r *reader, n ast.Node, g *goalReader) part {
	k := &none{}
	per := noUnit
	r.fields(n, "a `none` goal", r.meant(n, "a `none` goal", []field{
		{"none", "the type of event that must not happen, or a list of types", true, words(&k.filter.types)},
		k.filter.whereField(),
		perField(&per),
	}))
	if per != noUnit && g.depth > 1 {
		r.wrong(n, "a `none` that is a part of a goal has the period of the goal around it: write `per` there")
		per = noUnit
	}
	g.goal.watches = true
	return g.leaf(r, n, per, k)
}

func (k *none) filters() []*filter { return []*filter{&k.filter} }

func (k *none) waits() bool { return true }

func (k *none) advance(c *cell, _ evidence, _ uint64) Decision {
	c.count = 1
	return CountedAgainst
}

func (k *none) worth(c *cell, u user) int {
	if u.closed && u.may && c.count == 0 {
		return 1
	}
	return 0
}
