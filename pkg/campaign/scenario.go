package campaign

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/stampede-rewards/stampede/internal/spelling"
)

// Scenario is a test that an author writes: what some users do, and which rewards and outcomes that must give.
type Scenario struct {
	File string
	Line int
	Name string

	zone     *zone
	users    []scenarioUser
	events   []scenarioEvent
	anyOrder bool
	until    int64 // Unix ns; 0 is the last arrival
	rewards  []expectedReward
	outcomes []expectedOutcome
	ends     bool // outcomes are expected, if only none
	named    []namedCampaign
}

// namedCampaign is where a scenario names a campaign.
type namedCampaign struct {
	id           string
	line, column int
}

// maxAnyOrder bounds the events of a scenario that is played in every order: 6 have 720.
const maxAnyOrder = 6

// maxPassing bounds the time that a scenario lets pass behind its last event, or behind introducedAt where it has none: each day of it may have to be closed
// for each user.
const maxPassing = maxPassingYears * 365 * 24 * time.Hour

const maxPassingYears = 50

// introducedAt is since when is known what a scenario says of its users.
var introducedAt = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano()

type scenarioUser struct {
	id         string
	zone       *zone
	attributes []byte // a JSON object
}

type scenarioEvent struct {
	line          int
	at            string // as written
	user, kind    string
	id, source    string
	data          []byte // JSON; nil where there is none
	expect        []expectedDecision
	time, arrival int64  // Unix ns
	told          string // `time` of the CloudEvent
}

type expectedDecision struct {
	decision, campaign string // the campaign may be empty: any
}

func (e expectedDecision) is(d *Decided) bool {
	return e.decision == d.Decision.String() && (e.campaign == "" || e.campaign == d.Campaign.ID)
}

type expectedReward struct {
	line                        int
	user, campaign, cycle, tier string // the last two may be empty: any
	achieved                    int64  // Unix ns; 0 is any
	achievedAt                  string // as written
}

type expectedOutcome struct {
	line                           int
	user, campaign, outcome, cycle string // the last may be empty: any
}

func (e expectedOutcome) String() string {
	s := e.campaign + " ends for " + e.user + " as " + e.outcome
	if e.cycle != "" {
		s += ", cycle " + e.cycle
	}
	return s
}

func (e expectedOutcome) is(o *Outcome) bool {
	return e.user == o.User && e.campaign == o.Campaign.ID && e.outcome == o.Kind.String() && (e.cycle == "" || e.cycle == o.Cycle)
}

func (e expectedReward) String() string {
	s := e.user + " gets a reward of " + e.campaign
	if e.cycle != "" {
		s += ", cycle " + e.cycle
	}
	if e.tier != "" {
		s += ", tier " + e.tier
	}
	if e.achieved != 0 {
		s += ", achieved at " + e.achievedAt
	}
	return s
}

func (e expectedReward) is(r *Reward) bool {
	return e.user == r.User && e.campaign == r.Campaign.ID && (e.cycle == "" || e.cycle == r.Cycle) && (e.tier == "" || e.tier == r.Tier) &&
		(e.achieved == 0 || e.achieved == r.AchievedAt)
}

// ScenarioFailure is an expectation that does not hold.
type ScenarioFailure struct {
	File string
	Line int
	Text string   // what was expected, and what happened
	Why  []string // the decisions of the user concerned, one a line

	User, Campaign string   // concerned; the campaign may be empty
	Stands         []string // where the user stands in the campaign at the end, in sentences
}

// ScenarioFile reports whether a file's name says that it holds scenarios and no campaign: it ends in .test.yaml or .test.yml.
func ScenarioFile(name string) bool {
	return strings.HasSuffix(name, ".test.yaml") || strings.HasSuffix(name, ".test.yml")
}

// ParseScenarios reads a file of scenarios. All its mistakes are returned at once.
func ParseScenarios(file string, src []byte) ([]Scenario, Mistakes) {
	r := &reader{file: file}
	var scenarios []Scenario
	if n := r.document(src); n != nil {
		scenarios = readScenarios(r, n)
	}
	if len(r.mistakes) > 0 {
		r.mistakes.sort()
		return nil, r.mistakes
	}
	return scenarios, nil
}

func readScenarios(r *reader, n ast.Node) (scenarios []Scenario) {
	r.fields(n, "a file of scenarios", []field{
		{"scenarios", "the list of scenarios", true, func(r *reader, n ast.Node) {
			r.items(n, "scenarios", func(item ast.Node) {
				line, _ := place(item)
				s := Scenario{File: r.file, Line: line, zone: loadZone("UTC")}
				s.read(r, item)
				scenarios = append(scenarios, s)
			})
		}},
	})
	return scenarios
}

// items reads a list.
func (r *reader) items(n ast.Node, what string, read func(ast.Node)) {
	if r.schema != nil {
		r.note(schema{"type": "array", "items": r.describing(func() { read(nil) })})
		return
	}
	list, ok := n.(*ast.SequenceNode)
	if !ok {
		r.wrong(n, "%s are a list (lines that begin with `-`), not %s", what, describe(n))
		return
	}
	for _, item := range list.Values {
		if r.plain(item) {
			read(item)
		}
	}
}

func (s *Scenario) read(r *reader, n ast.Node) {
	var events, until, rewards, outcomes ast.Node
	order := "given"
	r.fields(n, "a scenario", []field{
		{"scenario", "what it shows, in a sentence", true, text(&s.Name)},
		{"timezone", "where local times are, for example Europe/Berlin; default UTC", false, zoneField(&s.zone)},
		{"users", "what is known of users: their `timezone`, and any attribute", false, s.readUsers},
		{"events", "what users do, in the order of arrival", true, laterList(&events, func(r *reader) { s.readEvent(r, nil) })},
		{"order", "`any` where the events are to arrive in every order, at most 6 of them; else `given`", false, oneOf(&order, "given", "any")},
		{"until", "to when time passes after the last event, for example 2026-04-01 00:00, so that periods and campaigns close", false, later(&until)},
		{"rewards", "all rewards that are to be issued; `[]` for none", true, laterList(&rewards, func(r *reader) { s.readReward(r, nil) })},
		{"outcomes", "all other outcomes, `failed`, `withdrawn` and `budget_exhausted`, that there are to be; `[]` for none", false, laterList(&outcomes, func(r *reader) { s.readOutcome(r, nil) })},
	})
	if events != nil {
		r.items(events, "events", func(item ast.Node) { s.readEvent(r, item) })
		if s.anyOrder = order == "any"; s.anyOrder && len(s.events) > maxAnyOrder {
			r.wrong(events, "%d events have too many orders: `order: any` is for at most %d", len(s.events), maxAnyOrder)
		}
	}
	if until != nil {
		var readable bool
		s.until, _, readable = r.localTime(until, s.zone)
		last := introducedAt
		if k := len(s.events); k > 0 {
			last = s.events[k-1].arrival
		}
		switch {
		case readable && s.until < last:
			r.wrong(until, "`until` lies before the last event arrives")
		case readable && s.until-last > int64(maxPassing):
			r.wrong(until, "`until` lies more than %d years behind the last event, and each day of them may have to be closed for each user: let less time pass", maxPassingYears)
		}
	}
	if rewards != nil {
		r.items(rewards, "rewards", func(item ast.Node) { s.readReward(r, item) })
	}
	if outcomes != nil {
		s.ends = true
		r.items(outcomes, "outcomes", func(item ast.Node) { s.readOutcome(r, item) })
	}
}

// later keeps a value, a date or a time, until what it depends on has been read.
func later(to *ast.Node) func(*reader, ast.Node) {
	return described(func(r *reader) { r.note(anyText) }, func(_ *reader, n ast.Node) { *to = n })
}

// laterList does so for a list; item describes one of its items.
func laterList(to *ast.Node, item func(*reader)) func(*reader, ast.Node) {
	return described(func(r *reader) { r.items(nil, "", func(ast.Node) { item(r) }) }, func(_ *reader, n ast.Node) { *to = n })
}

func zoneField(to **zone) func(*reader, ast.Node) {
	return func(r *reader, n ast.Node) {
		if r.note(anyText) {
			if *to != nil {
				r.note(schema{"default": (*to).name})
			}
			return
		}
		s, _ := scalar(n)
		if z := loadZone(s); z != nil {
			*to = z
			return
		}
		r.wrong(n, "%s is no time zone of the IANA database (%s): write for example America/New_York, Europe/Berlin or UTC%s",
			describe(n), ZoneVersion, suggest(spelling.Nearest(s, zoneNames())))
	}
}

func (s *Scenario) readUsers(r *reader, n ast.Node) {
	if r.noteMapping(func(r *reader, _ ast.Node) {
		r.noteFields("a user", []field{{"timezone", "where the user is", false, zoneField(new(*zone))}}, true)
	}) {
		return
	}
	pairs, _ := r.pairs(n, "`users`")
	for _, pair := range pairs {
		u := scenarioUser{id: keyOf(pair)}
		known, _ := r.pairs(pair.Value, "a user")
		attributes := []byte{'{'}
		for _, fact := range known {
			if keyOf(fact) == "timezone" {
				zoneField(&u.zone)(r, fact.Value)
				continue
			}
			if len(attributes) > 1 {
				attributes = append(attributes, ',')
			}
			attributes = append(appendJSONString(attributes, keyOf(fact)), ':')
			attributes = r.appendJSON(attributes, fact.Value, 1)
		}
		u.attributes = append(attributes, '}')
		s.users = append(s.users, u)
	}
}

func (s *Scenario) readEvent(r *reader, n ast.Node) {
	e := scenarioEvent{source: "/scenario"}
	e.line, _ = place(n)
	var at, arrives ast.Node
	r.fields(n, "an event", []field{
		{"at", "when it happens, for example 2026-03-01 20:00 (local time)", true, later(&at)},
		{"arrives", "when it arrives, where that is later", false, later(&arrives)},
		{"user", "whose it is", true, text(&e.user)},
		{"type", "its type", true, text(&e.kind)},
		{"data", "what it says", false, described(func(*reader) {}, func(r *reader, n ast.Node) { e.data = r.appendJSON(nil, n, 1) })},
		{"id", "its id, where two events are to have the same", false, text(&e.id)},
		{"source", "its source", false, text(&e.source)},
		{"expect", "the decision, for example too_late; where several campaigns look at it, `campaign: decision`", false, func(r *reader, n ast.Node) { s.readExpect(r, n, &e) }},
	})
	if at == nil {
		return
	}
	if e.id == "" {
		e.id = fmt.Sprintf("event-%d", len(s.events)+1)
	}
	z := s.zoneOf(e.user)
	e.time, e.told, _ = r.localTime(at, z)
	e.at, _ = scalar(at)
	e.arrival = e.time
	saysWhen := false
	if arrives != nil {
		e.arrival, _, saysWhen = r.localTime(arrives, z)
	}
	if k := len(s.events); k > 0 && e.arrival < s.events[k-1].arrival {
		if saysWhen {
			r.wrong(n, "events are in the order of arrival, and this one arrives before the one above")
		}
		e.arrival = s.events[k-1].arrival
	}
	s.events = append(s.events, e)
}

// zoneOf is where a user's local times are.
func (s *Scenario) zoneOf(user string) *zone {
	for _, u := range s.users {
		if u.id == user && u.zone != nil {
			return u.zone
		}
	}
	return s.zone
}

func (s *Scenario) readExpect(r *reader, n ast.Node, e *scenarioEvent) {
	var names []string
	for _, d := range Decisions() {
		names = append(names, d.String())
	}
	var expected expectedDecision
	decision := oneOf(&expected.decision, names...)
	if r.schema != nil {
		r.note(schema{"anyOf": []schema{
			r.describing(func() { decision(r, nil) }), r.describing(func() { r.noteMapping(decision) }),
		}})
		return
	}
	if _, ok := scalar(n); ok {
		decision(r, n)
		e.expect = append(e.expect, expected)
		return
	}
	pairs, isMapping := r.pairs(n, "`expect`")
	if isMapping && len(pairs) == 0 {
		r.wrong(n, "`expect` names no decision: write one, for example too_late, or leave the key out")
	}
	for _, pair := range pairs {
		expected.campaign = keyOf(pair)
		s.names(expected.campaign, pair.Key)
		decision(r, pair.Value)
		e.expect = append(e.expect, expected)
	}
}

func (s *Scenario) readReward(r *reader, n ast.Node) {
	e := expectedReward{}
	e.line, _ = place(n)
	var at ast.Node
	r.fields(n, "an expected reward", []field{
		{"user", "who gets it", true, text(&e.user)},
		{"campaign", "the campaign's id", true, s.campaign(&e.campaign)},
		{"cycle", "its ordinal or period, where that matters", false, text(&e.cycle)},
		{"tier", "its tier, where that matters", false, text(&e.tier)},
		{"achieved_at", "the local time at which it was achieved, where that matters", false, later(&at)},
	})
	if at != nil {
		e.achieved, _, _ = r.localTime(at, s.zoneOf(e.user))
		e.achievedAt, _ = scalar(at)
	}
	s.rewards = append(s.rewards, e)
}

func (s *Scenario) readOutcome(r *reader, n ast.Node) {
	e := expectedOutcome{}
	e.line, _ = place(n)
	r.fields(n, "an outcome", []field{
		{"user", "whose it is", true, text(&e.user)},
		{"campaign", "the campaign's id", true, s.campaign(&e.campaign)},
		{"outcome", "`failed`, `withdrawn` or `budget_exhausted`", true, oneOf(&e.outcome, Failed.String(), Withdrawn.String(), BudgetExhausted.String())},
		{"cycle", "its ordinal or period, where that matters", false, text(&e.cycle)},
	})
	s.outcomes = append(s.outcomes, e)
}

// campaign reads a campaign's id.
func (s *Scenario) campaign(to *string) func(*reader, ast.Node) {
	return described(func(r *reader) { text(to)(r, nil) }, func(r *reader, n ast.Node) {
		text(to)(r, n)
		s.names(*to, n)
	})
}

func (s *Scenario) names(id string, at ast.Node) {
	line, column := place(at)
	s.named = append(s.named, namedCampaign{id, line, column})
}

// Unknown are the campaigns that the scenario names and that are not in force: mistakes in its file.
func (s *Scenario) Unknown(set *Set) Mistakes {
	ids := make([]string, len(set.campaigns))
	for i, c := range set.campaigns {
		ids[i] = c.ID
	}
	r := &reader{file: s.File}
	for _, n := range s.named {
		if slices.Contains(ids, n.id) {
			continue
		}
		r.add(n.line, n.column, "no campaign `%s` is in force here%s", shown(n.id), suggestOf(n.id, ids))
	}
	return r.mistakes
}

// localTime reads "2026-03-01 20:00" on a zone's wall clock, or an RFC 3339 time. told is how the CloudEvent says it: with an
// offset only where the author wrote one. ok is false where it can't be read.
func (r *reader) localTime(n ast.Node, z *zone) (ns int64, told string, ok bool) {
	s, _ := scalar(n)
	if ns, _, err := parseTime(s); err == nil {
		return ns, s, true
	}
	const date = "2006-01-02"
	if day, err := time.Parse(date, s[:min(len(s), len(date))]); err == nil && (day.Year() < firstYear || day.Year() > lastYear) {
		r.wrong(n, "%s is out of range: the years from %d to %d can be kept", describe(n), firstYear, lastYear)
		return 0, "", false
	}
	for _, form := range []string{"2006-01-02 15:04", "2006-01-02 15:04:05"} {
		if t, err := time.ParseInLocation(form, s, z.location); err == nil {
			if t.Format(form) != s {
				r.wrong(n, "%s does not exist on the clocks of %s: they were changed", describe(n), z.name)
			}
			return t.UnixNano(), t.UTC().Format(time.RFC3339), true
		}
	}
	r.wrong(n, "write a time such as 2026-03-01 20:00 or 2026-03-01T20:00:00-05:00, not %s", describe(n))
	return 0, "", false
}

// Run plays a scenario for the campaigns in force, and returns what was expected and did not happen.
func (s *Scenario) Run(set *Set) []ScenarioFailure {
	if !s.anyOrder || len(s.events) == 0 {
		return s.play(set, s.events)
	}
	var failures []ScenarioFailure
	last := s.events[len(s.events)-1].arrival
	eachOrder(slices.Clone(s.events), func(events []scenarioEvent) bool {
		for i := range events {
			events[i].arrival = last
		}
		failures = s.play(set, events)
		return len(failures) == 0
	})
	return failures
}

// eachOrder visits every order of events, until visit wants no more.
func eachOrder(events []scenarioEvent, visit func([]scenarioEvent) (more bool)) bool {
	var order func(k int) bool
	order = func(k int) bool {
		if k == len(events) {
			return visit(slices.Clone(events))
		}
		for i := k; i < len(events); i++ {
			events[k], events[i] = events[i], events[k]
			more := order(k + 1)
			events[k], events[i] = events[i], events[k]
			if !more {
				return false
			}
		}
		return true
	}
	return order(0)
}

func (s *Scenario) play(set *Set, events []scenarioEvent) []ScenarioFailure {
	engine := NewEngine(set, 0)
	engine.TellDetails()
	p := play{scenario: s, engine: engine, replay: NewReplay(engine), why: map[string][]string{}}
	p.replay.DecideAtOnce()
	for _, u := range s.users {
		p.introduce(u)
	}
	for i := range events {
		p.event(&events[i])
	}
	if s.until != 0 {
		p.advance(s.until)
	}
	p.compareRewards()
	if s.ends {
		p.compareOutcomes()
	}
	for i := range p.failures {
		if f := &p.failures[i]; f.Campaign != "" {
			f.Stands = p.stands(f.User, f.Campaign)
		}
	}
	return p.failures
}

// play is a scenario that is being run.
type play struct {
	scenario *Scenario
	engine   *Engine
	replay   *Replay
	rewards  []Reward
	outcomes []Outcome           // but those of rewards
	why      map[string][]string // by user
	failures []ScenarioFailure
}

func (p *play) fail(line int, user, format string, args ...any) {
	p.failIn("", line, user, format, args...)
}

// failIn does so where it is about one campaign.
func (p *play) failIn(campaign string, line int, user, format string, args ...any) {
	p.failures = append(p.failures, ScenarioFailure{
		File: p.scenario.File, Line: line, Text: fmt.Sprintf(format, args...), Why: p.why[user], User: user, Campaign: campaign,
	})
}

// stands tells where a user stands in a campaign now: what a reward that was not issued waits for.
func (p *play) stands(user, campaign string) []string {
	l := p.replay.Ledger(user)
	if l == nil {
		return []string{"Nothing is known of the user."}
	}
	for _, s := range p.engine.Explain(l, p.replay.Clock()) {
		if s.Campaign.ID == campaign {
			return s.Sentences
		}
	}
	return nil
}

// introduce tells what is known of a user from the beginning: from the first arrival on, or where nothing arrives, since it is so.
func (p *play) introduce(u scenarioUser) {
	begins := introducedAt
	if events := p.scenario.events; len(events) > 0 {
		begins = events[0].arrival
	}
	data := append([]byte(`{"attributes":`), u.attributes...)
	if u.zone != nil {
		data = appendJSONString(append(data, `,"timezone":`...), u.zone.name)
	}
	e := scenarioEvent{
		user: u.id, kind: "stampede.profile", id: "users", source: "/scenario/users", data: append(data, '}'),
		told: string(formatTime(nil, introducedAt)), arrival: begins,
	}
	p.event(&e)
}

// advance lets time pass (to Unix ns).
func (p *play) advance(to int64) {
	_ = p.replay.Advance(floorDiv(to, int64(time.Millisecond)), func(user string, at int64, result *Result) error {
		if told := p.took(result); len(told) > 0 {
			p.why[user] = append(p.why[user], fmt.Sprintf("%s, by the clock: %s", timeOf(msToNs(at)), strings.Join(told, "; ")))
		}
		p.restart(p.scenario.Line, user)
		return nil
	})
}

func (p *play) event(e *scenarioEvent) {
	p.advance(e.arrival)
	var decoder Decoder
	var ev Event
	rejection := decoder.Decode(&Record{Key: []byte(e.user), Value: e.cloudEvent(), Clock: p.replay.Clock()}, &ev)
	if rejection == nil {
		result := p.replay.Apply(&ev)
		rejection = result.Rejection
		p.decided(e, result)
		p.restart(e.line, e.user)
	}
	if rejection != nil {
		p.fail(e.line, e.user, "the event would be a dead letter: %s: %s", rejection.Reason, rejection.Detail)
	}
}

// restart puts a ledger away and reads it back, as every other holder of ledgers does between records: what a scenario shows holds whenever
// a processor is restarted, and nothing can live in memory alone.
func (p *play) restart(line int, user string) {
	if err := p.replay.restart(user); err != nil {
		p.fail(line, user, "the ledger cannot be read back: %s", err)
	}
}

// took keeps rewards and outcomes, and tells them to people.
func (p *play) took(result *Result) (told []string) {
	for _, r := range result.Rewards {
		p.rewards = append(p.rewards, r)
		told = append(told, fmt.Sprintf("reward of %s, cycle %s, tier %s", r.Campaign.ID, r.Cycle, r.Tier))
	}
	for _, o := range result.Outcomes {
		if o.Kind != Achieved {
			p.outcomes = append(p.outcomes, o)
			told = append(told, fmt.Sprintf("%s: %s, cycle %s", o.Campaign.ID, o.Kind, o.Cycle))
		}
	}
	return told
}

func (p *play) decided(e *scenarioEvent, result *Result) {
	var decisions []string
	missing, _ := unmatched(e.expect, result.Decisions, expectedDecision.is)
	for _, d := range result.Decisions {
		text := d.Campaign.ID + ": " + d.Decision.String()
		if d.Detail != "" {
			text += " (" + d.Detail + ")"
		}
		decisions = append(decisions, text)
	}
	decisions = append(decisions, p.took(result)...)
	if len(decisions) == 0 {
		decisions = []string{"no campaign is concerned"}
	}
	if e.line > 0 {
		p.why[e.user] = append(p.why[e.user], fmt.Sprintf("line %d, %s %s: %s", e.line, e.at, e.kind, strings.Join(decisions, "; ")))
	}
	for _, want := range missing {
		p.failIn(want.campaign, e.line, e.user, "the event was to be %s%s, and is: %s", want.decision, ofCampaign(want.campaign), strings.Join(decisions, "; "))
	}
}

func ofCampaign(id string) string {
	if id == "" {
		return ""
	}
	return " for " + id
}

// compareRewards wants the rewards that are listed, and no other.
func (p *play) compareRewards() {
	missing, extra := unmatched(p.scenario.rewards, p.rewards, expectedReward.is)
	for _, want := range missing {
		p.failIn(want.campaign, want.line, want.user, "expected: %s; it was not issued", want)
	}
	for _, r := range extra {
		p.failIn(r.Campaign.ID, p.scenario.Line, r.User, "not expected: %s gets a reward of %s, cycle %s, tier %s", r.User, r.Campaign.ID, r.Cycle, r.Tier)
	}
}

// compareOutcomes wants the outcomes that are listed, and no other; each reward is one that need not be listed.
func (p *play) compareOutcomes() {
	missing, extra := unmatched(p.scenario.outcomes, p.outcomes, expectedOutcome.is)
	for _, want := range missing {
		p.failIn(want.campaign, want.line, want.user, "expected: %s; it does not", want)
	}
	for _, o := range extra {
		p.failIn(o.Campaign.ID, p.scenario.Line, o.User, "not expected: %s ends for %s as %s, cycle %s", o.Campaign.ID, o.User, o.Kind, o.Cycle)
	}
}

// unmatched gives each thing that is wanted the first that came and is it, and returns what is left on both sides.
func unmatched[W, C any](wanted []W, came []C, is func(W, *C) bool) (missing []W, extra []C) {
	extra = slices.Clone(came)
	for _, want := range wanted {
		i := slices.IndexFunc(extra, func(c C) bool { return is(want, &c) })
		if i < 0 {
			missing = append(missing, want)
			continue
		}
		extra = slices.Delete(extra, i, i+1)
	}
	return missing, extra
}

// cloudEvent is the event as its producer would send it.
func (e *scenarioEvent) cloudEvent() []byte {
	dst := append([]byte(nil), `{"specversion":"1.0","id":`...)
	for _, part := range [][2]string{{"", e.id}, {`,"source":`, e.source}, {`,"type":`, e.kind}, {`,"subject":`, e.user}, {`,"time":`, e.told}} {
		dst = appendJSONString(append(dst, part[0]...), part[1])
	}
	if e.data != nil {
		dst = append(append(dst, `,"data":`...), e.data...)
	}
	return append(dst, '}')
}
