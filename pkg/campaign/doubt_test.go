package campaign

import (
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// What somebody could mean is not doubted: a warning that is wrong is worse than one that is missing.
func TestL4WhatCouldBeMeantIsNotDoubted(t *testing.T) {
	f := func(text string) {
		t.Helper()
		c, mistakes := Parse("c.yaml", []byte(withTheRest(text)))
		if mistakes != nil {
			t.Errorf("%s\n%v", text, mistakes)
			return
		}
		if len(c.warnings) > 0 {
			t.Errorf("%s\n%v", text, c.warnings)
		}
	}
	where := func(condition string) {
		t.Helper()
		f("goal: {count: 3, of: [hit, miss], where: '" + condition + "'}\n")
	}
	const two = "reward: [{kind: points, points: 5}, {kind: points, points: 5}]\n"
	f("starts: 2026-01-01\nends: 2026-02-01\ngoal: {streak: 31, of: hit}\n")
	f("starts: 2026-01-01T00:00:00-05:00\nends: 2026-01-08T00:00:00-05:00\ntimezone: America/New_York\nday_starts: 04:00\ngoal: {streak: 7, of: hit}\n")
	f("starts: 2026-01-01\nends: 2026-01-03\ngoal: {count: 100, of: hit, per: year}\n")
	f("starts: 2026-01-01\nends: 2026-01-03\ngoal: {count: 2, of: hit, within: 30 days}\n")
	f("starts: 2026-01-01\nends: 2026-02-01\ngoal: {streak: 20, of: hit, forgive: 100}\n") // twenty days, in a row or not
	f("goal: {streak: [1, 3], of: hit, forgive: 1}\nreward: [{kind: points, points: 5}, {kind: points, points: 9}]\n")
	f("lateness: 1m\n")
	f("repeat: always\n")
	f("repeat: always\nlimits: {per_user: 3}\n")
	f("limits: {per_user: 1}\n")
	f("limits: {per_user: 2}\ngoal: {count: [1, 2], of: hit}\n" + two) // the same points for going on
	f("goal: {count: [1, 2], of: hit}\nreward: [{kind: gift_card, amount: 5.00 USD}, {kind: gift_card, amount: 5.00 USD}]\n")
	f("reward: {kind: points, count: 5, mounted: true}\n")
	f("goal: {distinct: 7, of: hit, value: event.weekday}\n")
	f("goal: {distinct: 200, of: hit, value: event.date}\n")
	f("starts: 2026-04-01\nends: 2026-07-01\ntimezone: Asia/Kolkata\ngoal: {none: claim, per: quarter}\n")
	f("starts: 2026-01-01T04:00:00Z\nday_starts: 04:00\ngoal: {none: claim, per: month}\n")
	f("starts: 2026-01-01\nday_starts: 04:00\ngoal: {none: claim, per: quarter}\n")
	f("starts: 2026-01-01\nends: 2026-04-01\nday_starts: 04:00\ntimezone: America/New_York\ngoal: {none: claim, per: month}\n")
	f("starts: 2026-01-15\nends: 2026-02-15\ngoal: {none: claim}\n")
	f("ends: 2027-01-01\ngoal: {sum: 5, of: hit, value: event.data.x, net: true}\n")
	f("goal: {sum: 5, of: hit, value: event.data.x, net: true, per: month}\n")
	f("goal: {all: [{streak: 7, of: hit}, {streak: 1, period: month, of: hit}], per: week}\n")
	f("goal: {all: [{streak: 6, period: week, of: hit}], per: month}\n")
	f("starts: 2026-01-01\nends: 2026-01-11\ngoal: {distinct: 10, of: hit, value: event.date}\n")
	f("goal: {sequence: [{of: a}, {of: b}, {of: c}], without: {of: [a, c]}}\n")
	f("goal: {sequence: [{of: a}, {of: [b, d]}, {of: c}], without: {of: b}}\n")
	f("goal: {sequence: [{of: a}, {of: b}, {of: c}], without: {of: b, where: event.data.failed}}\n")
	f("goal: {distinct: 3, of: hit, value: event.hour / 8}\n")
	f("eligible: true\n")
	where(`event.hour >= 0 && event.hour <= 24`)
	where(`event.hour >= 22 || event.hour < 6`)
	where(`event.hour in [9, 10] && event.weekday in ["mon", "tue"]`)
	where(`event.date >= "2026-03" && event.date < "2026-04"`)
	where(`event.date >= "2026-03-01" && event.date <= "2026-02-31" || event.data.x == 1`)
	where(`event.type == "hit" && event.data.x > 3 || event.type == "miss" && event.data.x > 5`)
	where(`event.type in ["hit", "miss"]`)
	where(`event.data.x >= 0`)
	where(`event.data.x > 5 && event.data.x < 10 && event.data.x != 7`)
	where(`event.data.x > 5 && event.data.x < 5.5`)
	where(`event.data.name > "a" && event.data.name < "b"`)
	where(`event.data.name.startsWith("a") && !event.data.name.endsWith("b")`)
	where(`has(event.data.x) || event.data.y == 1`)
	where(`has(event.data.x) && event.data.x == 1`)
	where(`event.data.a == event.data.b`)
	where(`event.data.flag && !event.data.other`)
	where(`event.data.x == null || event.data.x == 1`)
	where(`event.data.tags.exists(t, t == "a") && !event.data.tags.exists(t, t == "b")`)
	where(`user.timezone in ["Europe/Berlin", "UTC"] && user.plan != "gold" && user.plan != "silver"`)
	where(`event.time >= timestamp("2026-03-01T00:00:00Z")`)
	where(`!has(event.data.x) || event.data.x == 1`)
	where(`!has(event.data.x) && event.data.y == 1`)
	where(`has(event.data.x) && has(event.data.y)`)
	where(`event.data.x.size() + 1 > 2 && int(event.data.y) / 2 == 1 && event.hour % 12 == 3 && event.data.z * 2.0 > 4.0`)
	where(`event.time >= timestamp("2026-01-01T00:00:00Z") + duration("36h") && int("12") == event.hour`)
	where(`event.date == "2025-12-31"`) // it is that still where the user is when the campaign starts in UTC
	f("ends: 2026-03-01\ngoal: {event: hit, where: 'event.date == \"2026-03-01\"'}\n")
	f("goal: {streak: 5, of: hit, on: [mon, tue], where: 'event.weekday == \"mon\" || event.data.x == 1'}\n")
	where(`!(event.data.x == 1) && event.data.y in ["a", 1, true, null]`)
}

// The examples are what authors begin with.
func TestL4NoExampleIsDoubted(t *testing.T) {
	for _, dir := range []string{"../../deploy/campaigns", "../../deploy/campaigns/healthy-habits"} {
		_, warnings, err := Check(os.DirFS(dir), ".")
		if err != nil {
			t.Fatal(err)
		}
		if len(warnings) > 0 {
			t.Errorf("%s: %v", dir, warnings)
		}
	}
	reference, err := os.ReadFile("../../CAMPAIGNS.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range strings.Split(string(reference), "```yaml\n")[1:] {
		example, _, _ := strings.Cut(block, "```")
		if first, _, _ := strings.Cut(example, ":"); first != "campaign" && first != "goal" || openFile("", []byte(example)).kind == dishFile {
			continue
		}
		c, mistakes := Parse("CAMPAIGNS.md", []byte(withTheRest(example)))
		if mistakes != nil {
			t.Errorf("%s\n%v", example, mistakes)
			continue
		}
		if len(c.warnings) > 0 {
			t.Errorf("%s\n%v", example, c.warnings)
		}
	}
}

// What is tried of a condition covers what the engine finds: no event gives a result that was thought impossible.
func TestL4WhatIsTriedCoversEveryEvent(t *testing.T) {
	literal := rapid.SampledFrom([]string{`0`, `1`, `2`, `2.5`, `-1`, `"a"`, `"b"`, `"a\u0000"`, `""`, `true`, `false`, `null`})
	field := rapid.SampledFrom([]string{"event.data.x", "event.data.y", "user.plan"})
	operator := rapid.SampledFrom([]string{"==", "!=", "<", "<=", ">", ">="})
	var condition func(t *rapid.T, depth int) string
	condition = func(t *rapid.T, depth int) string {
		most := 6
		if depth == 0 {
			most = 3
		}
		switch rapid.IntRange(0, most).Draw(t, "form") {
		case 0:
			return field.Draw(t, "field") + " in [" + literal.Draw(t, "a") + ", " + literal.Draw(t, "b") + "]"
		case 1:
			return field.Draw(t, "field")
		case 2:
			return field.Draw(t, "field") + " " + operator.Draw(t, "operator") + " " + literal.Draw(t, "literal")
		case 3:
			return "has(" + field.Draw(t, "field") + ")"
		case 4:
			return "!(" + condition(t, depth-1) + ")"
		case 5:
			return "(" + condition(t, depth-1) + ") && (" + condition(t, depth-1) + ")"
		}
		return "(" + condition(t, depth-1) + ") || (" + condition(t, depth-1) + ")"
	}
	value := rapid.SampledFrom([]string{`0`, `1`, `2`, `2.5`, `-1`, `1.5`, `1e9`, `-7`, `"a"`, `"b"`, `"ab"`, `""`, `"z"`, `true`, `false`, `null`, `[1]`, `{}`})
	rapid.Check(t, func(rt *rapid.T) {
		p, mistakes := compilePredicate(condition(rt, 3))
		if mistakes != nil {
			return // CEL does not compare these
		}
		tried := (&reader{}).outcomes(p.shape, domains{strict: true})
		var members []string
		for _, name := range []string{"x", "y"} {
			if rapid.Bool().Draw(rt, "has") {
				members = append(members, `"`+name+`":`+value.Draw(rt, name))
			}
		}
		s := conditionScope(t, "{"+strings.Join(members, ",")+"}", `{"plan":`+value.Draw(rt, "plan")+"}")
		holds, err := p.interpret(s)
		got := truthOf(holds)
		if err != nil {
			got = failed
		}
		if tried&canBe(got) == 0 {
			rt.Errorf("%s of %v is %d, %v, and only %03b was found", p.source, members, got, err, tried)
		}
	})
}

// What is said to be always an error is one, and only that.
func TestWhatCanNeverBeEvaluated(t *testing.T) {
	s := conditionScope(t, `{"x":4,"t":"a","l":[1]}`, `{"age":40}`)
	f := func(source string, want bool) {
		t.Helper()
		p, mistakes := compilePredicate(source)
		if mistakes != nil {
			t.Errorf("%s: %v", source, mistakes)
			return
		}
		if _, err := p.interpret(s); (err != nil) != want || (len(p.faults) > 0) != want {
			t.Errorf("%s: %v, and told is %v", source, err, p.faults)
		}
	}
	for _, sign := range []string{"+", "-", "*", "/", "%"} {
		f(`event.data.x `+sign+` 2 != 77`, true)
		f(`2 `+sign+` user.age != 77`, true)
		f(`event.hour `+sign+` 2 != 77`, false)
		f(`size(event.data.l) `+sign+` 2 != 77`, false)
		f(`int(event.data.x) `+sign+` 2 != 77`, false)
	}
	f(`event.data.x * 2.0 == 8.0`, false)
	f(`event.hour / 0 == 1`, true)
	f(`event.hour % 0 == 1`, true)
	f(`timestamp("2026-01-01") < event.time`, true)
	f(`timestamp("2026-01-01T00:00:00Z") < event.time`, false)
	f(`timestamp(1) < event.time`, false)
	f(`duration("1 day") > duration("1h")`, true)
	f(`duration("24h") > duration("1h")`, false)
	f(`int("a") == event.hour`, true)
	f(`int("1") == event.hour`, false)
	f(`double("1,5") == event.data.x`, true)
	f(`bool("yes")`, true)
	f(`uint(-1) == 1u`, true)
}
