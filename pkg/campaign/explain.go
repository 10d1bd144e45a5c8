package campaign

import (
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
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
	if c.goal.watches && !e.eligibleNow(l, c, clock) {
		says = append(says, "The user is not eligible at the moment: what must not happen is rewarded where the user is at the end.")
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

// eligibleNow says whether a user is eligible by what is known now. A ledger does not know whose it is: who asks for the name is not judged.
func (e *Engine) eligibleNow(l *Ledger, c *Campaign, clock int64) bool {
	if c.eligible == nil || strings.Contains(c.eligible.source, "user.id") {
		return true
	}
	at := msToNs(clock)
	may, err := c.eligible.eval(e.scope(l, c, &Event{Time: at}, c.zone.at(at)))
	return may && err == nil
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

// sentence begins with a capital. What a text begins with is never an author's word, which is written as it is.
func sentence(s string) string {
	first, size := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(first)) + s[size:] + "."
}

func timeOf(ns int64) string { return time.Unix(0, ns).UTC().Format("2006-01-02 15:04 UTC") }

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// next is the number to reach behind a total: of tiers the first that is not reached; of one number its next multiple where each pays.
func next[N int | int64](total N, numbers []N, always bool) N {
	if len(numbers) == 1 && always {
		return (max(total, 0)/numbers[0] + 1) * numbers[0]
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
	if l.per == noUnit {
		i := slices.IndexFunc(b.cells, func(c cell) bool { return c.leaf == l.index })
		if i < 0 {
			return l.kind.stand(&cell{}, l.judged(b, &cell{}, u))
		}
		return l.kind.stand(&b.cells[i], l.judged(b, &b.cells[i], u))
	}
	now := cell{leaf: l.index, period: l.per.of(u.campaign.zone.at(msToNs(u.clock)).day)}
	newest := &now
	for i := range b.cells { // a period that is closed is no news
		if c := &b.cells[i]; c.leaf == l.index && u.campaign.closes(l.per, c.period) > u.clock {
			newest = c
		}
	}
	return l.per.key(newest.period) + ": " + l.kind.stand(newest, l.judged(b, newest, u))
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

// length tells people how long the window is. An exact time is told in hours: a day that is civil is another one.
func (w *window) length() string {
	if w.days > 0 {
		return plural(w.days, "civil day", "civil days")
	}
	return strings.TrimSuffix(strings.TrimSuffix(w.exact.String(), "0s"), "0m")
}

func (k *count) stand(c *cell, u user) string {
	if k.window.is() {
		t := &countTally{needs: k.numbers[0]}
		return k.window.stand(c, u, &countTally{needs: k.numbers[0]}, t, func() string { return strconv.Itoa(t.has) }, func() int64 { return int64(t.has) },
			plural(k.numbers[0], "event", "events"))
	}
	return fmt.Sprintf("%d of %d events", c.count, next(int(c.count), k.numbers, u.campaign.Always)) //nolint:gosec // a ledger can't hold so many
}

func (k *sum) stand(c *cell, u user) string {
	if k.window.is() {
		t := &sumTally{needs: k.numbers[0]}
		return k.window.stand(c, u, &sumTally{needs: k.numbers[0]}, t, func() string { return decimal(t.has) }, func() int64 { return t.has }, decimal(k.numbers[0]))
	}
	text := fmt.Sprintf("%s of %s", decimal(c.sum), decimal(next(c.sum, k.numbers, u.campaign.Always)))
	if !k.net {
		return text
	}
	if reached(max(c.sum, 0), k.numbers) > 0 {
		text += ", which is enough if nothing takes it away"
	}
	return text + u.decided()
}

// decided tells when what a close decides is decided.
func (u user) decided() string {
	switch {
	case u.closes == never:
		return "; without an end it is never decided"
	case u.closed, u.campaign.goal.per != noUnit: // which is told of the period
		return ""
	}
	return "; it is decided on " + timeOf(msToNs(u.closes))
}

func (k *distinct) stand(c *cell, u user) string {
	if k.window.is() {
		t := &distinctTally{needs: k.numbers[0], has: map[string]int{}}
		return k.window.stand(c, u, &distinctTally{needs: k.numbers[0], has: map[string]int{}}, t, func() string { return strconv.Itoa(len(t.has)) }, func() int64 { return int64(len(t.has)) },
			plural(k.numbers[0], "different value", "different values"))
	}
	return fmt.Sprintf("%d of %d different values", len(c.values), next(len(c.values), k.numbers, u.campaign.Always))
}

func (k *sequence) stand(c *cell, u user) string {
	if final := k.final(c); final != never {
		return fmt.Sprintf("all %d steps are taken; nothing may arrive that matches `without` (%s) and happened between them; it is decided on %s",
			len(k.steps), k.without.wanted(), timeOf(msToNs(final+u.campaign.Late.Milliseconds())))
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
		return "an event of type " + k.filter.wanted() + " has happened, and must not"
	case u.closed:
		return "no " + k.filter.wanted() + " has happened"
	}
	return "no " + k.filter.wanted() + " has happened so far" + u.decided()
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
