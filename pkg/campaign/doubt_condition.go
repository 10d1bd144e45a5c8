package campaign

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/stampede-rewards/stampede/internal/spelling"
)

// Conditions that never hold, or always do, are found by trying them: a comparison with a number can only change at that number, so it is
// enough to try the literals of the condition, something between each two and something beyond. What is not of the form of native.go can
// be anything.

// conditionAt is a condition and where it stands.
type conditionAt struct {
	*predicate
	at ast.Node
}

// maxTrials bounds how often the conditions of one file are tried; what would take more is not doubted.
const maxTrials = 20_000

const hoursOfDay = 24

// doubtCondition looks for what can never hold, or always does, where fields are what d says.
func (r *reader) doubtCondition(c conditionAt, d domains) {
	if c.shape != nil && c.shape.operator == opLiteral && c.shape.literal == (operand{kind: boolOperand, b: true}) {
		return // everybody is meant
	}
	before := len(r.warnings)
	r.doubtFaults(c.faults, c.at)
	r.doubtWords(c.shape, c.at, d.types)
	d.strict = true
	switch {
	case len(r.warnings) > before: // what the whole becomes is no news
	case c.constant():
		holds, err := c.eval(&scope{event: &Event{}})
		r.doubt(c.at, "this is always %t, whatever the event: look at a field of `event` or `user`", holds && err == nil)
	case r.outcomes(c.shape, d)&canBe(yes) == 0:
		switch anywhere := (domains{types: d.types, strict: true}); {
		case c.shape.hasTruth():
			r.doubt(c.at, "this is always false, whatever the event: take `true` and `false` out of it")
			return
		case r.outcomes(c.shape, anywhere)&canBe(yes) == 0: // at no time
		case d.weekdays != nil && r.outcomes(c.shape, domains{types: d.types, strict: true, weekdays: d.weekdays})&canBe(yes) == 0:
			r.doubt(c.at, "this can never hold on a weekday of `on`, and no other one counts: write the same weekdays in both, or take one of them out")
			return
		case d.last == lastDate:
			r.doubt(c.at, "this can never hold after `starts`: the first date in the campaign is %s", d.first)
			return
		default:
			r.doubt(c.at, "this can never hold from `starts` to `ends`: dates in the campaign are from %s to %s", d.first, d.last)
			return
		}
		r.doubt(c.at, "this can never hold, its parts contradict each other: where one of them is enough, write || between them, or `in [...]`")
	case r.outcomes(c.shape, domains{})&canBe(no) == 0:
		if c.shape.hasTruth() {
			r.doubt(c.at, "this is always true, whatever the event: take `true` and `false` out of it")
			return
		}
		r.doubt(c.at, "this always holds where its fields are there: where all parts must hold, write && between them")
	}
}

// hasTruth says whether true or false is an operand somewhere.
func (s *shape) hasTruth() bool {
	return s != nil && (s.operator == opLiteral && s.literal.kind == boolOperand || s.logical() && slices.ContainsFunc(s.args, (*shape).hasTruth))
}

func (s *shape) logical() bool {
	return s.operator == opNot || s.operator == opAnd || s.operator == opOr
}

// compares returns the field and the literals of a comparison of one with the others. ok is false for everything else.
func (s *shape) compares() (field *shape, literals []*shape, ok bool) {
	if s.operator < opEqual || s.operator > opIn {
		return nil, nil, false
	}
	for _, arg := range s.args {
		switch {
		case arg.operator == opLiteral:
			literals = append(literals, arg)
		case arg.operator == opField && field == nil && (s.operator != opIn || arg == s.args[0]):
			field = arg
		default:
			return nil, nil, false
		}
	}
	return field, literals, field != nil
}

// doubtWords looks for words that a field never has, such as "monday".
func (r *reader) doubtWords(s *shape, n ast.Node, types []string) {
	if s == nil {
		return
	}
	if s.logical() {
		for _, arg := range s.args {
			r.doubtWords(arg, n, types)
		}
		return
	}
	if s.operator >= opEqual && s.operator < opIn && s.args[0].operator == opField && s.args[1].operator == opField && slices.Equal(s.args[0].path, s.args[1].path) {
		r.doubtInside(n, s.args[1], "a field is compared with itself: write what it is to be compared with")
		return
	}
	field, literals, ok := s.compares()
	if !ok {
		return
	}
	if len(literals) == 0 {
		r.doubt(n, "nothing is in an empty list: write the values that are meant, or take the comparison out")
	}
	name := strings.Join(field.path, ".")
	ordered := s.operator != opEqual && s.operator != opNotEqual && s.operator != opIn
	for _, l := range literals {
		r.doubtInside(n, l, doubtWord(name, l.literal, ordered, types))
	}
	if name == "event.hour" && ordered && r.outcomes(s, domains{strict: true}) == canBe(no) {
		r.doubtInside(n, literals[0], noHour)
	}
}

// doubtFaults notes what of an expression can't be evaluated for any event.
func (r *reader) doubtFaults(faults []exprError, n ast.Node) {
	for _, f := range faults {
		line, column := r.inside(n, f.Line, f.Column)
		r.warnings = append(r.warnings, Mistake{r.file, line, column, printable(f.Message, maxMessage)})
	}
}

// doubtInside notes a warning, if there is one, at a place in an expression.
func (r *reader) doubtInside(n ast.Node, s *shape, message string) {
	if message != "" {
		line, column := r.inside(n, s.line, s.column)
		r.warnings = append(r.warnings, Mistake{r.file, line, column, printable(message, maxMessage)})
	}
}

const noHour = "`event.hour` is a whole number from 0 to 23"

// dateForm is what can be compared with a date as a text.
var dateForm = regexp.MustCompile(`^\d{4}(-\d{2}(-\d{2})?)?$`)

// doubtWord says what is meant instead of a literal that a field never is; empty where there is no doubt. ordered is <, <=, > or >=.
func doubtWord(field string, l operand, ordered bool, types []string) string {
	switch {
	case field == "event.hour" && !ordered:
		if hour := l.double(); hour != math.Trunc(hour) || hour < 0 || hour >= hoursOfDay {
			return noHour
		}
	case l.kind != textOperand:
	case field == "event.weekday" && ordered:
		return "weekdays are compared as texts, in the order of the alphabet: list those that are meant, for example `event.weekday in [\"sat\", \"sun\"]`"
	case field == "event.weekday" && !slices.Contains(weekdays[:], l.s):
		return fmt.Sprintf("`event.weekday` is never `%s`: it is %s", shown(l.s), listed(weekdays[:]))
	case field == "event.date" && ordered:
		if !dateForm.MatchString(l.s) {
			return fmt.Sprintf("dates are compared as texts: write one such as 2026-03-01, not `%s`", shown(l.s))
		}
	case field == "event.date":
		if _, err := time.Parse(time.DateOnly, l.s); err != nil {
			return fmt.Sprintf("`event.date` is never `%s`: write a date such as 2026-03-01", shown(l.s))
		}
	case field == "event.type" && !ordered && len(types) > 0 && !slices.Contains(types, l.s):
		return fmt.Sprintf("`event.type` is never `%s` here: what counts is %s%s", shown(l.s), someOf(different(types)), suggest(spelling.Nearest(l.s, types)))
	case field == "user.timezone" && !ordered && loadZone(l.s) == nil:
		return fmt.Sprintf("`%s` is no time zone of the IANA database: write for example America/New_York%s", shown(l.s), suggest(spelling.Nearest(l.s, zoneNames())))
	}
	return ""
}

// outcomes are what a condition can become: a bit for each truth.
type outcomes uint8

func canBe(t truth) outcomes { return 1 << t }

const anyOutcome outcomes = 1<<no | 1<<yes | 1<<failed

// domains say what fields can be.
type domains struct {
	types    []string // of the event; empty where they are not known
	strict   bool     // a weekday is one of seven. Or else it is any text: `event.hour >= 0` says too much, and that is no mistake
	weekdays []string // those that count; nil where all do
	first    string   // the earliest date in the campaign, in any place; empty where it is not known, as is the last
	last     string
}

// outcomes tries a condition.
func (r *reader) outcomes(s *shape, d domains) outcomes {
	literals := map[string][]operand{}
	s.collect(literals)
	var fields []string
	var values [][]operand
	trials := 1
	for field, compared := range literals {
		of := d.of(field, compared)
		fields, values = append(fields, field), append(values, of)
		if trials *= len(of); trials > maxTrials {
			return anyOutcome
		}
	}
	if r.trials += trials; r.trials > maxTrials {
		return anyOutcome
	}
	var all outcomes
	now := map[string]operand{}
	var try func(i int)
	try = func(i int) {
		if i == len(fields) {
			all |= s.outcomes(now)
			return
		}
		for _, v := range values[i] {
			now[fields[i]] = v
			try(i + 1)
		}
	}
	try(0)
	return all
}

// name is a field's path as the key of a map: the name of a field can have any letter but this.
func (s *shape) name() string { return strings.Join(s.path, "\x00") }

// collect notes with what each field is compared.
func (s *shape) collect(literals map[string][]operand) {
	if s == nil {
		return
	}
	if s.logical() {
		for _, arg := range s.args {
			arg.collect(literals)
		}
	}
	if s.operator == opField || s.operator == opHas {
		literals[s.name()] = append(literals[s.name()], operand{kind: boolOperand})
	}
	if field, compared, ok := s.compares(); ok {
		for _, l := range compared {
			literals[field.name()] = append(literals[field.name()], l.literal)
		}
		if len(compared) == 0 { // in []
			literals[field.name()] = append(literals[field.name()], operand{kind: nullOperand})
		}
	}
}

// of are values of a field, one of each sort that comparisons with some literals can tell apart.
func (d domains) of(name string, compared []operand) []operand {
	field := strings.ReplaceAll(name, "\x00", ".")
	switch {
	case field == "event.weekday" && d.strict:
		if d.weekdays != nil {
			return texts(d.weekdays)
		}
		return texts(weekdays[:])
	case field == "event.type" && len(d.types) > 0:
		return texts(d.types)
	case field == "event.hour" && d.strict:
		var hours []operand
		for hour := range int64(hoursOfDay) {
			hours = append(hours, operand{kind: intOperand, i: hour})
		}
		return hours
	}
	numbers, words := []float64{0}, []string{""}
	for _, l := range compared {
		switch {
		case isNumber(l):
			numbers = append(numbers, l.double())
		case l.kind == textOperand:
			words = append(words, l.s, l.s+"\x00") // nothing lies between the two
		}
	}
	switch field {
	case "event.date":
		if d.strict && d.first != "" {
			words = slices.DeleteFunc(append(words, d.first, d.last), func(date string) bool { return date < d.first || date > d.last })
		}
		return texts(words)
	case "event.hour":
		return neighbours(numbers)
	case "event.id", "event.source", "event.type", "event.weekday", "user.id":
		return texts(words)
	case "user.timezone":
		return append(texts(words), operand{kind: failureOperand})
	}
	return append(append(neighbours(numbers), texts(words)...),
		operand{kind: boolOperand, b: true}, operand{kind: boolOperand}, operand{kind: nullOperand}, operand{kind: compositeOperand}, operand{kind: failureOperand})
}

// neighbours are some numbers, what lies between them and what lies beyond.
func neighbours(numbers []float64) []operand {
	slices.Sort(numbers)
	beyond := 1 + 2*max(math.Abs(numbers[0]), math.Abs(numbers[len(numbers)-1]))
	values := []operand{{kind: doubleOperand, f: -beyond}, {kind: doubleOperand, f: beyond}}
	for i, n := range numbers {
		values = append(values, operand{kind: doubleOperand, f: n})
		if i > 0 {
			values = append(values, operand{kind: doubleOperand, f: numbers[i-1]/2 + n/2})
		}
	}
	return values
}

func texts(words []string) []operand {
	values := make([]operand, len(words))
	for i, w := range words {
		values[i] = operand{kind: textOperand, s: w}
	}
	return values
}

// outcomes are what a condition can become where fields have certain values.
func (s *shape) outcomes(fields map[string]operand) outcomes {
	if s == nil {
		return anyOutcome
	}
	switch s.operator {
	case opNot:
		of := s.args[0].outcomes(fields)
		not := of & canBe(failed)
		if of&canBe(no) != 0 {
			not |= canBe(yes)
		}
		if of&canBe(yes) != 0 {
			not |= canBe(no)
		}
		return not
	case opAnd, opOr:
		return join(s.args[0].outcomes(fields), s.args[1].outcomes(fields), truthOf(s.operator == opOr))
	case opLiteral, opField:
		if v := s.valueIn(fields); v.kind == boolOperand {
			return canBe(truthOf(v.b))
		}
		return canBe(failed)
	case opHas:
		if s.valueIn(fields).kind == failureOperand {
			return canBe(no) | canBe(failed) // what it is looked for in can be absent, too
		}
		return canBe(yes)
	default:
	}
	field, literals, ok := s.compares()
	if !ok {
		return anyOutcome
	}
	v := field.valueIn(fields)
	switch {
	case v.kind == failureOperand:
		return canBe(failed)
	case s.operator == opIn:
		return canBe(truthOf(slices.ContainsFunc(literals, func(l *shape) bool { return equal(v, l.literal) == yes })))
	}
	return canBe(comparisons[s.operator](s.args[0].valueIn(fields), s.args[1].valueIn(fields)))
}

func (s *shape) valueIn(fields map[string]operand) operand {
	if s.operator == opLiteral {
		return s.literal
	}
	return fields[s.name()]
}

// join is && or ||: the truth that decides alone makes up for an error of the other side.
func join(left, right outcomes, decides truth) outcomes {
	var all outcomes
	for l := no; l <= failed; l++ {
		for r := no; r <= failed; r++ {
			switch {
			case left&canBe(l) == 0 || right&canBe(r) == 0:
			case l == decides || r == decides:
				all |= canBe(decides)
			case l == failed || r == failed:
				all |= canBe(failed)
			default:
				all |= canBe(l)
			}
		}
	}
	return all
}
