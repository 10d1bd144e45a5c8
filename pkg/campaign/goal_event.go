package campaign

import "github.com/goccy/go-yaml/ast"

// event is reached by one matching event (G1). With `repeat: always` each one is worth a reward.
type event struct{ filtered filter }

func readEvent(r *reader, n ast.Node) goal {
	g := &event{}
	r.fields(n, "an `event` goal", []field{
		{"event", "the type of event that has to happen, or a list of types", true, words(&g.filtered.types)},
		g.filtered.whereField(),
	})
	return g
}

func (g *event) filter() *filter                { return &g.filtered }
func (g *event) advance(*progress, evidence)    {}
func (g *event) earned(p *progress, _ user) int { return int(p.count) }
