package campaign

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// Budget bounds what campaigns issue together (O2): a number of rewards, or money. What would pass it is not issued, not even in part. It is
// immutable.
type Budget struct {
	ID      string        // the campaign's, or SPONSOR/NAME of one that several campaigns of a sponsor share
	Rewards int64         // the most rewards; 0 where it is money
	Amount  Amount        // the most money; without a currency where it is a number of rewards
	Reopen  time.Duration // how long a denied claim waits for a raised budget; 0 is not at all
	Home    int32         // the partition of events that decides its claims: fixed when the budget is first published

	per       unit          // each civil period by itself; noUnit: the whole campaign
	zone      *zone         // where periods are
	dayStarts time.Duration // the campaign's, of a budget that is its own (T2)
}

const (
	// maxReopen bounds how long denied claims are kept.
	maxReopen = 35 * 24 * time.Hour
	// maxBudgetUnits bounds a budget of money, in minor units: what a double holds exactly, for whoever reads it from JSON.
	maxBudgetUnits = 1<<53 - 1
)

// IsMoney says whether the budget is money, and not a number of rewards.
func (b *Budget) IsMoney() bool { return b.Amount.Currency != "" }

// Limit is the most that is issued in a period: rewards, or minor units.
func (b *Budget) Limit() int64 {
	if b.IsMoney() {
		return b.Amount.Units
	}
	return b.Rewards
}

// Per is the name of the civil period that the budget is for, empty where it is for the whole campaign.
func (b *Budget) Per() string { return unitNames[b.per] }

// Show writes a quantity of the budget for people: "25.00 USD", or "3".
func (b *Budget) Show(quantity int64) string {
	if b.IsMoney() {
		return Amount{quantity, b.Amount.Currency}.String()
	}
	return strconv.FormatInt(quantity, 10)
}

// periodAt is the period of a clock, Unix ms.
func (b *Budget) periodAt(clock int64) period {
	offset := b.zone.offsetAt(msToNs(clock)) - int(b.dayStarts/time.Second)
	return b.per.of(civilAt(msToNs(clock), offset).day)
}

// PeriodAt is how the period of a clock (Unix ms) is called: 2026-03, or empty where there are none.
func (b *Budget) PeriodAt(clock int64) string {
	if b.per == noUnit {
		return ""
	}
	return b.per.key(b.periodAt(clock))
}

// takes is what a reward takes of the budget; false where it is of another currency, or no money at all.
func (b *Budget) takes(t *RewardTerms) (quantity int64, ok bool) {
	if !b.IsMoney() {
		return 1, true
	}
	if t.Amount == nil || t.Amount.Currency != b.Amount.Currency {
		return 0, false
	}
	return t.Amount.Units, true
}

// budgetReader reads a budget of a file.
type budgetReader struct {
	budget Budget
	named  bool     // in a sponsor's file: it has a zone of its own
	zoned  bool     // and says it
	amount ast.Node // where it stands; nil where there is none
}

func (b *budgetReader) read(r *reader, n ast.Node) {
	rewards, before := 0, len(r.mistakes)
	own := []field{
		{"rewards", "how many rewards, for example `budget: {rewards: 1000}`", false, wholeNumber(&rewards, 1, math.MaxInt32)},
		{"amount", "how much money, for example `budget: {amount: 50000.00 USD}`", false, b.readAmount},
		{"per", "each civil day, week, month, quarter or year by itself", false, readUnit(&b.budget.per)},
		{"reopen", "how long denied claims wait for a raised budget, for example 14 days", false, duration(&b.budget.Reopen, maxReopen)},
	}
	if b.named {
		b.budget.zone = loadZone("UTC")
		own = append(own, field{"timezone", "where its periods are, for example Europe/Berlin", false, func(r *reader, n ast.Node) {
			b.zoned = true
			zoneField(&b.budget.zone)(r, n)
		}})
	}
	r.fields(n, "a budget", own)
	b.budget.Rewards = int64(rewards)
	if r.schema == nil && len(r.mistakes) == before && (rewards == 0) == (b.amount == nil) {
		r.wrong(n, "a budget is either `rewards` or an `amount`: write one of them, for example `budget: {rewards: 1000}` or `budget: {amount: 50000.00 USD}`")
	}
}

func (b *budgetReader) readAmount(r *reader, n ast.Node) {
	if r.note(anyText) {
		return
	}
	s, _ := scalar(n)
	a, err := ParseAmount(s)
	switch {
	case err != nil:
		r.wrong(n, "%v", err)
	case a.Units == 0:
		r.wrong(n, "a budget of %s issues nothing: write what may be issued", a)
	case a.Units > maxBudgetUnits:
		r.wrong(n, "a budget is at most %s, not %s", Amount{maxBudgetUnits, a.Currency}, a)
	default:
		b.budget.Amount, b.amount = a, n
	}
}

// cantPay says why a campaign's rewards can't be paid out of a budget; empty if they can.
func (c *Campaign) cantPay(b *Budget) string {
	for i := range c.Rewards {
		t := &c.Rewards[i]
		quantity, ok := b.takes(t)
		switch {
		case !ok && t.Amount == nil:
			return fmt.Sprintf("the budget is %s, and the reward `%s` has no `amount`: write one, or a budget of `rewards`", b.Amount, shown(t.Kind))
		case !ok:
			return fmt.Sprintf("the budget is %s, and the reward is %s: write both in one currency", b.Amount, *t.Amount)
		case quantity > b.Limit():
			return fmt.Sprintf("the budget is %s, and the reward is %s: it could never be issued", b.Amount, *t.Amount)
		}
	}
	return ""
}

// append writes the terms as JSON, members in a fixed order. Home is not among them.
func (b *Budget) append(dst []byte) []byte {
	dst = appendJSONString(append(dst, `{"id":`...), b.ID)
	if b.IsMoney() {
		dst = appendMember(append(dst, ','), "units", b.Amount.Units)
		dst = appendJSONString(append(dst, `,"currency":`...), b.Amount.Currency)
	} else {
		dst = appendMember(append(dst, ','), "rewards", b.Rewards)
	}
	if b.per != noUnit {
		dst = appendJSONString(append(dst, `,"per":`...), unitNames[b.per])
	}
	if b.zone.name != "UTC" {
		dst = appendJSONString(append(dst, `,"timezone":`...), b.zone.name)
	}
	if b.dayStarts > 0 {
		dst = appendMember(append(dst, ','), "day_starts_ms", b.dayStarts.Milliseconds())
	}
	if b.Reopen > 0 {
		dst = appendMember(append(dst, ','), "reopen_ms", b.Reopen.Milliseconds())
	}
	return append(dst, '}')
}

// MarshalJSON writes the terms and the home, for a publisher's registry.
func (b *Budget) MarshalJSON() ([]byte, error) {
	dst := b.append(nil)
	return append(appendMember(append(dst[:len(dst)-1], ','), "home", int64(b.Home)), '}'), nil
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (b *Budget) UnmarshalJSON(text []byte) error {
	var d document
	if err := d.parse(text); err != nil {
		return err
	}
	read, err := readBudget(d.root())
	if err != nil {
		return err
	}
	home, ok := wholeOf(d.root().Get("home"))
	if !ok || home < 0 || home > maxPartition {
		return errors.New("a budget's `home` is no partition")
	}
	*b = *read
	b.Home = int32(home)
	return nil
}

// readBudget reads what append wrote.
func readBudget(v Value) (*Budget, error) {
	b := &Budget{ID: strings.Clone(v.Get("id").Text()), zone: loadZone("UTC")}
	rewards, hasRewards := wholeOf(v.Get("rewards"))
	units, hasUnits := wholeOf(v.Get("units"))
	currency := v.Get("currency").Text()
	if b.ID == "" || hasRewards == hasUnits || hasUnits != (currency != "") || rewards < 0 || units < 0 {
		return nil, errors.New("a budget has an id, and either `rewards` or `units` of a `currency`")
	}
	b.Rewards, b.Amount = rewards, Amount{units, strings.Clone(currency)}
	if name := v.Get("per").Text(); name != "" {
		for u := perDay; u <= perYear; u++ {
			if unitNames[u] == name {
				b.per = u
			}
		}
		if b.per == noUnit {
			return nil, errors.New("a budget is for no period of the name " + excerpt(name))
		}
	}
	if name := v.Get("timezone").Text(); name != "" {
		if b.zone = loadZone(name); b.zone == nil {
			return nil, fmt.Errorf("no zone %s in the tz database %s", excerpt(name), ZoneVersion)
		}
	}
	for _, length := range []struct {
		name string
		most time.Duration
		to   *time.Duration
	}{{"reopen_ms", maxReopen, &b.Reopen}, {"day_starts_ms", 24 * time.Hour, &b.dayStarts}} {
		if told := v.Get(length.name); told.Kind() != Absent {
			ms, ok := wholeOf(told)
			if !ok || ms < 0 || ms > length.most.Milliseconds() {
				return nil, fmt.Errorf("a budget's `%s` is no length of time up to %s", length.name, formatDuration(length.most))
			}
			*length.to = time.Duration(ms) * time.Millisecond
		}
	}
	return b, nil
}
