package campaign

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// A campaign with `parameters` is a dish on a menu: it is in force for the sponsors whose files order it (L3).

// dish is a campaign file with parameters.
type dish struct {
	file       string
	src        []byte
	id         string
	parameters []parameter // as declared
	broken     bool        // it has mistakes: who orders it is not told again
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
}

// parameterKind is what a parameter's values look like, and how two are compared.
type parameterKind struct {
	name    string
	example string
	valid   func(s string) bool
	compare func(a, b string) int // nil: there is no order
	number  bool
}

var parameterText = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9 ._-]*$`)

// parameterKinds is the table of them.
var parameterKinds = []parameterKind{
	{"whole", "5", func(s string) bool { _, err := strconv.ParseInt(s, 10, 32); return err == nil }, compareDecimals, true},
	{"decimal", "2.5", func(s string) bool {
		_, ok := new(big.Rat).SetString(s)
		return ok && !strings.ContainsAny(s, "/eExX_")
	}, compareDecimals, true},
	{"money", "25.00 USD", func(s string) bool { _, err := ParseAmount(s); return err == nil }, compareAmounts, false},
	{"days", "30 days", func(s string) bool { d, err := parseDuration(s); return err == nil && d > 0 }, compareDurations, false},
	{"date", "2026-01-01", func(s string) bool { _, err := time.Parse(time.DateOnly, s); return err == nil }, strings.Compare, false},
	{"text", "gold", parameterText.MatchString, nil, false},
}

func compareDecimals(a, b string) int {
	x, _ := new(big.Rat).SetString(a)
	y, _ := new(big.Rat).SetString(b)
	return x.Cmp(y)
}

func compareAmounts(a, b string) int {
	x, _ := ParseAmount(a)
	y, _ := ParseAmount(b)
	if x.Currency != y.Currency {
		return math.MaxInt // no amount of another currency is within bounds
	}
	return int(max(-1, min(1, x.Units-y.Units)))
}

func compareDurations(a, b string) int {
	x, _ := parseDuration(a)
	y, _ := parseDuration(b)
	return int(max(-1, min(1, x-y)))
}

// isDish says whether a file is a campaign with parameters.
func isDish(src []byte) bool { return topKey("parameters").Match(src) }

// isOrder says whether a file is a sponsor's.
func isOrder(src []byte) bool {
	return topKey("campaigns").Match(src) && !topKey("campaign").Match(src)
}

func topKey(key string) *regexp.Regexp {
	return regexp.MustCompile(`(?m)^["']?` + key + `["']?[ \t]*:`)
}

// reference is `${name}` in a dish.
var reference = regexp.MustCompile(`\$\{([^}\n]*)\}`)

// parseDish reads a campaign file with parameters. The campaign must be right with the defaults; all mistakes are returned.
func parseDish(file string, src []byte) (*dish, Mistakes) {
	r := &reader{file: file}
	d := &dish{file: file, src: src}
	// The declaration is read with every reference replaced by something of its length, so that places stay what they are.
	blank := reference.ReplaceAllFunc(src, func(ref []byte) []byte { return bytes.Repeat([]byte("0"), len(ref)) })
	if n := r.document(blank); n != nil {
		pairs, _ := r.pairs(n, "a campaign")
		for _, pair := range pairs {
			switch keyOf(pair) {
			case "parameters":
				d.readParameters(r, pair.Value)
			case "campaign":
				d.id, _ = scalar(pair.Value)
			}
		}
	}
	d.checkReferences(r)
	if len(r.mistakes) > 0 {
		r.mistakes.sort()
		d.broken = true
		return d, r.mistakes
	}
	defaults := map[string]string{}
	for _, p := range d.parameters {
		defaults[p.name] = p.value
	}
	_, mistakes := Parse(file, d.filled(defaults))
	d.broken = mistakes != nil
	return d, mistakes
}

func (d *dish) readParameters(r *reader, n ast.Node) {
	pairs, _ := r.pairs(n, "`parameters`")
	for _, pair := range pairs {
		p := parameter{name: keyOf(pair)}
		p.line, p.col = place(pair.Key)
		kindName := ""
		var names []string
		for _, k := range parameterKinds {
			names = append(names, k.name)
		}
		places := map[string]ast.Node{}
		value := func(key string, to *string) func(*reader, ast.Node) {
			return func(r *reader, n ast.Node) { text(to)(r, n); places[key] = n }
		}
		r.fields(pair.Value, "a parameter", []field{
			{"type", "one of " + strings.Join(names, ", "), true, oneOf(&kindName, names...)},
			{"default", "what it is where a sponsor sets nothing", true, value("default", &p.value)},
			{"min", "the smallest value that a sponsor may set", false, value("min", &p.least)},
			{"max", "the largest", false, value("max", &p.most)},
			{"one_of", "the values that a sponsor may choose from", false, words(&p.oneOf)},
		})
		i := slices.IndexFunc(parameterKinds, func(k parameterKind) bool { return k.name == kindName })
		if i < 0 {
			continue
		}
		p.kind = parameterKinds[i]
		for key, v := range map[string]string{"default": p.value, "min": p.least, "max": p.most} {
			if v != "" && !p.kind.valid(v) {
				r.wrong(places[key], "`%s` is no %s: write for example %s", v, p.kind.name, p.kind.example)
			}
		}
		if p.kind.compare == nil && p.least+p.most != "" {
			r.wrong(pair.Value, "a text has no `min` and `max`: use `one_of`")
		} else if len(r.mistakes) == 0 && p.refuses(p.value) != "" {
			r.wrong(places["default"], "the default is out of its own range: %s", p.refuses(p.value))
		}
		d.parameters = append(d.parameters, p)
	}
}

// refuses says why a value can't be taken; empty if it can.
func (p *parameter) refuses(v string) string {
	switch {
	case !p.kind.valid(v):
		return fmt.Sprintf("`%s` is no %s: write for example %s", v, p.kind.name, p.kind.example)
	case len(p.oneOf) > 0 && !slices.Contains(p.oneOf, v):
		return fmt.Sprintf("`%s` is not among %s", v, strings.Join(p.oneOf, ", "))
	case p.least != "" && p.kind.compare(v, p.least) < 0, p.most != "" && p.kind.compare(v, p.most) > 0:
		return fmt.Sprintf("`%s` is out of range: %s", v, p.allowed())
	}
	return ""
}

// allowed is the range, for a mistake's text.
func (p *parameter) allowed() string {
	switch {
	case p.least != "" && p.most != "":
		return "from " + p.least + " to " + p.most
	case p.least != "":
		return "at least " + p.least
	}
	return "at most " + p.most
}

func (d *dish) names() []string {
	names := make([]string, len(d.parameters))
	for i, p := range d.parameters {
		names[i] = p.name
	}
	return names
}

// checkReferences wants every reference to have a parameter, and every parameter a reference.
func (d *dish) checkReferences(r *reader) {
	used := map[string]bool{}
	for i, line := range strings.Split(string(d.src), "\n") {
		for _, at := range reference.FindAllStringSubmatchIndex(line, -1) {
			name := line[at[2]:at[3]]
			used[name] = true
			if !slices.Contains(d.names(), name) {
				r.add(i+1, at[0]+1, "there is no parameter `%s`%s", name, suggest(nearest(name, d.names())))
			}
		}
	}
	for _, p := range d.parameters {
		if !used[p.name] {
			r.add(p.line, p.col, "the parameter `%s` is not used: write `${%[1]s}` where its value belongs", p.name)
		}
	}
}

// filled is the campaign's file with values in the place of references. Within braces YAML wants a reference in quotes; those around
// a number go with it.
func (d *dish) filled(values map[string]string) []byte {
	src := d.src
	for _, p := range d.parameters {
		if p.kind.number {
			src = bytes.ReplaceAll(src, []byte(`"${`+p.name+`}"`), []byte(values[p.name]))
		}
	}
	return reference.ReplaceAllFunc(src, func(ref []byte) []byte { return []byte(values[string(ref[2:len(ref)-1])]) })
}

// order is a sponsor's file.
type order struct {
	sponsor string
	version int
	covers  *predicate
	items   []orderItem
}

// maxOrderVersion bounds the version of a sponsor's file: it is added to a campaign's.
const maxOrderVersion = math.MaxInt32 / 2

// orderItem is one campaign of a sponsor.
type orderItem struct {
	at           ast.Node
	use          string
	set          map[string]string
	places       map[string]ast.Node // of the values in set
	starts, ends ast.Node
	from, until  string // what stands there
}

// parseOrder reads a sponsor's file and returns its campaigns, made from the dishes on the menu. All mistakes are returned.
func parseOrder(file string, src []byte, menu map[string]*dish) ([]*Campaign, Mistakes) {
	r := &reader{file: file}
	o := &order{}
	if n := r.document(src); n != nil {
		r.fields(n, "a sponsor's file", []field{
			{"sponsor", "its id, small letters, digits and `-`", true, func(r *reader, n ast.Node) {
				if text(&o.sponsor)(r, n); !idForm.MatchString(o.sponsor) {
					r.wrong(n, "%s is no id: use a-z, 0-9 and -, at most 63 of them, not beginning or ending with -", describe(n))
				}
			}},
			{"version", "a whole number, raised with every change", true, wholeNumber(&o.version, 1, maxOrderVersion)},
			{"covers", "who may take part: CEL over `user`, for example user.employer == \"acme\"", true, condition(&o.covers)},
			{"campaigns", "what it orders from the menu, a list", true, func(r *reader, n ast.Node) {
				r.items(n, "campaigns", func(item ast.Node) { o.items = append(o.items, readOrderItem(r, item)) })
			}},
		})
	}
	var campaigns []*Campaign
	if len(r.mistakes) == 0 {
		for i := range o.items {
			if c := o.campaign(r, &o.items[i], menu); c != nil {
				campaigns = append(campaigns, c)
			}
		}
	}
	if len(r.mistakes) > 0 {
		r.mistakes.sort()
		return nil, r.mistakes
	}
	return campaigns, nil
}

func readOrderItem(r *reader, n ast.Node) orderItem {
	item := orderItem{at: n, set: map[string]string{}, places: map[string]ast.Node{}}
	r.fields(n, "an order", []field{
		{"use", "the id of a campaign with parameters", true, text(&item.use)},
		{"set", "its parameters, where they are not to be the defaults", false, func(r *reader, n ast.Node) {
			pairs, _ := r.pairs(n, "`set`")
			for _, pair := range pairs {
				v := ""
				text(&v)(r, pair.Value)
				item.set[keyOf(pair)], item.places[keyOf(pair)] = v, pair.Value
			}
		}},
		{"starts", "when it starts for this sponsor", false, func(r *reader, n ast.Node) { item.starts = n; text(&item.from)(r, n) }},
		{"ends", "when it ends for this sponsor, not included", false, func(r *reader, n ast.Node) { item.ends = n; text(&item.until)(r, n) }},
	})
	return item
}

// campaign makes one campaign that the sponsor ordered, from the definition that a publish would send.
func (o *order) campaign(r *reader, item *orderItem, menu map[string]*dish) *Campaign {
	d := menu[item.use]
	if d == nil {
		var known []string
		for id := range menu {
			known = append(known, id)
		}
		slices.Sort(known)
		r.wrong(item.at, "there is no campaign `%s` with parameters%s", item.use, suggest(nearest(item.use, known)))
		return nil
	}
	if d.broken {
		return nil
	}
	values := map[string]string{}
	for i := range d.parameters {
		p := &d.parameters[i]
		values[p.name] = p.value
		if v, ok := item.set[p.name]; ok {
			values[p.name] = v
			if why := p.refuses(v); why != "" {
				r.wrong(item.places[p.name], "%s: %s", p.name, why)
			}
		}
	}
	for name, at := range item.places {
		if _, ok := values[name]; !ok {
			r.wrong(at, "`%s` has no parameter `%s`%s", item.use, name, suggest(nearest(name, d.names())))
		}
	}
	if len(r.mistakes) > 0 {
		return nil
	}
	c, err := o.definition(item, string(d.filled(values))).compile(d.file)
	if err == nil {
		return c
	}
	part := ""
	if wrong := (*definitionMistake)(nil); errors.As(err, &wrong) {
		part = wrong.part
	}
	switch part {
	case "starts":
		r.wrong(item.starts, "%v", err)
	case "ends":
		r.wrong(item.ends, "%v", err)
	case "source":
		r.wrong(item.at, "with these parameters `%s` is wrong: %v", item.use, err)
	default:
		r.wrong(item.at, "%v", err)
	}
	return nil
}

// definition is one campaign of the order, as it travels through the log.
func (o *order) definition(item *orderItem, source string) Definition {
	return Definition{
		Language: Language, Source: source,
		Sponsor: o.sponsor, Version: o.version, Covers: o.covers.source, Starts: item.from, Ends: item.until,
	}
}
