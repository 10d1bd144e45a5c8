package campaign

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// A doubt is a warning of what is right and surely not meant (L4). A warning that is wrong makes authors blind to those that are right: what
// somebody could want is not doubted.

// doubt looks at a campaign in which there is no mistake; n is its file.
func (c *Campaign) doubt(r *reader, n ast.Node) {
	for _, cond := range r.conditions {
		r.doubtCondition(cond, c.domainsFor(cond.predicate, valueAt(n, "parameters") != nil))
	}
	if at := valueAt(n, "lateness"); at != nil && c.Late == 0 {
		r.doubt(at, "with a lateness of 0h an event counts only if it arrives in the moment in which it happens: leave the line out for %s", formatDuration(defaultLateness))
	}
	if at := valueAt(n, "limits", "per_user"); at != nil && !c.Always {
		c.doubtLimit(r, at)
	}
	if list, ok := valueAt(n, "reward").(*ast.SequenceNode); ok {
		c.doubtTiers(r, list.Values)
	}
	for i, l := range c.goal.leaves {
		c.doubtGoal(r, r.leaves[i], l)
	}
	if valueAt(n, "parameters") == nil { // of a dish, who orders it chooses the dates and the numbers: see ordered
		c.doubtTime(r, func(leaf int) ast.Node { return r.leaves[leaf] })
	}
}

// valueAt finds what stands under a path of keys; nil where nothing does.
func valueAt(n ast.Node, path ...string) ast.Node {
	for _, key := range path {
		var pairs []*ast.MappingValueNode
		switch m := n.(type) {
		case *ast.MappingNode:
			pairs = m.Values
		case *ast.MappingValueNode:
			pairs = []*ast.MappingValueNode{m}
		}
		i := slices.IndexFunc(pairs, func(p *ast.MappingValueNode) bool { return keyOf(p) == key })
		if i < 0 {
			return nil
		}
		n = pairs[i].Value
	}
	return n
}

// domainsFor is what fields can be for a condition of the campaign. Of a dish, who orders it chooses the dates.
func (c *Campaign) domainsFor(p *predicate, dish bool) (d domains) {
	if !dish {
		d.first, d.last = c.earliestDay(c.Starts).String(), lastDate
		if c.Ends != math.MaxInt64 {
			d.last = civilAt(c.Ends-1, int((furthestEast-c.dayStarts)/time.Second)).day.String()
		}
	}
	var all []string
	for _, l := range c.goal.leaves {
		for _, f := range l.filters {
			if f.where != p {
				all = append(all, f.types...)
				continue
			}
			d.types = f.types
			if k, ok := l.kind.(*streak); ok && slices.Contains(k.on[:], false) {
				for i, counts := range k.on {
					if counts {
						d.weekdays = append(d.weekdays, weekdays[i])
					}
				}
			}
			return d
		}
	}
	d.types = all
	return d
}

// furthestEast is how far ahead of UTC the first place is in which a date begins.
const furthestEast = 14 * time.Hour

// lastDate is behind all dates.
const lastDate = "9999-12-31"

// doubtLimit compares the limit with what a goal that is reached once can give.
func (c *Campaign) doubtLimit(r *reader, n ast.Node) {
	switch tiers := c.goal.tiers; {
	case tiers == 1 && c.PerUser > 1:
		r.doubt(n, "a user has one reward at most, and the limit does nothing: write `repeat: always`, or leave `limits` out")
	case c.PerUser > tiers:
		r.doubt(n, "a user has %d rewards at most, and the limit does nothing: leave `limits` out", tiers)
	case c.PerUser < tiers:
		r.doubt(n, "the goal has %d rewards, and this limit never lets a user have the last: leave `limits` out", tiers)
	}
}

// doubtTiers looks for the same reward twice. Of what can be added up, money and points, the same again can be meant.
func (c *Campaign) doubtTiers(r *reader, items []ast.Node) {
	for i := 1; i < len(c.Rewards); i++ {
		a, b := &c.Rewards[i-1], &c.Rewards[i]
		if a.Amount == nil && b.Amount == nil && a.Kind == b.Kind && string(a.Attributes) == string(b.Attributes) && !hasNumber(b.Attributes) {
			r.doubt(items[i], "this is the reward of the number before, too: write what a user gets for reaching more")
		}
	}
}

// hasNumber says whether a number can be among attributes.
func hasNumber(attributes json.RawMessage) bool {
	var values map[string]any
	_ = json.Unmarshal(attributes, &values) // nil where there are none
	for _, v := range values {
		switch v.(type) {
		case string, bool, nil:
		default:
			return true
		}
	}
	return false
}

// doubtDistinct looks for more different values than there are.
func (c *Campaign) doubtDistinct(r *reader, n ast.Node, k *distinct, per unit) {
	if c.goal.per != noUnit {
		per = c.goal.per
	}
	field := strings.Join(k.filter.value.path, ".")
	most, in := 0, ""
	switch field {
	case "event.weekday":
		most = len(weekdays)
	case "event.hour":
		most = hoursOfDay
	case "event.type":
		most = len(different(k.filter.types))
	case "user.id":
		most = 1
	case "event.date":
		switch {
		case per != noUnit:
			most, in = map[unit]int{perDay: 1, perWeek: 7, perMonth: 31, perQuarter: 92, perYear: 366}[per], " in a "+unitNames[per]
		case k.window.days > 0:
			most, in = k.window.days, " in "+counted(k.window.days, perDay)
		}
	}
	if k.filter.value.gives == "bool" {
		most, field = 2, k.filter.value.source //nolint:mnd // true and false
	}
	if number := k.numbers[len(k.numbers)-1]; most > 0 && number > most {
		r.doubt(n, "%d different values can't be reached: `%s` has %d at most%s", number, shown(field), most, in)
	}
}

func different(words []string) []string { return slices.Compact(slices.Sorted(slices.Values(words))) }

// counted is a number of periods.
func counted(n int, u unit) string { return plural(n, unitNames[u], unitNames[u]+"s") }

// dayAt is the date of an instant (Unix ns) in the campaign's zone.
func (c *Campaign) dayAt(ns int64) Day { return c.zone.at(ns - int64(c.dayStarts)).day }

// begins is when a date begins in the campaign's zone, Unix ns.
func (c *Campaign) begins(d Day) int64 { return c.zone.startOf(d) + int64(c.dayStarts) }

// doubtTime looks at what `starts` and `ends` leave of the goal, for a user in the campaign's zone. at is where a leaf stands.
func (c *Campaign) doubtTime(r *reader, at func(leaf int) ast.Node) {
	for i, l := range c.goal.leaves {
		switch k := l.kind.(type) {
		case *streak:
			if c.Ends != math.MaxInt64 {
				c.doubtStreak(r, at(i), k)
			}
		case *sum:
			c.doubtNet(r, at(i), k, max(l.per, c.goal.per))
		case *distinct:
			c.doubtDates(r, at(i), k)
		case *none:
			if c.goal.allTakePart() && c.goal.per != noUnit {
				c.doubtPeriods(r, at(i), c.goal.per)
			}
		}
	}
}

// doubtStreak wants enough periods for a streak's hits. What is forgiven adds none: it takes as many hits.
func (c *Campaign) doubtStreak(r *reader, n ast.Node, k *streak) {
	longest, periods, last := k.hits[len(k.hits)-1], 0, period(math.MinInt64)
	for day, end := c.dayAt(c.Starts), c.dayAt(c.Ends-1); day <= end && periods < longest; day++ {
		if p := k.unit.of(day); k.on[day.Weekday()] && p != last {
			periods, last = periods+1, p
		}
	}
	if periods >= longest {
		return
	}
	there, which := "there are only "+counted(periods, k.unit), ""
	switch periods {
	case 0:
		there = "there is no " + unitNames[k.unit]
	case 1:
		there = "there is only " + counted(1, k.unit)
	}
	if slices.Contains(k.on[:], false) {
		which = " with a weekday of `on`"
	}
	r.doubt(n, "the streak of %s can't be reached: from `starts` to `ends`, which is not included, %s%s in %s",
		counted(longest, k.unit), there, which, c.zone.name)
}

// doubtPeriods wants whole periods where nothing must happen: of a cut one, a few days without an event are rewarded like all of it. The first and
// the last one are those of the calendar in which the campaign starts and ends (G8); the hours of the night before, where days begin late, cut nothing.
func (c *Campaign) doubtPeriods(r *reader, n ast.Node, u unit) {
	first := c.firstPeriod()
	if c.begins(u.first(first)) < c.Starts {
		r.doubt(n, "the first %s, %s, begins before `starts`, and the rest of it is rewarded like a whole one: let the campaign start when one begins, for example on %s",
			unitNames[u], u.key(first), u.first(first+1))
	}
	if c.Ends == math.MaxInt64 {
		return
	}
	if last := c.lastPeriod(); last > first && c.zone.startOf(u.first(last+1)) > c.Ends {
		r.doubt(n, "`ends` cuts the last %s, %s, short, and what there is of it is rewarded like a whole one: let the campaign end with it, on %s",
			unitNames[u], u.key(last), u.first(last+1))
	}
}
