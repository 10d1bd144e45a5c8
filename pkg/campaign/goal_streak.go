package campaign

import (
	"cmp"
	"iter"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// streak is reached by hits on a number of periods in a row (G6). A period is a hit when its evidence reaches `at_least`;
// `forgive` periods of a run may be missed; what a change of zone took from the user, and excused dates, are no periods at all.
type streak struct {
	filter  filter
	hits    []int // rising: tiers
	unit    unit
	least   int64   // events that make a hit, or millionths of a sum
	sum     bool    // what `least` counts
	forgive int     // periods of a run that may be missed
	on      [7]bool // the weekdays that count, from Monday
}

// maxStreak bounds a streak's length, and what may be forgiven in it.
const maxStreak = 10_000

// leastHours is how much of a date a user must have had for it to be missed (G6).
const leastHours = 12 * time.Hour

func readStreak(r *reader, n ast.Node, g *goalReader) part {
	k := &streak{unit: perDay, least: 1, on: [7]bool{true, true, true, true, true, true, true}}
	r.fields(n, "a `streak` goal", r.meant(n, "a `streak` goal", []field{
		{"streak", "how many days (or other periods) in a row", true, tierNumbers(&k.hits, maxStreak)},
		{"period", "what is counted in a row: day, week, month, quarter or year", false, readUnit(&k.unit)},
		k.filter.of(),
		k.filter.whereField(),
		{"at_least", "what makes a period a hit: a number of events, or for example {sum: 30, value: event.data.minutes}", false, k.readLeast},
		{"forgive", "how many periods of a run may be missed", false, wholeNumber(&k.forgive, 0, maxStreak)},
		{"on", "the weekdays that count, for example [mon, tue, wed, thu, fri]", false, k.readOn},
	}))
	g.tiers(r, n, len(k.hits))
	return g.leaf(r, n, noUnit, k)
}

func (k *streak) readLeast(r *reader, n ast.Node) {
	events := 0
	number := wholeNumber(&events, 1, math.MaxInt32)
	if r.schema != nil {
		r.noteDefault(schema{"anyOf": []schema{r.describing(func() { number(r, nil) }), r.describing(func() { k.readLeastSum(r, nil) })}}, k.least)
		return
	}
	if n.Type() == ast.IntegerType {
		number(r, n)
		k.least = int64(events)
		return
	}
	k.readLeastSum(r, n)
}

func (k *streak) readLeastSum(r *reader, n ast.Node) {
	var numbers []int64
	r.fields(n, "`at_least`", r.meant(n, "`at_least`", []field{
		{"sum", "what the values of a period must add up to", true, decimals(&numbers)},
		k.filter.valueField("a number, for example event.data.minutes"),
	}))
	if len(numbers) > 1 {
		r.wrong(n, "`at_least` has one number")
	}
	if len(numbers) > 0 {
		k.least, k.sum = numbers[0], true
	}
}

func (k *streak) readOn(r *reader, n ast.Node) {
	if r.noteDefault(oneOrList(r.wordsSchema(weekdays[:])), weekdays[:]) {
		return
	}
	k.on = [7]bool{}
	var names []string
	words(&names)(r, n)
	for item, name := range names {
		at := n
		if list, ok := n.(*ast.SequenceNode); ok && len(list.Values) == len(names) {
			at = list.Values[item]
		}
		i := slices.Index(weekdays[:], name)
		if i < 0 {
			r.wrong(at, "`%s` is no weekday%s", shown(name), suggestOf(shortDay(name), weekdays[:]))
			continue
		}
		if k.on[i] {
			r.doubt(at, "`%s` stands in `on` twice: take it out, or write the weekday that is meant", name)
		}
		k.on[i] = true
	}
}

// shortDay is a word as weekdays are written here: "monday" is mon.
func shortDay(word string) string {
	const letters = 3
	if strings.HasSuffix(strings.ToLower(word), "day") {
		return word[:min(letters, len(word))]
	}
	return word
}

func (k *streak) filters() []*filter { return []*filter{&k.filter} }

func (k *streak) advance(c *cell, e evidence, _ uint64) Decision {
	if !k.on[e.day.Weekday()] {
		return OtherDay
	}
	p := k.unit.of(e.day)
	amount := int64(1)
	if k.sum {
		amount = e.amount
	}
	if k.sum && amount < 0 {
		return NegativeValue
	}
	if c.days.has(Day(p)) { //nolint:gosec // periods are no more than days
		return Counted // it is a hit already
	}
	c.days = withRoom(e.in.slabs().days, c.days)
	if k.least == 1 && !k.sum {
		c.days.add(Day(p)) //nolint:gosec // the same
		return Counted
	}
	i, found := slices.BinarySearchFunc(c.amounts, p, func(a periodAmount, p period) int { return cmp.Compare(a.period, p) })
	if !found {
		c.amounts = slices.Insert(withRoom(e.in.slabs().amounts, c.amounts), i, periodAmount{period: p})
	}
	a := &c.amounts[i]
	if d := addable(a.amount, amount); d != Counted {
		if !found {
			c.amounts = slices.Delete(c.amounts, i, i+1)
		}
		return d
	}
	if a.amount += amount; a.amount >= k.least {
		c.days.add(Day(p)) //nolint:gosec // the same
		c.amounts = slices.Delete(c.amounts, i, i+1)
	}
	return Counted
}

// settle forgets what closed periods have that are no hits: they never will be. Hits are kept: an excused date can still change what
// they are worth, however old they are.
func (k *streak) settle(c *cell, h horizon) {
	c.amounts = slices.DeleteFunc(c.amounts, func(a periodAmount) bool { return k.unit.first(a.period+1) <= h.firstDay })
}

func (k *streak) final(*cell) int64 { return never }

// periodAmount is what a streak has in a period: events, or a sum's millionths.
type periodAmount struct {
	period period
	amount int64
}

// worth counts the runs that share no period: the one that ends first, then the one that ends first among those that begin
// behind it, and so on. No other choice gives more, as for any intervals. With tiers it is how many of the lengths there is a run of.
func (k *streak) worth(c *cell, u user) int {
	if len(k.hits) == 1 {
		return k.runs(c, u, k.hits[0])
	}
	n := 0
	for n < len(k.hits) && k.runs(c, u, k.hits[n]) > 0 {
		n++
	}
	return n
}

// runs needs so many hits within as many countable periods and those that are forgiven. So a run's shortest form is hits in a
// row, and only periods between two hits can be missed. Only the hits that a run can still begin with are kept.
func (k *streak) runs(c *cell, u user, hits int) int {
	runs := 0
	var window []int // where the last hits stand that are not used by a run, the newest last
	for _, at := range k.hitsIn(c, u) {
		window = append(window, at)
		if len(window) < hits {
			continue
		}
		if first := window[len(window)-hits]; at-first+1 <= hits+k.forgive {
			runs++
			window = window[:0]
		}
		if len(window) > 2*hits {
			window = slices.Delete(window, 0, len(window)-hits)
		}
	}
	return runs
}

// hitsIn visits the hits, each with where it stands when countable periods alone are numbered.
func (k *streak) hitsIn(c *cell, u user) iter.Seq2[period, int] {
	return func(visit func(period, int) bool) {
		at, previous, begun := 0, period(0), false
		for _, run := range c.days {
			for p := period(run.first); p <= period(run.last); p++ {
				if begun {
					at += 1 + k.missed(previous, p, u)
				}
				if previous, begun = p, true; !visit(p, at) {
					return
				}
			}
		}
	}
}

// missed counts the countable periods strictly between two hits. It stops where no run can span them.
func (k *streak) missed(after, before period, u user) int {
	n := 0
	for p := after + 1; p < before && n <= k.forgive; p++ {
		if k.countable(p, u) {
			n++
		}
	}
	return n
}

// countable says whether a period can be missed: a date that counts and is not neutral is in it.
func (k *streak) countable(p period, u user) bool {
	for day, end := k.unit.first(p), k.unit.first(p+1); day < end; day++ {
		if k.on[day.Weekday()] && !u.neutral(day) {
			return true
		}
	}
	return false
}

// neutral says whether a date can't be missed: the user had less than 12 hours of it, because of a change of zone or because
// it did not exist (G6), or because it is excused (C3). The campaign's zone is the user's until one is told.
func (u user) neutral(day Day) bool {
	if _, excused := slices.BinarySearch(u.excused, day); excused {
		return true
	}
	const widest = 72 * time.Hour // no date begins earlier before its midnight in UTC, or ends later after it
	midnight := int64(day) * int64(24*time.Hour)
	from, to := midnight-int64(widest), midnight+int64(widest)
	z := u.campaign.zone
	var had time.Duration
	for _, change := range u.profile.zones {
		if change.at > from {
			had += z.hoursOf(day, from, min(change.at, to), u.campaign.dayStarts)
			from = min(change.at, to)
		}
		z = change.zone
	}
	had += z.hoursOf(day, from, to, u.campaign.dayStarts)
	return had < leastHours
}

// days is a set of days as runs of neighbours, sorted: a year without a gap is one run.
type days []dayRun

type dayRun struct{ first, last Day }

// find returns the run that holds a day, or the place of the first one behind it.
func (d days) find(day Day) (int, bool) {
	return slices.BinarySearchFunc(d, day, func(r dayRun, day Day) int {
		switch {
		case r.last < day:
			return -1
		case r.first > day:
			return 1
		}
		return 0
	})
}

func (d days) has(day Day) bool {
	_, found := d.find(day)
	return found
}

// from are the days that are not before one.
func (d days) from(day Day) days {
	i, _ := d.find(day)
	d = d[i:]
	if len(d) > 0 && d[0].first < day {
		d = slices.Clone(d)
		d[0].first = day
	}
	return d
}

func (d *days) add(day Day) {
	i, found := d.find(day)
	if found {
		return
	}
	joinsLeft := i > 0 && (*d)[i-1].last == day-1
	joinsRight := i < len(*d) && day < math.MaxInt32 && (*d)[i].first == day+1
	switch {
	case joinsLeft && joinsRight:
		(*d)[i-1].last = (*d)[i].last
		*d = slices.Delete(*d, i, i+1)
	case joinsLeft:
		(*d)[i-1].last = day
	case joinsRight:
		(*d)[i].first = day
	default:
		*d = slices.Insert(*d, i, dayRun{day, day})
	}
}
