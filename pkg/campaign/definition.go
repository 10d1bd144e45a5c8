package campaign

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Language is the version of the campaign language that this program reads. It is raised with everything that an earlier program would
// refuse, or read as something else: a new kind of goal, a new key, another meaning.
//
//	1  the first
//	2  `share`, and budgets
const Language = 2

// The log says of a campaign the first language that has all it uses, so that nothing changes for one that uses nothing new.
const (
	firstLanguage  = 1
	secondLanguage = 2
)

// Definition is a campaign as it travels through the log (L1): everything that makes it, and nothing that stands elsewhere. The same
// definition makes the same campaign on every machine.
type Definition struct {
	Language int    `json:"language"`
	Source   string `json:"source"` // the campaign's file, parameters filled in

	// What a sponsor's order says of it (L3); all empty where nobody ordered it.
	Sponsor string `json:"sponsor,omitempty"`
	Version int    `json:"version,omitempty"` // of the sponsor's file
	Covers  string `json:"covers,omitempty"`
	Starts  string `json:"starts,omitempty"` // as written; empty where the campaign's own holds
	Ends    string `json:"ends,omitempty"`
	Budget  string `json:"budget,omitempty"` // one that several campaigns of the sponsor share, as JSON

	Home int32 `json:"home,omitempty"` // of its budget: Budget.Home
}

// NewerLanguageError means that a campaign is written for a later version of the program. Nobody may go on without understanding it:
// another processor does, and the two would issue different rewards.
type NewerLanguageError struct{ Language int }

// Error says what to do.
func (e *NewerLanguageError) Error() string {
	return fmt.Sprintf("a campaign is written in version %d of the campaign language, this processor reads up to %d: upgrade the processor", e.Language, Language)
}

// Definition returns what the campaign was made from.
func (c *Campaign) Definition() Definition { return c.definition }

// Append writes the definition as JSON. Members are in a fixed order, so equal definitions have equal bytes (P3).
func (d Definition) Append(dst []byte) []byte {
	dst = append(dst, `{"language":`...)
	dst = strconv.AppendInt(dst, int64(d.Language), 10)
	dst = append(dst, `,"source":`...)
	dst = appendJSONString(dst, d.Source)
	if d.Version != 0 {
		dst = append(dst, `,"version":`...)
		dst = strconv.AppendInt(dst, int64(d.Version), 10)
	}
	for _, member := range d.orderTexts() {
		if *member.text != "" {
			dst = append(dst, `,"`+member.name+`":`...)
			dst = appendJSONString(dst, *member.text)
		}
	}
	if d.Home != 0 {
		dst = appendMember(append(dst, ','), "home", int64(d.Home))
	}
	return append(dst, '}')
}

type definitionText struct {
	name string
	text *string
}

func (d *Definition) orderTexts() []definitionText {
	return []definitionText{{"sponsor", &d.Sponsor}, {"covers", &d.Covers}, {"starts", &d.Starts}, {"ends", &d.Ends}, {"budget", &d.Budget}}
}

// readDefinition reads what Append wrote. The language is read first: of a newer one nothing else is known.
func readDefinition(v Value) (Definition, error) {
	d := Definition{}
	if v.Kind() != Object {
		return d, errors.New("a campaign's definition must be an object")
	}
	language, ok := wholeOf(v.Get("language"))
	if !ok || language < 1 {
		return d, errors.New("a campaign's definition must say its `language`, a whole number from 1")
	}
	if language > Language {
		return d, &NewerLanguageError{int(language)}
	}
	d.Language = int(language)
	texts := append(d.orderTexts(), definitionText{"source", &d.Source})
	for name, value := range v.Members() {
		switch i := slices.IndexFunc(texts, func(t definitionText) bool { return t.name == name }); {
		case i >= 0 && value.Kind() == String:
			*texts[i].text = strings.Clone(value.Text())
		case i >= 0:
			return d, fmt.Errorf("`%s` of a campaign's definition must be a text", name)
		case name == "version":
			version, ok := wholeOf(value)
			if !ok || version < 1 || version > maxOrderVersion {
				return d, errors.New("`version` of a campaign's definition must be a whole number from 1")
			}
			d.Version = int(version)
		case name == "home":
			home, ok := wholeOf(value)
			if !ok || home < 0 || home > maxPartition {
				return d, errors.New("`home` of a campaign's definition must be the number of a partition")
			}
			d.Home = int32(home)
		case name != "language":
			return d, fmt.Errorf("a campaign's definition has no %s in version %d of the language", excerpt(name), d.Language)
		}
	}
	return d, nil
}

// wholeOf reads a whole number that a double holds exactly.
func wholeOf(v Value) (int64, bool) {
	f := v.Number()
	return int64(f), v.Kind() == Number && f == math.Trunc(f) && math.Abs(f) < 1<<53
}

// maxCompiled bounds the campaigns that are kept compiled. There are as many as a directory can have files.
const maxCompiled = maxCampaigns

// compiled holds campaigns by the hash of their definition: each of up to hundreds of partitions puts the same ones in force. What is
// in it changes no result.
var compiled struct {
	sync.Mutex
	campaigns map[[sha256.Size]byte]*Campaign
}

// Compile makes the campaign. The error is a NewerLanguageError, or says what is wrong with the definition.
func (d Definition) Compile() (*Campaign, error) {
	key := sha256.Sum256(d.Append(nil))
	compiled.Lock()
	c := compiled.campaigns[key]
	compiled.Unlock()
	if c != nil {
		return c, nil
	}
	c, err := d.compile("campaign")
	if err != nil {
		return nil, err
	}
	compiled.Lock()
	defer compiled.Unlock()
	if compiled.campaigns == nil || len(compiled.campaigns) >= maxCompiled {
		compiled.campaigns = map[[sha256.Size]byte]*Campaign{}
	}
	compiled.campaigns[key] = c
	return c, nil
}

// definitionMistake is what is wrong with a definition, and with which part of it: for who reads a sponsor's file, to tell the place.
type definitionMistake struct {
	part    string // source, starts, ends, or order for all of it
	message string
}

// Error says what is wrong, without the place.
func (m *definitionMistake) Error() string { return m.message }

// compile makes the campaign; file is what its warnings name. The error is a NewerLanguageError or a definitionMistake.
func (d Definition) compile(file string) (*Campaign, error) {
	if d.Language > Language {
		return nil, &NewerLanguageError{d.Language}
	}
	if d.Language < 1 {
		return nil, &definitionMistake{"order", "a campaign's definition must say its `language`, a whole number from 1"}
	}
	c, mistakes := parseStored(file, []byte(d.Source))
	if len(mistakes) > 0 {
		return nil, &definitionMistake{"source", mistakes[0].Message}
	}
	return c, d.make(c)
}

// make turns the campaign of the source into the one that was ordered, if anybody did.
func (d Definition) make(c *Campaign) error {
	c.definition = d
	if d.Sponsor != "" {
		if err := c.order(d); err != nil {
			return err
		}
	}
	if c.Budget != nil {
		b := *c.Budget
		if b.Home = d.Home; d.Budget == "" {
			b.ID = c.ID
		}
		c.Budget = &b
	}
	return nil
}

// order makes a campaign its sponsor's: its id is SPONSOR.CAMPAIGN, its version the sum of both, so that it rises with either.
func (c *Campaign) order(d Definition) error {
	if !idForm.MatchString(d.Sponsor) {
		return &definitionMistake{"order", excerpt(d.Sponsor) + " is no sponsor's id"}
	}
	c.ID = d.Sponsor + "." + c.ID
	c.key = campaignKey(c.ID)
	c.Sponsor, c.Version = d.Sponsor, c.Version+d.Version
	for _, limit := range []struct {
		part, text string
		at         *int64
	}{{"starts", d.Starts, &c.Starts}, {"ends", d.Ends, &c.Ends}} {
		if limit.text == "" {
			continue
		}
		at, ok := parseInstant(limit.text, c.zone)
		if !ok {
			return &definitionMistake{limit.part, notAnInstant(limit.text, "`"+limit.text+"`")}
		}
		*limit.at = at
	}
	if d.Budget != "" {
		if err := c.share(d.Budget); err != nil {
			return err
		}
	}
	if c.Ends <= c.Starts {
		return &definitionMistake{"order", fmt.Sprintf("`%s` would end before it starts", c.ID)}
	}
	who := d.Covers
	if c.eligible != nil {
		who = "(" + who + ") && (" + c.eligible.source + ")"
	}
	joined, wrong := compilePredicate(who)
	if wrong != nil {
		return &definitionMistake{"order", "`covers` and the campaign's `eligible` together: " + wrong[0].Message}
	}
	c.eligible = joined
	c.looksAtUser = c.asksUser()
	return nil
}

// share makes the campaign one of those that share a budget of their sponsor.
func (c *Campaign) share(text string) error {
	var doc document
	if err := doc.parse([]byte(text)); err != nil {
		return &definitionMistake{"budget", err.Error()}
	}
	b, err := readBudget(doc.root())
	if err != nil {
		return &definitionMistake{"budget", err.Error()}
	}
	if c.Budget != nil {
		return &definitionMistake{"budget", "the campaign has a budget of its own: leave `budget` out, or order another"}
	}
	if why := c.cantPay(b); why != "" {
		return &definitionMistake{"budget", why}
	}
	c.Budget = b
	return nil
}

// The years of dates in files.
const (
	firstDateYear = 1900
	lastDateYear  = 2200
)

// parseInstant reads a date (its start in the zone) or an RFC 3339 instant.
func parseInstant(s string, z *zone) (int64, bool) {
	if t, err := time.Parse(time.DateOnly, s); err == nil && t.Year() >= firstDateYear && t.Year() <= lastDateYear {
		return z.startOf(DayOf(t.Date())), true
	}
	ns, _, err := parseTime(s)
	return ns, err == nil
}

func notAnInstant(s, what string) string {
	_, date := time.Parse(time.DateOnly, s)
	if _, instant := time.Parse(time.RFC3339, s); date == nil || instant == nil {
		return fmt.Sprintf("%s is out of range: dates are from %d-01-01 to %d-12-31; without `ends` a campaign runs until it is withdrawn", what, firstDateYear, lastDateYear)
	}
	return "write a date such as 2026-01-01 or an instant such as 2026-01-01T09:00:00-05:00, not " + what
}

// counts is a canonical text of what counts in a campaign (L2). Two versions with one text can share the users' progress; where it
// differs, what was counted by one is worth nothing in the other. Numbers to reach, what is forgiven, limits, rewards, titles and
// dates are not in it.
func (c *Campaign) counts() string {
	repeat := "once"
	if c.Always {
		repeat = "always"
	}
	return fmt.Sprintf("repeat %s; day starts %s; zone %s; per %s; %s", repeat, c.dayStarts, c.zone.name, unitNames[c.goal.per], countsOf(c.goal.root))
}

// countsOf is what counts in a part of a goal. `all` and `any` are `some` with a number (G9), and the number does not count. A kind
// that is missing here would let a change of what counts pass, so it is refused as a bug.
func countsOf(p part) string {
	switch p := p.(type) {
	case *composite:
		texts := make([]string, len(p.parts))
		for i := range p.parts {
			texts[i] = countsOf(p.parts[i])
		}
		return "some (" + strings.Join(texts, ", ") + ")"
	case *leaf:
		return fmt.Sprintf("%s per %s", countsOfKind(p.kind), unitNames[p.per])
	}
	panic(fmt.Sprintf("BUG: it is not written down what counts in a goal of type %T", p))
}

func countsOfKind(k leafKind) string {
	switch k := k.(type) {
	case *event:
		return "event" + k.filter.counts()
	case *count:
		return "count" + k.filter.counts() + k.window.counts()
	case *sum:
		return fmt.Sprintf("sum, net %t", k.net) + k.filter.counts() + k.window.counts()
	case *distinct:
		return "distinct" + k.filter.counts() + k.window.counts()
	case *streak:
		return fmt.Sprintf("streak of %ss, at least %d, sum %t, on %t", unitNames[k.unit], k.least, k.sum, k.on) + k.filter.counts()
	case *sequence:
		steps := make([]string, len(k.steps))
		for i := range k.steps {
			steps[i] = k.steps[i].filter.counts() + k.steps[i].within.counts()
		}
		text := "sequence (" + strings.Join(steps, ", then") + ")"
		if k.without != nil {
			text += " without" + k.without.counts()
		}
		return text
	case *none:
		return "none" + k.filter.counts()
	}
	panic(fmt.Sprintf("BUG: it is not written down what counts in a goal of type %T", k))
}

// counts quotes expressions, so that no text in one reads like a part of the whole.
func (f *filter) counts() string {
	types := slices.Clone(f.types)
	slices.Sort(types)
	text := fmt.Sprintf(" of %q", slices.Compact(types))
	if f.where != nil {
		text += fmt.Sprintf(" where %q", f.where.source)
	}
	if f.value != nil {
		text += fmt.Sprintf(" value %q", f.value.source)
	}
	return text
}

func (w *window) counts() string {
	if !w.is() {
		return ""
	}
	return fmt.Sprintf(" within %d days %s", w.days, w.exact)
}
