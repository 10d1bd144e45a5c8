package campaign

import (
	"math"

	"github.com/goccy/go-yaml/ast"
)

// count is reached when enough events matched (G2). With `repeat: always` each further so many are worth a reward (G5).
type count struct {
	filtered filter
	number   int
}

func readCount(r *reader, n ast.Node) goal {
	g := &count{}
	r.fields(n, "a `count` goal", []field{
		{"count", "how many events it takes", true, wholeNumber(&g.number, 1, math.MaxInt32)},
		g.filtered.of(),
		g.filtered.whereField(),
	})
	return g
}

func (g *count) filter() *filter                { return &g.filtered }
func (g *count) advance(*progress, evidence)    {}
func (g *count) earned(p *progress, _ user) int { return int(p.count) / g.number }
