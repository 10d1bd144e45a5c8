package partner

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// world is all tables of a kind that are small enough to look at each.
type world struct {
	name string
	// places are where a user can be: the cells that have it, each CAMPAIGN/OUTCOME.
	places [][]string
	users  int // at most, in all places together
}

// alone are users who are in one cell.
func alone(cells ...string) (places [][]string) {
	for _, c := range cells {
		places = append(places, []string{c})
	}
	return places
}

// together are users who are in any of the cells, in several ones, too.
func together(cells ...string) (places [][]string) {
	for set := 1; set < 1<<len(cells); set++ {
		var place []string
		for i, c := range cells {
			if set>>i&1 == 1 {
				place = append(place, c)
			}
		}
		places = append(places, place)
	}
	return places
}

// each visits every table: how many users are at each place.
func (w world) each(visit func(table []int)) {
	table := make([]int, len(w.places))
	var fill func(at, left int)
	fill = func(at, left int) {
		if at == len(table) {
			visit(table)
			return
		}
		for n := 0; n <= left; n++ {
			table[at] = n
			fill(at+1, left-n)
		}
	}
	fill(0, w.users)
}

// outcomes are a table's: one of each user in each cell.
func (w world) outcomes(table []int) (all []Outcome) {
	for at, n := range table {
		for i := range n {
			for _, c := range w.places[at] {
				campaign, kind, _ := strings.Cut(c, "/")
				all = append(all, Outcome{Pseudonym: fmt.Sprint(at, "-", i), KeyID: "k1", Campaign: campaign, Kind: kind, Date: "2026-03-01"})
			}
		}
	}
	return all
}

// hiding is a table: what its report hides, by the row, and how many outcomes it tells.
type hiding struct {
	users    map[string]int
	outcomes int
}

// Whoever knows the program and its least number tries every table, and keeps those that have the very report that is before him. In these a hidden
// cell must have as many different numbers as the least. A user can have several outcomes of a cell; so of tables with the same users those can be, too,
// that have fewer of them in several cells.
func TestAHiddenCellCanHaveManyNumbers(t *testing.T) {
	for _, w := range []world{
		{"two campaigns", alone("a/x", "b/x"), 20},
		{"three campaigns", alone("a/x", "b/x", "c/x"), 18},
		{"four campaigns", alone("a/x", "b/x", "c/x", "d/x"), 14},
		{"five campaigns", alone("a/x", "b/x", "c/x", "d/x", "e/x"), 11},
		{"two campaigns, two outcomes", alone("a/x", "a/y", "b/x", "b/y"), 14},
		{"users of two campaigns", together("a/x", "b/x"), 12},
		{"users of three campaigns", together("a/x", "b/x", "c/x"), 7},
	} {
		for _, least := range []int{2, 3, 4} {
			t.Run(fmt.Sprintf("%s, least %d", w.name, least), func(t *testing.T) {
				t.Parallel()
				tables := map[string][]hiding{} // by report
				w.each(func(table []int) {
					rows, root := counted(t, least, []string{"campaign"}, w.outcomes(table))
					tellsNoFew(t, root, least)
					report, h := strings.Builder{}, hiding{users: map[string]int{}}
					if told := rows[0].Outcomes; told != nil {
						h.outcomes = int(*told)
					}
					for _, r := range rows {
						name := r.Campaign + "/" + r.Outcome
						report.WriteString(name)
						if r.Suppressed {
							h.users[name] = usersOf(root, r)
						} else {
							fmt.Fprint(&report, "=", *r.Users)
						}
						report.WriteString(" ")
					}
					tables[report.String()] = append(tables[report.String()], h)
				})
				for report, all := range tables {
					haveManyNumbers(t, least, report, all)
				}
			})
		}
	}
}

// haveManyNumbers wants the hidden cells of tables, which have one report, to have many different numbers.
func haveManyNumbers(t *testing.T, least int, report string, tables []hiding) {
	t.Helper()
	slices.SortFunc(tables, func(a, b hiding) int { return cmp.Compare(a.outcomes, b.outcomes) })
	can := map[string]map[int]bool{}
	for i, table := range tables {
		for name, n := range table.users {
			if can[name] == nil {
				can[name] = map[int]bool{}
			}
			can[name][n] = true
		}
		if i+1 < len(tables) && tables[i+1].outcomes == table.outcomes {
			continue
		}
		for name, numbers := range can {
			if len(numbers) < least {
				t.Errorf("%s can only be one of %v where the report is %sand there are %d outcomes", name, slices.Sorted(maps.Keys(numbers)), report, table.outcomes)
			}
		}
	}
}

// usersOf is what a row hides.
func usersOf(root *cell, r Row) int {
	at := root
	for _, value := range []string{r.Campaign, r.Outcome} {
		if value != all {
			at = at.parts[value]
		}
	}
	return len(at.distinct)
}

// tellsNoFew wants no number to be told that is about few users, nor one that is a total less one of its parts or less all of those that are shown.
func tellsNoFew(t *testing.T, c *cell, least int) {
	t.Helper()
	few := func(n int) bool { return n > 0 && n < least }
	if c.suppressed || c.closed {
		return
	}
	shown := map[uint32]bool{}
	for name, part := range c.parts {
		if part.suppressed {
			continue
		}
		if n := len(part.distinct); n < least || few(len(c.distinct)-n) {
			t.Errorf("%s has %d users of %d, and that is shown", name, n, len(c.distinct))
		}
		for id := range part.distinct {
			shown[id] = true
		}
		tellsNoFew(t, part, least)
	}
	if len(c.parts) > 0 && few(len(c.distinct)-len(shown)) {
		t.Errorf("%d users are in no part of %s that is shown", len(c.distinct)-len(shown), c.value)
	}
}
