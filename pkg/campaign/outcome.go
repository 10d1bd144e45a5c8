package campaign

import "strconv"

// Outcome is how a campaign, or one of its periods, ended for a user (R4). Partners get it without the user (O1).
type Outcome struct {
	Kind     OutcomeKind
	Campaign *Campaign
	User     string
	Cycle    string // as a reward's: the period where each pays its own, else the ordinal
	Tier     string
	Date     Day // the civil date: of what was achieved or of the withdrawal, as the user's wall clock showed it (T1), or of the end
}

// OutcomeKind is what became of the goal.
type OutcomeKind uint8

// The outcomes.
const (
	Achieved        OutcomeKind = iota // a reward was issued
	Failed                             // the period or the campaign closed, and the user had taken part and not reached the goal
	Withdrawn                          // the user, or the campaign, was withdrawn before the goal was reached
	BudgetExhausted                    // the goal was reached, and the budget had nothing left for it (O2)
)

var outcomeNames = []string{Achieved: "achieved", Failed: "failed", Withdrawn: "withdrawn", BudgetExhausted: "budget_exhausted"}

// String returns the outcome's name in metrics and files.
func (k OutcomeKind) String() string { return outcomeNames[k] }

// OutcomeKinds lists them all.
func OutcomeKinds() []OutcomeKind { return []OutcomeKind{Achieved, Failed, Withdrawn, BudgetExhausted} }

func (e *Engine) outcome(c *Campaign, user string, kind OutcomeKind, cycle, tier string, date Day) {
	e.outcomes = append(e.outcomes, Outcome{Kind: kind, Campaign: c, User: user, Cycle: cycle, Tier: tier, Date: date})
}

// AppendShared writes what a partner may know of it as one object, members in a fixed order (O1, P3): campaign, sponsor where there is one, outcome, cycle,
// tier and date.
func (o *Outcome) AppendShared(dst []byte) []byte {
	dst = appendJSONString(append(dst, `{"campaign":`...), o.Campaign.ID)
	if o.Campaign.Sponsor != "" {
		dst = appendJSONString(append(dst, `,"sponsor":`...), o.Campaign.Sponsor)
	}
	dst = appendJSONString(append(dst, `,"outcome":`...), o.Kind.String())
	dst = appendJSONString(append(dst, `,"cycle":`...), o.Cycle)
	dst = appendJSONString(append(dst, `,"tier":`...), o.Tier)
	dst = appendJSONString(append(dst, `,"date":`...), o.Date.String())
	return append(dst, '}')
}

// AppendJSON writes the outcome as one object, members in a fixed order (P3).
func (o *Outcome) AppendJSON(dst []byte) []byte {
	dst = appendJSONString(append(dst, `{"outcome":`...), o.Kind.String())
	dst = appendJSONString(append(dst, `,"campaign":`...), o.Campaign.ID)
	dst = strconv.AppendInt(append(dst, `,"version":`...), int64(o.Campaign.Version), 10)
	if o.Campaign.Sponsor != "" {
		dst = appendJSONString(append(dst, `,"sponsor":`...), o.Campaign.Sponsor)
	}
	dst = appendJSONString(append(dst, `,"user":`...), o.User)
	dst = appendJSONString(append(dst, `,"cycle":`...), o.Cycle)
	dst = appendJSONString(append(dst, `,"tier":`...), o.Tier)
	dst = appendJSONString(append(dst, `,"date":`...), o.Date.String())
	return append(dst, '}')
}
