package campaign

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// maxYearLedger is what a user with 10 campaigns and a year of daily activity may take, at the worst moment of the year.
const maxYearLedger = 2048

// tenCampaigns are of mixed kinds; of is the type of each one's events, by the campaign's number. What has no end in sight is the costly
// part, so most of them go on all year, and those that are paid once are hard to reach.
func tenCampaigns(tb testing.TB, of func(i int) string) *Set {
	tb.Helper()
	var campaigns []*Campaign
	for i, goal := range []string{
		`{event: %s}`,
		`{streak: 5, of: %s}`,
		`{count: 500, of: %s, where: 'event.data.metric in ["weight", "sleep"]'}`,
		`{count: 50, of: %s, where: event.data.metric == "weight"}`,
		`{count: 10, of: %s, within: 30 days, where: event.data.metric == "weight"}`,
		`{count: 12, of: %s, per: month, where: event.data.minutes > 30}`,
		`{sum: 100, of: %s, value: event.data.km}`,
		`{sum: 50000, of: %s, value: event.data.minutes}`,
		`{count: 3, of: %s, per: week}`,
		`{distinct: 6, of: %s, value: event.data.cuisine, per: month}`,
	} {
		repeat := "always"
		if i == 0 || i == 7 {
			repeat = "once"
		}
		campaigns = append(campaigns, sized(tb, fmt.Sprintf("campaign-%d", i+1), repeat, fmt.Sprintf(goal, of(i+1))))
	}
	return setOf(tb, campaigns...)
}

func sized(tb testing.TB, id, repeat, goal string) *Campaign {
	tb.Helper()
	yaml := fmt.Sprintf("campaign: %s\nversion: 1\nstarts: 2026-01-01\nreward: {kind: points}\nrepeat: %s\ngoal: %s\n", id, repeat, goal)
	c, wrong := Parse("c.yaml", []byte(yaml))
	if wrong != nil {
		tb.Fatalf("%s\n%v", yaml, wrong)
	}
	return c
}

func setOf(tb testing.TB, campaigns ...*Campaign) *Set {
	tb.Helper()
	set, err := NewSet(campaigns)
	if err != nil {
		tb.Fatal(err)
	}
	return set
}

// yearSizes is how large one user's ledger was in a year.
type yearSizes struct {
	largest, last int
	ledger        *Ledger // when it was largest
}

// year plays a year of one user, with an event of each type on every day.
func year(tb testing.TB, set *Set, types ...string) (s yearSizes) {
	tb.Helper()
	replay := NewReplay(NewEngine(set, 0))
	var encoded []byte
	apply := func(at time.Time, id, kind, data string) {
		value := fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"/app","type":%q,"subject":"u","time":%q,"data":%s}`, id, kind, at.Format(time.RFC3339Nano), data)
		if err := replay.Advance(at.UnixMilli(), func(string, int64, *Result) error { return nil }); err != nil {
			tb.Fatal(err)
		}
		var d Decoder
		var ev Event
		if rejection := d.Decode(&Record{Key: []byte("u"), Value: []byte(value), Clock: replay.Clock()}, &ev); rejection != nil {
			tb.Fatal(rejection)
		}
		if result := replay.Apply(&ev); result.Rejection != nil {
			tb.Fatal(result.Rejection)
		}
		encoded = replay.Ledger("u").Append(encoded[:0])
		if s.last = len(encoded); s.last > s.largest {
			s.largest = s.last
			s.ledger, _ = Decode(encoded)
		}
	}
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	apply(at, "profile", "stampede.profile", `{"timezone":"America/New_York","attributes":{"plan":"gold"}}`)
	for day := range 365 {
		for i, kind := range types {
			// Times as they come: with milliseconds, between 14:00 and 20:00 UTC.
			n := uint64(day*len(types)+i+1) * 0x9e3779b97f4a7c15 //nolint:gosec // small
			when := at.AddDate(0, 0, day).Add(14*time.Hour + time.Duration(n%21_600_000)*time.Millisecond/time.Duration(len(types)) + time.Duration(i)*6*time.Hour/time.Duration(len(types)))
			id := fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", n>>32, n>>16&0xffff, n&0xfff, day, n>>16)
			cuisine := []string{"italian", "thai", "mexican", "indian", "greek", "japanese", "french"}[day%7]
			apply(when, id, kind, fmt.Sprintf(`{"metric":"weight","km":7.25,"minutes":42,"cuisine":%q}`, cuisine))
		}
	}
	return s
}

// parts says what takes the bytes of a ledger: the events remembered, the events' ids, each campaign's progress, and the rest.
func (l *Ledger) parts(set *Set) string {
	all := len(l.Append(nil))
	without := *l
	without.seen = seen{}
	seen := all - len(without.Append(nil))
	ids := 0
	for _, id := range l.ids {
		ids += len(id)
	}
	text := fmt.Sprintf("%d bytes: %d of %d sightings, %d of %d ids", all, seen, len(l.seen.list), ids, len(l.ids))
	rest := all - seen - ids
	for i := range l.progress {
		p := &l.progress[i]
		n := len(p.append(nil, encodingVersion))
		places, marks := 0, 0
		for _, b := range p.buckets {
			places += len(b.ids)
			for _, c := range b.cells {
				marks += len(c.marks)
			}
		}
		rest -= n
		text += fmt.Sprintf("\n%s: %d (%d buckets, %d places, %d marks)", set.byKey[p.campaign].ID, n, len(p.buckets), places, marks)
	}
	return text + fmt.Sprintf("\nthe rest: %d", rest)
}

func TestAYearOfTenCampaignsFitsIn2KB(t *testing.T) {
	set := tenCampaigns(t, func(int) string { return "data.logged" })
	s := year(t, set, "data.logged")
	t.Logf("one event a day for all ten: at most %s", s.ledger.parts(set))
	if s.largest >= maxYearLedger {
		t.Errorf("%d bytes", s.largest)
	}

	var types []string
	for i := range 10 {
		types = append(types, fmt.Sprintf("type-%d", i+1))
	}
	set = tenCampaigns(t, func(i int) string { return types[i-1] })
	s = year(t, set, types...)
	t.Logf("ten events a day, one for each: at most %s", s.ledger.parts(set))
	if s.largest >= maxYearLedger {
		t.Errorf("%d bytes", s.largest)
	}
}

// BenchmarkLedgerBytes prints how large a user's ledger gets in a year of daily activity in one campaign, for each kind of goal and its main
// options: the events remembered for 48 hours and the ids for a reward are in it.
func BenchmarkLedgerBytes(b *testing.B) {
	const of = "of: data.logged"
	for _, goal := range []string{
		"{event: data.logged}",
		"{count: 1000, " + of + "}",
		"{count: 100, " + of + ", per: week}",
		"{count: 100, " + of + ", within: 30 days}",
		"{sum: 100000, " + of + ", value: event.hour}",
		"{sum: 100000, " + of + ", value: event.hour, within: 30 days}",
		"{sum: 100000, " + of + ", value: event.hour, per: month, net: true}",
		"{distinct: 1000, " + of + ", value: event.date, per: month}",
		"{streak: 1000, " + of + "}",
		"{streak: 1000, " + of + ", at_least: 3}",
		"{sequence: [{" + of + "}, {of: other}]}",
		"{sequence: [{" + of + "}, {" + of + "}], without: {of: other}}",
		"{none: other, per: month}",
		"{all: [{count: 1000, " + of + "}, {event: other}], per: year}",
	} {
		b.Run(strings.ReplaceAll(goal, " ", ""), func(b *testing.B) {
			set := setOf(b, sized(b, "campaign", "always", goal))
			largest := 0
			for b.Loop() {
				largest = year(b, set, "data.logged").largest
			}
			b.ReportMetric(float64(largest), "bytes/user")
		})
	}
}
