package campaign

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"github.com/stampede-rewards/stampede/internal/spelling"
)

// A campaign with `parameters` is a dish on a menu: it is in force for the sponsors whose files order it (L3).

// dish is a campaign file with parameters.
type dish struct {
	file       string
	src        []byte
	id         string
	idAt       [2]int      // line and column of its key
	parameters []parameter // as declared
	broken     bool        // it has mistakes: who orders it is not told again
	warnings   Mistakes    // of what is doubtful whatever a sponsor chooses
}

// parameter is one that a sponsor may set.
type parameter struct {
	name      string
	kind      parameterKind
	value     string // the default
	least     string // empty: no bound
	most      string
	oneOf     []string
	line, col int
	broken    bool // there are mistakes in it
}

// parameterKind is what a parameter's values look like, and how two are compared.
type parameterKind struct {
	name    string
	noun    string
	example string
	valid   func(s string) bool
	compare func(a, b string) int // nil: there is no order
	number  bool
}

var parameterText = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9 ._-]*$`)

// parameterKinds is the table of them.
var parameterKinds = []parameterKind{
	{"whole", "whole number", "5", func(s string) bool { _, err := strconv.ParseInt(s, 10, 32); return err == nil }, compareDecimals, true},
	{"decimal", "decimal number", "2.5", func(s string) bool {
		_, ok := new(big.Rat).SetString(s)
		return ok && strings.Trim(s, "+-.0123456789") == "" // no fraction, no exponent, no other base
	}, compareDecimals, true},
	{"money", "amount of money", "25.00 USD", func(s string) bool { _, err := ParseAmount(s); return err == nil }, compareAmounts, false},
	{"days", "length of time", "30 days", func(s string) bool { d, err := parseDuration(s); return err == nil && d > 0 }, compareDurations, false},
	{"date", "date", "2026-01-01", func(s string) bool { _, err := time.Parse(time.DateOnly, s); return err == nil }, strings.Compare, false},
	{"text", "text of letters, digits, spaces and ._-", "gold", parameterText.MatchString, nil, false},
}

func compareDecimals(a, b string) int {
	x, _ := new(big.Rat).SetString(a)
	y, _ := new(big.Rat).SetString(b)
	return x.Cmp(y)
}

// incomparable is how two amounts of different currencies compare: neither is within a bound of the other's.
const incomparable = math.MaxInt

func compareAmounts(a, b string) int {
	x, _ := ParseAmount(a)
	y, _ := ParseAmount(b)
	if x.Currency != y.Currency {
		return incomparable
	}
	return int(max(-1, min(1, x.Units-y.Units)))
}

func compareDurations(a, b string) int {
	x, _ := parseDuration(a)
	y, _ := parseDuration(b)
	return int(max(-1, min(1, x-y)))
}

// reference is `${name}` in a dish.
var reference = regexp.MustCompile(`\$\{([^}\n]*)\}`)

// withoutReferences has every reference replaced by something as wide, so that places stay what they are.
func withoutReferences(src []byte) []byte {
	return reference.ReplaceAllFunc(src, func(ref []byte) []byte { return bytes.Repeat([]byte("0"), utf8.RuneCount(ref)) })
}

// maxReferences bounds the references of one dish: each has its places looked for in its line.
const maxReferences = 500

// dish reads a campaign with parameters. The campaign must be right with the defaults; all mistakes are returned.
func (f *file) dish() (*dish, Mistakes) {
	r := f.r
	d := &dish{file: f.name, src: f.src, idAt: [2]int{f.line, f.column}}
	if n := len(reference.FindAllIndex(f.src, maxReferences+1)); n > maxReferences {
		d.broken = true
		r.add(1, 1, "the file has more than %d references such as `${name}`: a campaign is a page, not a book", maxReferences)
		return d, r.mistakes
	}
	pairs, _ := r.pairs(f.root, "a campaign")
	for _, pair := range pairs {
		switch keyOf(pair) {
		case "parameters":
			d.readParameters(r, pair.Value)
		case "campaign":
			d.id, _ = scalar(pair.Value)
		}
	}
	d.checkReferences(r, f.root)
	if len(r.mistakes) > 0 {
		d.broken = true
		return d, append(r.mistakes, d.otherMistakes()...).once()
	}
	defaults := map[string]string{}
	for _, p := range d.parameters {
		defaults[p.name] = p.value
	}
	c, mistakes := d.parse(defaults)
	if d.broken = mistakes != nil; !d.broken {
		d.warnings = d.whateverIsChosen(defaults, c.warnings)
	}
	return d, mistakes
}

// otherMistakes are those of a file in whose parameters there are some: with the defaults that there are. What is wrong about a reference
// whose value is not known is not told.
func (d *dish) otherMistakes() Mistakes {
	values, sound := map[string]string{}, map[string]bool{}
	for _, p := range d.parameters {
		if sound[p.name] = !p.broken; parameterText.MatchString(p.value) {
			values[p.name] = p.value
		}
	}
	var unknown []referenceAt
	for _, ref := range d.references() {
		if !sound[ref.name()] {
			unknown = append(unknown, ref)
		}
		if values[ref.name()] == "" {
			values[ref.name()] = string(withoutReferences([]byte(ref.text)))
		}
	}
	_, mistakes := d.parse(values)
	return slices.DeleteFunc(mistakes, func(m Mistake) bool {
		return slices.ContainsFunc(unknown, func(ref referenceAt) bool {
			return m.Line == ref.line && m.Column >= ref.column-len(`"`) && m.Column <= ref.column+utf8.RuneCountInString(ref.text)
		})
	})
}

// whateverIsChosen are those of the warnings that stay with other values of the parameters: what a sponsor can change may be meant.
func (d *dish) whateverIsChosen(defaults map[string]string, warnings Mistakes) Mistakes {
	const most = 100
	tried := 0
	for _, p := range d.parameters {
		for _, v := range append([]string{p.least, p.most}, p.oneOf...) {
			if v == "" || len(warnings) == 0 || tried == most {
				continue
			}
			tried++
			values := maps.Clone(defaults)
			values[p.name] = v
			if c, mistakes := d.parse(values); mistakes == nil {
				warnings = slices.DeleteFunc(warnings, func(w Mistake) bool { return !slices.Contains(c.warnings, w) })
			}
		}
	}
	return warnings
}

func (d *dish) readParameters(r *reader, n ast.Node) {
	pairs, _ := r.pairs(n, "`parameters`")
	for _, pair := range pairs {
		p := parameter{name: keyOf(pair)}
		p.line, p.col = place(pair.Key)
		before := len(r.mistakes)
		p.read(r, pair.Value)
		p.broken = len(r.mistakes) > before
		d.parameters = append(d.parameters, p)
	}
}

func noteParameters(r *reader) {
	r.noteMapping(new(parameter).read)
}

func (p *parameter) read(r *reader, n ast.Node) {
	kindName := ""
	var names []string
	for _, k := range parameterKinds {
		names = append(names, k.name)
	}
	places := map[string]ast.Node{}
	value := func(key string, to *string) func(*reader, ast.Node) {
		return func(r *reader, n ast.Node) { text(to)(r, n); places[key] = n }
	}
	before := len(r.mistakes)
	r.fields(n, "a parameter", r.meant(n, "a parameter", []field{
		{"type", "one of " + strings.Join(names, ", "), true, oneOf(&kindName, names...)},
		{"default", "what it is where a sponsor sets nothing", true, value("default", &p.value)},
		{"min", "the smallest value that a sponsor may set", false, value("min", &p.least)},
		{"max", "the largest", false, value("max", &p.most)},
		{"one_of", "the values that a sponsor may choose from", false, func(r *reader, n ast.Node) { words(&p.oneOf)(r, n); places["one_of"] = n }},
	}))
	i := slices.IndexFunc(parameterKinds, func(k parameterKind) bool { return k.name == kindName })
	if i < 0 {
		return
	}
	p.kind = parameterKinds[i]
	valid := func(key, v string) {
		if v != "" && !p.kind.valid(v) {
			r.wrong(places[key], "%s", p.kind.refuses(v))
		}
	}
	valid("default", p.value)
	valid("min", p.least)
	valid("max", p.most)
	for _, v := range p.oneOf {
		valid("one_of", v)
	}
	bounded := p.least != "" && p.most != ""
	switch {
	case len(r.mistakes) > before:
	case p.kind.compare == nil && p.least+p.most != "":
		r.wrong(n, "a text has no `min` and `max`: use `one_of`")
	case bounded && p.kind.compare(p.least, p.most) == incomparable:
		r.wrong(places["max"], "`max` is of another currency than `min`")
	case bounded && p.kind.compare(p.least, p.most) > 0:
		r.wrong(places["max"], "`max` is below `min`: no value is in this range")
	case p.refuses(p.value) != "":
		r.wrong(places["default"], "the default is out of its own range: %s", p.refuses(p.value))
	}
}

// refuses says that a value is not of the kind.
func (k *parameterKind) refuses(v string) string {
	return fmt.Sprintf("`%s` is no %s: write for example %s", shown(v), k.noun, k.example)
}

// refuses says why a value can't be taken; empty if it can.
func (p *parameter) refuses(v string) string {
	switch {
	case !p.kind.valid(v):
		return p.kind.refuses(v)
	case len(p.oneOf) > 0 && !slices.Contains(p.oneOf, v):
		return fmt.Sprintf("`%s` is not among %s", shown(v), someOf(p.oneOf))
	case p.least != "" && p.kind.compare(v, p.least) < 0, p.most != "" && p.kind.compare(v, p.most) > 0,
		p.least != "" && p.kind.compare(v, p.least) == incomparable:
		return fmt.Sprintf("`%s` is out of range: %s", shown(v), p.allowed())
	}
	return ""
}

// allowed is the range, for a mistake's text.
func (p *parameter) allowed() string {
	switch {
	case p.least != "" && p.most != "":
		return "from " + shown(p.least) + " to " + shown(p.most)
	case p.least != "":
		return "at least " + shown(p.least)
	}
	return "at most " + shown(p.most)
}

func (d *dish) names() []string {
	names := make([]string, len(d.parameters))
	for i, p := range d.parameters {
		names[i] = p.name
	}
	return names
}

// referenceAt is where a reference stands in a dish's file.
type referenceAt struct {
	text         string
	line, column int
}

// name is that of the parameter.
func (ref *referenceAt) name() string { return ref.text[len("${") : len(ref.text)-len("}")] }

func (ref *referenceAt) before(p *token.Position) bool {
	return ref.line < p.Line || ref.line == p.Line && ref.column < p.Column
}

func (d *dish) references() (all []referenceAt) {
	for i, line := range strings.Split(string(d.src), "\n") {
		for _, at := range reference.FindAllStringIndex(line, -1) {
			all = append(all, referenceAt{line[at[0]:at[1]], i + 1, utf8.RuneCountInString(line[:at[0]]) + 1})
		}
	}
	return all
}

// checkReferences wants every reference to have a parameter, every parameter a reference, and no reference in a key: what a key means must
// not be a sponsor's choice.
func (d *dish) checkReferences(r *reader, root ast.Node) {
	references := d.references()
	used := map[string]bool{}
	for _, ref := range references {
		name := ref.name()
		used[name] = true
		if !slices.Contains(d.names(), name) {
			r.add(ref.line, ref.column, "there is no parameter `%s`%s", shown(name), suggestOf(name, d.names()))
		}
	}
	for _, p := range d.parameters {
		if !used[p.name] {
			r.add(p.line, p.col, "the parameter `%s` is not used: write `${%[1]s}` where its value belongs", shown(p.name))
		}
	}
	ast.Walk(eachPair(func(pair *ast.MappingValueNode) {
		key, colon := pair.Key.GetToken().Position, pair.Start.Position
		for _, ref := range references {
			if !ref.before(key) && ref.before(colon) {
				r.add(ref.line, ref.column, "`%s` stands in a key: a parameter stands for a value, write the key itself", shown(ref.text))
			}
		}
	}), root)
}

// eachPair visits the keys and values of a document, however deep they stand.
type eachPair func(*ast.MappingValueNode)

// Visit is called by ast.Walk.
func (visit eachPair) Visit(n ast.Node) ast.Visitor {
	if pair, ok := n.(*ast.MappingValueNode); ok {
		visit(pair)
	}
	return visit
}

// parse reads the campaign with values in the place of references. Its mistakes and warnings have their places in the dish's file.
func (d *dish) parse(values map[string]string) (*Campaign, Mistakes) {
	src, moves := d.filled(values)
	c, mistakes := Parse(d.file, src)
	moveBack(mistakes, moves)
	if c == nil {
		return nil, mistakes
	}
	if c.ID != d.id {
		return nil, Mistakes{{d.file, d.idAt[0], d.idAt[1], "a parameter stands in the id, by which sponsors order: write all of it"}}
	}
	moveBack(c.warnings, moves)
	return c, nil
}

// move is a reference that a value has replaced: what is behind it in its line stands elsewhere than in the dish's file.
type move struct {
	line, from, to int // columns of the value, in the filled file; to is behind it
	at, end        int // columns of the reference, in the dish's
}

// filled is the campaign's file with values in the place of references. Within braces YAML wants a reference in quotes; those around
// a number go with it.
func (d *dish) filled(values map[string]string) (src []byte, moves []move) {
	for i, line := range strings.SplitAfter(string(d.src), "\n") {
		before, column := 0, 1 // bytes of the line that are written, and the column that the filled line has reached
		write := func(text string) {
			src = append(src, text...)
			column += utf8.RuneCountInString(text)
		}
		for _, at := range reference.FindAllStringSubmatchIndex(line, -1) {
			name, start, end := line[at[2]:at[3]], at[0], at[1]
			if p := slices.IndexFunc(d.parameters, func(p parameter) bool { return p.name == name }); p >= 0 && d.parameters[p].kind.number &&
				start > before && (line[start-1] == '"' || line[start-1] == '\'') && end < len(line) && line[end] == line[start-1] {
				start, end = start-1, end+1
			}
			write(line[before:start])
			m := move{line: i + 1, from: column, at: utf8.RuneCountInString(line[:start]) + 1, end: utf8.RuneCountInString(line[:end]) + 1}
			write(values[name])
			m.to = column
			moves = append(moves, m)
			before = end
		}
		write(line[before:])
	}
	return src, moves
}

// moveBack gives mistakes in a filled file their places in the dish's.
func moveBack(mistakes Mistakes, moves []move) {
	for i := range mistakes {
		place := mistakes[i].Column
		for _, m := range moves {
			switch {
			case m.line != mistakes[i].Line || place < m.from:
			case place < m.to:
				mistakes[i].Column = m.at
			default:
				mistakes[i].Column = place - m.to + m.end
			}
		}
	}
}

// order is a sponsor's file.
type order struct {
	sponsor string
	version int
	covers  *predicate
	budgets map[string]*sponsorBudget
	items   []orderItem
}

// sponsorBudget is one that campaigns of a sponsor can share.
type sponsorBudget struct {
	Budget
	at    ast.Node // its name
	zoned bool     // its file says where its periods are, or that was doubted
	used  bool
}

// maxOrderVersion bounds the version of a sponsor's file: it is added to a campaign's.
const maxOrderVersion = math.MaxInt32 / 2

// orderItem is one campaign of a sponsor.
type orderItem struct {
	at           ast.Node
	use          string
	useAt        ast.Node
	set          map[string]string
	places       map[string]ast.Node // of the values in set
	keys         map[string]ast.Node // and of their names
	starts, ends ast.Node
	budget       string // the name of one of the sponsor's; empty: none
	budgetAt     ast.Node
	broken       bool
}

// parseOrder reads a sponsor's file and adds its campaigns, made from the dishes on the menu. All mistakes are noted.
func (l *loading) parseOrder(file string, src []byte) {
	r := &reader{file: file}
	o := &order{}
	if n := r.document(src); n != nil {
		o.read(r, n)
	}
	sound := len(r.mistakes) == 0 // what only makes sense when all of the file does waits for that
	for i := range o.items {
		if o.items[i].broken {
			sound = false
		}
	}
	var campaigns []*Campaign
	for i := range o.items {
		if c := l.ordered(r, o, &o.items[i], sound); c != nil {
			campaigns = append(campaigns, c)
		}
	}
	if r.mistakes.sort(); len(r.mistakes) > 0 {
		l.mistakes = append(l.mistakes, r.mistakes...)
		return
	}
	for _, c := range r.conditions {
		r.doubtCondition(c, domains{})
	}
	for _, name := range slices.Sorted(maps.Keys(o.budgets)) {
		if b := o.budgets[name]; !b.used {
			r.doubt(b.at, "no campaign is paid out of the budget `%s`: write `budget: %[1]s` where it is ordered, or leave the budget out", name)
		}
	}
	l.warnings = append(l.warnings, r.warnings...)
	l.campaigns = append(l.campaigns, campaigns...)
}

func (o *order) read(r *reader, n ast.Node) {
	r.fields(n, "a sponsor's file", r.meant(n, "a sponsor's file", []field{
		{"sponsor", "its id, small letters, digits and `-`", true, func(r *reader, n ast.Node) {
			if text(&o.sponsor)(r, n); o.sponsor != "" && !idForm.MatchString(o.sponsor) {
				r.wrong(n, "%s is no id: use a-z, 0-9 and -, at most 63 of them, not beginning or ending with -", describe(n))
				o.sponsor = ""
			}
		}},
		{"version", "a whole number, raised with every change", true, wholeNumber(&o.version, 1, maxOrderVersion)},
		{"covers", "who may take part: CEL over `user`, for example user.employer == \"acme\"", true, condition(&o.covers)},
		{"budgets", "what several of its campaigns may issue together, by name, for example `gifts: {amount: 50000.00 USD, per: month}`", false, o.readBudgets},
		{"campaigns", "what it orders from the menu, a list", true, func(r *reader, n ast.Node) {
			r.items(n, "campaigns", func(item ast.Node) { o.items = append(o.items, readOrderItem(r, item)) })
		}},
	}))
}

// readBudgets reads the budgets that campaigns of the sponsor can share.
func (o *order) readBudgets(r *reader, n ast.Node) {
	if r.noteMapping(func(r *reader, n ast.Node) { (&budgetReader{named: true}).read(r, n) }) {
		return
	}
	o.budgets = map[string]*sponsorBudget{}
	pairs, _ := r.pairs(n, "`budgets`")
	for _, pair := range pairs {
		name := keyOf(pair)
		if !idForm.MatchString(name) {
			r.wrong(pair.Key, "`%s` is no name of a budget: use a-z, 0-9 and -, at most 63 of them, not beginning or ending with -", shown(name))
			continue
		}
		b := budgetReader{named: true}
		if r.plain(pair.Value) {
			b.read(r, pair.Value)
		}
		o.budgets[name] = &sponsorBudget{Budget: b.budget, at: pair.Key, zoned: b.zoned}
	}
}

func readOrderItem(r *reader, n ast.Node) orderItem {
	item := orderItem{at: n, set: map[string]string{}, places: map[string]ast.Node{}, keys: map[string]ast.Node{}}
	before := len(r.mistakes)
	r.fields(n, "an order", r.meant(n, "an order", []field{
		{"use", "the id of a campaign with parameters", true, func(r *reader, n ast.Node) { item.useAt = n; text(&item.use)(r, n) }},
		{"set", "its parameters, where they are not to be the defaults", false, func(r *reader, n ast.Node) {
			if r.noteMapping(text(new(string))) {
				return
			}
			pairs, _ := r.pairs(n, "`set`")
			for _, pair := range pairs {
				key, v := keyOf(pair), ""
				switch item.keys[key] = pair.Key; {
				case pair.Value.Type() == ast.NullType:
					r.wrong(pair.Key, "`%s` has no value: write one or leave it out", shown(key))
				case r.plain(pair.Value):
					if text(&v)(r, pair.Value); v != "" {
						item.set[key], item.places[key] = v, pair.Value
					}
				}
			}
		}},
		{"starts", "when it starts for this sponsor", false, later(&item.starts)},
		{"ends", "when it ends for this sponsor, not included", false, later(&item.ends)},
		{"budget", "the name of one of the sponsor's `budgets`", false, func(r *reader, n ast.Node) { item.budgetAt = n; text(&item.budget)(r, n) }},
	}))
	item.broken = len(r.mistakes) > before
	return item
}

// dishNamed finds an order's dish, or notes that there is none.
func (l *loading) dishNamed(r *reader, item *orderItem) *dish {
	if d := l.menu[item.use]; d != nil {
		return d
	}
	if file, ok := l.files[item.use]; ok {
		r.wrong(item.useAt, "`%s` (%s) can't be ordered: it has no `parameters`", item.use, file)
		return nil
	}
	known := slices.Sorted(maps.Keys(l.menu))
	hint := suggest(spelling.Nearest(item.use, known))
	if hint == "" && len(known) > 0 {
		hint = ": the menu has " + someOf(known)
	}
	r.wrong(item.useAt, "there is no campaign `%s` with parameters%s", shown(item.use), hint)
	return nil
}

// ordered makes one campaign that a sponsor ordered: its id is SPONSOR.CAMPAIGN, its version the sum of both, so that it rises
// with either. It is nil where there are mistakes, or where the file has others and only this order's own were to be looked for.
func (l *loading) ordered(r *reader, o *order, item *orderItem, sound bool) *Campaign {
	if item.use == "" {
		return nil
	}
	d := l.dishNamed(r, item)
	if d == nil || d.broken {
		return nil
	}
	before := len(r.mistakes)
	if b := o.budgets[item.budget]; b != nil {
		b.used = true
	} else if item.budget != "" {
		r.wrong(item.budgetAt, "the sponsor has no budget `%s`%s", shown(item.budget), suggestOf(item.budget, slices.Sorted(maps.Keys(o.budgets))))
	}
	values := item.values(r, d)
	if len(r.mistakes) > before || item.broken || !l.room(r, o, item) {
		return nil
	}
	c, mistakes := d.parse(values)
	for _, m := range mistakes {
		r.wrong(item.useAt, "with these parameters `%s` is wrong (%s:%d:%d): %s", item.use, m.File, m.Line, m.Column, m.Message)
	}
	if mistakes != nil {
		return nil
	}
	starts, ends := c.Starts, c.Ends
	if item.starts != nil {
		starts = r.instant(item.starts, c.zone, math.MinInt64)
	}
	if item.ends != nil {
		ends = r.instant(item.ends, c.zone, math.MaxInt64)
	}
	if ends <= starts {
		r.wrong(item.lastDate(), "`%s` would end before it starts", item.use)
	}
	if len(r.mistakes) > before {
		return nil
	}
	if !sound {
		return nil
	}
	if err := o.definition(item, d, c, values).make(c); err != nil {
		at := item.useAt
		if m := (*definitionMistake)(nil); errors.As(err, &m) && m.part == "budget" {
			at = item.budgetAt
		}
		r.wrong(at, "%v", err)
		return nil
	}
	c.warnings = nil // the dish's are told once; what the sponsor's numbers and dates make of the goal is the order's
	c.doubtTime(r, func(int) ast.Node { return item.useAt })
	if b := o.budgets[item.budget]; b != nil && b.per != noUnit && !b.zoned && c.zone.name != b.zone.name {
		b.zoned = true // once is enough
		r.doubt(b.at, "the budget `%s` counts each %s in %s, and `%s` is in %s: write where its periods are, for example `timezone: %[5]s`", item.budget, b.Per(), b.zone.name, item.use, c.zone.name)
	}
	return c
}

// room says whether the campaign of an order can be made: once, and no more of them in all than can be in force. Each costs what a file does,
// and a line is enough to order it.
func (l *loading) room(r *reader, o *order, item *orderItem) bool {
	line, column := place(item.useAt)
	if !l.claim(r, o.sponsor+"."+item.use, line, column) {
		return false
	}
	if l.made++; l.made == maxCampaigns+1 { // it is told once
		r.wrong(item.useAt, "with this order there are %d campaigns, at most %d can be in force: order fewer", l.made, maxCampaigns)
	}
	return l.made <= maxCampaigns
}

// definition is one campaign of the order, as it travels through the log. c is the dish with the values.
func (o *order) definition(item *orderItem, d *dish, c *Campaign, values map[string]string) Definition {
	written := func(n ast.Node) (text string) {
		if n != nil {
			text, _ = scalar(n)
		}
		return text
	}
	src, _ := d.filled(values)
	definition := Definition{
		Language: c.language(), Source: string(src),
		Sponsor: o.sponsor, Version: o.version, Covers: o.covers.source, Starts: written(item.starts), Ends: written(item.ends),
	}
	if item.budget != "" {
		b := o.budgets[item.budget].Budget
		b.ID = o.sponsor + "/" + item.budget
		definition.Language, definition.Budget = secondLanguage, string(b.append(nil))
	}
	return definition
}

// values are a dish's parameters as the order sets them.
func (item *orderItem) values(r *reader, d *dish) map[string]string {
	values := map[string]string{}
	for i := range d.parameters {
		p := &d.parameters[i]
		values[p.name] = p.value
		if v, ok := item.set[p.name]; ok {
			values[p.name] = v
			if why := p.refuses(v); why != "" {
				r.wrong(item.places[p.name], "%s: %s", shown(p.name), why)
			}
		}
	}
	for name, at := range item.keys {
		if _, ok := values[name]; !ok {
			r.wrong(at, "`%s` has no parameter `%s`%s", item.use, shown(name), suggestOf(name, d.names()))
		}
	}
	return values
}

// lastDate is where an order that ends too early says so.
func (item *orderItem) lastDate() ast.Node {
	switch {
	case item.ends != nil:
		return item.ends
	case item.starts != nil:
		return item.starts
	}
	return item.useAt
}
