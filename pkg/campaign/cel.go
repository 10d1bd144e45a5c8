package campaign

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/env"
	celoperators "cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/parser"
)

const (
	// maxExpression bounds an expression's characters.
	maxExpression      = 1000
	maxExpressionDepth = 50
	// maxExpressionCost bounds one evaluation, in CEL's own units (about one a step): what runs longer is an error, and an
	// error is false. It depends on the event and the expression alone, so it is the same everywhere.
	maxExpressionCost = 100_000
	// maxValueSize bounds every value on the way, all that is in it counted as often as it is reached, ten bytes of text as one: the
	// cost of a step is known behind it, so a step must not be larger.
	maxValueSize  = 1 << 20
	maxValueDepth = 256
)

// predicate is a compiled condition: CEL, boolean, over `event` and `user`.
type predicate struct {
	source  string
	program cel.Program
	native  nativeCondition // nil where the condition's form is not one that is compiled
	shape   *shape          // what is known of its form; nil where nothing is
	faults  []exprError     // what in it can't be evaluated for any event
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
	if n := utf8.RuneCountInString(source); n > maxExpression {
		return nil, nil, []exprError{{1, 1, fmt.Sprintf("the expression has %d characters, at most %d are read: write a shorter one", n, maxExpression)}}
	}
	environment := celEnvironment()
	checked, issues := environment.Compile(source)
	if issues.Err() != nil {
		return nil, nil, celMistakes(source, issues.Errors())
	}
	if wrong := refusedForms(checked); wrong != nil {
		return nil, nil, wrong
	}
	program, err := environment.Program(checked,
		cel.CostLimit(maxExpressionCost), cel.CostTracking(costs{}),
		cel.MemoryLimit(maxValueSize), cel.MemoryTracking(types.MemoryTrackerSizeCalculator(sizes)),
		cel.InterruptCheckFrequency(0))
	if err != nil {
		return nil, nil, []exprError{{1, 1, err.Error()}}
	}
	return checked, program, nil
}

// sizes measures values. A value remembers its size, so that measuring it again costs nothing.
var sizes = types.NewSizeCalculator(types.SizeCalculatorMaxDepth(maxValueDepth), types.SizeCalculatorMaxTraversal(2*maxValueSize))

// costs is what a call costs by the values that it is given. CEL's own tariff goes by a function's overload, and an event's fields are of no
// type, so that the overload is unknown before the call: it takes 1 for a comparison of two texts of a megabyte, and the outermost length
// alone for lists of lists.
type costs struct{}

// CallCost returns nil where CEL's tariff holds.
func (costs) CallCost(function, _ string, args []ref.Val, _ ref.Val) *uint64 {
	cost := uint64(1)
	switch function {
	case celoperators.LogicalAnd, celoperators.LogicalOr, celoperators.Conditional, overloads.Contains:
		return nil
	case appendFunction:
		cost += costOfList
	case celoperators.Equals, celoperators.NotEquals:
		cost += min(sizeOf(args[0]), sizeOf(args[1]))
	case celoperators.In:
		if _, list := args[1].(traits.Lister); list {
			cost += sizeOf(args[1])
		}
		cost += textSize(args[0])
	default:
		for _, arg := range args {
			cost += textSize(arg)
		}
	}
	return &cost
}

func sizeOf(v ref.Val) uint64 { return uint64(sizes.AggregateSize(v)) }

// textSize is the size of a text or of bytes, and 0 of everything else.
func textSize(v ref.Val) uint64 {
	switch v.(type) {
	case types.String, types.Bytes:
		return sizeOf(v)
	}
	return 0
}

// filter and map make a list element by element. In CEL's own each step adds a list of one element to what there is, and the whole is measured
// again after it: a list of 5,000 took 25 million looks that no cost counts. Ours say how large they are: a step measures its element alone.

// appendFunction is what a step calls. No author can write it.
const appendFunction = "@append"

// costOfList is what making the list of one element costs, by CEL's tariff.
const costOfList = 10

// growing is a list that filter or map makes.
type growing struct {
	traits.Lister
	elements []ref.Val
	size     uint32
}

// AggregateSize is known.
func (l *growing) AggregateSize(types.AggregateSizer) uint32 { return l.size }

// appended is a list with one more element. Only the step of a comprehension calls it, and it goes on with the result alone: so what two of them
// share is never written to twice.
func appended(to, element ref.Val) ref.Val {
	next := &growing{size: 1}
	if before, ok := to.(*growing); ok {
		next.elements, next.size = before.elements, before.size
	}
	next.elements = append(next.elements, element)
	next.size = uint32(min(uint64(next.size)+sizeOf(element), math.MaxUint32)) //nolint:gosec // just bounded
	next.Lister = types.NewRefValList(types.DefaultTypeAdapter, next.elements)
	return next
}

// growingMacro is one of CEL's macros with our step.
func growingMacro(name string, args int, expand parser.MacroExpander) cel.Macro {
	return parser.NewReceiverMacro(name, args, func(eh parser.ExprHelper, target ast.Expr, args []ast.Expr) (ast.Expr, *common.Error) {
		made, err := expand(eh, target, args)
		if err != nil {
			return nil, err
		}
		grow := func(add ast.Expr) ast.Expr { // list + [element]
			operands := add.AsCall().Args()
			return eh.NewCall(appendFunction, operands[0], operands[1].AsList().Elements()[0])
		}
		c := made.AsComprehension()
		step := c.LoopStep()
		if choice := step.AsCall(); choice.FunctionName() == celoperators.Conditional {
			step = eh.NewCall(celoperators.Conditional, choice.Args()[0], grow(choice.Args()[1]), choice.Args()[2])
		} else {
			step = grow(step)
		}
		return eh.NewComprehension(c.IterRange(), c.IterVar(), c.AccuVar(), c.AccuInit(), c.LoopCondition(), step, c.Result()), nil
	})
}

// refusedForms are what CEL has and conditions have not: messages, and mappings that are more than looked up in or compared. The order in
// which CEL goes through a mapping that an expression makes is another one each time, and the same event must always give the same.
func refusedForms(checked *cel.Ast) []exprError {
	var wrong []exprError
	info := checked.NativeRep().SourceInfo()
	refuse := func(e ast.Expr, message string) {
		at := info.GetStartLocation(e.ID())
		wrong = append(wrong, exprError{max(1, at.Line()), max(1, at.Column()+1), message})
	}
	for _, n := range ast.MatchDescendants(ast.NavigateAST(checked.NativeRep()), ast.AllMatcher()) {
		parent, found := n.Parent()
		switch n.Kind() {
		case ast.IdentKind:
			if name := n.AsIdent(); (name == "event" || name == "user") && (!found || parent.Kind() != ast.SelectKind) {
				refuse(n, "`"+name+"` alone is no value: write which field of it, for example "+map[string]string{"event": "event.data.km", "user": "user.plan"}[name])
			}
		case ast.StructKind:
			refuse(n, "an expression can't make an object of a type: compare the fields that matter")
		case ast.MapKind:
			if !found || parent.Kind() != ast.CallKind || !slices.Contains(lookUps, parent.AsCall().FunctionName()) {
				refuse(n, "a mapping can only be looked up in, for example {\"gold\": 10, \"silver\": 5}[user.plan], or compared")
			}
		default:
		}
	}
	return wrong
}

// faultsOf are the parts of an expression that are right by their types, and whose evaluation is always an error.
func faultsOf(checked *cel.Ast) (faults []exprError) {
	info := checked.NativeRep().SourceInfo()
	for _, n := range ast.MatchDescendants(ast.NavigateAST(checked.NativeRep()), ast.AllMatcher()) {
		if n.Kind() != ast.CallKind {
			continue
		}
		if message := faultOf(n.AsCall()); message != "" {
			at := info.GetStartLocation(n.ID())
			faults = append(faults, exprError{max(1, at.Line()), max(1, at.Column()+1), message})
		}
	}
	return faults
}

func faultOf(call ast.CallExpr) string {
	args, function := call.Args(), call.FunctionName()
	if to := conversions[function]; to != nil && len(args) == 1 && args[0].Kind() == ast.LiteralKind {
		if literal := args[0].AsLiteral(); types.IsError(literal.ConvertToType(to)) {
			return notConverted(function, fmt.Sprint(literal.Value()))
		}
		return ""
	}
	sign := arithmetic[function]
	if sign == "" || len(args) != 2 {
		return ""
	}
	whole := func(e ast.Expr) (ref.Val, bool) {
		if e.Kind() != ast.LiteralKind {
			return nil, false
		}
		literal := e.AsLiteral()
		return literal, literal.Type() == types.IntType || literal.Type() == types.UintType
	}
	if by, ok := whole(args[1]); ok && (sign == "/" || sign == "%") && by.Equal(types.IntZero) == types.True {
		return "nothing can be divided by 0"
	}
	for i, arg := range args {
		if number, ok := whole(args[1-i]); ok && isTold(pathOf(arg)) {
			return notWhole(sign, strings.Join(pathOf(arg), "."), fmt.Sprint(number.Value()))
		}
	}
	return ""
}

// isTold says whether a field is of what an event or a profile tells, in which every number is a double.
func isTold(path []string) bool {
	const data = 3 // event.data.x
	return len(path) >= data && path[0] == "event" || len(path) >= data-1 && path[0] == "user" && path[1] != "id" && path[1] != "timezone"
}

var conversions = map[string]ref.Type{
	overloads.TypeConvertTimestamp: types.TimestampType, overloads.TypeConvertDuration: types.DurationType,
	overloads.TypeConvertInt: types.IntType, overloads.TypeConvertUint: types.UintType,
	overloads.TypeConvertDouble: types.DoubleType, overloads.TypeConvertBool: types.BoolType,
}

var arithmetic = map[string]string{
	celoperators.Add: "+", celoperators.Subtract: "-", celoperators.Multiply: "*", celoperators.Divide: "/", celoperators.Modulo: "%",
}

// lookUps are the functions that take a mapping of the expression's own.
var lookUps = []string{celoperators.Index, celoperators.In, celoperators.Equals, celoperators.NotEquals}

// compilePredicate compiles a condition.
func compilePredicate(source string) (*predicate, []exprError) {
	checked, program, mistakes := compileCEL(source)
	if mistakes != nil {
		return nil, mistakes
	}
	if out := checked.OutputType(); !out.IsExactType(types.BoolType) && !out.IsExactType(types.DynType) {
		return nil, []exprError{{1, 1, fmt.Sprintf("a condition must be true or false, this is %s: compare it with something", celType(out.String()))}}
	}
	s := shapeOf(checked.NativeRep(), checked.NativeRep().Expr())
	p := &predicate{source: source, program: program, native: compileNative(s), shape: s, faults: faultsOf(checked)}
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
	path    []string    // the field; nil where it is more
	user    bool
	faults  []exprError // what in it can't be evaluated for any event
	gives   string      // its type as CEL knows it, "dyn" where that depends on the event
}

// compileValueExpression compiles a value.
func compileValueExpression(source string) (*valueExpression, []exprError) {
	checked, program, mistakes := compileCEL(source)
	if mistakes != nil {
		return nil, mistakes
	}
	v := &valueExpression{source: source, program: program, user: looksAt(checked, "user"), gives: checked.OutputType().String(), faults: faultsOf(checked)}
	if s := shapeOf(checked.NativeRep(), checked.NativeRep().Expr()); s != nil && s.operator == opField {
		v.native, v.path = compileValue(s), s.path
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
	out, _, err := v.program.Eval(map[string]any{"event": newEventObject(s), "user": newUserObject(s)})
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
	out, _, err := p.program.Eval(map[string]any{"event": newEventObject(s), "user": newUserObject(s)})
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

// shapeOf translates a checked expression for compileNative, or returns nil if it has a form that is not compiled. Of `!`, `&&` and `||`
// the operands alone may be nil: one that is known can say what such an expression never is.
func shapeOf(checked *ast.AST, e ast.Expr) *shape {
	s := formOf(checked, e)
	if s != nil {
		at := checked.SourceInfo().GetStartLocation(e.ID())
		s.line, s.column = max(1, at.Line()), max(1, at.Column()+1)
	}
	return s
}

func formOf(checked *ast.AST, e ast.Expr) *shape {
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
		return callShape(checked, e.AsCall())
	default:
		return nil
	}
}

func callShape(checked *ast.AST, call ast.CallExpr) *shape {
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
		arg := shapeOf(checked, operand)
		if arg == nil && operator != opNot && operator != opAnd && operator != opOr {
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

// celMistakes are CEL's mistakes in an author's words: see cure.go. Behind the first one of syntax the others mean nothing.
func celMistakes(source string, found []*common.Error) []exprError {
	var mistakes []exprError
	var calls bool // a call that is wrong was told, and what it calls its elements is unknown because of it
	for _, e := range found {
		if strings.HasPrefix(e.Message, "error recovery") {
			continue // it comes with a syntax error
		}
		m := exprError{max(1, e.Location.Line()), max(1, e.Location.Column()+1), ""}
		before, behind := around(source, m.Line, m.Column)
		if text, syntax := strings.CutPrefix(e.Message, "Syntax error: "); syntax {
			if strings.HasSuffix(strings.ToLower(before), "not ") {
				m.Column, behind = m.Column-len("not "), "not "+behind
			}
			m.Message = explainSyntax(text, before, behind)
			return append(mistakes, m)
		}
		call := strings.HasPrefix(behind, "(")
		if name := undeclared(e.Message); name != "" {
			if calls && element(source, name) {
				continue
			}
			if call && strings.HasSuffix(before, name) {
				m.Column -= utf8.RuneCountInString(name) // CEL's place is the bracket
				calls = true
			}
			if start, message := dashed(before, behind); message != "" {
				m.Column, m.Message = start, message
				mistakes = append(mistakes, m)
				continue
			}
		}
		m.Message = explainCEL(e.Message, call)
		mistakes = append(mistakes, m)
	}
	return slices.Compact(mistakes) // each part of a name with dashes is unknown by itself
}

// around is what stands before a place in its line of an expression, and what begins there.
func around(source string, line, column int) (before, behind string) {
	lines := strings.Split(source, "\n")
	letters := []rune(lines[min(line, len(lines))-1])
	column = min(column-1, len(letters))
	return string(letters[:column]), string(letters[column:])
}

// functionNames are the functions that are called by a name.
func functionNames() []string {
	names := append([]string{"has"}, macros...)
	for name := range celEnvironment().Functions() {
		if name[0] >= 'a' && name[0] <= 'z' && name != "in" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// The two objects that an expression sees. They are CEL structs of our own, so that a misspelt event field is a mistake
// when a campaign is loaded and not a campaign that never rewards. What they hold is made into CEL's values once an evaluation.
type (
	eventObject struct {
		*scope
		data ref.Val
	}
	userObject struct {
		*scope
		attributes map[string]ref.Val
	}
)

func newEventObject(s *scope) *eventObject { return &eventObject{scope: s} }
func newUserObject(s *scope) *userObject {
	return &userObject{scope: s, attributes: map[string]ref.Val{}}
}

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
		IsSet: func(o any) bool { return o.(*eventObject).event.Data.Kind() != Absent },
		GetFrom: func(o any) (any, error) {
			object := o.(*eventObject)
			if object.event.Data.Kind() == Absent {
				return nil, fmt.Errorf("%w: data", errNoSuchField)
			}
			if object.data == nil {
				object.data = celValue(object.event.Data)
			}
			return object.data, nil
		},
	},
}

func eventField(t *types.Type, read func(*scope) any) *types.FieldType {
	return &types.FieldType{
		Type:    t,
		IsSet:   func(any) bool { return true },
		GetFrom: func(o any) (any, error) { return read(o.(*eventObject).scope), nil },
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
			GetFrom: func(o any) (any, error) { return o.(*userObject).event.User, nil },
		}
	case "timezone":
		return &types.FieldType{
			Type:  types.StringType,
			IsSet: func(o any) bool { return o.(*userObject).userTimezone != "" },
			GetFrom: func(o any) (any, error) {
				if zone := o.(*userObject).userTimezone; zone != "" {
					return zone, nil
				}
				return nil, fmt.Errorf("%w: timezone", errNoSuchField)
			},
		}
	}
	return &types.FieldType{
		Type:  types.DynType,
		IsSet: func(o any) bool { return read(o.(*userObject).scope).Kind() != Absent },
		GetFrom: func(o any) (any, error) {
			object := o.(*userObject)
			if known := object.attributes[name]; known != nil {
				return known, nil
			}
			v := read(object.scope)
			if v.Kind() == Absent {
				return nil, fmt.Errorf("%w: %s", errNoSuchField, name)
			}
			object.attributes[name] = celValue(v)
			return object.attributes[name], nil
		},
	}
}

// celValue hands a JSON value to CEL: numbers as doubles, null as CEL's null.
func celValue(v Value) ref.Val {
	switch v.Kind() {
	case Bool:
		return types.Bool(v.Bool())
	case Number:
		return types.Double(v.Number())
	case String:
		return types.String(strings.Clone(v.Text()))
	case Array:
		var list []ref.Val
		for e := range v.Elements() {
			list = append(list, celValue(e))
		}
		return types.NewRefValList(types.DefaultTypeAdapter, list)
	case Object:
		members := map[ref.Val]ref.Val{}
		var names []ref.Val
		for name, member := range v.Members() {
			key := types.String(strings.Clone(name))
			members[key] = celValue(member)
			names = append(names, key)
		}
		return celObject{types.NewRefValMap(types.DefaultTypeAdapter, members), types.NewRefValList(types.DefaultTypeAdapter, names)}
	case Absent, Null:
	}
	return types.NullValue
}

// celObject is a JSON object: a mapping that is gone through in the text's order. CEL's own is gone through in another one each time.
type celObject struct {
	traits.Mapper
	names traits.Lister
}

// Iterator returns the names.
func (o celObject) Iterator() traits.Iterator { return o.names.Iterator() }

// AggregateSize measures the mapping, which remembers it.
func (o celObject) AggregateSize(sizer types.AggregateSizer) uint32 {
	return o.Mapper.(types.AggregateSizeVisitor).AggregateSize(sizer)
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
	subset := &env.LibrarySubset{ExcludeMacros: []string{celoperators.Map, celoperators.Filter}}
	for _, name := range excluded {
		subset.ExcludeFunctions = append(subset.ExcludeFunctions, &env.Function{Name: name})
	}
	environment, err := cel.NewCustomEnv(
		cel.StdLib(cel.StdLibSubset(subset)),
		cel.Macros(
			growingMacro(celoperators.Filter, 2, parser.MakeFilter), //nolint:mnd // the name of an element, and what is asked of it
			growingMacro(celoperators.Map, 2, parser.MakeMap),       //nolint:mnd // the same
			growingMacro(celoperators.Map, 3, parser.MakeMap),       //nolint:mnd // and of which elements
		),
		cel.Function(appendFunction, cel.Overload("append_to_list",
			[]*cel.Type{cel.ListType(cel.TypeParamType("T")), cel.TypeParamType("T")}, cel.ListType(cel.TypeParamType("T")),
			cel.BinaryBinding(appended))),
		cel.CustomTypeProvider(provider{registry}),
		cel.CustomTypeAdapter(registry),
		cel.CrossTypeNumericComparisons(true),
		cel.ParserRecursionLimit(maxExpressionDepth),
		cel.ParserExpressionSizeLimit(maxExpression),
		cel.Variable("event", cel.ObjectType(eventType)),
		cel.Variable("user", cel.ObjectType(userType)),
	)
	if err != nil {
		panic("BUG: CEL's environment: " + err.Error())
	}
	return environment
})
