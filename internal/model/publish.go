package model

import (
	"errors"
	"slices"
)

// What the model does not say, because it follows from how a ledger is kept and not from a rule: when a user who is idle is looked at after a
// change of what closes. So a campaign in which a close pays (`none`, `net`) is put in force before anybody does anything, or at least a
// `none` is; it is neither withdrawn nor begun anew; and a version changes nothing but what a reward is, or the whole goal with `on_change:
// restart`. An author can do more: that is for the engine's own tests.

// publish puts a campaign in force, or a version of it (L1, L2).
func (l *Log) publish(c *Campaign) (reason string, err error) {
	was := l.inForce[c.ID]
	if was == nil {
		if c.Goal.Watches() && len(l.users) > 0 {
			return "", errors.New("a campaign with a `none` comes into force when users are known")
		}
		if before := l.largest(); len(l.inForce) > 0 && c.Late > before {
			l.raised = append(l.raised, raise{l.clock, before})
		}
		l.inForce[c.ID] = &standing{version: c}
		l.publishBudget(c)
		for _, u := range l.users {
			u.in[c.ID] = newPerson(u, c)
		}
		return "", nil
	}
	switch {
	case was.version == c && was.withdrawn.IsZero():
		return "", nil // the same again
	case was.campaign().closed("", 0, l.clock):
		return "campaign_closed", nil
	case c.Version <= was.version.Version:
		return "version_not_raised", nil
	case c.counts() == was.version.counts():
		if !c.differsInReward(was.version) {
			return "", errors.New("a version changes numbers, dates or who may take part")
		}
		l.change(&standing{version: c, units: was.units})
		l.publishBudget(c)
		return "", nil
	case !c.Restart:
		return "needs_restart", nil
	case c.cycleUnit() != "" && c.cycleUnit() != was.version.cycleUnit() && slices.Contains(was.units, c.cycleUnit()):
		return "bad_control", nil // a reward could be issued twice
	case !c.differsInGoal(was.version):
		return "", errors.New("a version with on_change: restart changes more than the goal")
	case c.Goal.Waits() || was.version.Goal.Waits():
		return "", errors.New("a version with on_change: restart of a campaign in which a close pays")
	}
	l.change(&standing{version: c, units: append(slices.Clone(was.units), was.version.cycleUnit())})
	for _, u := range l.users {
		u.in[c.ID].restart()
	}
	l.publishBudget(c)
	return "", nil
}

// withdraw ends a campaign at the clock.
func (l *Log) withdraw(id string) (reason string, err error) {
	was := l.inForce[id]
	switch {
	case was == nil:
		return "bad_control", nil
	case !was.withdrawn.IsZero() || was.version.closed("", 0, l.clock):
		return "", nil // the same again
	case was.version.Goal.Waits():
		return "", errors.New("a campaign in which a close pays is withdrawn")
	}
	l.change(&standing{version: was.version, withdrawn: l.clock, units: was.units})
	return "", nil
}

func (l *Log) change(s *standing) {
	c := s.campaign()
	l.inForce[c.ID] = s
	for _, u := range l.users {
		u.in[c.ID].c = c
		u.in[c.ID].over = c.closed("", 0, l.clock) // with its withdrawal, where there is no lateness
	}
}

// restart lets a user begin anew: what was paid stays paid, and ordinals go on.
func (m *person) restart() {
	m.evidence, m.before, m.shut = nil, m.paid, map[int]bool{}
}
