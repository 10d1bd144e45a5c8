package model

import (
	"fmt"
	"strings"
	"time"
)

// Campaign is a campaign and all its options.
type Campaign struct {
	ID        string
	Version   int
	Title     string
	Amount    int  // of a tier's reward, in cents, each tier's a cent more; 0: points without a number
	Restart   bool // on_change: restart
	Goal      *Goal
	Always    bool
	Limit     int  // 0: none
	Budget    int  // rewards of all users, or cents; 0: no bound
	Money     bool // the budget is cents
	BudgetPer string
	Reopen    time.Duration // of the budget
	OptIn     bool
	Eligible  bool // user.plan == "gold"
	Starts    time.Time
	Ends      time.Time // zero: never
	Zone      string
	DayStarts time.Duration
	Late      time.Duration
	Share     string // a partner; empty for none
}

// YAML is the campaign's file.
func (c *Campaign) YAML() string {
	s := fmt.Sprintf("campaign: %s\nversion: %d\nstarts: %s\ntimezone: %s\nlateness: %s\n", c.ID, c.Version, c.Starts.Format(time.RFC3339Nano), c.Zone, c.Late)
	if !c.Ends.IsZero() {
		s += "ends: " + c.Ends.Format(time.RFC3339Nano) + "\n"
	}
	if c.DayStarts > 0 {
		s += fmt.Sprintf("day_starts: %02d:00\n", int(c.DayStarts.Hours()))
	}
	if c.Always {
		s += "repeat: always\n"
	}
	s += c.limits()
	if c.OptIn {
		s += "enrol: opt_in\n"
	}
	if c.Eligible {
		s += "eligible: user.plan == \"gold\"\n"
	}
	if c.Share != "" {
		s += "share: " + c.Share + "\n"
	}
	if c.Title != "" {
		s += "title: " + c.Title + "\n"
	}
	if c.Restart {
		s += "on_change: restart\n"
	}
	var tiers []string
	for tier := range c.tiers() {
		if c.Amount == 0 {
			tiers = append(tiers, "{kind: points}")
		} else {
			cents := c.Amount + tier
			tiers = append(tiers, fmt.Sprintf("{kind: gift_card, amount: %d.%02d USD}", cents/100, cents%100))
		}
	}
	rewards := strings.Join(tiers, ", ")
	if c.tiers() > 1 {
		rewards = "[" + rewards + "]"
	}
	return s + "reward: " + rewards + "\ngoal: " + c.Goal.yaml() + "\n"
}

func (c *Campaign) limits() string {
	var limits []string
	if c.Limit > 0 {
		limits = append(limits, fmt.Sprintf("per_user: %d", c.Limit))
	}
	if c.Budget > 0 {
		budget := fmt.Sprintf("rewards: %d", c.Budget)
		if c.Money {
			budget = fmt.Sprintf("amount: %d.%02d USD", c.Budget/100, c.Budget%100)
		}
		if c.BudgetPer != "" {
			budget += ", per: " + c.BudgetPer
		}
		if c.Reopen > 0 {
			budget += ", reopen: " + c.Reopen.String()
		}
		limits = append(limits, "budget: {"+budget+"}")
	}
	if limits == nil {
		return ""
	}
	return "limits: {" + strings.Join(limits, ", ") + "}\n"
}

func (c *Campaign) tiers() int { return max(1, len(c.Goal.numbers)) }

// EachPeriodPays says whether the rewards' cycles are periods and not ordinals.
func (c *Campaign) EachPeriodPays() bool { return c.Always && c.Goal.per != "" }

// cycleUnit is the period after which rewards are called, empty for ordinals.
func (c *Campaign) cycleUnit() string {
	if !c.EachPeriodPays() {
		return ""
	}
	return c.Goal.per
}

// end is when a period has ended in every place, or the campaign has.
func (c *Campaign) end(per string, period int) time.Time {
	if per == "" {
		return c.Ends
	}
	end := date(firstDay(per, period+1)).Add(12*time.Hour + c.DayStarts)
	if !c.Ends.IsZero() && c.Ends.Before(end) {
		return c.Ends
	}
	return end
}

// closes is the first clock by which it is closed, zero for never.
func (c *Campaign) closes(per string, period int) time.Time {
	end := c.end(per, period)
	if end.IsZero() {
		return end
	}
	return clockAt(end.Add(c.Late))
}

func (c *Campaign) closed(per string, period int, clock time.Time) bool {
	at := c.closes(per, period)
	return !at.IsZero() && !clock.Before(at)
}

// clockAt is the first clock, in whole ms, that is not before an instant.
func clockAt(t time.Time) time.Time {
	if ms := t.Truncate(time.Millisecond); ms.Before(t) {
		return ms.Add(time.Millisecond)
	}
	return t
}
