package campaign

import "time"

const (
	secondsPerHour = 3600
	secondsPerDay  = 24 * secondsPerHour
)

// Day is a civil-day number: days since 1970-01-01 in the proleptic Gregorian calendar, whatever the zone (rule T2).
// A streak counts days by these numbers, never by stretches of 86,400 seconds.
type Day int32

// DayOf returns the day's number of a civil date.
func DayOf(year int, month time.Month, day int) Day {
	return Day(time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Unix() / secondsPerDay)
}

// Date returns the civil date of d.
func (d Day) Date() (year int, month time.Month, day int) { return d.midnight().Date() }

// String returns the ISO 8601 date, as in event.date and in a cycle's key: "2026-03-01".
func (d Day) String() string { return d.midnight().Format(time.DateOnly) }

// Weekday returns 0 for Monday to 6 for Sunday.
func (d Day) Weekday() int {
	const epoch = 3 // 1970-01-01 was a Thursday
	return int((int64(d)%7 + 7 + epoch) % 7)
}

// ISOWeek returns the ISO 8601 week and the year that the week belongs to: 2024-12-30 is in week 1 of 2025 (V2).
func (d Day) ISOWeek() (year, week int) { return d.midnight().ISOWeek() }

// midnight is the instant at which d begins in UTC.
func (d Day) midnight() time.Time { return time.Unix(int64(d)*secondsPerDay, 0).UTC() }

// civil is a local wall clock reading: the date and the hour of an instant where the user was.
type civil struct {
	day  Day
	hour int
}

// civilAt reads the wall clock at an instant (Unix ns) where local time is offset seconds east of UTC.
func civilAt(ns int64, offset int) civil {
	local := floorDiv(ns, int64(time.Second)) + int64(offset)
	day := floorDiv(local, secondsPerDay)
	return civil{day: Day(day), hour: int(local-day*secondsPerDay) / secondsPerHour}
}

// floorDiv divides rounding down, so that instants before 1970 fall on the day that they belong to.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
