package model

import (
	"fmt"
	"slices"
	"time"
)

// Story is a partition's log to be: what users do, and campaigns that come into force, change and go meanwhile.
type Story struct {
	Campaigns []*Campaign // in all versions
	Steps     []Step
}

// Step is one record of a story.
type Step struct {
	Clock      time.Time
	Key, Value []byte
}

// Entries are the steps as a log has them, from an offset on.
func (s Story) Entries(first int64) (entries []Entry) {
	for i, step := range s.Steps {
		entries = append(entries, Entry{Offset: first + int64(i), Timestamp: step.Clock.UnixMilli(), Key: step.Key, Value: step.Value})
	}
	return entries
}

// DrawStory draws n things that users do, and some of them again, between publishes of all that the model can judge; some users are erased. Campaigns with a `none`
// come first, before anybody has done anything; those in which a close pays are not withdrawn.
func DrawStory(d Draw, users []string, n int) Story {
	var s Story
	campaigns := []*Campaign{DrawCampaign(d, "c0"), DrawCampaign(d, "c1"), DrawCampaign(d, "c2")}
	records := DrawErasures(d, DrawRecords(d, campaigns, users, n))
	control := func(at time.Time, value []byte) {
		s.Steps = append(s.Steps, Step{at, []byte(ControlKey), value})
	}
	publish := func(at time.Time, c *Campaign) {
		if !slices.ContainsFunc(s.Campaigns, func(other *Campaign) bool { return other.YAML() == c.YAML() }) {
			s.Campaigns = append(s.Campaigns, c)
		}
		control(at, c.Published())
	}
	inForce := campaigns[:1]
	publish(records[0].Clock, campaigns[0])
	for _, c := range campaigns[1:] {
		if c.Goal.Watches() || drawBool(d, "published first") {
			inForce = append(inForce, c)
			publish(records[0].Clock, c)
		}
	}
	for i, r := range records {
		s.Steps = append(s.Steps, Step{r.Clock, []byte(r.User), r.CloudEvent()})
		if d.Between(0, n/4, "something is told here") > 0 && i+1 < len(records) {
			continue
		}
		at := r.Clock.Add(time.Duration(d.Between(0, 3, "hours later")) * time.Hour)
		c := oneOfThese(d, campaigns, "which campaign")
		j := slices.IndexFunc(inForce, func(f *Campaign) bool { return f.ID == c.ID })
		if j < 0 {
			inForce = append(inForce, c)
			publish(at, c)
			continue
		}
		c = inForce[j]
		switch d.Between(0, 6, "what is told") {
		case 0:
			control(at.Add(time.Duration(d.Between(0, 40, "days of a tick"))*24*time.Hour), Tick())
		case 1:
			publish(at, c) // the same again
		case 2:
			lower := *c
			lower.Title = "not raised"
			publish(at, &lower)
		case 3:
			if !c.Goal.Waits() {
				control(at, c.Withdrawn())
			}
		case 4:
			if next := DrawRestart(d, c); next != nil {
				publish(at, next)
				inForce[j] = next
			}
		default:
			inForce[j] = DrawVersion(d, c)
			publish(at, inForce[j])
		}
	}
	return s
}

// DrawVersion draws a higher version of a campaign that changes nothing but its words and what a reward is. Users keep their progress.
func DrawVersion(d Draw, c *Campaign) *Campaign {
	next := *c
	next.Version += d.Between(1, 2, "raised by")
	next.Amount = d.Between(0, 5000, "cents")
	next.Title = fmt.Sprintf("in version %d", next.Version)
	if c.Budget > 0 {
		next.drawBudget(d)
	}
	return &next
}

// DrawRestart draws a higher version with another goal, for which users begin anew; nil where the model can't say what comes of it.
func DrawRestart(d Draw, c *Campaign) *Campaign {
	if c.Goal.Waits() {
		return nil
	}
	next := *DrawVersion(d, c)
	next.Restart = true
	next.Goal = drawGoal(d, &next, false, false, 2)
	if next.Goal.Waits() || next.counts() == c.counts() { // where only numbers change, the line does nothing
		return nil
	}
	if next.Money {
		next.Budget = max(next.Budget, next.largest())
	}
	return &next
}
