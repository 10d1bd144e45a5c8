package campaign

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"

	"cel.dev/cel-go/common/types"     //nolint:depguard // it counts what CEL looks at
	"cel.dev/cel-go/common/types/ref" //nolint:depguard // the same
	"github.com/google/go-cmp/cmp"
)

// What a campaign's expressions can reach. All of it takes time that is bounded by the size of its operands, and costs says by which. A
// function that a new cel-go brings fails here, until somebody has looked at what it costs.
func TestNoOtherFunctionIsReachable(t *testing.T) {
	environment := celEnvironment()
	want := []string{
		"!_", "-_", "@append", "@in", "@not_strictly_false", "_!=_", "_%_", "_&&_", "_*_", "_+_", "_-_", "_/_", "_<=_", "_<_", "_==_", "_>=_", "_>_",
		"_?_:_", "_[_]", "__not_strictly_false__", "_in_", "_||_", "bool", "bytes", "contains", "double", "duration", "dyn", "endsWith",
		"in", "int", "size", "startsWith", "string", "timestamp", "type", "uint",
	}
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(environment.Functions()))); diff != "" {
		t.Errorf("functions: %s", diff)
	}
	var macros []string
	for _, m := range environment.Macros() {
		macros = append(macros, m.MacroKey())
	}
	slices.Sort(macros)
	if diff := cmp.Diff([]string{"all:2:true", "exists:2:true", "exists_one:2:true", "filter:2:true", "has:1:false", "map:2:true", "map:3:true"}, macros); diff != "" {
		t.Errorf("macros: %s", diff)
	}
	for _, source := range []string{
		`event.data.x.matches("^(a+)+$")`, `matches(event.id, "a")`, `event.time.getHours("Asia/Tokyo") == 3`, `event.time.getFullYear() == 2026`,
		`"%s".format([event.id]) == ""`, `event.id.replace("a", "b") == ""`, `event.id.split("") == []`, `["a"].join() == ""`, `math.greatest(1, 2) == 2`,
		`@append([1], 2) == [1, 2]`, `[1].append(2) == [1, 2]`, `cel.bind(x, 1, x == 1)`, `event.data.l.transformList(i, v, v) == []`, `optional.of(1) == optional.none()`, `event.data.?x == 1`, `sets.contains([1], [1])`,
		`google.protobuf.Struct{} == event.data`, `stampede.Event{id: "x"}.id == ""`, `{"a": 1}.map(k, k)[0] == "a"`, `[{"a": 1}].exists(m, m.all(k, true))`,
		`event == event`, `[user] == []`, `type(event) == type(user)`, `dyn(event).id == ""`, `string(event.data.x).lowerAscii() == ""`,
	} {
		if _, mistakes := compilePredicate(source); mistakes == nil {
			t.Errorf("%s can be written", source)
		}
	}
}

// What grows faster than its text: each of these would take minutes, or for ever, if nothing bounded it.
func TestEveryConditionEnds(t *testing.T) {
	var data strings.Builder
	fmt.Fprintf(&data, `{"list":[%s1],"text":%q,"object":{`, strings.Repeat("1,", 20_000), strings.Repeat("x", 100_000))
	for i := range 5000 {
		fmt.Fprintf(&data, `"k%d":%d,`, i, i)
	}
	data.WriteString(`"z":1}}`)
	s := conditionScope(t, data.String(), "")
	const (
		l    = "event.data.list"
		text = "event.data.text"
	)
	times := func(form string) string { return strings.Repeat(form, 40) }
	for _, source := range []string{
		`[[1]]` + times(`.map(a,a+a)`) + `.exists(a, a == a+[])`,
		`[[1]]` + times(`.map(a,a+a)`) + `.exists(a, 2 in a)`,
		`[[1]]` + times(`.map(a,[a,a])`) + `.exists(a, a == a)`,
		`[[1]]` + times(`.map(a,[a,a])`) + `.exists(a, a in [a])`,
		`["x"]` + times(`.map(a,a+a)`) + `.exists(a, a == "")`,
		`[` + text + `]` + times(`.map(a,a+a)`) + `.exists(a, a == "")`,
		`[b"x"]` + times(`.map(a,a+a)`) + `.exists(a, a == b"")`,
		`[` + l + `]` + times(`.map(a,a+a)`) + `.exists(a, size(a) == 0)`,
		`[` + text + `].map(a, a+a).map(a, a+a).exists(a, a.contains(a))`,
		l + `.all(a, ` + l + `.all(b, ` + l + `.all(c, a + b + c > 0.0)))`,
		l + `.map(a, ` + l + `.map(b, ` + l + `)).size() > 0`,
		l + `.all(a, ` + l + ` == ` + l + `)`,
		l + `.all(a, !(2.5 in ` + l + `))`,
		l + `.all(a, event.data.object == event.data.object)`,
		l + `.map(a, event.data.object).all(o, o == event.data.object)`,
		l + `.all(a, event.data == event.data)`,
		l + `.all(a, ` + text + ` <= ` + text + `)`,
		l + `.all(a, size(` + text + `) > 0)`,
		l + `.all(a, string(` + text + `).endsWith(` + text + `))`,
		l + `.all(a, bytes(` + text + `) != b"")`,
		l + `.all(a, timestamp(` + text + `) > event.time || true)`,
		l + `.all(a, duration(` + text + `) > duration("1s") || true)`,
		l + `.all(a, double(` + text + `) > 1.0 || int(` + text + `) > 1 || uint(` + text + `) > 1u || bool(` + text + `) || true)`,
		`event.data.object.all(j, event.data.object.all(k, event.data.object[k] >= 0.0))`,
		l + `.all(a, has(user.x) || ` + text + ` + ` + text + ` != "")`,
	} {
		p, mistakes := compilePredicate(source)
		if mistakes != nil {
			t.Errorf("%s: %v", source, mistakes)
			continue
		}
		p.native = nil
		const most = 64 << 20
		if _, err := p.evalWithin(t, s, most); err == nil || !strings.Contains(err.Error(), "limit exceeded") {
			t.Errorf("%s ends with %v, not at a limit", source, err)
		}
	}
}

// looked is an element that counts how often its size is asked for.
type looked struct {
	types.Double
	times *int
}

// AggregateSize is asked by the sizer.
func (l looked) AggregateSize(types.AggregateSizer) uint32 { *l.times++; return 1 }

// What an evaluation looks at to know how large its values are is work that no cost counts: it grows with a list, and not with its square.
func TestAListIsMeasuredOnce(t *testing.T) {
	const elements, mostEach = 5000, 8
	for _, source := range []string{
		`event.data.filter(a, true).size() > 0`,
		`event.data.map(a, a).size() > 0`,
		`event.data.map(a, true, a).size() > 0`,
		`event.data.filter(a, true).exists(a, false)`,
		`event.data.all(a, true) && !event.data.exists(a, false) && !event.data.exists_one(a, false)`,
	} {
		p, mistakes := compilePredicate(source)
		if mistakes != nil {
			t.Fatal(mistakes)
		}
		times := 0
		list := make([]ref.Val, elements)
		for i := range list {
			list[i] = looked{types.Double(i), &times}
		}
		s := conditionScope(t, "[]", "")
		event := newEventObject(s)
		event.data = types.NewRefValList(types.DefaultTypeAdapter, list)
		if _, _, err := p.program.Eval(map[string]any{"event": event, "user": newUserObject(s)}); err != nil && !strings.Contains(err.Error(), "limit exceeded") {
			t.Errorf("%s: %v", source, err)
		}
		if times == 0 || times > mostEach*elements {
			t.Errorf("%s looks %d times at %d elements", source, times, elements)
		}
	}
}

// What filter and map make is a list as any other.
func TestAMadeListIsAList(t *testing.T) {
	s := conditionScope(t, `{"l":[1,"a",[2,3],{"k":4},null],"n":[[1,2],[3]]}`, "")
	for _, source := range []string{
		`event.data.l.map(x, x) == event.data.l`,
		`event.data.l.filter(x, true) + [5] == event.data.l + [5]`,
		`event.data.l.filter(x, x == "a" || x == null) == ["a", null]`,
		`event.data.n.map(x, x.map(y, y * 2.0)) == [[2.0, 4.0], [6.0]]`,
		`event.data.n.map(x, x.map(y, y > 1, y)) == [[2], [3]]`,
		`event.data.n.map(x, size(x) == 2, x)[0][1] == 2`,
		`2 in event.data.n.map(x, size(x)) && !(3 in event.data.n.map(x, size(x)))`,
		`[1, 2, 3].map(x, x + 1).map(x, x * 2).filter(x, x > 4) == [6, 8]`,
		`[].map(x, x) == [] && size([1].filter(x, false)) == 0`,
		`event.data.l.map(x, [x]).exists(x, x == [null]) && type(event.data.l.map(x, x)) == list`,
	} {
		p, mistakes := compilePredicate(source)
		if mistakes != nil {
			t.Errorf("%s: %v", source, mistakes)
			continue
		}
		if holds, err := p.eval(s); err != nil || !holds {
			t.Errorf("%s is %t, %v", source, holds, err)
		}
	}
}

// evalWithin evaluates a condition and fails where it allocates more than so many bytes.
func (p *predicate) evalWithin(t *testing.T, s *scope, most uint64) (bool, error) {
	t.Helper()
	holds, err := false, error(nil)
	if n := allocated(func() { holds, err = p.eval(s) }); n > most {
		t.Errorf("%s allocates %d bytes", p.source, n)
	}
	return holds, err
}

// allocated is how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// A condition that costs too much is a decision that says so, and the next event counts.
func TestATooExpensiveConditionIsADecision(t *testing.T) {
	s := tell(t, head+"goal: {count: 2, of: hit, where: 'event.data.l.all(a, event.data.l.all(b, a + b > 0.0))'}\n")
	s.decided("where_error", s.says("hit", "2026-01-01", `"l":[`+strings.Repeat("1,", 999)+`1]`))
	s.decided("counted", s.says("hit", "2026-01-01", `"l":[1,2]`))
}

// What an author can ask of a whole event is not bounded away.
func TestALargeEventCanBeAsked(t *testing.T) {
	s := conditionScope(t, `{"items":[`+strings.Repeat(`{"sku":"a","price":2.5,"tags":["x","y"]},`, 3000)+`{"sku":"b","price":1}]}`, "")
	for source, want := range map[string]bool{
		`event.data.items.exists(i, i.sku == "b")`:                  true,
		`event.data.items.filter(i, i.sku == "a").size() == 3000`:   true,
		`event.data.items.all(i, i.price > 2)`:                      false,
		`event.data.items.map(i, i.sku).exists(sku, sku == "b")`:    true,
		`{"a": 1, "b": 2}[event.data.items[0].sku] == 1`:            true,
		`"sku" in event.data.items[0]`:                              true,
		`event.data.items[3000] == {"price": 1.0, "sku": "b"}`:      true,
		`event.data.items.exists_one(i, i.sku == "b")`:              true,
		`event.data.items[0].map(k, k) == ["sku", "price", "tags"]`: true,
	} {
		p, mistakes := compilePredicate(source)
		if mistakes != nil {
			t.Errorf("%s: %v", source, mistakes)
			continue
		}
		if holds, err := p.eval(s); err != nil || holds != want {
			t.Errorf("%s is %t, %v", source, holds, err)
		}
	}
}

// P3: CEL goes through an object in the order of the event's text, not in Go's order of a map.
func TestAnObjectIsGoneThroughInItsOrder(t *testing.T) {
	p, mistakes := compilePredicate(`event.data.map(k, k) == ["e", "d", "c", "b", "a", "f", "g", "h"] && event.data.filter(k, event.data[k] > 1)[0] == "d"`)
	if mistakes != nil {
		t.Fatal(mistakes)
	}
	s := conditionScope(t, `{"e":1,"d":2,"c":3,"b":4,"a":5,"f":6,"g":7,"h":8}`, "")
	for range 50 {
		if holds, err := p.eval(s); err != nil || !holds {
			t.Fatal(holds, err)
		}
	}
}
