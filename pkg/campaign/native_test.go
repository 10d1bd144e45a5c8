package campaign

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// drawCondition draws an expression. Most are of forms that are compiled to Go, some are not.
func drawCondition(t *rapid.T, depth int) string {
	pick := func(label string, of ...string) string { return rapid.SampledFrom(of).Draw(t, label) }
	field := func() string {
		return pick("field", "event.data.a", "event.data.b", "event.data.c.d", "event.data.c", "event.data.none", "event.data.c.none",
			"event.data.a.deeper", "event.data", "event.id", "event.source", "event.type", "event.weekday", "event.hour", "event.date",
			"user.id", "user.timezone", "user.plan", "user.age", "user.nested.x", "user.none")
	}
	literal := func() string {
		return pick("literal", `"x"`, `"xy"`, `""`, `"mon"`, `"sun"`, `"gold"`, `"`+strings.Repeat("x", 200)+`"`, "0", "1", "-1", "20", "2.5", "1.0",
			"9007199254740993", "1e300", "true", "false", "null", "1u")
	}
	operand := func() string {
		if rapid.IntRange(0, 2).Draw(t, "operand") == 0 {
			return literal()
		}
		return field()
	}
	if depth > 0 {
		switch rapid.IntRange(0, 5).Draw(t, "form") {
		case 0, 1:
			return fmt.Sprintf("(%s %s %s)", drawCondition(t, depth-1), pick("logic", "&&", "||"), drawCondition(t, depth-1))
		case 2:
			return "!" + "(" + drawCondition(t, depth-1) + ")"
		case 3:
			if rapid.IntRange(0, 3).Draw(t, "ternary") == 0 {
				return fmt.Sprintf("(%s ? %s : %s)", drawCondition(t, depth-1), drawCondition(t, depth-1), drawCondition(t, depth-1))
			}
		}
	}
	switch rapid.IntRange(0, 9).Draw(t, "leaf") {
	case 0, 1, 2:
		return fmt.Sprintf("%s %s %s", operand(), pick("equality", "==", "!="), operand())
	case 3, 4:
		return fmt.Sprintf("%s %s %s", operand(), pick("order", "<", "<=", ">", ">="), operand())
	case 5:
		return fmt.Sprintf("%s in [%s, %s, %s]", field(), literal(), literal(), literal())
	case 6:
		return fmt.Sprintf("%s.%s(%s)", operand(), pick("function", "startsWith", "endsWith", "contains"), operand())
	case 7:
		return "has(" + pick("tested", "event.data.a", "event.data.c.d", "event.data.none", "event.data.a.d", "event.data", "event.id",
			"user.plan", "user.none", "user.timezone", "user.id", "user.nested.x", "user.plan.x") + ")"
	case 8:
		return fmt.Sprintf("%s in %s", operand(), field())
	default:
		return operand()
	}
}

// drawScope draws an event and a user with fields that are there or not, of all types.
func drawScope(t *rapid.T) *scope {
	value := func() string {
		return rapid.SampledFrom([]string{
			`"x"`, `"xy"`, `"\u0078"`, `""`, `"gold"`, `"` + strings.Repeat("x", 300) + `"`, "0", "1", "-1", "2.5", "20", "9007199254740993", "1e300", "-0", "1e400",
			"true", "false", "null", "[]", `["x",1]`, "{}", `{"d":1}`, `{"d":"x","x":true}`, `{"d":{"d":1}}`,
		}).Draw(t, "value")
	}
	object := func(names ...string) Value {
		var fields []string
		for _, name := range names {
			if rapid.IntRange(0, 3).Draw(t, name) > 0 {
				fields = append(fields, fmt.Sprintf("%q:%s", name, value()))
			}
		}
		src := "{" + strings.Join(fields, ",") + "}"
		if rapid.IntRange(0, 19).Draw(t, "no object") == 0 {
			src = value()
		}
		var d document
		if err := d.parse([]byte(src)); err != nil {
			return Value{}
		}
		return d.root()
	}
	sc := &scope{
		event: &Event{User: "x", ID: "xy", Source: "gold", Type: "data.logged", Data: object("a", "b", "c")},
		day:   DayOf(2026, 3, 1), hour: 20,
		attributes: object("plan", "age", "nested"),
	}
	if rapid.Bool().Draw(t, "zone") {
		sc.userTimezone = "UTC"
	}
	return sc
}

// What is compiled to Go gives CEL's result, and its errors.
func TestCompiledConditionsAreCELs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		source := drawCondition(t, 3)
		p, mistakes := compilePredicate(source)
		if mistakes != nil || p.native == nil {
			return // two literals of types that can't be compared, or a form that is left to CEL
		}
		for range 10 {
			sc := drawScope(t)
			want, wantErr := p.interpret(sc)
			got := p.native(sc)
			if got != undecided && ((wantErr != nil) != (got == failed) || wantErr == nil && want != (got == yes)) {
				t.Fatalf("%s\nis %d compiled, and by CEL %t, %v\ndata %s\nattributes %s", source, got, want, wantErr, sc.event.Data.Raw(), sc.attributes.Raw())
			}
		}
	})
}

// The property above would say nothing if hardly any condition that is drawn were compiled, or decided otherwise than by an error. That is counted of
// conditions that are the same in every run: of a hundred that are drawn anew, now and then most are errors.
func TestConditionsThatAreDrawnAreCompiledAndDecided(t *testing.T) {
	draws := rapid.Custom(func(t *rapid.T) string { return drawCondition(t, 3) })
	scopes := rapid.Custom(drawScope)
	var conditions, compiled, evaluated, decided, errors int
	for n := range 2000 {
		p, mistakes := compilePredicate(draws.Example(n))
		if mistakes != nil {
			continue
		}
		conditions++
		if p.native == nil {
			continue
		}
		compiled++
		got := p.native(scopes.Example(n))
		evaluated++
		if got == undecided {
			continue
		}
		decided++
		if got == failed {
			errors++
		}
	}
	t.Logf("%d conditions, %d compiled; %d evaluations, %d decided, of them %d errors", conditions, compiled, evaluated, decided, errors)
	if conditions < 1000 || compiled*2 < conditions || decided*4 < evaluated*3 || errors*4 > decided*3 || errors*4 < decided {
		t.Error("the property is one of rare cases: see the counts")
	}
}

func TestCompiledConditionsDoNotAllocate(t *testing.T) {
	for _, source := range []string{
		`event.data.metric in ["weight", "sleep"]`,
		`event.data.x >= 3 && event.data.x < 100 && !(event.weekday == "mon")`,
		`user.plan == "gold" || has(user.employer) && event.data.metric.startsWith("sl")`,
	} {
		p, mistakes := compilePredicate(source)
		if mistakes != nil || p.native == nil {
			t.Fatalf("%s is not compiled: %v", source, mistakes)
		}
		sc := conditionScope(t, `{"metric":"sleep","x":3}`, `{"plan":"silver","employer":"acme"}`)
		if holds, err := p.eval(sc); !holds || err != nil {
			t.Errorf("%s is %t, %v", source, holds, err)
		}
		if n := testing.AllocsPerRun(1000, func() { _, _ = p.eval(sc) }); n > 0 {
			t.Errorf("%s: %.1f allocations", source, n)
		}
	}
}

func BenchmarkCondition(b *testing.B) {
	p, mistakes := compilePredicate(`event.data.metric in ["weight", "sleep"]`)
	if mistakes != nil {
		b.Fatal(mistakes)
	}
	var d document
	if err := d.parse([]byte(`{"metric":"sleep","x":3}`)); err != nil {
		b.Fatal(err)
	}
	sc := &scope{event: &Event{Data: d.root()}}
	for name, eval := range map[string]func(*scope) (bool, error){"compiled": p.eval, "cel": p.interpret} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if holds, err := eval(sc); !holds || err != nil {
					b.Fatal(holds, err)
				}
			}
		})
	}
}
