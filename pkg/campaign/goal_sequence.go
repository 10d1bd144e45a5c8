package campaign

import (
	"math"
	"slices"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// sequence is reached by events at strictly rising times, one for each step in order, each within its step's limit of the one
// before (G7). With `without` no event that matches it may lie between the first and the last.
type sequence struct {
	steps   []step
	without *filter // nil: none
}

type step struct {
	filter filter
	within window // of the step before
}

// maxSteps bounds a sequence (G7).
const maxSteps = 8

// What a mark of a sequence is beside the steps that it matches.
const (
	spoils uint64 = 1 << maxSteps       // it matches `without`
	stands uint64 = 1 << (maxSteps + 1) // it is no event: a step was taken by then, and no event in time can change that
)

func readSequence(r *reader, n ast.Node, g *goalReader) part {
	k := &sequence{}
	r.fields(n, "a `sequence` goal", r.meant(n, "a `sequence` goal", []field{
		{"sequence", "the steps in order, for example [{of: screening.booked}, {of: screening.done, within: 14 days}]", true, k.read},
		{"without", "what must not happen between the first and the last, for example {of: screening.cancelled}", false, func(r *reader, n ast.Node) {
			k.without = &filter{}
			r.fields(n, "`without`", r.meant(n, "`without`", []field{k.without.of(), k.without.whereField()}))
		}},
	}))
	if k.without != nil && len(k.steps) == 1 {
		r.wrong(n, "nothing lies between the first and the last of one step: write two steps or more, or take `without` out")
	}
	return g.leaf(r, n, noUnit, k)
}

func (k *sequence) read(r *reader, n ast.Node) {
	if r.schema != nil {
		var s step
		r.note(schema{"type": "array", "minItems": 1, "maxItems": maxSteps, "items": r.describing(func() { s.read(r, nil) })})
		return
	}
	list, ok := n.(*ast.SequenceNode)
	if !ok || len(list.Values) == 0 || len(list.Values) > maxSteps {
		r.wrong(n, "write a list of 1 to %d steps, each for example {of: screening.booked}", maxSteps)
		return
	}
	k.steps = make([]step, len(list.Values))
	for i, item := range list.Values {
		s := &k.steps[i]
		s.read(r, item)
		if i == 0 && s.within.is() {
			r.wrong(item, "the first step has no step before it that it could be `within` a time of")
		}
	}
}

func (s *step) read(r *reader, n ast.Node) {
	r.fields(n, "a step", r.meant(n, "a step", []field{s.filter.of(), s.filter.whereField(), s.within.field()}))
}

func (k *sequence) filters() []*filter {
	filters := make([]*filter, len(k.steps), len(k.steps)+1)
	for i := range k.steps {
		filters[i] = &k.steps[i].filter
	}
	if k.without != nil {
		filters = append(filters, k.without)
	}
	return filters
}

func (k *sequence) advance(c *cell, e evidence, matching uint64) Decision {
	m := mark{at: e.at, day: e.day, steps: matching & (1<<len(k.steps) - 1)}
	decision := Counted
	if m.steps == 0 {
		decision = CountedAgainst
	}
	if matching&(1<<len(k.steps)) != 0 {
		m.steps |= spoils
	}
	i, _ := slices.BinarySearchFunc(c.marks, m, inOrder)
	c.marks = slices.Insert(withRoom(e.in.slabs().marks, c.marks), i, m)
	return decision
}

// inOrder puts what stands first, and events in the order of time.
func inOrder(a, b mark) int {
	switch {
	case a.steps&stands != 0:
		return -1
	case a.at > b.at:
		return 1
	}
	return -1 // behind those of the same time
}

// worth is the largest number of sequences that do not overlap in time: the one that ends first, then the one that ends first among
// those that begin after it has ended. Those that were settled are in the cell's count. With `without` only they count: an event in
// time could still spoil the others.
func (k *sequence) worth(c *cell, _ user) int {
	sequences := int(c.count) //nolint:gosec // a ledger can't hold so many
	if k.without == nil {
		k.walk(c, math.MaxInt64, func(mark) bool { sequences++; return true })
	}
	return sequences
}

// final is when the next sequence can't be spoilt any more: when no event of its last one's instant is in time.
func (k *sequence) final(c *cell) int64 {
	at := never
	if k.without != nil {
		k.walk(c, math.MaxInt64, func(end mark) bool {
			at = floorDiv(end.at, int64(time.Millisecond)) + 1
			return false
		})
	}
	return at
}

// settle makes a number of the sequences that no event that is still in time can change, and of the events before the horizon what they
// leave for later ones: the latest time and date by which each step was taken.
func (k *sequence) settle(c *cell, h horizon) {
	taken, rest := k.walk(c, h.first, func(mark) bool { c.count++; return true })
	var marks []mark
	for s, l := range taken[:len(k.steps)-1] {
		if l.taken && k.steps[s+1].canFollow(l, h) {
			marks = append(marks, mark{at: l.at, day: l.day, steps: stands | 1<<s})
		}
	}
	if rest > 0 {
		c.marks = append(marks, c.marks[rest:]...)
	}
}

// canFollow says whether an event that is still in time can be this step behind the one before.
func (s *step) canFollow(before latest, h horizon) bool {
	return before.allows(mark{at: h.first, day: h.firstDay}, s.within)
}

// walk goes through the marks before an instant and visits the last event of each sequence in order of time, until visit wants no more.
// It returns what is taken of the next sequence, and how many marks it has gone through.
func (k *sequence) walk(c *cell, until int64, visit func(end mark) (more bool)) (taken [maxSteps]latest, i int) {
	for ; i < len(c.marks) && c.marks[i].steps&stands != 0; i++ {
		for s := range k.steps {
			if c.marks[i].steps&(1<<s) != 0 {
				taken[s].add(c.marks[i])
			}
		}
	}
	for i < len(c.marks) && c.marks[i].at < until {
		next := i
		for next < len(c.marks) && c.marks[next].at == c.marks[i].at {
			next++
		}
		now := c.marks[i:next]
		i = next
		if end := k.take(&taken, now); end != nil {
			taken = [maxSteps]latest{} // one that begins at the instant another ends overlaps it
			if !visit(*end) {
				return taken, i
			}
			continue
		}
		if slices.ContainsFunc(now, func(m mark) bool { return m.steps&spoils != 0 }) {
			taken = [maxSteps]latest{} // it lies between all that has begun before and whatever will be the last
			begin(&taken[0], now)
		}
	}
	return taken, i
}

// take takes the steps that the events of one instant are, and returns the one that is a last step. Events of one instant do not follow
// one another: the later steps are looked at first.
func (k *sequence) take(taken *[maxSteps]latest, now []mark) *mark {
	for s := len(k.steps) - 1; s > 0; s-- {
		for j := range now {
			if now[j].steps&(1<<s) == 0 || !taken[s-1].allows(now[j], k.steps[s].within) {
				continue
			}
			if s == len(k.steps)-1 {
				return &now[j]
			}
			taken[s].add(now[j])
		}
	}
	begin(&taken[0], now)
	if len(k.steps) == 1 && taken[0].taken {
		return &now[0]
	}
	return nil
}

// begin takes the first step.
func begin(first *latest, now []mark) {
	for _, m := range now {
		if m.steps&1 != 0 {
			first.add(m)
		}
	}
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
func (n latest) allows(m mark, within window) bool {
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
