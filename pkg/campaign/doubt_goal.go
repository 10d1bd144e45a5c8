package campaign

import (
	"math"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// refuse notes what no goal can count, and so nobody can mean. It is asked of authors only: see parseStored.
func (c *Campaign) refuse(r *reader) {
	if c.goal == nil {
		return
	}
	for i, l := range c.goal.leaves {
		at := r.leaves[i]
		for _, f := range l.filters {
			for _, t := range f.types {
				if strings.HasPrefix(t, ControlPrefix) {
					r.wrong(at, "`%s` counts for no goal: types that begin with `%s` say something about the user", shown(t), ControlPrefix)
				}
			}
		}
		switch k := l.kind.(type) {
		case *sum:
			refuseValue(r, at, k.filter.value, "a sum adds numbers", "int", "double")
		case *distinct:
			refuseValue(r, at, k.filter.value, "different values are texts, whole numbers, or true and false", "string", "int", "double", "bool")
		case *streak:
			if k.sum {
				refuseValue(r, valueAt(at, "at_least"), k.filter.value, "a sum adds numbers", "int", "double")
			}
		}
	}
}

// refuseValue notes that a value is always of a type that can't be counted.
func refuseValue(r *reader, leaf ast.Node, v *valueExpression, takes string, types ...string) {
	if v == nil || v.gives == "dyn" || slices.Contains(types, v.gives) {
		return
	}
	at := valueAt(leaf, "value")
	if at == nil { // its key is misspelt
		at = leaf
	}
	cure := "write a field, for example event.data.km"
	switch v.gives {
	case "bool":
		cure = "a condition stands in `where`, and `value` is what counts, for example event.data.km"
	case "timestamp", "google.protobuf.Timestamp":
		cure = "write event.date for different days"
	}
	r.wrong(at, "%s, and this is %s: %s", takes, celType(v.gives), cure)
}

// doubtGoal looks at what a leaf can never have.
func (c *Campaign) doubtGoal(r *reader, n ast.Node, l *leaf) {
	switch k := l.kind.(type) {
	case *streak:
		if k.forgive > 0 && slices.Equal(k.hits, []int{1}) {
			r.doubt(n, "a streak of 1 has nothing to forgive: leave `forgive` out, or write the streak that is meant")
		}
		c.doubtPerOfStreak(r, n, k)
	case *distinct:
		c.doubtDistinct(r, n, k, l.per)
	case *sequence:
		k.doubtWithout(r, n)
	}
}

// doubtPerOfStreak wants enough periods for a streak in the goal's `per`, which begins anew with each.
func (c *Campaign) doubtPerOfStreak(r *reader, n ast.Node, k *streak) {
	if c.goal.per == noUnit {
		return
	}
	longest := k.hits[len(k.hits)-1]
	if most := k.mostIn(c.goal.per); most < longest {
		r.doubt(n, "the streak of %s can't be reached: the goal's `per` counts each %s by itself, and there it has %s at most",
			counted(longest, k.unit), unitNames[c.goal.per], counted(most, k.unit))
	}
}

// mostIn is the largest number of a streak's periods that dates of one civil period are in.
func (k *streak) mostIn(per unit) int {
	const calendar = 28*365 + 7 // days after which weekdays and leap years come again
	most, has, in, last := 0, 0, period(math.MinInt64), period(math.MinInt64)
	for first, day := DayOf(2001, 1, 1), Day(0); day < calendar; day++ {
		date := first + day
		if !k.on[date.Weekday()] {
			continue
		}
		p := k.unit.of(date)
		if of := per.of(date); of != in {
			in, has, last = of, 0, period(math.MinInt64)
		}
		if p != last {
			has, last = has+1, p
			most = max(most, has)
		}
	}
	return most
}

// doubtWithout looks for a step between the first and the last that is itself what must not happen there.
func (k *sequence) doubtWithout(r *reader, n ast.Node) {
	if k.without == nil || k.without.where != nil {
		return
	}
	for i := 1; i < len(k.steps)-1; i++ {
		types := k.steps[i].filter.types
		if !slices.ContainsFunc(types, func(t string) bool { return !slices.Contains(k.without.types, t) }) {
			at := valueAt(n, "without")
			if at == nil {
				at = n
			}
			r.doubt(at, "the sequence can't be reached: step %d is %s, which `without` forbids between the first and the last: write a `where` below `without`, or take the type out",
				i+1, someOf(types))
		}
	}
}

// doubtNet wants a close for a net sum, which is what decides it.
func (c *Campaign) doubtNet(r *reader, n ast.Node, k *sum, per unit) {
	if k.net && per == noUnit && c.Ends == math.MaxInt64 {
		r.doubt(n, "a `net` sum counts when the campaign ends, and it never does: write `ends`, or for example `per: month`")
	}
}

// doubtDates wants enough dates for a distinct of dates or weekdays.
func (c *Campaign) doubtDates(r *reader, n ast.Node, k *distinct) {
	if c.Ends == math.MaxInt64 {
		return
	}
	field, number := strings.Join(k.filter.value.path, "."), k.numbers[len(k.numbers)-1]
	days := int(c.dayAt(c.Ends-1)-c.dayAt(c.Starts)) + 1
	if field == "event.date" && number > days || field == "event.weekday" && number <= len(weekdays) && number > days {
		r.doubt(n, "%d different values can't be reached: from `starts` to `ends`, which is not included, there are %s in %s",
			number, counted(days, perDay), c.zone.name)
	}
}
