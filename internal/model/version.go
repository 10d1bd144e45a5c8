package model

import (
	"fmt"
	"time"
)

// Published is the value of the record under ControlKey that puts the campaign in force.
func (c *Campaign) Published() []byte {
	data := fmt.Sprintf(`{"language":1,"source":%s}`, quoted(c.YAML()))
	return controlRecord(fmt.Sprintf("%s@%d", c.ID, c.Version), typePublished, data)
}

// Withdrawn is the value of the record under ControlKey that withdraws the campaign.
func (c *Campaign) Withdrawn() []byte {
	return controlRecord(fmt.Sprintf("%s@%d", c.ID, c.Version), typeWithdrawn, fmt.Sprintf(`{"campaign":%q}`, c.ID))
}

// Tick is the value of a record under ControlKey that only moves the clock.
func Tick() []byte { return controlRecord("tick", typeTick, "{}") }

func controlRecord(id, kind, data string) []byte {
	return fmt.Appendf(nil, `{"specversion":"1.0","id":%q,"source":"/model","type":%q,"time":%q,"data":%s}`, id, kind, Start.Format(time.RFC3339), data)
}

// counts is what counts in the campaign: where it changes, what was counted is worth nothing (L2).
func (c *Campaign) counts() string {
	return fmt.Sprint(c.Always, c.Zone, c.DayStarts, c.Goal.counts())
}

func (g *Goal) counts() string {
	x := *g
	x.numbers, x.forgive, x.needs, x.parts, x.without = nil, 0, 0, nil, nil
	text := fmt.Sprintf("%q", fmt.Sprintf("%#v", x))
	if g.parts != nil {
		text = "some per " + g.per
	}
	if g.without != nil {
		text += fmt.Sprintf(" without %#v", *g.without)
	}
	for _, p := range g.parts {
		text += " (" + p.counts() + ")"
	}
	return text
}

// differsInReward says whether a version differs from another in nothing but its number, its words, what a reward is and how
// large the budget is.
func (c *Campaign) differsInReward(from *Campaign) bool {
	x := *c
	x.Version, x.Title, x.Amount, x.Restart, x.Budget, x.Reopen = from.Version, from.Title, from.Amount, from.Restart, from.Budget, from.Reopen
	return x.YAML() == from.YAML()
}

// differsInGoal says whether a version differs from another in the goal as well.
func (c *Campaign) differsInGoal(from *Campaign) bool {
	x := *c
	x.Goal = from.Goal
	return x.differsInReward(from)
}
