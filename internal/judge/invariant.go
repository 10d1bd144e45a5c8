package judge

import (
	"errors"
	"fmt"
	"slices"
)

// Invariant is the short name of something that must always hold. The package comment says what each means.
type Invariant string

// The invariants.
const (
	FoldEquality       Invariant = "fold_equality"
	ModelEquality      Invariant = "model_equality"
	DeadLetters        Invariant = "dead_letters"
	Outcomes           Invariant = "outcomes"
	NoDuplicate        Invariant = "no_duplicate"
	NothingUncommitted Invariant = "nothing_uncommitted"
	CauseMonotonic     Invariant = "cause_monotonic"
	OffsetsMonotonic   Invariant = "offsets_monotonic"
	ChangelogMonotonic Invariant = "changelog_monotonic"
	ChangelogFold      Invariant = "changelog_fold"
	ChangelogPosition  Invariant = "changelog_position"
	StoreBehindCommit  Invariant = "store_behind_commit"
	StoreContents      Invariant = "store_contents"
	Fencing            Invariant = "fencing"
	NoOpenTransaction  Invariant = "no_open_transaction"
	Liveness           Invariant = "liveness"
	ClaimEquality      Invariant = "claim_equality"
	BudgetHeld         Invariant = "budget_held"
)

// Broken says that an invariant does not hold, and where.
type Broken struct {
	Invariant Invariant
	Where     string // for people
}

// Error begins with the invariant's name.
func (b *Broken) Error() string { return string(b.Invariant) + ": " + b.Where }

func broken(i Invariant, format string, args ...any) error {
	return &Broken{i, fmt.Sprintf(format, args...)}
}

// Invariants lists what an error of this package says is broken, each once, in the order in which it was found.
func Invariants(err error) (names []Invariant) {
	var walk func(error)
	walk = func(err error) {
		if b := (*Broken)(nil); errors.As(err, &b) {
			if several, ok := err.(interface{ Unwrap() []error }); ok {
				for _, e := range several.Unwrap() {
					walk(e)
				}
				return
			}
			if !slices.Contains(names, b.Invariant) {
				names = append(names, b.Invariant)
			}
		}
	}
	walk(err)
	return names
}
