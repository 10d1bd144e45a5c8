package campaign

import (
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// sequence is reached by events at strictly rising times, one for each step in order, each within its step's limit of the one
// before (G7).
type sequence struct {
	steps []step
}

type step struct {
	filter filter
	within window // of the step before
}

// maxSteps bounds a sequence (G7).
const maxSteps = 8

func readSequence(r *reader, n ast.Node, g *goalReader) part {
	k := &sequence{}
	r.fields(n, "a `sequence` goal", []field{
		{"sequence", "the steps in order, for example [{of: screening.booked}, {of: screening.done, within: 14 days}]", true, k.read},
	})
	return g.leaf(r, n, noUnit, k)
}

func (k *sequence) read(r *reader, n ast.Node) {
	list, ok := n.(*ast.SequenceNode)
	if !ok || len(list.Values) == 0 || len(list.Values) > maxSteps {
		r.wrong(n, "write a list of 1 to %d steps, each for example {of: screening.booked}", maxSteps)
		return
	}
	k.steps = make([]step, len(list.Values))
	for i, item := range list.Values {
		s := &k.steps[i]
		r.fields(item, "a step", []field{s.filter.of(), s.filter.whereField(), s.within.field()})
		if i == 0 && s.within.is() {
			r.wrong(item, "the first step has no step before it that it could be `within` a time of")
		}
	}
}

func (k *sequence) filters() []*filter {
	filters := make([]*filter, len(k.steps))
	for i := range k.steps {
		filters[i] = &k.steps[i].filter
	}
	return filters
}

func (k *sequence) advance(c *cell, e evidence, matching uint64) Decision {
	m := mark{at: e.at, day: e.day, id: strings.Clone(e.id), steps: matching}
	i, _ := slices.BinarySearchFunc(c.marks, m, inTime)
	c.marks = slices.Insert(c.marks, i, m)
	k.settle(c, e)
	return Counted
}

// worth is the largest number of sequences that do not overlap in time: the one that ends first, then the one that ends first among
// those that begin after it has ended. Those that were settled are in the cell's count.
func (k *sequence) worth(c *cell, _ user) int {
	sequences := int(c.count) //nolint:gosec // a ledger can't hold so many
	k.each(c, func(mark, int) bool {
		sequences++
		return true
	})
	return sequences
}

// each visits the end of every sequence in order of time, and how many marks there are up to its instant, until visit wants no more.
func (k *sequence) each(c *cell, visit func(end mark, marks int) (more bool)) {
	from := 0
	for {
		i := k.first(c.marks[from:])
		if i < 0 {
			return
		}
		end := c.marks[from+i]
		for from < len(c.marks) && c.marks[from].at <= end.at {
			from++
		}
		if !visit(end, from) {
			return
		}
	}
}

// settle makes a number of the sequences that no event that is still in time can change.
func (k *sequence) settle(c *cell, e evidence) {
	ended := 0
	k.each(c, func(end mark, marks int) bool {
		if end.at >= e.first {
			return false
		}
		c.count++
		ended = marks
		return true
	})
	c.marks = slices.Delete(c.marks, 0, ended)
}

// first returns the mark that ends the sequence that ends first, or -1.
func (k *sequence) first(marks []mark) int {
	taken := make([]latest, len(k.steps))
	for i := 0; i < len(marks); {
		next := i
		for next < len(marks) && marks[next].at == marks[i].at {
			next++
		}
		// Events of one instant do not follow one another: the later steps are looked at first.
		for s := len(k.steps) - 1; s >= 0; s-- {
			for j := i; j < next; j++ {
				m := marks[j]
				if m.steps&(1<<s) == 0 || s > 0 && !taken[s-1].allows(m, k.steps[s].within) {
					continue
				}
				if s == len(k.steps)-1 {
					return j
				}
				taken[s].add(m)
			}
		}
		i = next
	}
	return -1
}

// latest is what the next step needs to know of the marks with which a step can have been taken: the latest time and the latest
// date, which a change of zone can give to different ones.
type latest struct {
	taken bool
	at    int64 // ns
	day   Day
}

func (n *latest) add(m mark) {
	if !n.taken {
		*n = latest{taken: true, at: m.at, day: m.day}
		return
	}
	n.at, n.day = max(n.at, m.at), max(n.day, m.day)
}

// allows says whether a mark can be the next step.
func (n *latest) allows(m mark, within window) bool {
	switch {
	case !n.taken:
		return false
	case within.days > 0:
		return int(m.day-n.day) <= within.days
	case within.exact > 0:
		return m.at-n.at <= int64(within.exact)
	}
	return true
}
