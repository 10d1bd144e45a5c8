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
	granted []int     // periods
	denied  []denied  // that were never granted
}

type denied struct {
	at    time.Time
	claim Told
}

// period is the period of a clock; 0 where the budget is for all time.
func (c *Campaign) budgetPeriod(clock time.Time) int {
	return periodOf(c.BudgetPer, DayOf(clock.In(time.FixedZone("", offsets[c.Zone]))))
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
	now, granted := b.terms.budgetPeriod(l.clock), 0
	for _, p := range b.granted {
		if p == now {
			granted++
		}
	}
	if granted >= b.terms.Budget {
		return false
	}
	b.granted = append(b.granted, now)
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
		if l.clock.Sub(d.at) > c.Reopen {
			continue
		}
		if !l.grant(b, d.claim) {
			rest = append(rest, d)
			continue
		}
		l.reached("a claim granted by a raised budget")
	}
	b.denied = rest
}

// recall forgets what an erased user was denied (C4).
func (l *Log) recall(data []byte) (reason string, err error) {
	var d struct{ Budget, User string }
	if err := json.Unmarshal(data, &d); err != nil {
		return "", err
	}
	b := l.budgets[d.Budget]
	if b == nil || d.User == "" {
		return "bad_control", nil
	}
	before := len(b.denied)
	b.denied = slices.DeleteFunc(b.denied, func(x denied) bool { return x.claim.User == d.User })
	if len(b.denied) < before {
		l.reached("a denied claim recalled")
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

// DrawBudget gives a campaign a budget, sometimes: few rewards, so that it is exhausted.
func DrawBudget(d Draw, c *Campaign) {
	if !drawBool(d, "has a budget") {
		return
	}
	c.Budget = d.Between(1, 2, "budget")
	c.BudgetPer = oneOfThese(d, append([]string{""}, units...), "budget's per")
	c.Reopen = oneOfThese(d, []time.Duration{0, 24 * time.Hour, 35 * 24 * time.Hour, 35 * 24 * time.Hour}, "reopen")
}
