package model

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"
)

const (
	typeClaimed  = "stampede.claimed"
	typeAnswered = "stampede.claim_answered"
	typeRecalled = "stampede.claims_recalled"
)

// budget is what was asked of one campaign's budget, in the partition that decides it: all that was granted, and all that was denied.
type budget struct {
	terms   *Campaign // as it was published last
	granted []granted
	denied  []denied // that were never granted
}

// granted is what one reward has taken of a budget.
type granted struct{ period, quantity int }

type denied struct {
	at    time.Time
	claim Told
}

// period is the period of a clock; 0 where the budget is for all time.
func (c *Campaign) budgetPeriod(clock time.Time) int {
	return periodOf(c.BudgetPer, DayOf(clock.In(time.FixedZone("", offsets[c.Zone])).Add(-c.DayStarts)))
}

// decide grants a claim, or denies it, at the clock.
func (l *Log) decide(claim Told) error {
	b := l.budgets[claim.Campaign.ID]
	if b == nil {
		return fmt.Errorf("a claim of %s, of whose budget nobody told", claim.Campaign.ID)
	}
	l.step++
	if !l.grant(b, claim) {
		b.denied = append(b.denied, denied{l.clock, claim})
		l.reached("a claim denied")
	}
	return nil
}

func (l *Log) grant(b *budget, claim Told) bool {
	next := granted{b.terms.budgetPeriod(l.clock), 1}
	if b.terms.Money {
		next.quantity = claim.cents()
	}
	spent := 0
	for _, g := range b.granted {
		if g.period == next.period {
			spent += g.quantity
		}
	}
	if spent+next.quantity > b.terms.Budget {
		return false
	}
	b.granted = append(b.granted, next)
	claim.What, claim.At = "reward", l.clock
	l.tell(claim)
	return true
}

// publishBudget takes what a version says of its campaign's budget. A larger one re-opens what was denied lately.
func (l *Log) publishBudget(c *Campaign) {
	if c.Budget == 0 {
		return
	}
	b := l.budgets[c.ID]
	if b == nil {
		l.budgets[c.ID] = &budget{terms: c}
		return
	}
	raised := c.Budget > b.terms.Budget
	if b.terms = c; !raised || c.Reopen == 0 {
		return
	}
	l.step++
	var rest []denied
	for _, d := range b.denied {
		if l.clock.Sub(d.at) > c.Reopen || !l.grant(b, d.claim) {
			rest = append(rest, d)
			continue
		}
		l.reached("a claim granted by a raised budget")
	}
	b.denied = rest
}

// recall forgets what an erased user was denied (C4).
func (l *Log) recall(data []byte) (reason string, err error) {
	var d struct{ User string }
	if err := json.Unmarshal(data, &d); err != nil {
		return "", err
	}
	if d.User == "" {
		return "bad_control", nil
	}
	for _, b := range l.budgets {
		before := len(b.denied)
		b.denied = slices.DeleteFunc(b.denied, func(x denied) bool { return x.claim.User == d.User })
		if len(b.denied) < before {
			l.reached("a denied claim recalled")
		}
	}
	return "", nil
}

// claimed are a claim's data.
type claimed struct {
	Budget, Campaign, User, Cycle, Tier, Kind string
	Version                                   int
	Amount                                    *struct {
		Units    int
		Currency string
	}
	AchievedAt time.Time `json:"achieved_at"`
	Events     int       `json:"evidence_count"`
}

// claim reads a claim: its campaign must be one that was published, in a version that the model was told of.
func (l *Log) claim(data []byte) (Told, error) {
	var d claimed
	if err := json.Unmarshal(data, &d); err != nil {
		return Told{}, err
	}
	for _, c := range l.published {
		if c.ID == d.Campaign && c.Version == d.Version && c.Budget > 0 && d.Budget == c.ID {
			return Told{User: d.User, Campaign: c, Cycle: d.Cycle, Tier: d.Tier, Achieved: d.AchievedAt, Events: d.Events}, nil
		}
	}
	return Told{}, fmt.Errorf("a claim of %s in version %d, which the model was not told of", d.Campaign, d.Version)
}

// ParseClaim reads a claim's record, which the record of events at an offset led to, as the reward that it asks for. When that would be issued
// is not known yet.
func ParseClaim(offset int64, value []byte) (Reward, error) {
	var e struct {
		ID   string
		Data claimed
	}
	if err := json.Unmarshal(value, &e); err != nil {
		return Reward{}, err
	}
	d := e.Data
	r := Reward{
		Offset: offset, ID: e.ID, User: d.User, Campaign: d.Campaign, Version: d.Version, Cycle: d.Cycle, Tier: d.Tier, Kind: d.Kind,
		AchievedAt: d.AchievedAt, Events: d.Events,
	}
	if d.Amount != nil {
		r.Amount = strconv.Itoa(d.Amount.Units) + " " + d.Amount.Currency
	}
	return r, nil
}

// Claims are the rewards that the log has led to claims of, in order.
func (l *Log) Claims() (claims []Reward) {
	for _, t := range l.told {
		if t.What == "claim" {
			r := t.reward()
			r.IssuedAt = time.Time{}
			claims = append(claims, r)
		}
	}
	return claims
}

// DrawBudget gives a campaign a budget, sometimes: few rewards, or money for few, so that it is exhausted.
func DrawBudget(d Draw, c *Campaign) {
	if !drawBool(d, "has a budget") {
		return
	}
	c.Budget = d.Between(1, 2, "budget")
	if c.Amount > 0 && drawBool(d, "is money") {
		c.Money, c.Budget = true, c.largest()*c.Budget+d.Between(0, c.Amount, "cents")
	}
	c.BudgetPer = oneOfThese(d, append([]string{""}, units...), "budget's per")
	c.drawReopen(d)
}

func (c *Campaign) drawReopen(d Draw) {
	c.Reopen = oneOfThese(d, []time.Duration{0, 24 * time.Hour, 35 * 24 * time.Hour, 35 * 24 * time.Hour}, "reopen")
}

// largest is the largest reward, in cents.
func (c *Campaign) largest() int { return c.Amount + c.tiers() - 1 }

// drawBudget draws what a version makes of the budget of the one before it. Its largest reward must fit.
func (c *Campaign) drawBudget(d Draw) {
	change := d.Between(-1, 5, "budget")
	if c.Money {
		c.Amount = max(1, c.Amount)
		c.Budget = max(c.largest(), c.Budget+change*c.Amount)
	} else {
		c.Budget = max(1, c.Budget+change)
	}
	c.drawReopen(d)
}

// Raise draws a version that raises the budget by one to three rewards, and re-opens claims.
func (c *Campaign) Raise(d Draw) *Campaign {
	next := DrawVersion(d, c)
	more := d.Between(1, 3, "budget raised by")
	if next.Money {
		more *= next.Amount
	}
	next.Budget = max(c.Budget, next.Budget) + more
	next.Reopen = oneOfThese(d, []time.Duration{24 * time.Hour, 35 * 24 * time.Hour}, "reopen")
	return next
}
