package campaign

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// A claim is an achievement in a campaign with a budget (O2). It is a record under ControlKey to the budget's home, which decides all claims of
// the budget in the order of its log: there the reward is issued. The answer is a control event of the user.

const (
	// TypeClaimed is the type of a claim's record, under ControlKey.
	TypeClaimed = "stampede.claimed"
	// TypeAnswered is the type of an answer's record, under the user's key.
	TypeAnswered = "stampede.claim_answered"
)

// Claim is a reward that a budget is asked for. It carries all that the reward's record needs but the clock of issue.
type Claim struct {
	Budget string // the id
	Home   int32  // the partition of events that it goes to
	From   int32  // the user's partition: where the answer goes
	Date   Day    // the civil date of the achievement
	Reward Reward
}

// Append writes the record's value, a structured CloudEvent. from is the user's partition.
func (cl *Claim) Append(dst []byte, from int32) []byte {
	r := &cl.Reward
	dst = append(dst, `{"specversion":"1.0","id":`...)
	dst = appendJSONString(dst, r.ID)
	dst = appendJSONString(append(dst, `,"source":`...), "/stampede/campaigns/"+r.Campaign.ID)
	dst = append(dst, `,"type":"`+TypeClaimed+`","time":"`...)
	dst = formatTime(dst, msToNs(r.IssuedAt))
	dst = append(dst, `","datacontenttype":"application/json","data":`...)
	at := *cl
	at.From = from
	return append(at.append(dst), '}')
}

// append writes the claim's data.
func (cl *Claim) append(dst []byte) []byte {
	r := &cl.Reward
	dst = appendJSONString(append(dst, `{"budget":`...), cl.Budget)
	dst = appendMember(append(dst, ','), "home", int64(cl.Home))
	dst = appendMember(append(dst, ','), "from", int64(cl.From))
	dst = appendJSONString(append(dst, `,"date":`...), cl.Date.String())
	dst = appendJSONString(append(dst, `,"campaign":`...), r.Campaign.ID)
	dst = appendMember(append(dst, ','), "version", int64(r.Campaign.Version))
	if r.Campaign.Sponsor != "" {
		dst = appendJSONString(append(dst, `,"sponsor":`...), r.Campaign.Sponsor)
	}
	dst = appendJSONString(append(dst, `,"user":`...), r.User)
	dst = appendJSONString(append(dst, `,"cycle":`...), r.Cycle)
	dst = appendJSONString(append(dst, `,"tier":`...), r.Tier)
	dst = r.Terms.append(append(dst, ','))
	dst = append(dst, `,"achieved_at":"`...)
	dst = formatTime(dst, r.AchievedAt)
	dst = append(dst, '"', ',')
	return append(r.appendEvidence(dst), '}')
}

// readClaim reads what append wrote. Nothing of v is kept.
func readClaim(v Value) (*Claim, error) {
	if v.Kind() != Object {
		return nil, errors.New("data of a claim must be an object")
	}
	wrong := ""
	text := func(name string) string {
		s := v.Get(name).Text()
		if s == "" {
			wrong = name
		}
		return strings.Clone(s)
	}
	whole := func(name string) int64 {
		n, err := strconv.ParseInt(string(v.Get(name).Raw()), 10, 64)
		if err != nil || n < 0 {
			wrong = name
		}
		return n
	}
	partition := func(name string) int32 {
		n := whole(name)
		if n > maxPartition {
			wrong = name
		}
		return int32(n) //nolint:gosec // just bounded
	}
	cl := &Claim{Budget: text("budget"), Home: partition("home"), From: partition("from")}
	c := &Campaign{ID: text("campaign"), Version: int(whole("version")), Sponsor: strings.Clone(v.Get("sponsor").Text())}
	r := &cl.Reward
	*r = Reward{Campaign: c, User: text("user"), Cycle: text("cycle"), Tier: text("tier"), Terms: &RewardTerms{Kind: text("kind")}}
	r.ID = RewardID(c.ID, r.User, r.Cycle, r.Tier)
	var err error
	if cl.Date, err = parseDay(v.Get("date").Text()); err != nil {
		wrong = "date"
	}
	if r.AchievedAt, _, err = parseTime(v.Get("achieved_at").Text()); err != nil {
		wrong = "achieved_at"
	}
	if a := v.Get("amount"); a.Kind() != Absent {
		units, err := strconv.ParseInt(string(a.Get("units").Raw()), 10, 64)
		if err != nil || units < 0 || a.Get("currency").Text() == "" {
			wrong = "amount"
		}
		r.Terms.Amount = &Amount{units, strings.Clone(a.Get("currency").Text())}
	}
	if a := v.Get("attributes"); a.Kind() != Absent {
		r.Terms.Attributes = []byte(string(a.Raw()))
	}
	for id := range v.Get("evidence").Elements() {
		r.Evidence = append(r.Evidence, strings.Clone(id.Text()))
	}
	r.EvidenceCount = uint64(whole("evidence_count"))
	if len(r.User) > maxUserBytes || len(r.Evidence) > maxEvidence {
		wrong = "user` or `evidence"
	}
	if wrong != "" {
		return nil, errors.New("data of a claim has no `" + wrong + "`, or one that no processor writes")
	}
	return cl, nil
}

// maxPartition is the highest number of a partition that a claim can name.
const maxPartition = 1<<16 - 1

// parseDay reads a date.
func parseDay(s string) (Day, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return 0, err
	}
	return DayOf(t.Date()), nil
}

// Answer is what became of a claim, for the user's ledger.
type Answer struct {
	Partition   int32 // the user's, as the claim has named it
	User        string
	Budget      string
	Campaign    string
	RewardID    string
	Cycle, Tier string
	Date        Day   // the civil date of the achievement
	Granted     bool  // or denied
	Reopened    bool  // granted after it was denied
	Clock       int64 // of the decision, Unix ms
}

func (cl *Claim) answer(granted, reopened bool, clock int64) Answer {
	r := &cl.Reward
	return Answer{cl.From, r.User, cl.Budget, r.Campaign.ID, r.ID, r.Cycle, r.Tier, cl.Date, granted, reopened, clock}
}

// ClaimDecisions are the words of Answer.Decision.
func ClaimDecisions() []string { return []string{"granted", "denied", "reopened"} }

// Decision is what became of the claim in one word: granted, denied, or reopened, which is granted after it was denied.
func (a *Answer) Decision() string {
	switch {
	case a.Reopened:
		return "reopened"
	case a.Granted:
		return "granted"
	}
	return "denied"
}

// Append writes the record's value, a structured CloudEvent of the user.
func (a *Answer) Append(dst []byte) []byte {
	dst = append(dst, `{"specversion":"1.0","id":`...)
	dst = appendJSONString(dst, a.RewardID+"/"+a.Decision())
	dst = appendJSONString(append(dst, `,"source":`...), "/stampede/budgets/"+a.Budget)
	dst = append(dst, `,"type":"`+TypeAnswered+`","subject":`...)
	dst = appendJSONString(dst, a.User)
	dst = append(dst, `,"time":"`...)
	dst = formatTime(dst, msToNs(a.Clock))
	dst = append(dst, `","datacontenttype":"application/json","data":{"budget":`...)
	dst = appendJSONString(dst, a.Budget)
	dst = appendJSONString(append(dst, `,"campaign":`...), a.Campaign)
	dst = appendJSONString(append(dst, `,"cycle":`...), a.Cycle)
	dst = appendJSONString(append(dst, `,"tier":`...), a.Tier)
	dst = appendJSONString(append(dst, `,"date":`...), a.Date.String())
	dst = strconv.AppendBool(append(dst, `,"granted":`...), a.Granted)
	if a.Reopened {
		dst = append(dst, `,"reopened":true`...)
	}
	return append(dst, `}}`...)
}

// answered applies an answer. It says nothing of when, so it is neither too late nor too early, and comes once because claims are decided
// exactly once. Of a user who is not known any more only the outcome is told.
func (e *Engine) answered(l *Ledger, ev *Event, clock int64) {
	c, rejection := e.namedCampaign(ev)
	date, err := parseDay(ev.Data.Get("date").Text())
	granted := ev.Data.Get("granted")
	cycle, tier := ev.Data.Get("cycle").Text(), ev.Data.Get("tier").Text()
	switch {
	case rejection != nil:
		e.result.Rejection = rejection
	case err != nil || granted.Kind() != Bool || cycle == "" || tier == "":
		e.result.Rejection = badControl("data of a stampede.claim_answered must have `date`, `granted`, `cycle` and `tier`")
	default:
		e.take(l, c, &Answer{
			User: ev.User, Cycle: strings.Clone(cycle), Tier: strings.Clone(tier), Date: date,
			Granted: granted.Bool(), Reopened: ev.Data.Get("reopened").Bool(), Clock: clock,
		})
	}
}

// take notes in a ledger what became of a claim, and tells the outcome.
func (e *Engine) take(l *Ledger, c *Campaign, a *Answer) {
	kind := BudgetExhausted
	if a.Granted {
		kind = Achieved
	} else {
		e.decide(c, Exhausted, "")
	}
	e.outcome(c, strings.Clone(a.User), kind, a.Cycle, a.Tier, a.Date)
	i, found := l.find(c.key)
	if !found {
		return // the campaign is closed for the user
	}
	p := &l.progress[i]
	switch {
	case a.Granted && a.Reopened:
		p.denied = lower(p.denied)
	case a.Granted:
		p.waiting = lower(p.waiting)
	default:
		p.waiting, p.denied = lower(p.waiting), p.denied+1
	}
	const both = 20 // two varints
	l.sizeBound += both
	e.result.Changed = true
}

func lower(n uint64) uint64 { return n - min(n, 1) }
