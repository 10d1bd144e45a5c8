package campaign

import (
	"maps"
	"slices"
	"strings"
)

// TypeRecalled is the type of the record that has budgets forget a user's denied claims, under ControlKey.
const TypeRecalled = "stampede.claims_recalled"

// Recall has the budgets of a home forget what they keep of an erased user (C4): denied claims that a raised budget would re-open (O2). What was granted
// stays granted. Claims that are still on their way arrive before it, as they were written before.
type Recall struct {
	Home  int32 // the partition of events that it goes to
	User  string
	Clock int64 // of the erasure, Unix ms
}

// Append writes the record's value, a structured CloudEvent.
func (rc *Recall) Append(dst []byte) []byte {
	dst = append(dst, `{"specversion":"1.0","id":"recalled","source":"/stampede/budgets","type":"`+TypeRecalled+`","time":"`...)
	dst = formatTime(dst, msToNs(rc.Clock))
	dst = appendJSONString(append(dst, `","datacontenttype":"application/json","data":{"user":`...), rc.User)
	return append(dst, `}}`...)
}

// recall adds those that the erasure of a user sends: one to each home of a budget, whether it keeps any claim of the user's or not. The ledger does not
// know of those whose campaigns are closed, and no version of a campaign may name the budget any more.
func (e *Engine) recall(user string, clock int64) {
	for _, home := range e.set.homes {
		e.result.Recalls = append(e.result.Recalls, Recall{home, strings.Clone(user), clock})
	}
}

// recall forgets the denied claims of a user: of one budget, if the record names one as earlier versions did, else of all.
func (bs *Budgets) recall(v Value) (changed []Stored, rejection *Rejection) {
	user, budget := v.Get("user").Text(), v.Get("budget")
	switch {
	case user == "":
		return nil, badControl("data of a " + TypeRecalled + " must name a `user`")
	case budget.Kind() == Absent:
		return bs.forgetUser(user), nil
	case bs.byID[budget.Text()] == nil:
		return nil, badControl("data of a " + TypeRecalled + " names a `budget` that was not published")
	}
	return bs.byID[budget.Text()].forgetUser(user), nil
}

// forgetUser forgets the denied claims of a user.
func (bs *Budgets) forgetUser(user string) (changed []Stored) {
	for _, id := range slices.Sorted(maps.Keys(bs.byID)) {
		changed = append(changed, bs.byID[id].forgetUser(user)...)
	}
	return changed
}

func (s *spending) forgetUser(user string) (changed []Stored) {
	var rest []keptClaim
	for i := range s.kept {
		if k := &s.kept[i]; k.claim.Reward.User == user {
			changed = append(changed, Stored{s.keptName(k), nil})
		} else {
			rest = append(rest, *k)
		}
	}
	s.kept = rest
	return changed
}
