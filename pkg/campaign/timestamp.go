package campaign

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// zoneOffset is what a timestamp says of where it was written: seconds east of UTC, or nothing (rule T1).
type zoneOffset struct {
	east int
	told bool
}

// seconds returns the offset, and whether there is one.
func (o zoneOffset) seconds() (east int, told bool) { return o.east, o.told }

// The offsets that places have had: what is outside counts as absent (T1).
const (
	leastOffset = -12 * secondsPerHour
	mostOffset  = 14 * secondsPerHour
)

var errTime = errors.New("no RFC 3339 time, for example 2026-03-01T09:30:00+01:00")

// The years of which every instant can be kept as Unix ns.
const (
	firstYear = 1678
	lastYear  = 2261
)

// parseTime reads an RFC 3339 timestamp as Unix ns; digits beyond ns are cut off. A leap second (:60) is refused: it has no
// place of its own on the Unix time line, so two instants would become one. Years outside 1678 to 2261 do not fit.
func parseTime(s string) (ns int64, offset zoneOffset, err error) {
	if len(s) < len("2006-01-02T15:04:05Z") || s[4] != '-' || s[7] != '-' || s[10]|0x20 != 't' || s[13] != ':' || s[16] != ':' {
		return 0, zoneOffset{}, errTime
	}
	year, month, day := digits(s[0:4]), digits(s[5:7]), digits(s[8:10])
	hour, minute, second := digits(s[11:13]), digits(s[14:16]), digits(s[17:19])
	if year < 0 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) ||
		hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59 {
		return 0, zoneOffset{}, errTime
	}
	rest := s[19:]
	fraction := 0
	if rest[0] == '.' {
		n := 1
		for unit := 100_000_000; n < len(rest) && rest[n] >= '0' && rest[n] <= '9'; n++ {
			fraction += unit * int(rest[n]-'0')
			unit /= 10
		}
		if n == 1 {
			return 0, zoneOffset{}, errTime
		}
		rest = rest[n:]
	}
	east := 0
	switch {
	case rest == "Z" || rest == "z":
	case len(rest) == len("+00:00") && (rest[0] == '+' || rest[0] == '-') && rest[3] == ':':
		h, m := digits(rest[1:3]), digits(rest[4:6])
		if h < 0 || h > 23 || m < 0 || m > 59 {
			return 0, zoneOffset{}, errTime
		}
		east = h*secondsPerHour + m*60
		negative := rest[0] == '-'
		told := !negative || east != 0
		if negative {
			east = -east
		}
		if told && east >= leastOffset && east <= mostOffset {
			offset = zoneOffset{east, true}
		}
	default:
		return 0, zoneOffset{}, errTime
	}
	if year < firstYear || year > lastYear {
		return 0, zoneOffset{}, fmt.Errorf("the year %d: only %d to %d can be kept", year, firstYear, lastYear)
	}
	seconds := int64(DayOf(year, time.Month(month), day))*secondsPerDay + int64(hour*secondsPerHour+minute*60+second-east)
	return seconds*int64(time.Second) + int64(fraction), offset, nil
}

// digits reads an all-digit text, or returns a number that no field allows.
func digits(s string) int {
	n := 0
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return math.MinInt32
		}
		n = 10*n + int(s[i]-'0')
	}
	return n
}

func daysIn(year, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// formatTime writes Unix ns as RFC 3339 in UTC, with as many digits of a fraction as it takes.
func formatTime(dst []byte, ns int64) []byte {
	return time.Unix(0, ns).UTC().AppendFormat(dst, time.RFC3339Nano)
}
