package campaign

import (
	"math"
	"strconv"

	"github.com/goccy/go-yaml/ast"

	"github.com/stampede-rewards/stampede/internal/spelling"
)

// goal is what a user has to achieve, compiled from a campaign file. It holds parameters only: a user's state is a progress.
//
// A goal is a tree: its leaves look at events, what joins them looks at the leaves (G9). Each kind is one file, goal_<kind>.go,
// and one row of the table below.
type goal struct {
	root   part
	leaves []*leaf // from left to right; a cell of a progress names its leaf by the place here
	per    unit    // the one period that all parts are judged by; each has a bucket then
	tiers  int     // how many rewards the goal has; more than 1 where it lists numbers (G10)

	watches bool // a leaf is a `none`: everybody who is known is judged when a period closes
	waits   bool // a leaf is decided when its period closes
}

// part is a goal or a part of one.
type part interface {
	// worth is how many rewards the evidence in a bucket is worth if every one that can be earned is paid; with tiers, how
	// many of them are reached. A composite's is 0 or 1.
	worth(b *bucket, u user) int
	// stand tells people how far the evidence in a bucket is: explain.go.
	stand(b *bucket, u user) string
}

// leaf is a part that looks at events.
type leaf struct {
	index   int
	per     unit // its own, inside a composite without one: each period is a cell
	kind    leafKind
	filters []*filter // the kind's
	waits   bool      // its worth is known when its period is closed
}

// leafKind is a leaf's kind with its parameters.
type leafKind interface {
	// filters say which events can be evidence; a sequence has one a step, every other kind has one.
	filters() []*filter
	// advance takes one event as evidence. matching has a bit for each filter that took the event. The result is Counted, or why
	// the event can't be taken, and then the cell is as it was.
	advance(c *cell, e evidence, matching uint64) Decision
	// settle forgets what no event that is still in time can change.
	settle(c *cell, h horizon)
	// final is the instant (Unix ms) behind whose lateness a cell is worth more, by the clock alone, or never.
	final(c *cell) int64
	// worth and stand are part's, for one cell.
	worth(c *cell, u user) int
	stand(c *cell, u user) string
}

func (l *leaf) worth(b *bucket, u user) int {
	most, found := 0, false
	for i := range b.cells {
		if c := &b.cells[i]; c.leaf == l.index {
			found = true
			most = max(most, l.kind.worth(c, l.judged(b, c, u)))
		}
	}
	if !found && l.waits { // that there is no evidence can be what is wanted
		return l.kind.worth(&cell{leaf: l.index}, l.judged(b, &cell{}, u))
	}
	return most
}

// judged is the user at the leaf's period: whether that is closed is asked where it matters.
func (l *leaf) judged(b *bucket, c *cell, u user) user {
	if !l.waits {
		return u
	}
	per, of := u.campaign.goal.per, b.period
	if l.per != noUnit {
		per, of = l.per, c.period
	}
	u.closes = u.campaign.closes(per, of)
	u.closed = u.closes <= u.clock
	return u
}

// immediate is what a kind is that keeps no more than it needs, and whose worth changes with evidence alone.
type immediate struct{}

func (immediate) settle(*cell, horizon) {}

func (immediate) final(*cell) int64 { return never }

// evidence is an event that counts, as a goal sees it.
type evidence struct {
	at     int64 // its time, Unix ns
	day    Day   // its civil date, rule T1
	id     string
	amount int64    // of a sum, in millionths
	value  string   // of a distinct; it holds until the next event
	in     *Ledgers // whose memory the ledger is; nil if it has its own
}

// user is what a goal may ask about a user beside the evidence.
type user struct {
	campaign *Campaign
	profile  *profile
	excused  []Day // dates that can't be missed (C3), sorted
	clock    int64 // Unix ms
	closes   int64 // when the period that is asked about is closed (T4), Unix ms; of leaves that wait for it
	closed   bool  // it is, by the clock
	may      bool  // at its end the user takes part and is eligible, which a `none` asks (G8)
}

// kind is one kind of goal: the YAML key that names it and how its parameters are read.
type kind struct {
	name string
	read func(r *reader, n ast.Node, g *goalReader) part
}

// kinds is the table of all kinds, in the order in which they are told to authors.
var kinds []kind

func init() { // a literal would refer to itself: the kinds' readers list the kinds in their mistakes
	kinds = []kind{
		{"event", readEvent},
		{"count", readCount},
		{"sum", readSum},
		{"distinct", readDistinct},
		{"streak", readStreak},
		{"sequence", readSequence},
		{"none", readNone},
		{"all", readAll},
		{"any", readAny},
		{"some", readSome},
	}
}

func kindNamed(name string) *kind {
	for i := range kinds {
		if kinds[i].name == name {
			return &kinds[i]
		}
	}
	return nil
}

func kindNames() []string {
	names := make([]string, len(kinds))
	for i := range kinds {
		names[i] = kinds[i].name
	}
	return names
}

const (
	// maxLeaves bounds a goal's leaves.
	maxLeaves = 32
	// maxGoalDepth bounds how deep composites nest.
	maxGoalDepth = 4
)

// goalReader reads a goal and its parts.
type goalReader struct {
	goal  *goal
	depth int
	per   bool // a composite above has set the period
	full  bool // it has more parts than it may: the rest is not read
}

// leaf adds a leaf of a kind.
func (g *goalReader) leaf(r *reader, n ast.Node, per unit, k leafKind) part {
	l := &leaf{index: len(g.goal.leaves), kind: k, filters: k.filters()}
	switch {
	case per == noUnit:
	case g.per:
		r.wrong(n, "the goal around this one has a `per` already: it holds for all its parts")
	case g.depth == 1:
		g.goal.per = per
	default:
		l.per = per
	}
	if len(g.goal.leaves) == maxLeaves {
		r.wrong(n, "a goal has at most %d parts", maxLeaves)
		g.full = true
		return l
	}
	if w, ok := k.(interface{ waits() bool }); ok {
		l.waits = w.waits()
		g.goal.waits = g.goal.waits || l.waits
	}
	g.goal.leaves = append(g.goal.leaves, l)
	r.leaves = append(r.leaves, n)
	return l
}

// allTakePart says whether everybody who is known and eligible takes part, and not only who has evidence (R4).
func (g *goal) allTakePart() bool {
	l, ok := g.root.(*leaf)
	return ok && l.waits && g.watches
}

// tiers notes that the goal lists numbers, each with a reward of its own (G10).
func (g *goalReader) tiers(r *reader, n ast.Node, numbers int) {
	if numbers < 2 {
		return
	}
	if g.depth > 1 {
		r.wrong(n, "a part of a goal has one number: tiers are for a goal that stands alone")
		return
	}
	g.goal.tiers = numbers
}

// read finds the goal's kind by the key that names it, and lets the kind read its parameters.
func (g *goalReader) read(r *reader, n ast.Node) part {
	if r.note(schema{"$ref": goalRef}) {
		return nil
	}
	pairs, ok := r.pairs(n, "a goal")
	if !ok {
		return nil
	}
	if g.depth++; g.depth > maxGoalDepth {
		r.wrong(n, "goals nest at most %d deep", maxGoalDepth)
		return nil
	}
	defer func() { g.depth-- }()
	var found []*kind
	var keys []string
	for _, pair := range pairs {
		keys = append(keys, keyOf(pair))
		if k := kindNamed(keyOf(pair)); k != nil {
			found = append(found, k)
		}
	}
	switch {
	case len(found) == 1:
		return found[0].read(r, n, g)
	case len(found) > 1:
		r.wrong(n, "a goal has one kind, this one has two: `%s` and `%s`", found[0].name, found[1].name)
	default:
		for _, key := range keys {
			if near := kindNamed(spelling.Nearest(key, kindNames())); near != nil {
				return near.read(r, n, g) // it tells of the key, and of what else is wrong
			}
		}
		r.wrong(n, "a goal names its kind by one of the keys %s", listed(kindNames()))
	}
	return nil
}

// filter says which events can be evidence: those of certain types for which a condition holds.
type filter struct {
	types []string
	where *predicate       // nil: all
	value *valueExpression // of sum and distinct; otherwise nil
}

// of and where are the keys that every kind reads.
func (f *filter) of() field {
	return field{"of", "the type of event that counts, or a list of types", true, words(&f.types)}
}

func (f *filter) whereField() field {
	return field{"where", "which of them count: CEL over `event` and `user`", false, condition(&f.where)}
}

func (f *filter) valueField(what string) field {
	return field{"value", "what of the event counts: CEL, " + what, true, value(&f.value)}
}

// tierNumbers reads a whole number, or a list of rising ones.
func tierNumbers(to *[]int, most int) func(*reader, ast.Node) {
	return rising(to, strconv.Itoa, func(r *reader, n ast.Node) (v int) {
		wholeNumber(&v, 1, most)(r, n)
		return v
	})
}

// rising reads one number, or a list of rising ones: a goal's tiers (G10). one reads a number, 0 where it is wrong, and text writes it.
func rising[N int | int64](to *[]N, text func(N) string, one func(*reader, ast.Node) N) func(*reader, ast.Node) {
	return func(r *reader, n ast.Node) {
		if r.schema != nil {
			r.note(oneOrList(r.describing(func() { one(r, nil) })))
			return
		}
		list, ok := n.(*ast.SequenceNode)
		if !ok {
			*to = []N{one(r, n)}
			return
		}
		if len(list.Values) == 0 {
			r.wrong(n, "the list is empty")
		}
		for i, item := range list.Values {
			v := one(r, item)
			if i > 0 && v != 0 && v <= (*to)[i-1] {
				r.wrong(item, "the numbers of tiers rise, and %s follows %s", text(v), text((*to)[i-1]))
			}
			*to = append(*to, v)
		}
	}
}

// reached is how many tiers a number reaches, or, where there is one number, how often it is reached.
func reached[N int | int64 | uint64](total N, numbers []N) int {
	if len(numbers) == 1 {
		return int(min(total/numbers[0], math.MaxInt32)) //nolint:gosec // just bounded
	}
	n := 0
	for n < len(numbers) && total >= numbers[n] {
		n++
	}
	return n
}
