package campaign

import "slices"

// Replay is the engine with the ledgers of a partition in memory: what simulations, scenarios and tests run on. It fires what time makes
// due in the order that every holder of ledgers keeps (T5).
type Replay struct {
	engine  *Engine
	ledgers map[string]*Ledger
	timers  Timers
	timerOf map[string]*Timer // of the users who are due at some time
	clock   int64
	budgets *Budgets // nil where somebody else decides claims
}

// NewReplay begins with no user.
func NewReplay(engine *Engine) *Replay {
	return &Replay{engine: engine, ledgers: map[string]*Ledger{}, timerOf: map[string]*Timer{}}
}

// DecideAtOnce makes the replay decide claims itself, each when it is made: what budgets do where there is no log in which a claim could
// travel (O2). Answers among the records are those of a log in which others claimed, too, and are passed over.
func (r *Replay) DecideAtOnce() {
	r.budgets = NewBudgets()
	for _, c := range r.engine.set.campaigns {
		if c.Budget != nil {
			r.budgets.tell(*c.Budget)
		}
	}
}

// decided adds what budgets say of a result's claims.
func (r *Replay) decided(l *Ledger, result *Result) *Result {
	if r.budgets == nil || len(result.Claims) == 0 {
		return result
	}
	all := *result
	all.Rewards, all.Outcomes, all.Decisions = slices.Clone(all.Rewards), slices.Clone(all.Outcomes), slices.Clone(all.Decisions)
	for _, claim := range slices.Clone(all.Claims) {
		told, rejection := r.budgets.Decide(&claim, r.clock)
		if rejection != nil {
			panic("BUG: a budget of a campaign in force is not known: " + rejection.Detail)
		}
		all.Rewards = append(all.Rewards, told.Rewards...)
		for i := range told.Answers {
			r.engine.begin()
			r.engine.take(l, claim.Reward.Campaign, &told.Answers[i])
			answered := r.engine.end()
			all.Outcomes = append(all.Outcomes, answered.Outcomes...)
			all.Decisions = append(all.Decisions, answered.Decisions...)
		}
	}
	return &all
}

// Use puts other campaigns in force, from the next record on.
func (r *Replay) Use(set *Set) { r.engine.Use(set) }

// Clock is the clock so far, Unix ms.
func (r *Replay) Clock() int64 { return r.clock }

// Users is how many users events were of.
func (r *Replay) Users() int { return len(r.ledgers) }

// Ledger is a user's ledger, nil where no event was of that user.
func (r *Replay) Ledger(user string) *Ledger { return r.ledgers[user] }

// Ledgers visits the ledgers that are not empty, in no order.
func (r *Replay) Ledgers(visit func(user string, l *Ledger) bool) {
	for user, l := range r.ledgers {
		if !l.Empty() && !visit(user, l) {
			return
		}
	}
}

// Advance moves the clock on (Unix ms; it never runs backwards, E2). fired is told of everything that is due by then, with the instant at
// which it was; its result is valid until it returns.
func (r *Replay) Advance(clock int64, fired func(user string, at int64, result *Result) error) error {
	for {
		first := r.timers.Next()
		if first == nil || first.Due() > clock {
			break
		}
		user, due := first.User, first.Due()
		r.clock = max(r.clock, due)
		l := r.ledgers[user]
		result := r.engine.Fire(l, user)
		r.noteDue(user, l.Due())
		if err := fired(user, due, r.decided(l, result)); err != nil {
			return err
		}
	}
	r.clock = max(r.clock, clock)
	r.engine.ForgetErased(r.clock)
	if r.budgets != nil {
		r.budgets.forget(r.clock)
	}
	return nil
}

// Erased are the users who are remembered as erased (C4).
func (r *Replay) Erased() *Erased { return r.engine.Erased() }

// Drop is what becomes of a record of an erased user, at the clock to which Advance has moved; nil where it is to be applied, or rejected because of
// why.
func (r *Replay) Drop(ev *Event, why *Rejection) *Result { return r.engine.Drop(ev, why, r.clock) }

// Apply applies an event at the clock to which Advance has moved. The result is valid until the next call.
func (r *Replay) Apply(ev *Event) *Result {
	if dropped := r.Drop(ev, nil); dropped != nil {
		return dropped
	}
	if r.budgets != nil && ev.Type == TypeAnswered {
		return &Result{}
	}
	l := r.ledgers[ev.User]
	if l == nil {
		l = &Ledger{}
		r.ledgers[string([]byte(ev.User))] = l
	}
	result := r.engine.Apply(l, ev, r.clock)
	if ev.Type == TypeErased && result.Rejection == nil {
		delete(r.ledgers, ev.User)
		r.noteDue(ev.User, 0)
		if r.budgets != nil {
			for i := range result.Recalls {
				r.budgets.forgetUser(result.Recalls[i].User)
			}
		}
		return result
	}
	if result.Changed {
		r.noteDue(ev.User, l.Due())
	}
	return r.decided(l, result)
}

// noteDue notes when a user is due (Unix ms), 0 for never.
func (r *Replay) noteDue(user string, due int64) {
	x := r.timerOf[user]
	switch {
	case x == nil && due == 0:
		return
	case x == nil:
		x = &Timer{User: string([]byte(user))}
		r.timerOf[x.User] = x
	case due == 0:
		delete(r.timerOf, user)
	}
	r.timers.Set(x, due)
}

// restart puts a user's ledger away and reads it back.
func (r *Replay) restart(user string) error {
	if r.ledgers[user] == nil {
		return nil // erased
	}
	l, err := Decode(r.ledgers[user].Append(nil))
	if err == nil {
		r.ledgers[user] = l
	}
	return err
}
