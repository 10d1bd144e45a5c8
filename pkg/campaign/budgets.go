package campaign

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
)

// Budgets are all budgets that a partition has been told of, with what was granted from those whose home it is (O2). Like InForce, it is a
// pure function of the records that were applied, and not for concurrent use.
type Budgets struct {
	byID    map[string]*spending
	forgets int64 // at this clock (Unix ms) the first of the denied claims is forgotten, or later; 0 where none is kept
}

// spending is one budget and what was granted from it.
type spending struct {
	terms   Budget // as the last publish that names it has told them
	period  period // that is counted; never an earlier one than before
	granted int64  // rewards of the period
	units   int64  // money of the period, where the budget is money
	denied  int64  // claims of the period; one that is granted after all is taken off
	first   int64  // clocks of the period's first and last grant, Unix ms; 0 where there is none
	last    int64
	kept    []keptClaim // denied within maxReopen, in case that a raised budget re-opens them: oldest first
	next    uint64      // the number of the next one that is kept
}

// keptClaim is a denied claim that a raised budget may re-open.
type keptClaim struct {
	number uint64
	at     int64 // the clock at which it was denied, Unix ms
	claim  *Claim
}

const (
	// maxKept bounds the denied claims of one budget that are kept: those that were denied first.
	maxKept = 10_000
	// maxBudgets bounds the budgets of a partition.
	maxBudgets = maxCampaigns
)

// What the names of stored values begin with.
const (
	storedBudget = "\xffbudget/" // and the id
	storedDenied = "\xffdenied/" // and the id, a slash and the number of 16 hex digits
)

// IsStoredBudget says whether a stored value's name is of a budget, or of a claim that waits for one.
func IsStoredBudget(name string) bool {
	return strings.HasPrefix(name, storedBudget) || strings.HasPrefix(name, storedDenied)
}

// NewBudgets returns the budgets of a partition that was told of none.
func NewBudgets() *Budgets { return &Budgets{byID: map[string]*spending{}} }

// ControlResult is what a record under ControlKey has led to.
type ControlResult struct {
	Stored  []Stored // what of the partition's state has changed, in order
	Rewards []Reward // that budgets have granted, in the order of issue (O2)
	Answers []Answer // to the users whose claims were decided
}

// refuses says why a budget can't be what a version of a campaign says of it; nil if it can. What is counted can't change: what was granted so
// far was counted by the other.
func (bs *Budgets) refuses(b *Budget) *Rejection {
	s := bs.byID[b.ID]
	switch {
	case s == nil && len(bs.byID) >= maxBudgets:
		return badControl(fmt.Sprintf("%d budgets are known, which is the most that a partition keeps", maxBudgets))
	case s == nil:
		return nil
	case s.terms.Home != b.Home:
		return badControl(fmt.Sprintf("claims of budget `%s` are decided in partition %d of events, and this publish would have them decided in partition %d: "+
			"the registry has lost what it knew. Publish the campaign with a budget of another name", b.ID, s.terms.Home, b.Home))
	case s.terms.per != b.per:
		return badControl(fmt.Sprintf("budget `%s` is for %s, and this version would make it one for %s: what was granted so far can't be told apart by it. "+
			"Keep `per`, or give the budget (where it is the campaign's own, the campaign) another name", b.ID, s.terms.span(), b.span()))
	case s.terms.Amount.Currency != b.Amount.Currency:
		return badControl(fmt.Sprintf("budget `%s` is counted in %s, and this version would count it in %s: what was granted so far can't be compared with it. "+
			"Keep what it was, or give the budget (where it is the campaign's own, the campaign) another name", b.ID, s.terms.counted(), b.counted()))
	}
	return nil
}

// span tells people what a budget is for.
func (b *Budget) span() string {
	if b.per == noUnit {
		return "all time"
	}
	return "each " + b.Per()
}

// counted tells people what a budget counts.
func (b *Budget) counted() string {
	if b.IsMoney() {
		return b.Amount.Currency
	}
	return "rewards"
}

// tell takes what a publish says of a budget; refuses has nothing against it. raised says that more may be granted than before.
func (bs *Budgets) tell(b Budget) (stored []Stored, raised bool) {
	s := bs.byID[b.ID]
	if s == nil {
		s = &spending{}
		bs.byID[b.ID] = s
	} else if s.terms == b {
		return nil, false
	}
	raised = s.terms.ID != "" && b.Limit() > s.terms.Limit()
	s.terms = b
	return []Stored{s.stored()}, raised
}

// room says whether a reward still fits the period's budget, and what it takes of it.
func (s *spending) room(r *Reward) (quantity int64, fits bool) {
	quantity, ok := s.terms.takes(r.Terms)
	if !ok {
		return 0, false
	}
	if s.terms.IsMoney() {
		return quantity, quantity <= s.terms.Limit()-s.units
	}
	return quantity, s.granted < s.terms.Limit()
}

// enter moves to the period of a clock, if that is a later one: what was counted before is forgotten (Unix ms).
func (s *spending) enter(clock int64) {
	if p := s.terms.periodAt(clock); p > s.period {
		s.period, s.granted, s.units, s.denied, s.first, s.last = p, 0, 0, 0, 0, 0
	}
}

// grant issues a claim's reward, if it fits.
func (s *spending) grant(cl *Claim, clock int64) (Reward, bool) {
	quantity, fits := s.room(&cl.Reward)
	if !fits {
		return Reward{}, false
	}
	s.granted++
	if s.terms.IsMoney() {
		s.units += quantity
	}
	if s.first == 0 {
		s.first = clock
	}
	s.last = clock
	r := cl.Reward
	r.IssuedAt = clock
	return r, true
}

// Decide grants a claim or denies it, by the clock (Unix ms) of the claim's record. The rejection is of a claim that is not decided here.
func (bs *Budgets) Decide(cl *Claim, clock int64) (ControlResult, *Rejection) {
	var d ControlResult
	s := bs.byID[cl.Budget]
	switch {
	case s == nil:
		return d, badControl("no campaign with the budget " + excerpt(cl.Budget) + " was published to this partition")
	case s.terms.Home != cl.Home:
		return d, badControl(fmt.Sprintf("claims of budget `%s` are decided in partition %d of events, and this one was sent to partition %d", cl.Budget, s.terms.Home, cl.Home))
	}
	s.enter(clock)
	r, granted := s.grant(cl, clock)
	if granted {
		d.Rewards = append(d.Rewards, r)
	} else {
		s.denied++
		if len(s.kept) < maxKept {
			s.kept = append(s.kept, keptClaim{s.next, clock, cl})
			s.next++
			d.Stored = append(d.Stored, s.storedKept(&s.kept[len(s.kept)-1]))
			bs.keeps(s)
		}
	}
	d.Answers = append(d.Answers, cl.answer(granted, false, clock))
	d.Stored = append(d.Stored, s.stored())
	return d, nil
}

// reopen grants what fits of the denied claims that the raised budget re-opens, oldest first.
func (bs *Budgets) reopen(id string, clock int64) ControlResult {
	var d ControlResult
	s := bs.byID[id]
	s.enter(clock)
	var rest []keptClaim
	for i := range s.kept {
		k := &s.kept[i]
		if !s.terms.reopens(k.at, clock) {
			rest = append(rest, *k)
			continue
		}
		r, granted := s.grant(k.claim, clock)
		if !granted {
			rest = append(rest, *k)
			continue
		}
		if s.terms.periodAt(k.at) == s.period { // else it was counted in one that is over
			s.denied -= min(s.denied, 1)
		}
		d.Rewards = append(d.Rewards, r)
		d.Answers = append(d.Answers, k.claim.answer(true, true, clock))
		d.Stored = append(d.Stored, Stored{s.keptName(k), nil})
	}
	s.kept = rest
	d.Stored = append(d.Stored, s.stored())
	return d
}

// reopens says whether a raised budget re-opens what was denied at a clock (both Unix ms).
func (b *Budget) reopens(denied, clock int64) bool {
	return b.Reopen > 0 && clock <= denied+b.Reopen.Milliseconds()
}

// forgotten is the clock (Unix ms) at which no version could re-open the claim any more.
func (k *keptClaim) forgotten() int64 { return k.at + maxReopen.Milliseconds() + 1 }

// forget drops the denied claims that no version could re-open any more by a clock (Unix ms), also of budgets that nobody claims from.
func (bs *Budgets) forget(clock int64) (changed []Stored) {
	if bs.forgets == 0 || clock < bs.forgets {
		return nil
	}
	bs.forgets = 0
	for _, id := range slices.Sorted(maps.Keys(bs.byID)) {
		s := bs.byID[id]
		old := 0
		for old < len(s.kept) && s.kept[old].forgotten() <= clock {
			changed = append(changed, Stored{s.keptName(&s.kept[old]), nil})
			old++
		}
		s.kept = s.kept[old:]
		bs.keeps(s)
	}
	return changed
}

// keeps notes when the first claim that a budget keeps is forgotten.
func (bs *Budgets) keeps(s *spending) {
	if len(s.kept) == 0 {
		return
	}
	if at := s.kept[0].forgotten(); bs.forgets == 0 || at < bs.forgets {
		bs.forgets = at
	}
}

// homes are the partitions that decide claims.
func (bs *Budgets) homes() []int32 {
	homes := make([]int32, 0, len(bs.byID))
	for _, s := range bs.byID {
		homes = append(homes, s.terms.Home)
	}
	slices.Sort(homes)
	return slices.Compact(homes)
}

// stored is what is kept of a budget, but for its denied claims.
func (s *spending) stored() Stored {
	v := appendMember([]byte{'{'}, "form", storedForm)
	v = s.terms.append(append(v, `,"budget":`...))
	for _, n := range s.numbers() {
		if *n.to != 0 {
			v = appendMember(append(v, ','), n.name, *n.to)
		}
	}
	v = appendMember(append(v, ','), "home", int64(s.terms.Home))
	v = appendMember(append(v, ','), "next", int64(s.next)) //nolint:gosec // a claim each
	return Stored{storedBudget + s.terms.ID, append(v, '}')}
}

type spendingNumber struct {
	name string
	to   *int64
}

func (s *spending) numbers() []spendingNumber {
	return []spendingNumber{
		{"period", (*int64)(&s.period)},
		{"granted", &s.granted},
		{"granted_units", &s.units},
		{"denied", &s.denied},
		{"first", &s.first},
		{"last", &s.last},
	}
}

const keptDigits = 16

func (s *spending) keptName(k *keptClaim) string {
	return fmt.Sprintf("%s%s/%0*x", storedDenied, s.terms.ID, keptDigits, k.number)
}

func (s *spending) storedKept(k *keptClaim) Stored {
	v := appendMember([]byte{'{'}, "form", storedForm)
	v = appendMember(append(v, ','), "at", k.at)
	return Stored{s.keptName(k), append(k.claim.append(append(v, `,"claim":`...)), '}')}
}

// all is all that is to be stored, by name.
func (bs *Budgets) all() []Stored {
	var all []Stored
	for _, id := range slices.Sorted(maps.Keys(bs.byID)) {
		all = append(all, bs.byID[id].stored())
	}
	for _, id := range slices.Sorted(maps.Keys(bs.byID)) {
		s := bs.byID[id]
		for i := range s.kept {
			all = append(all, s.storedKept(&s.kept[i]))
		}
	}
	return all
}

// spendingOf is a budget that is being restored: its denied claims may come before it.
func (bs *Budgets) spendingOf(id string) *spending {
	s := bs.byID[id]
	if s == nil {
		s = &spending{}
		bs.byID[id] = s
	}
	return s
}

// restoreBudget takes a stored budget.
func (bs *Budgets) restoreBudget(id string, v Value) error {
	terms, err := readBudget(v.Get("budget"))
	if err != nil {
		return err
	}
	if terms.ID != id {
		return fmt.Errorf("it is of budget `%s`", terms.ID)
	}
	home, ok := wholeOf(v.Get("home"))
	next, ok2 := wholeOf(v.Get("next"))
	if !ok || !ok2 || home < 0 || home > maxPartition || next < 0 {
		return errors.New("`home` or `next` is no number")
	}
	terms.Home = int32(home)
	s := bs.spendingOf(id)
	s.terms, s.next = *terms, uint64(next)
	for _, n := range s.numbers() {
		if at := v.Get(n.name); at.Kind() != Absent {
			if *n.to, ok = wholeOf(at); !ok || *n.to < 0 {
				return fmt.Errorf("`%s` is no number", n.name)
			}
		}
	}
	return nil
}

// restoreDenied takes a stored denied claim, in whatever order.
func (bs *Budgets) restoreDenied(name string, v Value) error {
	cut := strings.LastIndexByte(name, '/')
	if cut < 0 || len(name)-cut-1 != keptDigits {
		return errors.New("it names no denied claim")
	}
	n, err := strconv.ParseUint(name[cut+1:], 16, 64)
	if err != nil {
		return err
	}
	at, ok := wholeOf(v.Get("at"))
	if !ok {
		return errors.New("`at` is no clock")
	}
	claim, err := readClaim(v.Get("claim"))
	if err != nil {
		return err
	}
	s := bs.spendingOf(name[:cut])
	i, _ := slices.BinarySearchFunc(s.kept, n, func(k keptClaim, n uint64) int { return cmp.Compare(k.number, n) })
	s.kept = slices.Insert(s.kept, i, keptClaim{n, at, claim})
	bs.keeps(s)
	return nil
}

// BudgetStanding is where a budget stands.
type BudgetStanding struct {
	Budget
	Period  string // that is counted: 2026-03; empty where there are none
	Granted int64  // rewards
	Spent   int64  // in what the budget counts: rewards, or minor units
	Denied  int64  // claims
	Waiting int    // denied claims that a raised budget would re-open
	First   int64  // clocks of the first and last grant, Unix ms; 0 where there was none
	Last    int64

	kept []keptClaim
}

// Left is what can still be granted.
func (b *BudgetStanding) Left() int64 { return max(0, b.Limit()-b.Spent) }

// At is the standing by a clock (Unix ms), at which another period may have begun in which nothing was claimed yet.
func (b BudgetStanding) At(clock int64) BudgetStanding {
	b.Waiting = len(b.kept) - sort.Search(len(b.kept), func(i int) bool { return b.reopens(b.kept[i].at, clock) }) // asked in each cycle; the oldest come first
	if b.per != noUnit && b.PeriodAt(clock) > b.Period {
		b.Period, b.Granted, b.Spent, b.Denied, b.First, b.Last = b.PeriodAt(clock), 0, 0, 0, 0, 0
	}
	return b
}

// Rate is what was granted an hour since the period's first grant, by a clock (Unix ms); 0 where there was none.
func (b *BudgetStanding) Rate(clock int64) float64 {
	if b.First == 0 || clock <= b.First {
		return 0
	}
	return float64(b.Spent) / time.Duration((clock-b.First)*int64(time.Millisecond)).Hours()
}

// RunsOut is the clock at which nothing is left at that rate, Unix ms. It is not ok where that does not come, or not in this period.
func (b *BudgetStanding) RunsOut(clock int64) (at int64, ok bool) {
	rate := b.Rate(clock)
	if rate == 0 {
		return 0, false
	}
	hours := float64(b.Left()) / rate
	const most = 1e6 // a century
	if hours > most {
		return 0, false
	}
	at = clock + int64(hours*float64(time.Hour/time.Millisecond))
	return at, b.per == noUnit || msToNs(at) < b.zone.startOf(b.per.first(b.periodAt(clock)+1))+int64(b.dayStarts)
}

// Standings are the budgets that were told of, by id, as of the last claim of each: see At.
func (bs *Budgets) Standings() []BudgetStanding {
	all := make([]BudgetStanding, 0, len(bs.byID))
	for _, id := range slices.Sorted(maps.Keys(bs.byID)) {
		all = append(all, bs.byID[id].standing())
	}
	return all
}

func (s *spending) standing() BudgetStanding {
	b := BudgetStanding{Budget: s.terms, Granted: s.granted, Spent: s.granted, Denied: s.denied, First: s.first, Last: s.last, kept: s.kept}
	if s.terms.IsMoney() {
		b.Spent = s.units
	}
	if s.terms.per != noUnit {
		b.Period = s.terms.per.key(s.period)
	}
	return b
}
