package campaign

import "github.com/goccy/go-yaml/ast"

// composite is reached when enough of its parts are (G9): `all` of them, `any` one, or `some` number.
type composite struct {
	needs int
	parts []part
}

func readAll(r *reader, n ast.Node, g *goalReader) part {
	return readComposite(r, n, g, "an `all` goal", "all", func(c *composite) { c.needs = len(c.parts) }, nil)
}

func readAny(r *reader, n ast.Node, g *goalReader) part {
	return readComposite(r, n, g, "an `any` goal", "any", func(c *composite) { c.needs = 1 }, nil)
}

func readSome(r *reader, n ast.Node, g *goalReader) part {
	needs := 0
	number := &field{"some", "how many of the parts it takes", true, wholeNumber(&needs, 1, maxLeaves)}
	return readComposite(r, n, g, "a `some` goal", "from", func(c *composite) {
		if c.needs = needs; needs > len(c.parts) && len(c.parts) > 0 {
			r.wrong(n, "%d of %d parts can never be reached", needs, len(c.parts))
		}
	}, number)
}

// readComposite reads the parts in a list under a key. finish is called when they are known.
func readComposite(r *reader, n ast.Node, g *goalReader, what, key string, finish func(*composite), number *field) part {
	c := &composite{}
	per := noUnit
	var list ast.Node
	fields := []field{{key, "the parts, a list of goals", true, described(noteGoals, func(_ *reader, n ast.Node) { list = n })}, perField(&per)}
	if number != nil {
		fields = append([]field{*number}, fields...)
	}
	r.fields(n, what, r.meant(n, what, fields))
	outer := g.per
	if per != noUnit {
		switch {
		case g.per:
			r.wrong(n, "the goal around this one has a `per` already: it holds for all its parts")
		case g.depth > 1:
			r.wrong(n, "`per` stands on the outermost goal or on a part that counts events")
		default:
			g.goal.per, g.per = per, true
		}
	}
	if items, ok := list.(*ast.SequenceNode); ok {
		if len(items.Values) == 0 {
			r.wrong(list, "the list is empty")
		}
		for _, item := range items.Values {
			if g.full {
				break
			}
			if p := g.read(r, item); p != nil {
				c.parts = append(c.parts, p)
			}
		}
	} else if list != nil {
		r.wrong(list, "write a list of goals, not %s", describe(list))
	}
	g.per = outer
	finish(c)
	return c
}

func noteGoals(r *reader) {
	r.note(schema{"type": "array", "minItems": 1, "items": schema{"$ref": goalRef}})
}

func (c *composite) worth(b *bucket, u user) int {
	n := 0
	for _, p := range c.parts {
		if p.worth(b, u) > 0 {
			n++
		}
	}
	if n >= c.needs {
		return 1
	}
	return 0
}
