package campaign

import (
	"fmt"
	"math"
	"math/big"
	"slices"
	"strings"
	"time"
)

// Standing is where a user stands in one campaign, in sentences.
type Standing struct {
	Campaign  *Campaign
	Sentences []string
}

// Explain tells where a user stands in every campaign in force, by a clock (Unix ms).
func (e *Engine) Explain(l *Ledger, clock int64) []Standing {
	standings := make([]Standing, len(e.set.campaigns))
	for i, c := range e.set.campaigns {
		standings[i] = Standing{c, e.explain(l, c, clock)}
	}
	return standings
}

func (e *Engine) explain(l *Ledger, c *Campaign, clock int64) []string {
	var says []string
	p := &progress{}
	if i, found := l.find(c.key); found {
		p = &l.progress[i]
	}
	switch now := msToNs(clock); {
	case now < c.Starts:
		says = append(says, "It starts on "+timeOf(c.Starts)+".")
	case clock >= c.closes(noUnit, 0):
		return append(says, "It ended on "+timeOf(c.Ends)+", and nothing that could still arrive counts.")
	case now >= c.Ends:
		says = append(says, "It ended on "+timeOf(c.Ends)+"; events that happened before count if they arrive until "+timeOf(msToNs(c.closes(noUnit, 0)))+".")
	case c.Ends != math.MaxInt64:
		says = append(says, "It runs until "+timeOf(c.Ends)+".")
	}
	switch {
	case p.part == out:
		says = append(says, "The user has withdrawn: nothing counts until the user enrols again.")
	case p.part == in:
		says = append(says, "The user takes part since "+timeOf(p.from)+".")
	case c.OptIn:
		says = append(says, "The user has not enrolled: nothing counts before that.")
	}
	if issued := p.paid - min(p.paid, p.waiting+p.denied); issued > 0 {
		says = append(says, fmt.Sprintf("%s issued.", plural(int(issued), "reward was", "rewards were"))) //nolint:gosec // small
	}
	if p.waiting > 0 {
		says = append(says, fmt.Sprintf("%s for the budget's word.", plural(int(p.waiting), "claim waits", "claims wait"))) //nolint:gosec // small
	}
	if p.denied > 0 {
		says = append(says, fmt.Sprintf("%s denied: the budget was exhausted.", plural(int(p.denied), "reward was", "rewards were"))) //nolint:gosec // small
	}
	switch {
	case !c.Always && p.paid >= uint64(c.goal.tiers): //nolint:gosec // small
		return append(says, "That is all that it gives.")
	case c.PerUser > 0 && p.paid >= uint64(c.PerUser):
		return append(says, fmt.Sprintf("That is all that one user can have: `limits.per_user` is %d.", c.PerUser))
	}
	u := l.user(c, clock)
	for i := range p.buckets {
		says = append(says, c.standing(&p.buckets[i], u))
	}
	if len(p.buckets) == 0 {
		says = append(says, "Nothing has counted so far: "+c.goal.root.stand(&bucket{period: c.goal.per.of(c.zone.at(msToNs(clock)).day)}, u)+".")
	}
	return says
}

// standing tells how far a bucket is, and until when it can go on.
func (c *Campaign) standing(b *bucket, u user) string {
	if c.goal.per == noUnit {
		return sentence(c.goal.root.stand(b, u))
	}
	where := c.goal.per.key(b.period) + ": "
	if b.paid >= uint64(c.goal.tiers) { //nolint:gosec // small
		return where + "reached and paid."
	}
	return where + sentence(c.goal.root.stand(b, u)+"; it lasts until "+c.lastDay(c.goal.per, b.period).String()+
		", and what happened by then counts if it arrives until "+timeOf(msToNs(c.closes(c.goal.per, b.period))))
}

func sentence(s string) string { return strings.ToUpper(s[:1]) + s[1:] + "." }

func timeOf(ns int64) string { return time.Unix(0, ns).UTC().Format("2006-01-02 15:04 UTC") }

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// next is the number to reach behind a total: of tiers the first that is not reached, of one number its next multiple.
func next[N int | int64](total N, numbers []N) N {
	if len(numbers) == 1 {
		return (total/numbers[0] + 1) * numbers[0]
	}
	for _, n := range numbers {
		if total < n {
			return n
		}
	}
	return numbers[len(numbers)-1]
}

func decimal(millionths int64) string {
	return strings.TrimSuffix(strings.TrimRight(new(big.Rat).SetFrac64(millionths, millionth).FloatString(6), "0"), ".")
}

func (f *filter) wanted() string { return strings.Join(f.types, " or ") }

func (l *leaf) stand(b *bucket, u user) string {
	for i := range slices.Backward(b.cells) { // the newest period
		if c := &b.cells[i]; c.leaf == l.index {
			text := l.kind.stand(c, l.judged(b, c, u))
			if l.per != noUnit {
				text = l.per.key(c.period) + ": " + text
			}
			return text
		}
	}
	return l.kind.stand(&cell{}, l.judged(b, &cell{}, u))
}

func (c *composite) stand(b *bucket, u user) string {
	parts := make([]string, len(c.parts))
	for i, p := range c.parts {
		parts[i] = p.stand(b, u)
		if p.worth(b, u) > 0 {
			parts[i] = "reached"
		}
	}
	return fmt.Sprintf("%d of these %d are needed: %s", c.needs, len(c.parts), strings.Join(parts, "; "))
}

func (k *event) stand(*cell, user) string {
	return "an event of type " + k.filter.wanted() + " is missing"
}

// length tells people how long the window is.
func (w *window) length() string {
	if w.days > 0 {
		return plural(w.days, "civil day", "civil days")
	}
	return formatDuration(w.exact)
}

func (k *count) stand(c *cell, _ user) string {
	if k.window.is() {
		return fmt.Sprintf("%s counted lately, %d within %s are needed", plural(len(c.marks), "event has", "events have"), k.numbers[0], k.window.length())
	}
	return fmt.Sprintf("%d of %d events", c.count, next(int(c.count), k.numbers)) //nolint:gosec // a ledger can't hold so many
}

func (k *sum) stand(c *cell, _ user) string {
	if k.window.is() {
		return fmt.Sprintf("%s in all so far, %s within %s are needed", decimal(c.sum), decimal(k.numbers[0]), k.window.length())
	}
	return fmt.Sprintf("%s of %s", decimal(c.sum), decimal(next(c.sum, k.numbers)))
}

func (k *distinct) stand(c *cell, _ user) string {
	if k.window.is() {
		return fmt.Sprintf("%s counted lately, %d different values within %s are needed", plural(len(c.marks), "event has", "events have"), k.numbers[0], k.window.length())
	}
	return fmt.Sprintf("%d of %d different values", len(c.values), next(len(c.values), k.numbers))
}

func (k *streak) stand(c *cell, u user) string {
	runs := 0
	want := k.hits[0]
	if len(k.hits) == 1 {
		runs = k.runs(c, u, want)
	} else {
		want = k.hits[min(k.worth(c, u), len(k.hits)-1)]
	}
	longest := 0
	for longest+1 < want && k.runs(c, u, longest+1) > 0 {
		longest++
	}
	text := fmt.Sprintf("the longest run has %s of the %d that are needed", plural(longest, unitNames[k.unit], unitNames[k.unit]+"s"), want)
	if runs > 0 {
		text = fmt.Sprintf("%s of %d %ss so far", plural(runs, "run", "runs"), want, unitNames[k.unit])
	}
	if len(c.days) > 0 {
		text += ", the last hit is " + k.unit.key(period(c.days[len(c.days)-1].last))
	}
	return text
}

func (k *sequence) stand(c *cell, _ user) string {
	if final := k.final(c); final != never {
		return fmt.Sprintf("all %d steps are taken; nothing may arrive that matches `without` (%s) and happened between them", len(k.steps), k.without.wanted())
	}
	taken, _ := k.walk(c, math.MaxInt64, func(mark) bool { return true })
	done := 0
	for done+1 < len(k.steps) && taken[done].taken {
		done++
	}
	text := fmt.Sprintf("%d of %d steps, %s is next", done, len(k.steps), k.steps[done].filter.wanted())
	if within := k.steps[done].within; done > 0 && within.days > 0 {
		text += ", until " + (taken[done-1].day + Day(within.days)).String() //nolint:gosec // bounded
	} else if done > 0 && within.exact > 0 {
		text += ", until " + timeOf(taken[done-1].at+int64(within.exact))
	}
	return text
}

func (k *none) stand(c *cell, u user) string {
	switch {
	case c.count > 0:
		return k.filter.wanted() + " has happened, and must not"
	case u.closed:
		return "no " + k.filter.wanted() + " has happened"
	}
	return "no " + k.filter.wanted() + " has happened so far"
}

// decisionReasons say a decision to people, with its rule.
var decisionReasons = [decisions]string{
	UserErased:      "the user was erased lately, and nothing of it was kept (C4)",
	Duplicate:       "it had been seen before (E3)",
	Outside:         "it happened before the campaign starts or after it ends (T3)",
	TooLate:         "it arrived later than the campaign's lateness allows (E4)",
	NotEnrolled:     "the user did not take part when it happened (C2)",
	NotMatching:     "it is not what the campaign counts: `where` is false",
	WhereError:      "`where` can't be evaluated for it, and so is false",
	NotEligible:     "the user may not take part: `eligible` is false",
	EligibleError:   "`eligible` can't be evaluated, and so is false",
	ValueError:      "`value` can't be evaluated for it, or can't be used",
	AlreadyRewarded: "the user has the reward already",
	LimitReached:    "the user has as many rewards as one user can have",
	OtherDay:        "it happened on a weekday that the streak does not count (`on`)",
	NegativeValue:   "its value is below 0 (G2)",
	Overflow:        "the sum can't hold its value (G2)",
	CountedAgainst:  "it is what the goal forbids, and counted against it (G7, G8)",
	Counted:         "it counted",
	Exhausted:       "the goal was reached, and the budget had nothing left for the reward (O2)",
}

// Reason says the decision to people, with its rule.
func (d Decision) Reason() string { return decisionReasons[d] }
