package campaign

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

const (
	defaultLateness = 48 * time.Hour
	maxLateness     = 35 * 24 * time.Hour
)

// Campaign is one campaign file, read, checked and compiled. It is immutable.
type Campaign struct {
	ID      string
	Version int
	Title   string // the id where the author gave none
	Sponsor string
	Starts  int64         // Unix ns
	Ends    int64         // Unix ns, not included; math.MaxInt64 where it runs until it is withdrawn
	Late    time.Duration // lateness: how long after its time an event may arrive (E4)
	Always  bool          // repeat: always
	PerUser int           // limits.per_user; 0 is no limit
	Budget  *Budget       // limits.budget, or the one that its sponsor's order names; nil: no bound (O2)
	OptIn   bool          // enrol: opt_in (C2)
	Rewards []RewardTerms // one, or as many as the goal has tiers
	Share   []string      // the partners who get its outcomes, in the author's order (O1)

	key       uint64 // names the campaign in a ledger
	zone      *zone
	dayStarts time.Duration // taken off the local wall clock before a date is read (T2)
	eligible  *predicate    // nil: everybody
	goal      *goal

	looksAtUser bool     // an expression does
	warnings    Mistakes // what is right and surely not meant

	definition Definition // what the campaign was made from
	restart    bool       // on_change: restart (L2)

	// What InForce tells of it.
	since      int64    // the clock at which its first version came in force, Unix ms
	epoch      uint64   // how often a restart has let the users' progress begin anew
	units      []string // of each epoch: see cycleUnit
	revision   uint64   // how many versions there were before this one
	raises     raises   // of its lateness
	withdrawn  bool     // it was, perhaps behind its end
	endedEarly bool     // it was, and that is why it ends
}

// RewardTerms is what a campaign promises: the `reward` of its file.
type RewardTerms struct {
	Kind       string
	Amount     *Amount         // nil where the reward is no money
	Attributes json.RawMessage // whatever else the author wrote, a JSON object; nil where nothing
}

var idForm = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$`)

// Parse reads one campaign file. All its mistakes are returned at once.
func Parse(file string, src []byte) (*Campaign, Mistakes) {
	r := &reader{file: file}
	return parsed(r, r.document(src), src)
}

// parsed reads the campaign of a file's document, if it has one.
func parsed(r *reader, n ast.Node, src []byte) (*Campaign, Mistakes) {
	c := newCampaign()
	if n != nil {
		c.read(r, n)
		c.refuse(r)
	}
	return c.complete(r, n, src)
}

// parseStored reads one that is in the log. What authors may not write any more stays what it is there: whoever has it in force must be able to
// go on.
func parseStored(file string, src []byte) (*Campaign, Mistakes) {
	r, c := &reader{file: file}, newCampaign()
	n := r.document(src)
	if n != nil {
		c.read(r, n)
	}
	return c.complete(r, n, src)
}

// complete makes a campaign of what was read, or returns the mistakes.
func (c *Campaign) complete(r *reader, n ast.Node, src []byte) (*Campaign, Mistakes) {
	if len(r.mistakes) > 0 {
		r.mistakes.sort()
		return nil, r.mistakes
	}
	c.doubt(r, n)
	if c.Title == "" {
		c.Title = c.ID
	}
	c.key = campaignKey(c.ID)
	c.looksAtUser = c.asksUser()
	r.warnings.sort()
	c.warnings = r.warnings
	if c.Budget != nil {
		c.Budget.ID, c.Budget.zone, c.Budget.dayStarts = c.ID, c.zone, c.dayStarts
	}
	c.definition = Definition{Language: c.language(), Source: string(src)}
	return c, nil
}

// language is the first version of the campaign language that has all that the campaign uses: so what was published by an earlier program is
// the same definition when it is published again.
func (c *Campaign) language() int {
	if len(c.Share) > 0 || c.Budget != nil {
		return secondLanguage
	}
	return firstLanguage
}

// newCampaign is one of whose file nothing has been read: what stands here are the defaults.
func newCampaign() *Campaign {
	return &Campaign{Ends: math.MaxInt64, Late: defaultLateness, zone: loadZone("UTC")}
}

// read reads the top of a campaign file. The dates wait until the zone is known.
func (c *Campaign) read(r *reader, n ast.Node) {
	var starts, ends, rewards, goalAt ast.Node
	repeat, enrol, onChange := "once", "automatic", ""
	r.fields(n, "a campaign", r.meant(n, "a campaign", []field{
		{"campaign", "its id, small letters, digits and `-`, for example `campaign: five-days-of-logging`", true, c.readID},
		{"version", "a whole number, raised with every change, for example `version: 1`", true, wholeNumber(&c.Version, 1, math.MaxInt32)},
		{"title", "what users would call it", false, text(&c.Title)},
		{"sponsor", "who pays for it", false, text(&c.Sponsor)},
		{"starts", "a date or an instant, for example `starts: 2026-01-01`", true, later(&starts)},
		{"ends", "a date or an instant, not included", false, later(&ends)},
		{"timezone", "where a user is whose zone is not known, for example Europe/Berlin", false, zoneField(&c.zone)},
		{"lateness", "how late an event may arrive", false, duration(&c.Late, maxLateness)},
		{"day_starts", "when a new day begins, for example 04:00", false, c.readDayStarts},
		{"eligible", "who may take part: CEL over `user` and `event`", false, condition(&c.eligible)},
		{"goal", "what a user has to achieve, for example `goal: {event: birth.reported}`", true, func(r *reader, n ast.Node) { goalAt = n; c.readGoal(r, n) }},
		{"repeat", "`once` or `always`", false, oneOf(&repeat, "once", "always")},
		{"limits", "how often a user can be rewarded, and how much is issued in all", false, c.readLimits},
		{"reward", "what the user gets, for example `reward: {kind: gift_card, amount: 25.00 USD}`", true, described(noteRewards, func(_ *reader, n ast.Node) { rewards = n })},
		{"parameters", "what sponsors may set, which makes the campaign a dish on a menu", false, described(noteParameters, func(*reader, ast.Node) {})},
		{"on_change", "`restart`, where this version changes what counts and the users are to begin anew", false, oneOf(&onChange, "restart")},
		{"enrol", "`automatic`, or `opt_in` where users say that they take part", false, oneOf(&enrol, "automatic", "opt_in")},
		{"share", "the partners who get its outcomes, for example `share: [acme-analytics]`", false, c.readShare},
	}))
	c.Always, c.OptIn, c.restart = repeat == "always", enrol == "opt_in", onChange == "restart"
	before := len(r.mistakes)
	if rewards != nil {
		c.readRewards(r, rewards)
	}
	if c.Budget != nil && len(c.Rewards) > 0 && len(r.mistakes) == before {
		if why := c.cantPay(c.Budget); why != "" {
			r.wrong(rewards, "%s", why)
		}
	}
	if starts != nil {
		c.Starts = r.instant(starts, c.zone, math.MinInt64)
	}
	if ends != nil {
		c.Ends = r.instant(ends, c.zone, math.MaxInt64)
		if starts != nil && c.Ends <= c.Starts {
			r.wrong(ends, "the campaign ends before it starts: `ends` must be after `starts`")
		}
	}
	if goalAt != nil {
		c.checkGoal(r, goalAt, rewards, ends)
	}
}

// checkGoal is what the goal, `repeat` and `reward` must agree on (G9, G10).
func (c *Campaign) checkGoal(r *reader, n, rewards, ends ast.Node) {
	if c.goal == nil || c.goal.root == nil {
		return
	}
	if rewards != nil && len(c.Rewards) != c.goal.tiers {
		r.wrong(rewards, "the goal has %d and `reward` lists %d: write one reward for each number of the goal", c.goal.tiers, len(c.Rewards))
	}
	if c.goal.watches {
		c.checkNone(r, n, ends)
	}
	if !c.Always || valueAt(n, "per") != nil { // one that is wrong has been told
		return
	}
	if _, ok := c.goal.root.(*composite); ok && c.goal.per == noUnit {
		r.wrong(n, "`repeat: always` needs a `per` over all parts, for example `per: month` beside `all`")
	}
	if c.goal.tiers > 1 && c.goal.per == noUnit {
		r.wrong(n, "tiers are for `repeat: once`, or for a goal with a `per`")
	}
}

// checkNone is what a goal needs in which nothing must happen (G8).
func (c *Campaign) checkNone(r *reader, n, ends ast.Node) {
	if valueAt(n, "per") == nil && c.goal.per == noUnit && ends == nil {
		r.wrong(n, "a `none` without `per` is decided when the campaign ends: write `ends`, or for example `per: quarter`")
	}
	if c.eligible != nil && c.eligible.event {
		r.wrong(n, "a `none` is decided at the end of its period, when there is no event: `eligible` may look at `user` only")
	}
}

func (c *Campaign) readID(r *reader, n ast.Node) {
	text(&c.ID)(r, n)
	if c.ID != "" && !idForm.MatchString(c.ID) {
		r.wrong(n, "%s is no id: use a-z, 0-9 and -, at most 63 of them, not beginning or ending with -", describe(n))
	}
}

func (c *Campaign) readDayStarts(r *reader, n ast.Node) {
	if r.noteDefault(anyText, "00:00") {
		return
	}
	s, _ := scalar(n)
	t, err := time.Parse("15:04", s)
	if err != nil {
		r.wrong(n, "write a time of day such as 04:00, not %s", describe(n))
		return
	}
	c.dayStarts = time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute
}

func (c *Campaign) readLimits(r *reader, n ast.Node) {
	var budget budgetReader
	before := len(r.mistakes)
	r.fields(n, "limits", r.meant(n, "limits", []field{
		{"per_user", "how many rewards one user can have", false, wholeNumber(&c.PerUser, 1, math.MaxInt32)},
		{"budget", "what is issued in all, for example `budget: {rewards: 1000}`", false, func(r *reader, n ast.Node) {
			before := len(r.mistakes)
			if budget.read(r, n); len(r.mistakes) == before {
				c.Budget = &budget.budget
			}
		}},
	}))
	if r.schema == nil && len(r.mistakes) == before && c.PerUser == 0 && c.Budget == nil {
		r.wrong(n, "`limits` has no limit: write `per_user` or `budget`, or leave it out")
	}
}

// maxShare bounds the partners of a campaign: each outcome is written once for each of them.
const maxShare = 8

// readShare reads the partners. Which ones there are is for who has their keys to know: a campaign only names them.
func (c *Campaign) readShare(r *reader, n ast.Node) {
	words(&c.Share)(r, n)
	for i, name := range c.Share {
		at := n
		if list, ok := n.(*ast.SequenceNode); ok && len(list.Values) == len(c.Share) {
			at = list.Values[i]
		}
		switch {
		case !PartnerName(name):
			r.wrong(at, "`%s` is no partner's name: use a-z, 0-9 and -, at most 63 of them, not beginning or ending with -", shown(name))
		case slices.Contains(c.Share[:i], name):
			r.wrong(at, "partner `%s` stands here twice: name each once", name)
		}
	}
	if len(c.Share) > maxShare {
		r.wrong(n, "%d partners stand here: a campaign is shared with %d at most", len(c.Share), maxShare)
	}
}

// PartnerName says whether a partner can have the name.
func PartnerName(name string) bool { return idForm.MatchString(name) }

func (c *Campaign) readGoal(r *reader, n ast.Node) {
	g := &goalReader{goal: &goal{tiers: 1}}
	g.goal.root = g.read(r, n)
	c.goal = g.goal
}

// readRewards reads one reward, or a list: one for each tier.
func (c *Campaign) readRewards(r *reader, n ast.Node) {
	items := []ast.Node{n}
	if list, ok := n.(*ast.SequenceNode); ok {
		items = list.Values
	}
	for _, item := range items {
		var t RewardTerms
		t.read(r, item)
		c.Rewards = append(c.Rewards, t)
	}
}

func noteRewards(r *reader) {
	r.note(oneOrList(r.describing(func() { new(RewardTerms).read(r, nil) })))
}

// read takes `kind` and `amount`; what else stands there goes to fulfilment as it is.
func (t *RewardTerms) read(r *reader, n ast.Node) {
	own := []field{
		{"kind", "what kind of reward it is, for example gift_card or points", true, text(&t.Kind)},
		{"amount", "money, for example 25.00 USD", false, t.readAmount},
	}
	if r.noteFields("a reward", own, true) {
		return
	}
	pairs, ok := r.pairs(n, "a reward")
	if !ok {
		return
	}
	attributes, hasKind, kindHint := []byte{'{'}, false, ": "+own[0].doc
	for _, pair := range pairs {
		key := keyOf(pair)
		f := findField(own, key)
		hasKind = hasKind || f == &own[0]
		if !r.plain(pair.Value) {
			continue
		}
		if f != nil {
			f.readValue(r, pair)
			continue
		}
		switch {
		case slipOf(key, "amount"):
			r.doubt(pair.Key, "`%s` is no amount, and goes to fulfilment as it is: did you mean `amount`?", shown(key))
		case slipOf(key, "kind"):
			kindHint = ": did you mean it by `" + shown(key) + "`?"
		}
		if len(attributes) > 1 {
			attributes = append(attributes, ',')
		}
		attributes = append(appendJSONString(attributes, keyOf(pair)), ':')
		attributes = r.appendJSON(attributes, pair.Value, 1)
	}
	if !hasKind {
		r.wrong(n, "a reward has no `kind`%s", kindHint)
	}
	if len(attributes) > 1 {
		t.Attributes = append(attributes, '}')
	}
}

func (t *RewardTerms) readAmount(r *reader, n ast.Node) {
	if r.note(anyText) {
		return
	}
	s, _ := scalar(n)
	a, err := ParseAmount(s)
	if err != nil {
		r.wrong(n, "%v", err)
		return
	}
	if a.Units == 0 {
		r.doubt(n, "a reward of %s is worth nothing: write what it is worth, or leave `amount` out", a)
	}
	t.Amount = &a
}

// maxAttributeDepth bounds how deep an author's own attributes can nest.
const maxAttributeDepth = 8

// appendJSON writes a YAML value as JSON, keys in the author's order.
func (r *reader) appendJSON(dst []byte, n ast.Node, depth int) []byte {
	if !r.plain(n) {
		return append(dst, "null"...)
	}
	if depth > maxAttributeDepth {
		r.wrong(n, "this nests deeper than %d levels", maxAttributeDepth)
		return append(dst, "null"...)
	}
	switch v := n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		pairs, _ := r.pairs(n, "")
		dst = append(dst, '{')
		for i, pair := range pairs {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendJSONString(dst, keyOf(pair)), ':')
			dst = r.appendJSON(dst, pair.Value, depth+1)
		}
		return append(dst, '}')
	case *ast.SequenceNode:
		dst = append(dst, '[')
		for i, item := range v.Values {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = r.appendJSON(dst, item, depth+1)
		}
		return append(dst, ']')
	case *ast.NullNode:
		return append(dst, "null"...)
	case *ast.BoolNode:
		return strconv.AppendBool(dst, v.Value)
	case *ast.IntegerNode, *ast.FloatNode:
		if number := n.GetToken().Value; json.Valid([]byte(number)) {
			return append(dst, number...)
		}
		r.wrong(n, "%s is no number that JSON has: write it in decimal digits, or in quotes", describe(n))
		return append(dst, "null"...)
	}
	s, ok := scalar(n)
	if !ok {
		r.wrong(n, "write a text, a number, true, false, a list or a mapping")
	}
	return appendJSONString(dst, s)
}

// instant reads a date (its start in the zone) or an RFC 3339 instant; outside is what a mistake leaves behind.
func (r *reader) instant(n ast.Node, z *zone, outside int64) int64 {
	s, _ := scalar(n)
	if at, ok := parseInstant(s, z); ok {
		return at
	}
	r.wrong(n, "%s", notAnInstant(s, describe(n)))
	return outside
}

// condition reads a CEL predicate. Its mistakes point into the expression.
func condition(to **predicate) func(*reader, ast.Node) { return expression(to, compilePredicate) }

// value reads a CEL value.
func value(to **valueExpression) func(*reader, ast.Node) {
	return expression(to, compileValueExpression)
}

func expression[E any](to *E, compile func(string) (E, []exprError)) func(*reader, ast.Node) {
	return func(r *reader, n ast.Node) {
		var source string
		if text(&source)(r, n); source == "" {
			return
		}
		e, mistakes := compile(source)
		for _, m := range mistakes {
			line, column := r.inside(n, m.Line, m.Column)
			r.add(line, column, "%s", withoutComment(m.Message, r.behind(n)))
		}
		if p, ok := any(e).(*predicate); ok && p != nil {
			r.conditions = append(r.conditions, conditionAt{p, n})
		}
		if v, ok := any(e).(*valueExpression); ok && v != nil {
			r.doubtFaults(v.faults, n)
		}
		*to = e
	}
}

// behind is what stands in the file behind a text of one line that is in no quotes; empty for any other.
func (r *reader) behind(n ast.Node) string {
	t := n.GetToken()
	if t.Type != token.StringType {
		return ""
	}
	line, column := t.Position.Line, t.Position.Column
	if line > len(r.letters) || column-1 > len(r.letters[line-1]) {
		return ""
	}
	rest, _ := strings.CutPrefix(string(r.letters[line-1][column-1:]), t.Value)
	return rest
}

// listed joins words for a sentence: "`a`, `b` or `c`".
func listed(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = "`" + w + "`"
	}
	last := len(quoted) - 1
	return strings.Join(quoted[:last], ", ") + " or " + quoted[last]
}

func suggest(word string) string {
	if word == "" {
		return ""
	}
	return fmt.Sprintf(": did you mean `%s`?", word)
}

// zoneNames lists the zones that an author can name.
func zoneNames() []string {
	loadZone("UTC") // indexes the archive
	zones.RLock()
	defer zones.RUnlock()
	names := make([]string, 0, len(zones.files))
	for name := range zones.files {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
