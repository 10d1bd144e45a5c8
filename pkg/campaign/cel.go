package campaign

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/env"
	celoperators "cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

const (
	maxExpressionBytes = 4096
	maxExpressionNodes = 1000
	maxExpressionDepth = 50
	// maxExpressionCost bounds one evaluation, in CEL's own units (about one a step): what runs longer is an error, and an
	// error is false. It depends on the event and the expression alone, so it is the same everywhere.
	maxExpressionCost = 100_000
)

// predicate is a compiled condition: CEL, boolean, over `event` and `user`.
type predicate struct {
	source  string
	program cel.Program
	native  nativeCondition // nil where the condition's form is not one that is compiled
	event   bool            // it looks at the event
	user    bool            // it looks at the user
}

// exprError is a mistake in an expression, with its place inside it, from 1.
type exprError struct {
	Line, Column int
	Message      string
}

// compileCEL parses and checks an expression. All its mistakes are returned.
func compileCEL(source string) (*cel.Ast, cel.Program, []exprError) {
	if len(source) > maxExpressionBytes {
		return nil, nil, []exprError{{1, 1, fmt.Sprintf("the expression has %d bytes, at most %d are read", len(source), maxExpressionBytes)}}
	}
	environment := celEnvironment()
	checked, issues := environment.Compile(source)
	if issues.Err() != nil {
		var mistakes []exprError
		for _, e := range issues.Errors() {
			mistakes = append(mistakes, exprError{max(1, e.Location.Line()), e.Location.Column() + 1, explainCEL(e.Message)})
		}
		return nil, nil, mistakes
	}
	program, err := environment.Program(checked, cel.CostLimit(maxExpressionCost), cel.InterruptCheckFrequency(0))
	if err != nil {
		return nil, nil, []exprError{{1, 1, err.Error()}}
	}
	return checked, program, nil
}

// compilePredicate compiles a condition.
func compilePredicate(source string) (*predicate, []exprError) {
	checked, program, mistakes := compileCEL(source)
	if mistakes != nil {
		return nil, mistakes
	}
	if out := checked.OutputType(); !out.IsExactType(types.BoolType) && !out.IsExactType(types.DynType) {
		return nil, []exprError{{1, 1, fmt.Sprintf("a condition must be true or false, this expression is of type %s", out)}}
	}
	p := &predicate{source: source, program: program, native: compileNative(shapeOf(checked.NativeRep().Expr()))}
	p.event, p.user = looksAt(checked, "event"), looksAt(checked, "user")
	return p, nil
}

func looksAt(checked *cel.Ast, object string) bool {
	for _, r := range checked.NativeRep().ReferenceMap() {
		if r.Name == object {
			return true
		}
	}
	return false
}

// constant says whether the condition is the same for every event and user.
func (p *predicate) constant() bool { return !p.event && !p.user }

// valueExpression is what of an event counts: a number for a sum; a text, a whole number or a truth for a distinct.
type valueExpression struct {
	source  string
	program cel.Program
	native  nativeValue // nil where it is more than a field
	user    bool
}

// compileValueExpression compiles a value.
func compileValueExpression(source string) (*valueExpression, []exprError) {
	checked, program, mistakes := compileCEL(source)
	if mistakes != nil {
		return nil, mistakes
	}
	v := &valueExpression{source: source, program: program, user: looksAt(checked, "user")}
	if s := shapeOf(checked.NativeRep().Expr()); s != nil && s.operator == opField {
		v.native = compileValue(s)
	}
	return v, nil
}

// eval evaluates the value.
func (v *valueExpression) eval(s *scope) (operand, error) {
	if v.native != nil {
		o := v.native(s)
		switch {
		case o.kind != failureOperand:
			return o, nil
		case !s.details:
			return o, errConditionFails
		}
	}
	out, _, err := v.program.Eval(map[string]any{"event": eventObject{s}, "user": userObject{s}})
	if err != nil {
		return operand{}, err
	}
	switch out := out.(type) {
	case types.Bool:
		return operand{kind: boolOperand, b: bool(out)}, nil
	case types.Int:
		return operand{kind: intOperand, i: int64(out)}, nil
	case types.Double:
		return operand{kind: doubleOperand, f: float64(out)}, nil
	case types.String:
		return operand{kind: textOperand, s: string(out)}, nil
	}
	return operand{kind: compositeOperand}, nil
}

// usesUser says whether the condition looks at the user.
func (p *predicate) usesUser() bool { return p.user }

// eval evaluates the condition. An error is CEL's: an absent field, types that do not fit, the cost limit.
func (p *predicate) eval(s *scope) (bool, error) {
	if p.native != nil {
		switch p.native(s) {
		case yes:
			return true, nil
		case no:
			return false, nil
		case failed:
			if !s.details {
				return false, errConditionFails
			}
		case undecided:
		}
	}
	return p.interpret(s)
}

// interpret lets CEL evaluate the condition.
func (p *predicate) interpret(s *scope) (bool, error) {
	out, _, err := p.program.Eval(map[string]any{"event": eventObject{s}, "user": userObject{s}})
	if err != nil {
		return false, err
	}
	holds, ok := out.Value().(bool)
	if !ok {
		return false, fmt.Errorf("a condition must be true or false, this one is of type %s", out.Type().TypeName())
	}
	return holds, nil
}

// operators are CEL's functions that are compiled.
var operators = map[string]operator{
	celoperators.LogicalNot: opNot, celoperators.LogicalAnd: opAnd, celoperators.LogicalOr: opOr,
	celoperators.Equals: opEqual, celoperators.NotEquals: opNotEqual,
	celoperators.Less: opLess, celoperators.LessEquals: opLessEqual,
	celoperators.Greater: opGreater, celoperators.GreaterEquals: opGreaterEqual,
	celoperators.In:      opIn,
	overloads.StartsWith: opStartsWith,
	overloads.EndsWith:   opEndsWith,
	overloads.Contains:   opContains,
}

// shapeOf translates a checked expression for compileNative, or returns nil if it has a form that is not compiled.
func shapeOf(e ast.Expr) *shape {
	switch e.Kind() {
	case ast.LiteralKind:
		return literalShape(e.AsLiteral())
	case ast.SelectKind:
		path := pathOf(e)
		if path == nil {
			return nil
		}
		if e.AsSelect().IsTestOnly() {
			return &shape{operator: opHas, path: path}
		}
		return &shape{operator: opField, path: path}
	case ast.CallKind:
		return callShape(e.AsCall())
	default:
		return nil
	}
}

func callShape(call ast.CallExpr) *shape {
	operator, ok := operators[call.FunctionName()]
	if !ok {
		return nil
	}
	operands := call.Args()
	if call.IsMemberFunction() {
		operands = append([]ast.Expr{call.Target()}, operands...)
	}
	if operator == opIn && operands[1].Kind() == ast.ListKind {
		operands = append(operands[:1:1], operands[1].AsList().Elements()...)
	} else if operator == opIn {
		return nil
	}
	s := &shape{operator: operator}
	for _, operand := range operands {
		arg := shapeOf(operand)
		if arg == nil {
			return nil
		}
		s.args = append(s.args, arg)
	}
	return s
}

func literalShape(literal ref.Val) *shape {
	o := operand{}
	switch v := literal.(type) {
	case types.Null:
		o.kind = nullOperand
	case types.Bool:
		o = operand{kind: boolOperand, b: bool(v)}
	case types.Int:
		o = operand{kind: intOperand, i: int64(v)}
	case types.Double:
		o = operand{kind: doubleOperand, f: float64(v)}
	case types.String:
		o = operand{kind: textOperand, s: string(v)}
	default:
		return nil
	}
	return &shape{operator: opLiteral, literal: o}
}

// pathOf is a chain of fields from `event` or `user`.
func pathOf(e ast.Expr) []string {
	switch e.Kind() {
	case ast.IdentKind:
		if name := e.AsIdent(); name == "event" || name == "user" {
			return []string{name}
		}
	case ast.SelectKind:
		if inside := e.AsSelect().Operand(); inside.Kind() != ast.SelectKind || !inside.AsSelect().IsTestOnly() {
			if path := pathOf(inside); path != nil {
				return append(path, e.AsSelect().FieldName())
			}
		}
	default:
	}
	return nil
}

// explainCEL adds to CEL's own words what an author can do.
func explainCEL(message string) string {
	if name, ok := strings.CutPrefix(message, "undefined field '"); ok {
		name, _, _ = strings.Cut(name, "'")
		return message + suggest(nearest(name, slices.Sorted(maps.Keys(eventFields))))
	}
	if strings.Contains(message, "'matches'") {
		return "regular expressions are not available: use ==, in, startsWith, endsWith or contains"
	}
	return message
}

// The two objects that an expression sees. They are CEL structs of our own, so that a misspelt event field is a mistake
// when a campaign is loaded and not a campaign that never rewards.
type (
	eventObject struct{ *scope }
	userObject  struct{ *scope }
)

const (
	eventType = "stampede.Event"
	userType  = "stampede.User"
)

var errNoSuchField = errors.New("no such key")

// eventFields are the fields of `event`.
var eventFields = map[string]*types.FieldType{
	"id":      eventField(types.StringType, func(s *scope) any { return s.event.ID }),
	"source":  eventField(types.StringType, func(s *scope) any { return s.event.Source }),
	"type":    eventField(types.StringType, func(s *scope) any { return s.event.Type }),
	"time":    eventField(types.TimestampType, func(s *scope) any { return time.Unix(0, s.event.Time).UTC() }),
	"date":    eventField(types.StringType, func(s *scope) any { return s.day.String() }),
	"weekday": eventField(types.StringType, func(s *scope) any { return weekdays[s.day.Weekday()] }),
	"hour":    eventField(types.IntType, func(s *scope) any { return s.hour }),
	"data": {
		Type:  types.DynType,
		IsSet: func(o any) bool { return o.(eventObject).event.Data.Kind() != Absent },
		GetFrom: func(o any) (any, error) {
			data := o.(eventObject).event.Data
			if data.Kind() == Absent {
				return nil, fmt.Errorf("%w: data", errNoSuchField)
			}
			return celValue(data), nil
		},
	},
}

func eventField(t *types.Type, read func(*scope) any) *types.FieldType {
	return &types.FieldType{
		Type:    t,
		IsSet:   func(any) bool { return true },
		GetFrom: func(o any) (any, error) { return read(o.(eventObject).scope), nil },
	}
}

// userField is a field of `user`: its id, its zone or an attribute.
func userField(name string) *types.FieldType {
	read := func(s *scope) Value { return s.attributes.Get(name) }
	switch name {
	case "id":
		return &types.FieldType{
			Type:    types.StringType,
			IsSet:   func(any) bool { return true },
			GetFrom: func(o any) (any, error) { return o.(userObject).event.User, nil },
		}
	case "timezone":
		return &types.FieldType{
			Type:  types.StringType,
			IsSet: func(o any) bool { return o.(userObject).userTimezone != "" },
			GetFrom: func(o any) (any, error) {
				if zone := o.(userObject).userTimezone; zone != "" {
					return zone, nil
				}
				return nil, fmt.Errorf("%w: timezone", errNoSuchField)
			},
		}
	}
	return &types.FieldType{
		Type:  types.DynType,
		IsSet: func(o any) bool { return read(o.(userObject).scope).Kind() != Absent },
		GetFrom: func(o any) (any, error) {
			v := read(o.(userObject).scope)
			if v.Kind() == Absent {
				return nil, fmt.Errorf("%w: %s", errNoSuchField, name)
			}
			return celValue(v), nil
		},
	}
}

// celValue hands a JSON value to CEL: numbers as doubles, null as CEL's null.
func celValue(v Value) any {
	if v.Kind() == Null {
		return types.NullValue
	}
	return v.Any()
}

// provider knows the two objects beside CEL's own types.
type provider struct{ *types.Registry }

func (p provider) FindStructType(name string) (*types.Type, bool) {
	if name == eventType || name == userType {
		return types.NewTypeTypeWithParam(types.NewObjectType(name)), true
	}
	return p.Registry.FindStructType(name)
}

func (p provider) FindStructFieldNames(name string) ([]string, bool) {
	switch name {
	case eventType:
		return slices.Sorted(maps.Keys(eventFields)), true
	case userType:
		return []string{"id", "timezone"}, true
	}
	return p.Registry.FindStructFieldNames(name)
}

func (p provider) FindStructFieldType(name, field string) (*types.FieldType, bool) {
	switch name {
	case eventType:
		f, ok := eventFields[field]
		return f, ok
	case userType:
		return userField(field), true
	}
	return p.Registry.FindStructFieldType(name, field)
}

func (p provider) NewValue(name string, fields map[string]ref.Val) ref.Val {
	if name == eventType || name == userType {
		return types.NewErr("%s can't be made in an expression", name)
	}
	return p.Registry.NewValue(name, fields)
}

// excluded are functions that an expression must not reach: regular expressions, whose cost is not bounded, and the parts
// of a timestamp, which would read the system's time zones (event.date, weekday and hour are the user's own).
var excluded = []string{
	"matches",
	"getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getFullYear", "getHours", "getMilliseconds", "getMinutes",
	"getMonth", "getSeconds",
}

// celEnvironment is made once: it is the same for every expression.
var celEnvironment = sync.OnceValue(func() *cel.Env {
	registry, err := types.NewRegistry()
	if err != nil {
		panic("BUG: CEL's types: " + err.Error())
	}
	subset := &env.LibrarySubset{}
	for _, name := range excluded {
		subset.ExcludeFunctions = append(subset.ExcludeFunctions, &env.Function{Name: name})
	}
	environment, err := cel.NewCustomEnv(
		cel.StdLib(cel.StdLibSubset(subset)),
		cel.CustomTypeProvider(provider{registry}),
		cel.CustomTypeAdapter(registry),
		cel.CrossTypeNumericComparisons(true),
		cel.ParserRecursionLimit(maxExpressionDepth),
		cel.ParserExpressionSizeLimit(maxExpressionNodes),
		cel.Variable("event", cel.ObjectType(eventType)),
		cel.Variable("user", cel.ObjectType(userType)),
	)
	if err != nil {
		panic("BUG: CEL's environment: " + err.Error())
	}
	return environment
})
