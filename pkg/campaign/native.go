package campaign

import (
	"cmp"
	"errors"
	"math"
	"strings"
)

// Most conditions are comparisons of fields with literals. They are compiled to Go functions, which take tens of
// nanoseconds and no memory where CEL's interpreter takes a microsecond. The result is CEL's, and where this file does not know
// CEL's result it says so and CEL evaluates (a property holds the two against each other).

// shape is a condition, or a part of one, of a form that is compiled.
type shape struct {
	operator operator
	literal  operand
	path     []string // of opField and opHas, from "event" or "user"
	args     []*shape // nil in the place of an operand of opNot, opAnd or opOr that is of no such form

	line, column int // where it stands in the expression, from 1
}

type operator uint8

const (
	opLiteral operator = iota
	opField
	opHas
	opNot
	opAnd
	opOr
	opEqual
	opNotEqual
	opLess
	opLessEqual
	opGreater
	opGreaterEqual
	opIn // args[1:] are the list
	opStartsWith
	opEndsWith
	opContains
)

// truth is the outcome of a condition.
type truth uint8

const (
	no truth = iota
	yes
	failed    // CEL's evaluation error
	undecided // CEL must say
)

// operandKind is what an operand is.
type operandKind uint8

const (
	failureOperand operandKind = iota // evaluating it is an error
	nullOperand
	boolOperand
	intOperand
	doubleOperand
	textOperand
	compositeOperand // a list or a map
)

// operand is a value that is compared.
type operand struct {
	kind operandKind
	b    bool
	i    int64
	f    float64
	s    string
}

// maxNativeText bounds the texts compared here. CEL counts what comparing them costs, and for longer ones the limit could be
// reached.
const maxNativeText = 128

type (
	nativeCondition func(*scope) truth
	nativeValue     func(*scope) operand
)

var errConditionFails = errors.New("a field is absent, or of a type that does not fit")

// compileNative compiles a condition, or returns nil if its form is not known.
func compileNative(s *shape) nativeCondition {
	if s == nil {
		return nil
	}
	switch s.operator {
	case opAnd, opOr:
		return compileLogic(s)
	case opNot:
		inner := compileNative(s.args[0])
		if inner == nil {
			return nil
		}
		return func(sc *scope) truth {
			switch t := inner(sc); t {
			case no:
				return yes
			case yes:
				return no
			default:
				return t
			}
		}
	case opHas:
		return compileHas(s)
	case opIn:
		return compileIn(s)
	case opLiteral, opField:
		value := compileValue(s)
		if value == nil {
			return nil
		}
		return func(sc *scope) truth {
			if v := value(sc); v.kind == boolOperand {
				return truthOf(v.b)
			}
			return failed
		}
	default:
		return compileComparison(s)
	}
}

func truthOf(b bool) truth {
	if b {
		return yes
	}
	return no
}

// compileLogic is && or ||. Whichever side decides alone makes up for an error of the other.
func compileLogic(s *shape) nativeCondition {
	left, right := compileNative(s.args[0]), compileNative(s.args[1])
	if left == nil || right == nil {
		return nil
	}
	decides := truthOf(s.operator == opOr)
	return func(sc *scope) truth {
		l := left(sc)
		if l == decides {
			return l
		}
		r := right(sc)
		switch {
		case r == decides:
			return r // whatever the left would have been
		case l == undecided || r == undecided:
			return undecided
		case l == failed || r == failed:
			return failed
		default:
			return l
		}
	}
}

func compileHas(s *shape) nativeCondition {
	object, name := s.path[:len(s.path)-1], s.path[len(s.path)-1]
	switch {
	case len(object) == 1 && object[0] == "event":
		if name != "data" {
			return func(*scope) truth { return yes }
		}
		return func(sc *scope) truth { return truthOf(sc.event.Data.Kind() != Absent) }
	case len(object) == 1:
		switch name {
		case "id":
			return func(*scope) truth { return yes }
		case "timezone":
			return func(sc *scope) truth { return truthOf(sc.userTimezone != "") }
		}
		return func(sc *scope) truth { return truthOf(sc.attributes.Get(name).Kind() != Absent) }
	}
	inside := compileJSON(object)
	if inside == nil {
		return nil
	}
	return func(sc *scope) truth {
		v := inside(sc)
		switch v.Kind() {
		case Absent, Array:
			return failed
		case Object:
			return truthOf(v.Get(name).Kind() != Absent)
		default:
			return no
		}
	}
}

func compileIn(s *shape) nativeCondition {
	value := compileValue(s.args[0])
	if value == nil {
		return nil
	}
	list := make([]operand, len(s.args)-1)
	for i, element := range s.args[1:] {
		if element.operator != opLiteral || len(element.literal.s) > maxNativeText {
			return nil
		}
		list[i] = element.literal
	}
	return func(sc *scope) truth {
		v := value(sc)
		if v.kind == failureOperand {
			return failed
		}
		if len(v.s) > maxNativeText {
			return undecided
		}
		for i := range list {
			if equal(v, list[i]) == yes {
				return yes
			}
		}
		return no
	}
}

func compileComparison(s *shape) nativeCondition {
	left, right := compileValue(s.args[0]), compileValue(s.args[1])
	if left == nil || right == nil {
		return nil
	}
	compare := comparisons[s.operator]
	return func(sc *scope) truth {
		l, r := left(sc), right(sc)
		switch {
		case l.kind == failureOperand || r.kind == failureOperand:
			return failed
		case len(l.s) > maxNativeText || len(r.s) > maxNativeText:
			return undecided
		}
		return compare(l, r)
	}
}

var comparisons = map[operator]func(l, r operand) truth{
	opEqual: equal,
	opNotEqual: func(l, r operand) truth {
		switch equal(l, r) {
		case yes:
			return no
		case no:
			return yes
		default:
			return undecided
		}
	},
	opLess:         ordering(func(order int) bool { return order < 0 }),
	opLessEqual:    ordering(func(order int) bool { return order <= 0 }),
	opGreater:      ordering(func(order int) bool { return order > 0 }),
	opGreaterEqual: ordering(func(order int) bool { return order >= 0 }),
	opStartsWith:   onTexts(strings.HasPrefix),
	opEndsWith:     onTexts(strings.HasSuffix),
	opContains:     onTexts(strings.Contains),
}

// equal is CEL's ==: values of different types are not equal, except that numbers are compared as numbers.
func equal(l, r operand) truth {
	switch {
	case l.kind == compositeOperand && r.kind == compositeOperand:
		return undecided
	case isNumber(l) && isNumber(r):
		return truthOf(compareNumbers(l, r) == 0)
	case l.kind != r.kind:
		return no
	}
	switch l.kind {
	case boolOperand:
		return truthOf(l.b == r.b)
	case textOperand:
		return truthOf(l.s == r.s)
	default: // null
		return yes
	}
}

// ordering is one of <, <=, > and >=: of numbers, texts or booleans.
func ordering(holds func(order int) bool) func(l, r operand) truth {
	return func(l, r operand) truth {
		switch {
		case isNumber(l) && isNumber(r):
			return truthOf(holds(compareNumbers(l, r)))
		case l.kind != r.kind:
			return failed
		case l.kind == textOperand:
			return truthOf(holds(cmp.Compare(l.s, r.s)))
		case l.kind == boolOperand:
			return truthOf(holds(cmp.Compare(number(l.b), number(r.b))))
		default:
			return failed
		}
	}
}

func onTexts(holds func(s, part string) bool) func(l, r operand) truth {
	return func(l, r operand) truth {
		if l.kind != textOperand || r.kind != textOperand {
			return failed
		}
		return truthOf(holds(l.s, r.s))
	}
}

func isNumber(o operand) bool { return o.kind == intOperand || o.kind == doubleOperand }

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}

// compareNumbers compares as CEL does: whole numbers exactly, otherwise as doubles.
func compareNumbers(l, r operand) int {
	if l.kind == intOperand && r.kind == intOperand {
		return cmp.Compare(l.i, r.i)
	}
	return cmp.Compare(l.double(), r.double())
}

func (o operand) double() float64 {
	if o.kind == intOperand {
		return float64(o.i)
	}
	return o.f
}

// compileValue is a value: a literal or a field.
func compileValue(s *shape) nativeValue {
	if s.operator == opLiteral {
		literal := s.literal
		return func(*scope) operand { return literal }
	}
	if s.operator != opField {
		return nil
	}
	if s.path[0] == "event" && len(s.path) == 2 {
		switch s.path[1] {
		case "id":
			return func(sc *scope) operand { return operand{kind: textOperand, s: sc.event.ID} }
		case "source":
			return func(sc *scope) operand { return operand{kind: textOperand, s: sc.event.Source} }
		case "type":
			return func(sc *scope) operand { return operand{kind: textOperand, s: sc.event.Type} }
		case "weekday":
			return func(sc *scope) operand { return operand{kind: textOperand, s: weekdays[sc.day.Weekday()]} }
		case "hour":
			return func(sc *scope) operand { return operand{kind: intOperand, i: int64(sc.hour)} }
		}
	}
	if s.path[0] == "user" && len(s.path) == 2 {
		switch s.path[1] {
		case "id":
			return func(sc *scope) operand { return operand{kind: textOperand, s: sc.event.User} }
		case "timezone":
			return func(sc *scope) operand {
				if sc.userTimezone == "" {
					return operand{}
				}
				return operand{kind: textOperand, s: sc.userTimezone}
			}
		}
	}
	value := compileJSON(s.path)
	if value == nil {
		return nil
	}
	return func(sc *scope) operand { return operandOf(value(sc)) }
}

// compileJSON is a value in event.data or among the user's attributes; Absent where a field on the way is not there or is
// no object.
func compileJSON(path []string) func(*scope) Value {
	root := func(sc *scope) Value { return sc.attributes }
	fields := path[1:]
	switch {
	case path[0] == "event" && len(path) > 1 && path[1] == "data":
		root = func(sc *scope) Value { return sc.event.Data }
		fields = path[2:]
	case path[0] != "user" || len(path) < 2 || path[1] == "id" || path[1] == "timezone":
		return nil
	}
	return func(sc *scope) Value {
		v := root(sc)
		for _, name := range fields {
			if v.Kind() != Object {
				return Value{}
			}
			v = v.Get(name)
		}
		return v
	}
}

func operandOf(v Value) operand {
	switch v.Kind() {
	case Null:
		return operand{kind: nullOperand}
	case Bool:
		return operand{kind: boolOperand, b: v.Bool()}
	case Number:
		if f := v.Number(); !math.IsNaN(f) {
			return operand{kind: doubleOperand, f: f}
		}
		return operand{}
	case String:
		return operand{kind: textOperand, s: v.Text()}
	case Array, Object:
		return operand{kind: compositeOperand}
	default:
		return operand{}
	}
}
