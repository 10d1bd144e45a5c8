package partner

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"
	"pgregory.net/rapid"
)

// counted makes a report of outcomes.
func counted(t testing.TB, least int, by []string, outcomes []Outcome) (rows []Row, root *cell) {
	t.Helper()
	count := newCount(by)
	for _, o := range outcomes {
		if err := count.add(o); err != nil {
			t.Fatal(err)
		}
	}
	return Report{By: by, MinCell: least}.rows(count.root, count.users), count.root
}

// by makes the outcomes of so many users, who are called after the campaign and so are different ones.
func by(users int, campaign, kind, date string) (all []Outcome) {
	for i := range users {
		all = append(all, Outcome{Pseudonym: fmt.Sprint(campaign, i), Sponsor: "acme", Campaign: campaign, Kind: kind, Date: date})
	}
	return all
}

func TestAReportHidesSmallCellsAndWhatWouldTellThem(t *testing.T) {
	outcomes := append(by(40, "steps", "achieved", "2026-03-31"), by(12, "steps", "failed", "2026-03-01")...) // 12 of the 40 failed in another cycle
	outcomes = append(outcomes, by(25, "bikes", "achieved", "2026-03-05")...)
	outcomes = append(outcomes, by(20, "swims", "achieved", "2026-03-05")...)
	outcomes = append(outcomes, by(3, "walks", "achieved", "2026-03-05")...) // too few
	outcomes = append(outcomes, by(3, "walks", "achieved", "2026-03-05")...) // twice
	rows, _ := counted(t, 11, []string{"campaign", "month"}, outcomes)
	var b bytes.Buffer
	if err := WriteCSV(&b, rows); err != nil {
		t.Fatal(err)
	}
	// Walks have few users. Swims are hidden with them: the total less bikes and steps would tell walks.
	const want = `sponsor,campaign,month,outcome,level,users,outcomes,suppressed
*,*,*,*,0,88,103,false
*,bikes,*,*,1,25,25,false
*,bikes,2026-03,*,2,25,25,false
*,bikes,2026-03,achieved,3,25,25,false
*,steps,*,*,1,40,52,false
*,steps,2026-03,*,2,40,52,false
*,steps,2026-03,achieved,3,40,40,false
*,steps,2026-03,failed,3,12,12,false
*,swims,*,*,1,,,true
*,walks,*,*,1,,,true
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("the report (-want +got):\n%s", diff)
	}
	b.Reset()
	if err := WriteParquet(&b, rows); err != nil {
		t.Fatal(err)
	}
	read, err := parquet.Read[Row](bytes.NewReader(b.Bytes()), int64(b.Len()))
	if diff := cmp.Diff(rows, read); err != nil || diff != "" {
		t.Errorf("as Parquet: %v (-want +got):\n%s", err, diff)
	}
}

// Which campaigns are hidden beside the small ones does not depend on how large they are.
func TestCampaignsAreHiddenByThePair(t *testing.T) {
	disjoint := func(users ...int) (all []Outcome) {
		for i, n := range users {
			all = append(all, by(n, string(rune('a'+i)), "achieved", "2026-03-01")...)
		}
		return all
	}
	// of are the users from..to of a campaign, who can be in others, too.
	of := func(campaign string, from, to int) (all []Outcome) {
		for i := from; i <= to; i++ {
			all = append(all, Outcome{Pseudonym: fmt.Sprint(i), Campaign: campaign, Kind: "achieved", Date: "2026-03-01"})
		}
		return all
	}
	for _, c := range []struct {
		name     string
		outcomes []Outcome
		want     string
	}{
		{"none is small", disjoint(11, 11, 11), "*=33 a=11 b=11 c=11"},
		{"a neighbour, and a third that would be left over", disjoint(11, 11, 10), "*=32 a b c"},
		{"as before, with another one small", disjoint(10, 11, 11), "*=32 a b c"},
		{"the neighbour, though others are smaller", disjoint(12, 13, 10, 90, 11, 11), "*=147 a=12 b=13 c d e=11 f=11"},
		{"another pair, as the small ones have few users", disjoint(30, 30, 5, 5, 30, 30), "*=130 a b c d e=30 f=30"},
		{"all, and it is not enough: no rows of them", disjoint(6, 6), "*=12"},
		{"a single one is its total", disjoint(11), "*=11 a=11"},
		{"one walks only: the total less steps", slices.Concat(of("steps", 1, 40), of("walks", 30, 41)), "*=41 steps walks"},
		{"one is in b only: the total less a and c, who share nobody", slices.Concat(of("a", 1, 20), of("b", 11, 20), of("b", 50, 50), of("c", 21, 40)), "*=41 a b c"},
		{"five are in no pair but the hidden one", slices.Concat(of("a", 1, 5), of("b", 1, 30), of("b", 51, 55), of("c", 1, 25), of("d", 21, 45)), "*=50 a b c d"},
	} {
		if got := campaigns(t, c.outcomes); got != c.want {
			t.Errorf("%s: the report is %s, wanted %s", c.name, got, c.want)
		}
	}
}

// campaigns is a report of outcomes by campaign: their users, where these are told.
func campaigns(t *testing.T, outcomes []Outcome) string {
	t.Helper()
	rows, _ := counted(t, 11, []string{"campaign"}, outcomes)
	var told []string
	for _, r := range rows {
		switch {
		case r.Outcome != all:
		case r.Suppressed:
			told = append(told, r.Campaign)
		default:
			told = append(told, fmt.Sprint(r.Campaign, "=", *r.Users))
		}
	}
	return strings.Join(told, " ")
}

// A user with a rotated key is one user, whenever the records came that tell so.
func TestAReportCountsAUserOfTwoKeysOnce(t *testing.T) {
	outcome := func(key, pseudonym string, others ...Other) Outcome {
		return Outcome{Pseudonym: pseudonym, KeyID: key, Others: others, Campaign: "c", Kind: "achieved", Date: "2026-03-01"}
	}
	var outcomes []Outcome
	for i := range 6 {
		before, after := fmt.Sprint("old", i), fmt.Sprint("new", i)
		outcomes = append(outcomes, outcome("k1", before), outcome("k2", after), outcome("k2", after, Other{"k1", before}))
	}
	rows, root := counted(t, 11, []string{"campaign"}, outcomes)
	if len(root.distinct) != 6 || len(rows) != 1 || !rows[0].Suppressed {
		t.Errorf("6 users with 12 pseudonyms are %d, and the rows %+v", len(root.distinct), rows)
	}
}

// Pseudonyms of different keys can be of one person. How many people a cell is about at least, decides.
func TestAReportHidesWhatCanBeFewPeople(t *testing.T) {
	// under are the outcomes of so many users of a campaign whose pseudonyms are of a key. Those of old are known to be the same people.
	under := func(key string, users int, campaign, old string) (all []Outcome) {
		for i := range users {
			o := Outcome{Pseudonym: fmt.Sprint(key, i), KeyID: key, Campaign: campaign, Kind: "achieved", Date: "2026-03-01"}
			if old != "" {
				o.Others = []Other{{old, fmt.Sprint(old, i)}}
			}
			all = append(all, o)
		}
		return all
	}
	again := slices.Concat(under("k2", 6, "c", "k1"), under("k2", 6, "c", "a new one"))
	for i := range again {
		again[i].Others[0].KeyID = "k1"
	}
	for _, c := range []struct {
		name     string
		outcomes []Outcome
		want     string
	}{
		{"11 people", under("k1", 11, "c", ""), "*=11 c=11"},
		{"a key was replaced: 6 people or 12", slices.Concat(under("k1", 6, "c", ""), under("k2", 6, "c", "")), "*"},
		{"10 of one key and 10 of another", slices.Concat(under("k1", 10, "c", ""), under("k2", 10, "c", "")), "*"},
		{"11 of the second", slices.Concat(under("k1", 6, "c", ""), under("k2", 11, "c", "")), "*=17 c=17"},
		{"6 people of two keys, and 5 more of the second", slices.Concat(under("k1", 6, "c", ""), under("k2", 6, "c", "k1"), under("k2", 11, "c", "")), "*=11 c=11"},
		{"6 people, the id of whose key came again with another key", again, "*"},
		{"one part of two can be few", slices.Concat(under("k1", 30, "c", ""), under("k2", 6, "d", ""), under("k3", 6, "d", "")), "*=42 c d"},
	} {
		if got := campaigns(t, c.outcomes); got != c.want {
			t.Errorf("%s: the report is %s, wanted %s", c.name, got, c.want)
		}
	}
}

// Whatever is counted: no cell of few users is told, and none that is hidden can be computed from what is told. The second is asked of linear algebra: every total is
// the sum of its parts, and a hidden number is told if one of the combinations of these equations says it.
func TestNoHiddenCellCanBeComputed(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		least := rapid.IntRange(2, 6).Draw(rt, "least")
		var outcomes []Outcome
		for range rapid.IntRange(1, 60).Draw(rt, "outcomes") {
			outcomes = append(outcomes, Outcome{
				Pseudonym: fmt.Sprint(rapid.IntRange(0, 25).Draw(rt, "user")),
				Sponsor:   rapid.SampledFrom([]string{"", "a", "b"}).Draw(rt, "sponsor"),
				Campaign:  rapid.SampledFrom([]string{"c", "d", "e", "f"}).Draw(rt, "campaign"),
				Kind:      rapid.SampledFrom([]string{"achieved", "failed", "withdrawn"}).Draw(rt, "kind"),
				Date:      rapid.SampledFrom([]string{"2026-03-01", "2026-04-01"}).Draw(rt, "date"),
			})
		}
		rows, root := counted(t, least, []string{"sponsor", "campaign", "month"}, outcomes)
		for _, r := range rows {
			if (r.Users == nil) != r.Suppressed || (r.Outcomes == nil) != r.Suppressed {
				rt.Fatalf("half of a cell is told: %+v", r)
			}
			if r.Users != nil && *r.Users < int64(least) {
				rt.Fatalf("a cell of %d users is told, %d are needed: %+v", *r.Users, least, r)
			}
		}
		if told := (&equations{unknown: map[*cell]int{}}).of(root, false).told(); told > 0 {
			rt.Fatalf("%d hidden cells can be computed from: %+v", told, rows)
		}
	})
}

// equations are what a report's reader knows of the hidden cells, modulo a prime: rows of coefficients.
type equations struct {
	unknown map[*cell]int
	rows    []map[int]int64
}

const prime = 1_000_003

// of adds those of a total and its parts. What stands below a hidden cell is hidden.
func (e *equations) of(c *cell, hidden bool) *equations {
	hidden = hidden || c.suppressed
	if hidden {
		e.unknown[c] = len(e.unknown)
	}
	row := map[int]int64{}
	for _, part := range c.parts {
		e.of(part, hidden)
		if i, unknown := e.unknown[part]; unknown {
			row[i] = 1
		}
	}
	if i, unknown := e.unknown[c]; unknown && len(c.parts) > 0 {
		row[i] = prime - 1
	}
	if len(row) > 0 {
		e.rows = append(e.rows, row)
	}
	return e
}

// told solves them by Gauss and Jordan, and counts the unknowns that stand alone in a row: those are known.
func (e *equations) told() (known int) {
	var solved []map[int]int64
	for column := range len(e.unknown) {
		at := -1
		for i, row := range e.rows {
			if row[column] != 0 {
				at = i
				break
			}
		}
		if at < 0 {
			continue
		}
		pivot := e.rows[at]
		e.rows = append(e.rows[:at:at], e.rows[at+1:]...)
		scale := inverse(pivot[column])
		for i := range pivot {
			pivot[i] = pivot[i] * scale % prime
		}
		for _, row := range append(append([]map[int]int64{}, e.rows...), solved...) {
			factor := row[column]
			for i, v := range pivot {
				if row[i] = (row[i] + (prime-factor)*v) % prime; row[i] == 0 {
					delete(row, i)
				}
			}
		}
		solved = append(solved, pivot)
	}
	for _, row := range solved {
		if len(row) == 1 {
			known++
		}
	}
	return known
}

// inverse is by Fermat's little theorem.
func inverse(a int64) int64 {
	result := int64(1)
	for n := prime - 2; n > 0; n /= 2 {
		if n%2 == 1 {
			result = result * a % prime
		}
		a = a * a % prime
	}
	return result
}
