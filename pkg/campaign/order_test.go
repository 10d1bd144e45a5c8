package campaign

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/stampede-rewards/stampede/internal/model"
)

func TestP1StreaksInAnyOrderAndWithDuplicates(t *testing.T) {
	const days = 30
	rapid.Check(t, func(rt *rapid.T) {
		hits := rapid.IntRange(1, 6).Draw(rt, "streak")
		forgive := rapid.IntRange(0, 3).Draw(rt, "forgive")
		always := rapid.Bool().Draw(rt, "always")
		chosen := rapid.SliceOfNDistinct(rapid.IntRange(0, days-1), 0, days, rapid.ID[int]).Draw(rt, "days")
		order := rapid.Permutation(append(slices.Clone(chosen), chosen...)).Draw(rt, "order of arrival, each twice")

		repeat := "once"
		if always {
			repeat = "always"
		}
		s := tell(t, fmt.Sprintf("%slateness: 35 days\nrepeat: %s\ngoal: {streak: %d, of: hit, forgive: %d}\n", head, repeat, hits, forgive))
		arrival := DayOf(2026, 1, 1) + days
		seen, hit := map[int]bool{}, map[int]bool{}
		for _, day := range order {
			at := (DayOf(2026, 1, 1) + Day(day)).String() + "T12:00:00Z"
			d := s.arrives(at, arrival.String()+"T00:00:00Z", fmt.Sprint("day", day))
			if (d == Duplicate) != seen[day] {
				rt.Fatalf("day %d: %s", day, d)
			}
			seen[day], hit[day] = true, true
		}
		want := model.Runs(hit, days-1, hits, forgive)
		if !always {
			want = min(want, 1)
		}
		if len(s.told) != want {
			rt.Fatalf("%d rewards, the model has %d", len(s.told), want)
		}
		for i, cycle := range s.told {
			if cycle != fmt.Sprint(i+1) {
				rt.Fatalf("cycles %v", s.told)
			}
		}
	})
}

func TestDaysAreASet(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var d days
		model := map[Day]bool{}
		for _, day := range rapid.SliceOf(rapid.IntRange(-20, 20)).Draw(rt, "days") {
			d.add(Day(day))
			model[Day(day)] = true
		}
		var got, want []Day
		for i, r := range d {
			if i > 0 && r.first <= d[i-1].last+1 {
				rt.Fatalf("runs touch: %v", d)
			}
			for day := r.first; day <= r.last; day++ {
				got = append(got, day)
			}
		}
		for day := range model {
			want = append(want, day)
		}
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Fatal(diff)
		}
	})
}

func TestT2DayNumbers(t *testing.T) {
	for day := DayOf(1900, 1, 1); day < DayOf(2200, 1, 1); day++ {
		at := time.Unix(int64(day)*secondsPerDay, 0).UTC()
		if got := (int(at.Weekday()) + 6) % 7; got != day.Weekday() {
			t.Fatalf("%s: weekday %d, want %d", day, day.Weekday(), got)
		}
		if c := civilAt(at.UnixNano()-1, 0); c.day != day-1 || c.hour != 23 {
			t.Fatalf("the instant before %s: %+v", day, c)
		}
		if DayOf(day.Date()) != day {
			t.Fatalf("%s does not read back", day)
		}
	}
}
