package campaign

import (
	"github.com/goccy/go-yaml/ast"
)

// goal is what a user has to achieve, compiled from a campaign file. It holds parameters only: a user's state is a
// progress. Each kind of goal is one file, goal_<kind>.go, and one row of the table below.
type goal interface {
	// filter says which events can be evidence.
	filter() *filter
	// advance takes one event as evidence into the kind's own state, beside the counters that every progress has.
	advance(p *progress, e evidence)
	// earned is how many rewards the evidence is worth if every one that can be earned is paid (`repeat: always`).
	earned(p *progress, u user) int
}

// evidence is an event that counts, as a goal sees it.
type evidence struct {
	day Day // its civil date, rule T1
}

// user is what a goal may ask about a user beside the evidence.
type user struct {
	campaign *Campaign
	profile  *profile
}

// kind is one kind of goal: the YAML key that names it and how its parameters are read.
type kind struct {
	name string
	read func(r *reader, n ast.Node) goal
}

// kinds is the table of all kinds, in the order in which they are told to authors.
var kinds []kind

func init() { // a literal would refer to itself: the kinds' readers list the kinds in their mistakes
	kinds = []kind{
		{"event", readEvent},
		{"count", readCount},
		{"streak", readStreak},
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

// filter says which events can be evidence: those of certain types for which a condition holds.
type filter struct {
	types []string
	where *predicate // nil: all
}

// of and where are the keys that every kind reads.
func (f *filter) of() field {
	return field{"of", "the type of event that counts, or a list of types", true, words(&f.types)}
}

func (f *filter) whereField() field {
	return field{"where", "which of them count: CEL over `event` and `user`", false, condition(&f.where)}
}
