package campaign

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What was ordered from a menu and what stands alone are the same campaigns when they come out of the log.
func TestDefinitionsMakeTheSameCampaigns(t *testing.T) {
	for _, dir := range []string{"campaigns", "campaigns/healthy-habits"} {
		set, err := Load(os.DirFS("../../deploy"), dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range set.Campaigns() {
			text := c.Definition().Append(nil)
			var d document
			if err := d.parse(text); err != nil {
				t.Fatal(err)
			}
			read, err := readDefinition(d.root())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.Definition(), read); diff != "" {
				t.Errorf("%s: %s", c.ID, diff)
			}
			again, err := read.Compile()
			if err != nil {
				t.Fatal(err)
			}
			if again.ID != c.ID || again.Version != c.Version || again.Sponsor != c.Sponsor || again.Starts != c.Starts || again.Ends != c.Ends ||
				again.counts() != c.counts() || (again.eligible == nil) != (c.eligible == nil) || c.eligible != nil && again.eligible.source != c.eligible.source {
				t.Errorf("%s is another campaign when it comes out of the log", c.ID)
			}
			if cached, err := read.Compile(); err != nil || cached != again {
				t.Errorf("%s is compiled twice: %v", c.ID, err)
			}
		}
	}
}

// TestWhatCounts compares versions of a campaign: L2 says which differences need a restart. Every kind of goal must be here.
func TestWhatCounts(t *testing.T) {
	f := func(same bool, a, b string) {
		t.Helper()
		counts := func(more string) string {
			c, err := definition("c", 1, more).Compile()
			if err != nil {
				t.Fatalf("%s: %v", more, err)
			}
			return c.counts()
		}
		if (counts(a) == counts(b)) != same {
			t.Errorf("%s\n%s\ncount the same: wanted %t", a, b, same)
		}
	}
	const same, differs = true, false
	f(same, "", "share: [a-partner]")
	f(same, "", "title: x\nlimits: {per_user: 3}\nlateness: 1h\nends: 2027-01-01\neligible: user.plan == 'x'")
	f(differs, "goal: {event: a}", "goal: {event: a}\nrepeat: always")
	f(differs, "goal: {event: a}", "goal: {event: a}\nday_starts: 04:00")
	f(differs, "goal: {event: a}", "goal: {event: a}\ntimezone: Asia/Tokyo")
	f(differs, "goal: {event: a}", "goal: {event: b}")
	f(same, "goal: {event: [a, b]}", "goal: {event: [b, a, b]}")
	f(differs, "goal: {event: a}", "goal: {event: a, where: event.data.x == 1}")
	f(differs, "goal: {event: a}", "goal: {count: 1, of: a}")
	f(same, "goal: {count: 1, of: a}", "goal: {count: 2, of: a}")
	f(differs, "goal: {count: 1, of: a}", "goal: {count: 1, of: a, per: week}")
	f(differs, "goal: {count: 1, of: a, within: 3 days}", "goal: {count: 1, of: a, within: 72h}")
	f(same, "goal: {sum: 1, of: a, value: event.data.x}", "goal: {sum: 2.5, of: a, value: event.data.x}")
	f(differs, "goal: {sum: 1, of: a, value: event.data.x}", "goal: {sum: 1, of: a, value: event.data.y}")
	f(same, "goal: {distinct: 1, of: a, value: event.data.x}", "goal: {distinct: 2, of: a, value: event.data.x}")
	f(differs, "goal: {distinct: 1, of: a, value: event.data.x}", "goal: {distinct: 1, of: a, value: event.data.y}")
	f(same, "goal: {streak: 3, of: a}", "goal: {streak: 5, of: a, forgive: 1}")
	f(differs, "goal: {streak: 3, of: a}", "goal: {streak: 3, of: a, at_least: 2}")
	f(differs, "goal: {streak: 3, of: a, at_least: 1}", "goal: {streak: 3, of: a, at_least: {sum: 0.000001, value: event.data.x}}")
	f(differs, "goal: {streak: 3, of: a}", "goal: {streak: 3, of: a, period: week}")
	f(differs, "goal: {streak: 3, of: a}", "goal: {streak: 3, of: a, on: [mon]}")
	f(differs, "goal: {sequence: [{of: a}, {of: b}]}", "goal: {sequence: [{of: a}, {of: b, within: 1h}]}")
	f(differs, "goal: {sequence: [{of: a}, {of: b}]}", "goal: {sequence: [{of: b}, {of: a}]}")
	f(differs, "goal: {sequence: [{of: a}, {of: b}]}", "goal: {sequence: [{of: a}, {of: b}], without: {of: c}}")
	f(differs, "goal: {sum: 1, of: a, value: event.data.x}", "goal: {sum: 1, of: a, value: event.data.x, net: true}")
	f(differs, "goal: {none: a, per: week}", "goal: {none: a, per: month}")
	f(same, "goal: {all: [{event: a}, {event: b}]}", "goal: {any: [{event: a}, {event: b}]}")
	f(same, "goal: {some: 1, from: [{event: a}, {event: b}]}", "goal: {some: 2, from: [{event: a}, {event: b}]}")
	f(differs, "goal: {all: [{event: a}, {event: b}]}", "goal: {all: [{event: a}]}")
	f(differs, "goal: {all: [{count: 1, of: a}]}", "goal: {all: [{count: 1, of: a, per: day}]}")

	src, err := os.ReadFile("definition_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range kindNames() {
		if !strings.Contains(string(src), "goal: {"+name+":") {
			t.Errorf("what counts in a goal of kind %s is not tested", name)
		}
	}
}

// What was published before there were partners is the same when it is published again; what names one is not for a processor that knows none.
func TestADefinitionIsOfTheFirstLanguageThatHasAllOfIt(t *testing.T) {
	for more, want := range map[string]int{"": 1, "share: [a-partner]": 2} {
		c, err := definition("c", 1, more).Compile()
		if err != nil {
			t.Fatal(err)
		}
		parsed, wrong := Parse("c.yaml", []byte(c.Definition().Source))
		if wrong != nil {
			t.Fatal(wrong)
		}
		if got := parsed.Definition().Language; got != want {
			t.Errorf("%q is in version %d of the language, wanted %d", more, got, want)
		}
	}
}

func TestBadFilesAreRefused(t *testing.T) {
	for _, c := range []struct{ src, want string }{
		{"campaign: c\xff", "the file is not UTF-8"},
		{"campaign: c\non_change: maybe", "write one of restart"},
	} {
		if _, wrong := Parse("c.yaml", []byte(c.src)); wrong == nil || !strings.Contains(wrong.Error(), c.want) {
			t.Errorf("%q: %v", c.src, wrong)
		}
	}
	for name, d := range map[string]Definition{
		"no language":   {Source: "x"},
		"a bad sponsor": {Language: 1, Source: definition("c", 1, "").Source, Sponsor: "A", Version: 1, Covers: "true"},
		"a bad date":    {Language: 1, Source: definition("c", 1, "").Source, Sponsor: "a", Version: 1, Covers: "true", Starts: "x"},
		"bad covers":    {Language: 1, Source: definition("c", 1, "").Source, Sponsor: "a", Version: 1, Covers: "1"},
	} {
		if c, err := d.Compile(); err == nil {
			t.Errorf("%s became campaign %s", name, c.ID)
		}
	}
}
