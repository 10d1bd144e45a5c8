package campaign

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Where a user stands, of each kind of goal: what is missing, until when, and when it is decided.
func TestExplain(t *testing.T) {
	for _, c := range []struct {
		name, yaml string
		happens    []string // "TIME TYPE DATA"
		until      string
		want       string
	}{
		{"a count", "goal: {count: 3, of: hit}", []string{"2026-01-01 hit"}, "2026-01-02", "1 of 3 events."},
		{
			"a net sum that is reached waits for its close", "ends: 2026-02-01\ngoal: {sum: 3, of: hit, value: event.data.n, net: true}",
			[]string{`2026-01-01 hit "n":40`},
			"2026-01-02", "It runs until 2026-02-01 00:00 UTC. 40 of 3, which is enough if nothing takes it away; it is decided on 2026-02-03 00:00 UTC.",
		},
		{
			"a net sum that is not", "goal: {sum: 3, of: hit, value: event.data.n, net: true, per: month}",
			[]string{`2026-01-01 hit "n":4`, `2026-01-02 hit "n":-6`},
			"2026-01-03", "2026-01: -2 of 3; it lasts until 2026-01-31, and what happened by then counts if it arrives until 2026-02-03 12:00 UTC.",
		},
		{"tiers", "goal: {count: [1, 3], of: hit}\nreward: [{kind: a}, {kind: b}]", []string{"2026-01-01 hit"}, "2026-01-02", "1 reward was issued. 1 of 3 events."},
		{"a count that pays each time", "goal: {count: 2, of: hit}\nrepeat: always", []string{"2026-01-01 hit", "2026-01-02 hit", "2026-01-03 hit"}, "2026-01-03", "1 reward was issued. 3 of 4 events."},
		{
			"a window of days", "goal: {count: 3, of: hit, within: 7 days}",
			[]string{"2026-01-01 hit", "2026-01-08 hit", "2026-01-10 hit"},
			"2026-01-11", "2 of 3 events within 7 civil days, the first of them on 2026-01-08: the others by 2026-01-14.",
		},
		{
			"a window of hours", "goal: {sum: 100, of: hit, value: event.data.n, within: 72h}",
			[]string{`2026-01-01 hit "n":90`, `2026-01-08 hit "n":60`, `2026-01-09 hit "n":30`},
			"2026-01-09", "90 of 100 within 72h, the first of them on 2026-01-08 12:00 UTC: the others by 2026-01-11 12:00 UTC.",
		},
		{"a window that is over", "goal: {count: 3, of: hit, within: 2 days}", []string{"2026-01-01 hit", "2026-01-02 hit"}, "2026-01-08", "0 of 3 events within 2 civil days: what has counted is too long ago."},
		{
			"a window of different values", "goal: {distinct: 3, of: hit, value: event.data.v, within: 7 days}",
			[]string{`2026-01-01 hit "v":"a"`, `2026-01-02 hit "v":"a"`, `2026-01-03 hit "v":"a"`, `2026-01-04 hit "v":"a"`},
			"2026-01-05", "1 of 3 different values within 7 civil days, the first of them on 2026-01-04: the others by 2026-01-10.",
		},
		{
			"a window behind one that was paid", "goal: {count: 2, of: hit, within: 7 days}\nrepeat: always",
			[]string{"2026-01-01 hit", "2026-01-02 hit", "2026-01-03 hit"},
			"2026-01-03", "1 reward was issued. 1 of 2 events within 7 civil days, the first of them on 2026-01-03: the others by 2026-01-09.",
		},
		{"a date that is another one in UTC", "timezone: Asia/Tokyo\ngoal: {count: 2, of: hit, within: 72h}", []string{"2026-01-01T20:00:00Z hit"}, "2026-01-02", "1 of 2 events within 72h, the first of them on 2026-01-01 20:00 UTC (2026-01-02 for the user): the others by 2026-01-04 20:00 UTC."},
		{"a run", "goal: {streak: 5, of: hit}", []string{"2026-01-02 hit", "2026-01-03 hit"}, "2026-01-04", "2 of 5 days in a row, the last hit is 2026-01-03; the next hit is to be 2026-01-04 at the latest."},
		{
			"a run that is broken", "goal: {streak: 5, of: hit}",
			[]string{"2026-01-02 hit", "2026-01-03 hit", "2026-01-04 hit", "2026-01-05 hit"},
			"2026-01-30", "0 of 5 days in a row: the run whose last hit is 2026-01-05 is broken, and the next hit begins another.",
		},
		{
			"a run with a day that was missed", "goal: {streak: 5, of: hit, forgive: 1}",
			[]string{"2026-01-02 hit", "2026-01-04 hit"},
			"2026-01-05", "2 of 5 days in a row, the last hit is 2026-01-04, 1 of 1 forgiven; the next hit is to be 2026-01-05 at the latest.",
		},
		{
			"a run that began anew behind a gap", "goal: {streak: 5, of: hit, forgive: 1}",
			[]string{"2026-01-02 hit", "2026-01-04 hit", "2026-01-06 hit"},
			"2026-01-06", "2 of 5 days in a row, the last hit is 2026-01-06, 1 of 1 forgiven; the next hit is to be 2026-01-07 at the latest.",
		},
		{
			"a run over a weekend that does not count", "goal: {streak: 5, of: hit, on: [mon, tue, wed, thu, fri]}",
			[]string{"2026-01-08 hit", "2026-01-09 hit"},
			"2026-01-11", "2 of 5 days in a row, the last hit is 2026-01-09; the next hit is to be 2026-01-12 at the latest.",
		},
		{
			"a run over a date that is excused", "goal: {streak: 5, of: hit}",
			[]string{"2026-01-08 hit", `2026-01-09 stampede.excused "dates":["2026-01-09","2026-01-10"]`},
			"2026-01-12", "1 of 5 days in a row, the last hit is 2026-01-08; the next hit is to be 2026-01-11 at the latest.",
		},
		{
			"a run of weeks, one of them begun", "goal: {streak: 4, period: week, of: hit, at_least: 3}",
			[]string{"2026-01-05 hit", "2026-01-06 hit", "2026-01-07 hit", "2026-01-12 hit"},
			"2026-01-13", "1 of 4 weeks in a row, the last hit is 2026-W02; the next hit is to be 2026-W03 at the latest; 2026-W03 has 1 of 3 events.",
		},
		{"runs that are paid", "goal: {streak: 2, of: hit}\nrepeat: always", []string{"2026-01-02 hit", "2026-01-03 hit", "2026-01-04 hit"}, "2026-01-04", "1 reward was issued. 1 of 2 days in a row, the last hit is 2026-01-04; the next hit is to be 2026-01-05 at the latest."},
		{"a sequence that waits", "goal: {sequence: [{of: a}, {of: b}], without: {of: c}}", []string{"2026-01-01 a", "2026-01-02 b"}, "2026-01-03", "All 2 steps are taken; nothing may arrive that matches `without` (c) and happened between them; it is decided on 2026-01-04 12:00 UTC."},
		{"nothing, of a type in small letters", "ends: 2026-02-01\ngoal: {none: übung}", []string{"2026-01-01 hit"}, "2026-01-03", "It runs until 2026-02-01 00:00 UTC. No übung has happened so far; it is decided on 2026-02-03 00:00 UTC."},
		{"something that must not happen", "ends: 2026-02-01\ngoal: {none: übung}", []string{"2026-01-01 übung"}, "2026-01-03", "It runs until 2026-02-01 00:00 UTC. An event of type übung has happened, and must not."},
		{"nothing, of a user who is not eligible", "ends: 2026-02-01\neligible: user.plan == \"gold\"\ngoal: {none: claim}", []string{"2026-01-01 hit"}, "2026-01-03", "It runs until 2026-02-01 00:00 UTC. The user is not eligible at the moment: what must not happen is rewarded where the user is at the end. No claim has happened so far; it is decided on 2026-02-03 00:00 UTC."},
		{
			"parts with periods of their own", "goal: {all: [{count: 3, of: hit, per: week}, {event: other}]}",
			[]string{"2026-01-01 hit", "2026-01-02 hit", "2026-01-09 hit"},
			"2026-01-30", "2 of these 2 are needed: 2026-W05: 0 of 3 events; an event of type other is missing.",
		},
	} {
		s := tell(t, strings.ReplaceAll(withTheRest(c.yaml+"\n"), "starts: 2026-01-01", "starts: 2025-12-01"))
		for _, h := range c.happens {
			at, rest, _ := strings.Cut(h, " ")
			kind, data, _ := strings.Cut(rest, " ")
			if got := s.says(kind, at, data); got != "" && got != "counted" && got != "counted_against" {
				t.Errorf("%s: %s is %s", c.name, h, got)
			}
		}
		s.until(c.until + "T12:00:00Z")
		if diff := cmp.Diff(c.want, strings.Join(s.engine.Explain(s.ledger, s.clock)[0].Sentences, " ")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}
