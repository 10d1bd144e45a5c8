package campaign

import (
	"math"
	"slices"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// streak is reached by hits on a number of days in a row (G6). A day is a hit when it has a matching event; `forgive`
// days of a run may be missed; days that a change of zone took from the user are no days at all.
type streak struct {
	filtered filter
	hits     int
	forgive  int
}

// maxStreak bounds a streak's length, and what may be forgiven in it.
const maxStreak = 10_000

// leastHours is how much of a date a user must have had for it to be missed (G6).
const leastHours = 12 * time.Hour

func readStreak(r *reader, n ast.Node) goal {
	g := &streak{}
	period := "day"
	r.fields(n, "a `streak` goal", []field{
		{"streak", "how many days in a row", true, wholeNumber(&g.hits, 1, maxStreak)},
		{"period", "what is counted in a row: day", false, oneOf(&period, "day")},
		g.filtered.of(),
		g.filtered.whereField(),
		{"forgive", "how many days of a run may be missed", false, wholeNumber(&g.forgive, 0, maxStreak)},
	})
	return g
}

func (g *streak) filter() *filter { return &g.filtered }

func (g *streak) advance(p *progress, e evidence) { p.days.add(e.day) }

// earned counts the runs that share no day: the one that ends first, then the one that ends first among those that begin
// behind it, and so on. No other choice gives more, as for any intervals.
//
// A run needs g.hits hits within g.hits + g.forgive countable days, so its shortest form is hits in a row, and only days
// between two hits can be missed. at[i] is where a hit stands when countable days alone are numbered; only the hits that
// a run can still begin with are kept.
func (g *streak) earned(p *progress, u user) int {
	runs, at := 0, 0
	var window []int // the last hits not used by a run, the newest last
	previous, begun := Day(0), false
	for _, run := range p.days {
		for day := run.first; day <= run.last; day++ {
			if begun {
				at += 1 + g.missed(previous, day, u)
			}
			previous, begun = day, true
			window = append(window, at)
			if len(window) < g.hits {
				continue
			}
			if first := window[len(window)-g.hits]; at-first+1 <= g.hits+g.forgive {
				runs++
				window = window[:0]
			}
			if len(window) > 2*g.hits {
				window = slices.Delete(window, 0, len(window)-g.hits)
			}
		}
	}
	return runs
}

// missed counts the countable days strictly between two hits. It stops where no run can span them.
func (g *streak) missed(after, before Day, u user) int {
	n := 0
	for day := after + 1; day < before && n <= g.forgive; day++ {
		if !u.neutral(day) {
			n++
		}
	}
	return n
}

// neutral says whether a date can't be missed: the user had less than 12 hours of it, because of a change of zone or because
// it did not exist (G6). The campaign's zone is the user's until one is told.
func (u user) neutral(day Day) bool {
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

func (d *days) add(day Day) {
	i, _ := slices.BinarySearchFunc(*d, day, func(r dayRun, day Day) int {
		switch {
		case r.last < day:
			return -1
		case r.first > day:
			return 1
		}
		return 0
	})
	if i < len(*d) && (*d)[i].first <= day {
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
