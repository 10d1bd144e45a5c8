package campaign

// Decision is what the engine did with one event for one campaign, and by which rule.
type Decision uint8

// The decisions, in the order in which they are taken.
const (
	UserErased      Decision = iota // C4: the user was erased lately, and nothing of the event is kept
	Duplicate                       // E3: this event's source and id have been seen
	Outside                         // T3: the event's time is not within the campaign's starts and ends
	TooLate                         // E4: clock - time is more than the campaign's lateness
	NotEnrolled                     // C2: the user does not take part at the event's time
	NotMatching                     // the goal's `where` is false
	WhereError                      // the goal's `where` could not be evaluated, and so counts as false
	NotEligible                     // the campaign's `eligible` is false
	EligibleError                   // the campaign's `eligible` could not be evaluated, and so counts as false
	ValueError                      // the goal's `value` could not be evaluated, or is of a type that the goal can't use
	AlreadyRewarded                 // `repeat: once`, and the user has the reward
	LimitReached                    // `limits.per_user` is used up
	OtherDay                        // the streak does not count this weekday (`on`)
	NegativeValue                   // G2: a sum takes no negative value
	Overflow                        // G2: the sum can't hold it
	CountedAgainst                  // it is what the goal forbids: of a `none`, or of a sequence's `without`
	Counted                         // it is evidence for the goal
	Exhausted                       // O2: the goal was reached, and the budget had nothing left for the reward
	decisions                       // how many there are
)

var decisionNames = [decisions]string{
	UserErased:      "erased",
	Duplicate:       "duplicate",
	Outside:         "outside",
	TooLate:         "too_late",
	NotEnrolled:     "not_enrolled",
	NotMatching:     "not_matching",
	WhereError:      "where_error",
	NotEligible:     "not_eligible",
	EligibleError:   "eligible_error",
	ValueError:      "value_error",
	AlreadyRewarded: "already_rewarded",
	LimitReached:    "limit_reached",
	OtherDay:        "other_day",
	NegativeValue:   "negative_value",
	Overflow:        "overflow",
	CountedAgainst:  "counted_against",
	Counted:         "counted",
	Exhausted:       "budget_exhausted",
}

// String returns the decision's name in metrics and files: "too_late".
func (d Decision) String() string { return decisionNames[d] }

// Decisions lists them all.
func Decisions() []Decision {
	all := make([]Decision, decisions)
	for i := range all {
		all[i] = Decision(i)
	}
	return all
}

// Decided is one decision of one event.
type Decided struct {
	Campaign *Campaign
	Decision Decision
	Detail   string // why, for an error; otherwise empty
}
