package campaign

import (
	"strings"
	"testing"
)

// conditionScope is a user on a Sunday evening in New York.
func conditionScope(t *testing.T, data, attributes string) *scope {
	t.Helper()
	parse := func(src string) Value {
		if src == "" {
			return Value{}
		}
		var d document
		if err := d.parse([]byte(src)); err != nil {
			t.Fatal(err)
		}
		return d.root()
	}
	return &scope{
		event:        &Event{User: "ann", ID: "e1", Source: "app", Type: "data.logged", Time: 1772413200e9, Data: parse(data)},
		day:          DayOf(2026, 3, 1),
		hour:         20,
		userTimezone: "America/New_York",
		attributes:   parse(attributes),
	}
}

func TestConditions(t *testing.T) {
	const (
		yes   = "true"
		no    = "false"
		fails = "an error"
	)
	f := func(source, want string) {
		t.Helper()
		p, mistakes := compilePredicate(source)
		if mistakes != nil {
			t.Errorf("%s: %v", source, mistakes)
			return
		}
		s := conditionScope(t,
			`{"metric":"sleep","x":3,"half":0.5,"tags":["a","b"],"deep":{"er":{"n":null}},"flag":true}`,
			`{"plan":"gold","age":40,"employer":{"name":"acme"}}`)
		got := yes
		if holds, err := p.eval(s); err != nil {
			got = fails
		} else if !holds {
			got = no
		}
		if got != want {
			t.Errorf("%s is %s, want %s", source, got, want)
		}
	}
	f(`event.data.metric in ["weight", "sleep"]`, yes)
	f(`event.data.metric == "weight"`, no)
	f(`event.data.x == 3 && event.data.x > 2 && event.data.x <= 3.0 && event.data.x != 4`, yes)
	f(`event.data.x in [1, 2, 3]`, yes)
	f(`event.data.half < 1 && event.data.half == 0.5`, yes)
	f(`"a" in event.data.tags && event.data.tags.size() == 2`, yes)
	f(`event.data.tags.exists(t, t == "b")`, yes)
	f(`event.data.deep.er.n == null`, yes)
	f(`event.data.flag`, yes)
	f(`event.data.metric`, fails)
	f(`event.data.metric > 3`, fails)
	f(`event.data.metric == 3`, no)
	f(`event.data.absent != 1`, fails)
	f(`has(event.data.absent)`, no)
	f(`has(event.data.x) && has(user.plan) && !has(user.nickname)`, yes)
	f(`event.data.absent == 1 || event.data.x == 3`, yes)
	f(`event.data.absent == 1 && event.data.x == 4`, no)
	f(`event.data.absent == 1 && event.data.x == 3`, fails)
	f(`event.date == "2026-03-01" && event.weekday == "sun" && event.hour == 20`, yes)
	f(`event.id == "e1" && event.source == "app" && event.type == "data.logged"`, yes)
	f(`event.time == timestamp("2026-03-02T01:00:00Z")`, yes)
	f(`event.time < timestamp("2026-03-02T01:00:00Z")`, no)
	f(`user.id == "ann" && user.timezone.startsWith("America/") && user.plan in ["gold", "silver"]`, yes)
	f(`user.employer.name == "acme" && user.age >= 18`, yes)
	f(`user.nickname == "x"`, fails)
}

func TestConditionsThatAreMistakes(t *testing.T) {
	f := func(source string, column int, message string) {
		t.Helper()
		_, mistakes := compilePredicate(source)
		if len(mistakes) == 0 || mistakes[0].Line != 1 || mistakes[0].Column != column || !strings.Contains(mistakes[0].Message, message) {
			t.Errorf("%s: %+v, want %q at column %d", source, mistakes, message, column)
		}
	}
	f(`event.tpye == "x"`, 6, "did you mean `type`?")
	f(`event.data.metric.matches("^a")`, 19, "regular expressions are not available")
	f(`event.time.getHours("Asia/Tokyo") == 3`, 12, "getHours")
	f(`1 + 1`, 1, "true or false")
	f(`event.data.x ==`, 16, "too early")
	f(`nobody.x == 1`, 1, "nobody")
	f(`"`+strings.Repeat("x", maxExpression)+`" == event.id`, 1, "at most 1000")
}

func TestAnExpensiveConditionIsAnError(t *testing.T) {
	p, mistakes := compilePredicate(`event.data.all(a, event.data.all(b, event.data.all(c, a + b + c >= 0)))`)
	if mistakes != nil {
		t.Fatal(mistakes)
	}
	if _, err := p.eval(conditionScope(t, "["+strings.Repeat("1,", 999)+"1]", "")); err == nil {
		t.Error("a thousand cubed evaluations are allowed")
	}
}
