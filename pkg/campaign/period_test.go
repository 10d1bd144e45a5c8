package campaign

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestR1APeriodIsCalledByItsName(t *testing.T) {
	for _, c := range []struct {
		unit                   unit
		date, key, first, next string
	}{
		{perDay, "2026-03-01", "2026-03-01", "2026-03-01", "2026-03-02"},
		{perWeek, "2026-01-04", "2026-W01", "2025-12-29", "2026-01-05"},
		{perWeek, "2027-01-03", "2026-W53", "2026-12-28", "2027-01-04"},
		{perMonth, "2026-12-31", "2026-12", "2026-12-01", "2027-01-01"},
		{perQuarter, "2026-01-01", "2026-Q1", "2026-01-01", "2026-04-01"},
		{perQuarter, "2026-08-15", "2026-Q3", "2026-07-01", "2026-10-01"},
		{perQuarter, "2026-12-31", "2026-Q4", "2026-10-01", "2027-01-01"},
		{perYear, "2028-02-29", "2028", "2028-01-01", "2029-01-01"},
	} {
		at, err := time.Parse(time.DateOnly, c.date)
		if err != nil {
			t.Fatal(err)
		}
		p := c.unit.of(DayOf(at.Date()))
		key, first, next := c.unit.key(p), c.unit.first(p).String(), c.unit.first(p+1).String()
		if key != c.key || first != c.first || next != c.next {
			t.Errorf("the %s of %s is %s from %s to before %s, wanted %s, %s and %s", unitNames[c.unit], c.date, key, first, next, c.key, c.first, c.next)
		}
	}
}

// Every date is in one period, between its first date and the next one's, before and after 1970.
func TestT2PeriodsPartitionTheCalendar(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := Day(rapid.IntRange(-200_000, 200_000).Draw(t, "day"))
		for u := perDay; u <= perYear; u++ {
			p := u.of(d)
			if first, next := u.first(p), u.first(p+1); d < first || d >= next {
				t.Errorf("%s is not in its %s, which is from %s to before %s", d, unitNames[u], first, next)
			}
			if q := u.of(u.first(p)); q != p {
				t.Errorf("%s number %d begins in number %d", unitNames[u], p, q)
			}
		}
	})
}
