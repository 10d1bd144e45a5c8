package campaign

import (
	"fmt"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// unit is the length of a civil period (T2); 0 is none: the whole campaign.
type unit uint8

const (
	noUnit unit = iota
	perDay
	perWeek
	perMonth
	perQuarter
	perYear
)

var unitNames = []string{perDay: "day", perWeek: "week", perMonth: "month", perQuarter: "quarter", perYear: "year"}

// period is a civil period's number: neighbours have neighbouring numbers. Of days it is the Day.
type period int64

// mondayBefore is the Monday of the week of 1970-01-01.
const mondayBefore Day = -3

// of returns the period that a date is in.
func (u unit) of(d Day) period {
	switch u {
	case perDay:
		return period(d)
	case perWeek:
		return period(floorDiv(int64(d-mondayBefore), 7))
	case perMonth, perQuarter, perYear:
		year, month, _ := d.Date()
		return period(floorDiv(int64(year)*12+int64(month)-1, u.months()))
	default:
		return 0
	}
}

// first returns a period's first date.
func (u unit) first(p period) Day {
	switch u {
	case perDay:
		return Day(p)
	case perWeek:
		return mondayBefore + Day(7*p)
	case perMonth, perQuarter, perYear:
		month := int64(p) * u.months() // since the beginning of year 0
		year := floorDiv(month, 12)
		return DayOf(int(year), time.Month(month-12*year+1), 1)
	default:
		return 0
	}
}

// months is the length of a period of whole months.
func (u unit) months() int64 {
	switch u {
	case perYear:
		return 12
	case perQuarter:
		return 3
	default:
		return 1
	}
}

// key is how a period is called in a reward's cycle (R1).
func (u unit) key(p period) string {
	d := u.first(p)
	switch u {
	case perDay:
		return d.String()
	case perWeek:
		year, week := d.ISOWeek()
		return fmt.Sprintf("%04d-W%02d", year, week)
	case perMonth:
		return d.String()[:len("2026-03")]
	case perQuarter:
		year, month, _ := d.Date()
		return fmt.Sprintf("%04d-Q%d", year, (int(month)-1)/3+1)
	case perYear:
		return d.String()[:len("2026")]
	default:
		return "1"
	}
}

// readUnit reads a civil period's name.
func readUnit(to *unit) func(*reader, ast.Node) {
	return func(r *reader, n ast.Node) {
		name := unitNames[*to]
		oneOf(&name, unitNames[perDay:]...)(r, n)
		for u := perDay; u <= perYear; u++ {
			if unitNames[u] == name {
				*to = u
			}
		}
	}
}

// perField is the key `per`, of every kind that counts.
func perField(to *unit) field {
	return field{"per", "each civil day, week, month, quarter or year by itself", false, readUnit(to)}
}
