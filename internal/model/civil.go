package model

import (
	"fmt"
	"strings"
	"time"
)

// date is a civil date of the model, as a time in UTC.
func date(day int) time.Time { return time.Unix(int64(day)*86400, 0).UTC() }

// DayOf is the number of the date that an instant has in its own location.
func DayOf(t time.Time) int {
	y, m, d := t.Date()
	return int(time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() / 86400)
}

func weekday(day int) string { return strings.ToLower(date(day).Weekday().String()[:3]) }

// periodOf is a number for a date's period, one more than that of the period before; "" is the whole campaign.
func periodOf(per string, day int) int {
	first := date(day)
	switch per {
	case "day":
		return day
	case "week":
		monday := day
		for weekday(monday) != "mon" {
			monday--
		}
		return (monday + 3) / 7
	case "month":
		return first.Year()*12 + int(first.Month()) - 1
	case "quarter":
		return first.Year()*4 + (int(first.Month())-1)/3
	case "year":
		return first.Year()
	}
	return 0
}

// firstDay is the first date of a period.
func firstDay(per string, period int) int {
	of := func(year, month int) int {
		return DayOf(time.Date(year, time.Month(month), 1, 0, 0, 0, 0, time.UTC))
	}
	switch per {
	case "day":
		return period
	case "week":
		return 7*period - 3
	case "month":
		return of(period/12, period%12+1)
	case "quarter":
		return of(period/4, period%4*3+1)
	}
	return of(period, 1)
}

func periodKey(per string, period int) string {
	first := date(firstDay(per, period))
	switch per {
	case "day":
		return first.Format("2006-01-02")
	case "week":
		year, week := first.ISOWeek()
		return fmt.Sprintf("%d-W%02d", year, week)
	case "month":
		return first.Format("2006-01")
	case "quarter":
		return fmt.Sprintf("%d-Q%d", period/4, period%4+1)
	}
	return first.Format("2006")
}
