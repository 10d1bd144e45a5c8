package model

import (
	"fmt"
	"slices"
	"time"
)

// DrawErasures puts erasures between records that users do, in the order of the clock: none, or a few, some of them told again.
func DrawErasures(d Draw, records []Record) []Record {
	all := slices.Clone(records)
	for i := range d.Between(0, 3, "erasures") {
		r := oneOfThese(d, records, "erased behind")
		erased := Record{User: r.User, ID: fmt.Sprintf("x%d", i), Kind: "stampede.erased", Clock: r.Clock.Add(time.Duration(d.Between(0, 2, "hours later")) * time.Hour)}
		erased.At = erased.Clock.Add(-time.Duration(d.Between(0, 50, "hours before")) * time.Hour)
		all = append(all, erased)
		if sometimes(d, "again") {
			erased.Clock = erased.Clock.Add(time.Duration(d.Between(0, 60, "hours until it comes again")) * time.Hour)
			all = append(all, erased)
		}
	}
	slices.SortStableFunc(all, func(a, b Record) int { return a.Clock.Compare(b.Clock) })
	return all
}
