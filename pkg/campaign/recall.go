package campaign

import "strings"

// TypeRecalled is the type of the record that has a budget forget a user's denied claims, under ControlKey.
const TypeRecalled = "stampede.claims_recalled"

// Recall has a budget's home forget what waits there of an erased user (C4): denied claims that a raised budget would re-open (O2). What was granted
// stays granted. Claims that are still on their way arrive before it, as they were written before.
type Recall struct {
	Budget string // the id
	Home   int32  // the partition of events that it goes to
	User   string
	Clock  int64 // of the erasure, Unix ms
}

// Append writes the record's value, a structured CloudEvent.
func (rc *Recall) Append(dst []byte) []byte {
	dst = appendJSONString(append(dst, `{"specversion":"1.0","id":`...), rc.Budget+"/recalled")
	dst = appendJSONString(append(dst, `,"source":`...), "/stampede/budgets/"+rc.Budget)
	dst = formatTime(append(dst, `,"type":"`+TypeRecalled+`","time":"`...), msToNs(rc.Clock))
	dst = appendJSONString(append(dst, `","datacontenttype":"application/json","data":{"budget":`...), rc.Budget)
	dst = appendJSONString(append(dst, `,"user":`...), rc.User)
	return append(dst, `}}`...)
}

// recall adds those that the erasure of a user sends: one for each budget at which denied claims wait, whether any is the user's or not. The
// ledger does not know of those whose campaigns are closed.
func (e *Engine) recall(user string, clock int64) {
	asked := map[string]bool{}
	for _, c := range e.set.campaigns {
		if b := c.Budget; b != nil && b.Reopen > 0 && !asked[b.ID] {
			asked[b.ID] = true
			e.result.Recalls = append(e.result.Recalls, Recall{b.ID, b.Home, strings.Clone(user), clock})
		}
	}
}

// recall forgets the denied claims of a user that wait.
func (bs *Budgets) recall(v Value) ([]Stored, *Rejection) {
	user, s := v.Get("user").Text(), bs.byID[v.Get("budget").Text()]
	if user == "" || s == nil {
		return nil, badControl("data of a " + TypeRecalled + " must name a `user` and a `budget` that was published")
	}
	return s.forgetUser(user), nil
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
