package campaign

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// budgetLog is one partition that is the home of its budgets, and everybody's. Claims and answers come back to it as records, when they are told to.
type budgetLog struct {
	*log
	ledgers map[string]*Ledger
	claims  []string // records' values that wait, oldest first
	answers []struct{ user, value string }
	issued  []string // rewards: user and issued_at
	events  int
}

func newBudgetLog(t *testing.T) *budgetLog {
	return &budgetLog{log: newLog(t), ledgers: map[string]*Ledger{}}
}

// at moves the clock on.
func (l *budgetLog) at(clock string) *budgetLog {
	l.log.at(clock)
	l.store(l.inForce.ForgetDenied(l.clock))
	return l
}

// store goes on with what is stored.
func (l *budgetLog) store(changed []Stored) {
	for _, s := range changed {
		if l.stored[s.Name] = s.Value; s.Value == nil {
			delete(l.stored, s.Name)
		}
	}
	l.restore()
}

// hit is one event of a user now; what it claims waits.
func (l *budgetLog) hit(users ...string) *budgetLog {
	l.t.Helper()
	for _, user := range users {
		l.events++
		l.apply(user, fmt.Sprintf(`{"specversion":"1.0","id":"%d","source":"s","type":"hit","time":%q}`, l.events, time.UnixMilli(l.clock).UTC().Format(time.RFC3339Nano)))
	}
	return l
}

// apply applies a record under a user's key and returns the outcomes; the ledger is put away and read back.
func (l *budgetLog) apply(user, value string) (outcomes []string) {
	l.t.Helper()
	var d Decoder
	var ev Event
	if rejection := d.Decode(&Record{Key: []byte(user), Value: []byte(value)}, &ev); rejection != nil {
		l.t.Fatal(rejection)
	}
	ledger := l.ledgers[user]
	if ledger == nil {
		ledger = &Ledger{}
	}
	l.engine.Use(l.inForce.Set())
	for due := ledger.Due(); due != 0 && due <= l.clock; due = ledger.Due() {
		l.engine.Fire(ledger, user)
	}
	r := l.engine.Apply(ledger, &ev, l.clock)
	if r.Rejection != nil {
		l.t.Fatal(r.Rejection)
	}
	for i := range r.Claims {
		l.claims = append(l.claims, string(r.Claims[i].Append(nil, 3)))
	}
	for i := range r.Recalls {
		l.claims = append(l.claims, string(r.Recalls[i].Append(nil)))
	}
	if len(r.Rewards) > 0 {
		l.t.Errorf("%d rewards are issued without the budget's word", len(r.Rewards))
	}
	for _, o := range r.Outcomes {
		outcomes = append(outcomes, fmt.Sprintf("%s %s of %s", user, o.Kind, o.Date))
	}
	read, err := Decode(ledger.Append(nil))
	if err != nil {
		l.t.Fatal(err)
	}
	l.ledgers[user] = read
	return outcomes
}

// decide decides the claims that wait.
func (l *budgetLog) decide() *budgetLog {
	l.t.Helper()
	claims := l.claims
	l.claims = nil
	for _, value := range claims {
		l.record(value)
	}
	return l
}

// record applies a record under ControlKey, goes on with what is stored, and keeps what it led to.
func (l *budgetLog) record(value string) {
	l.t.Helper()
	var d Decoder
	var ev Event
	if rejection := d.DecodeControl(&Record{Key: []byte(ControlKey), Value: []byte(value)}, &ev); rejection != nil {
		l.t.Fatal(rejection)
	}
	result, rejection, err := l.inForce.Apply(&ev, l.clock)
	if err != nil || rejection != nil {
		l.t.Fatal(err, rejection)
	}
	l.store(result.Stored)
	for i := range result.Rewards {
		r := &result.Rewards[i]
		l.issued = append(l.issued, r.User)
		if r.IssuedAt != l.clock || !strings.Contains(string(r.AppendJSON(nil)), `"issued_at":"`+string(formatTime(nil, msToNs(l.clock)))) {
			l.t.Errorf("%s is not issued by the claim's clock", r.ID)
		}
	}
	for i := range result.Answers {
		a := &result.Answers[i]
		if a.Partition != 3 {
			l.t.Errorf("an answer goes to partition %d, and the claim came from 3", a.Partition)
		}
		l.answers = append(l.answers, struct{ user, value string }{a.User, string(a.Append(nil))})
	}
}

// raise publishes another version.
func (l *budgetLog) raise(version int, budget string) *budgetLog {
	l.t.Helper()
	l.record(string(control(TypePublished, definition("c", version, "limits: {budget: "+budget+"}").Append(nil))))
	return l
}

func control(kind string, data []byte) []byte {
	return fmt.Appendf(nil, `{"specversion":"1.0","id":"1","source":"/publish","type":%q,"time":"2026-01-01T00:00:00Z","data":%s}`, kind, data)
}

// answered takes the answers to the users' ledgers, and wants these outcomes.
func (l *budgetLog) answered(want ...string) *budgetLog {
	l.t.Helper()
	var got []string
	for _, a := range l.answers {
		got = append(got, l.apply(a.user, a.value)...)
	}
	l.answers = nil
	if diff := cmp.Diff(want, got); diff != "" {
		l.t.Errorf("outcomes (-want +got):\n%s", diff)
	}
	return l
}

// says is what is told of a user's claims.
func (l *budgetLog) says(user, want string) *budgetLog {
	l.t.Helper()
	got := strings.Join(l.engine.Explain(l.ledgers[user], l.clock)[0].Sentences, " ")
	if !strings.Contains(got, want) {
		l.t.Errorf("%s: %q is not in %q", user, want, got)
	}
	return l
}

func (l *budgetLog) standing(want string) *budgetLog {
	l.t.Helper()
	b := l.inForce.Budgets()[0].At(l.clock)
	got := fmt.Sprintf("%s %s: %s of %s granted, %d denied, %d wait", b.ID, b.Period, b.Show(b.Spent), b.Show(b.Limit()), b.Denied, b.Waiting)
	if got != want {
		l.t.Errorf("got %q, want %q", got, want)
	}
	return l
}

// Whose claim comes first is rewarded (O2). An answer changes nothing but what is told: a claim counts as paid from the moment it is made.
func TestABudgetGrantsUntilItIsExhausted(t *testing.T) {
	l := newBudgetLog(t)
	l.at("2026-03-01T10:00:00Z").raise(1, "{rewards: 2}").hit("ann", "bob").says("ann", "1 claim waits for the budget's word.")
	l.at("2026-03-01T10:01:00Z").decide().hit("cem", "ann").decide()
	l.answered("ann achieved of 2026-03-01", "bob achieved of 2026-03-01", "cem budget_exhausted of 2026-03-01", "ann budget_exhausted of 2026-03-01")
	if known := l.engine.Export(l.ledgers["ann"], l.clock).Campaigns[0]; known.Rewards != 1 || known.Denied != 1 || known.Waiting != 0 {
		t.Errorf("exported is %+v", known)
	}
	l.says("ann", "1 reward was issued. 1 reward was denied").says("cem", "1 reward was denied: the budget was exhausted.")
	l.standing("c : 2 of 2 granted, 2 denied, 0 wait")
	if diff := cmp.Diff([]string{"ann", "bob"}, l.issued); diff != "" {
		t.Error(diff)
	}
}

// The period is that of the claim's clock, in the campaign's zone; what is closed is forgotten, and what was denied stays so.
func TestABudgetOfEachMonth(t *testing.T) {
	l := newBudgetLog(t)
	l.record(string(control(TypePublished, definition("c", 1, "timezone: America/New_York\nlimits: {budget: {rewards: 1, per: month}}").Append(nil))))
	l.at("2026-03-31T12:00:00Z").hit("ann", "bob").decide().standing("c 2026-03: 1 of 1 granted, 1 denied, 0 wait")
	l.at("2026-04-01T03:59:59Z").hit("cem").decide().standing("c 2026-03: 1 of 1 granted, 2 denied, 0 wait")
	l.at("2026-04-01T04:00:00Z").standing("c 2026-04: 0 of 1 granted, 0 denied, 0 wait").hit("dea").decide().standing("c 2026-04: 1 of 1 granted, 0 denied, 0 wait")
	if diff := cmp.Diff([]string{"ann", "dea"}, l.issued); diff != "" {
		t.Error(diff)
	}
}

// The campaign's day begins when it says, for its budget, too (T2).
func TestABudgetOfEachDay(t *testing.T) {
	l := newBudgetLog(t)
	l.record(string(control(TypePublished, definition("c", 1, "timezone: Europe/Berlin\nday_starts: 04:00\nlimits: {budget: {rewards: 1, per: day}}").Append(nil))))
	l.at("2026-03-28T22:00:00Z").hit("ann").decide().standing("c 2026-03-28: 1 of 1 granted, 0 denied, 0 wait")
	l.at("2026-03-29T01:59:59Z").hit("bob").decide().standing("c 2026-03-28: 1 of 1 granted, 1 denied, 0 wait") // 03:59:59, of the day on which summer time begins
	l.at("2026-03-29T02:00:00Z").hit("cem").decide().standing("c 2026-03-29: 1 of 1 granted, 0 denied, 0 wait")
}

// A raised budget re-opens what was denied lately, oldest first. A smaller one takes nothing back and grants nothing.
func TestARaisedBudgetReopensClaims(t *testing.T) {
	l := newBudgetLog(t)
	l.at("2026-03-01T10:00:00Z").raise(1, "{rewards: 1, reopen: 14 days}").hit("ann", "bob").decide()
	l.at("2026-03-10T10:00:00Z").hit("cem", "dea", "eli").decide().standing("c : 1 of 1 granted, 4 denied, 4 wait")
	l.answered("ann achieved of 2026-03-01", "bob budget_exhausted of 2026-03-01", "cem budget_exhausted of 2026-03-10",
		"dea budget_exhausted of 2026-03-10", "eli budget_exhausted of 2026-03-10")
	l.at("2026-03-16T10:00:00Z").raise(2, "{rewards: 3, reopen: 14 days}").standing("c : 3 of 3 granted, 2 denied, 1 wait") // bob's is too old
	l.answered("cem achieved of 2026-03-10", "dea achieved of 2026-03-10").says("cem", "1 reward was issued.")
	l.raise(3, "{rewards: 2, reopen: 14 days}").hit("fay").decide().standing("c : 3 of 2 granted, 3 denied, 2 wait")
	l.raise(4, "{rewards: 3, reopen: 14 days}").standing("c : 3 of 3 granted, 3 denied, 2 wait")
	l.raise(5, "{rewards: 9}").standing("c : 3 of 9 granted, 3 denied, 0 wait") // nothing waits where the version does not say so
	if diff := cmp.Diff([]string{"ann", "cem", "dea"}, l.issued); diff != "" {
		t.Error(diff)
	}
}

// It is the raising version that says how far back it re-opens, whatever those before it said.
func TestTheRaisingVersionSaysWhatItReopens(t *testing.T) {
	l := newBudgetLog(t)
	l.at("2026-03-01T10:00:00Z").raise(1, "{rewards: 1}").hit("ann", "bob").decide().standing("c : 1 of 1 granted, 1 denied, 0 wait")
	l.at("2026-03-04T10:00:00Z").raise(2, "{rewards: 1, reopen: 1 days}").hit("cem").decide().standing("c : 1 of 1 granted, 2 denied, 1 wait")
	l.at("2026-03-05T10:00:00Z").raise(3, "{rewards: 2, reopen: 14 days}").standing("c : 2 of 2 granted, 1 denied, 1 wait")
	l.raise(4, "{rewards: 3, reopen: 14 days}")
	if diff := cmp.Diff([]string{"ann", "bob", "cem"}, l.issued); diff != "" {
		t.Error(diff)
	}
}

// What is granted of an earlier period's denied claims is taken off the period in which they were counted, and that is over.
func TestAReopenedClaimOfAnotherPeriod(t *testing.T) {
	l := newBudgetLog(t)
	l.at("2026-03-31T10:00:00Z").raise(1, "{rewards: 1, per: month, reopen: 35 days}").hit("ann", "bob", "cem").decide()
	l.at("2026-04-02T10:00:00Z").hit("dea", "eli", "fay").decide().standing("c 2026-04: 1 of 1 granted, 2 denied, 4 wait")
	l.raise(2, "{rewards: 4, per: month, reopen: 35 days}").standing("c 2026-04: 4 of 4 granted, 1 denied, 1 wait")
	if diff := cmp.Diff([]string{"ann", "dea", "bob", "cem", "eli"}, l.issued); diff != "" {
		t.Error(diff)
	}
}

// Denied claims go with the clock, also those of a budget that nobody claims from or names any more: what nobody can re-open is not kept.
func TestDeniedClaimsAreForgottenInTime(t *testing.T) {
	l := newBudgetLog(t)
	l.at("2026-03-01T10:00:00Z").raise(1, "{rewards: 1, reopen: 1 days}").hit("ann", "bob").decide()
	l.at("2026-03-02T10:00:00Z").hit("cem").decide()
	l.record(string(control(TypePublished, definition("c", 2, "").Append(nil))))
	kept := func(want ...string) {
		t.Helper()
		var got []string
		for name := range l.stored {
			if strings.HasPrefix(name, storedDenied) {
				got = append(got, name)
			}
		}
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("at %s (-want +got):\n%s", time.UnixMilli(l.clock).UTC(), diff)
		}
	}
	bob, cem := storedDenied+"c/0000000000000000", storedDenied+"c/0000000000000001"
	l.at("2026-04-05T10:00:00Z")
	kept(bob, cem)
	if due := time.UnixMilli(l.inForce.ForgetsDeniedAt()).UTC().Format(time.RFC3339Nano); due != "2026-04-05T10:00:00.001Z" {
		t.Errorf("it is worth asking at %s", due)
	}
	l.at("2026-04-05T10:00:00.001Z")
	kept(cem)
	l.at("2026-05-01T10:00:00Z")
	kept()
	if due := l.inForce.ForgetsDeniedAt(); due != 0 {
		t.Errorf("it is worth asking at %d", due)
	}
}

// An amount that does not fit is not issued in part, and leaves room for a smaller one.
func TestABudgetOfMoney(t *testing.T) {
	l := newBudgetLog(t)
	l.at("2026-03-01T10:00:00Z").record(string(control(TypePublished, Definition{Language: Language, Source: "{campaign: c, version: 1, starts: 2026-01-01, " +
		"limits: {budget: {amount: 10.00 USD}}, goal: {count: [1, 2], of: hit}, reward: [{kind: gift, amount: 4.00 USD}, {kind: gift, amount: 1.50 USD}]}"}.Append(nil))))
	l.hit("ann", "bob", "cem").decide().standing("c : 8.00 USD of 10.00 USD granted, 1 denied, 0 wait")
	l.hit("ann", "bob").decide().standing("c : 9.50 USD of 10.00 USD granted, 2 denied, 0 wait")
}

// What is counted can't change.
func TestABudgetCantBeCountedOtherwise(t *testing.T) {
	l := newBudgetLog(t)
	l.at("2026-03-01T10:00:00Z").raise(1, "{rewards: 2}")
	for _, budget := range []string{"{rewards: 2, per: month}", "{amount: 10.00 USD}"} {
		d := Definition{Language: Language, Source: "{campaign: c, version: 2, starts: 2000-01-01, goal: {event: hit}, repeat: always, " +
			"reward: {kind: gift, amount: 1.00 USD}, limits: {budget: " + budget + "}}"}
		if got := l.control(TypePublished, string(d.Append(nil))); got != ReasonBadControl {
			t.Errorf("%s: %q", budget, got)
		}
	}
	elsewhere := definition("c", 2, "limits: {budget: {rewards: 3}}")
	elsewhere.Home = 5
	if got := l.control(TypePublished, string(elsewhere.Append(nil))); got != ReasonBadControl {
		t.Errorf("another home: %q", got)
	}
	for what, claim := range map[string]string{
		"a claim of nothing":            `{}`,
		"a claim to an unknown budget":  `{"budget":"x","home":0,"from":1,"date":"2026-03-01","campaign":"c","version":1,"user":"u","cycle":"1","tier":"1","kind":"k","achieved_at":"2026-03-01T00:00:00Z","evidence":[],"evidence_count":1}`,
		"a claim to another home":       `{"budget":"c","home":1,"from":1,"date":"2026-03-01","campaign":"c","version":1,"user":"u","cycle":"1","tier":"1","kind":"k","achieved_at":"2026-03-01T00:00:00Z","evidence":[],"evidence_count":1}`,
		"a claim from far too far away": `{"budget":"c","home":0,"from":99999999,"date":"2026-03-01","campaign":"c","version":1,"user":"u","cycle":"1","tier":"1","kind":"k","achieved_at":"2026-03-01T00:00:00Z","evidence":[],"evidence_count":1}`,
	} {
		if got := l.control(TypeClaimed, claim); got != ReasonBadControl {
			t.Errorf("%s: %q", what, got)
		}
	}
}

// Campaigns that share a budget of their sponsor are counted together; the sponsor's next version raises it for all of them.
func TestCampaignsShareABudget(t *testing.T) {
	const dish = "campaign: %s\nversion: 1\nstarts: 2026-01-01\nparameters: {n: {type: whole, default: 1}}\ngoal: {count: \"${n}\", of: hit}\n" +
		"reward: {kind: gift, amount: %s}\n"
	const sponsor = "sponsor: acme\nversion: %d\ncovers: \"true\"\nbudgets:\n  gifts: {amount: %s, reopen: 1 days, timezone: Asia/Tokyo}\n" +
		"campaigns: [{use: large, budget: gifts}, {use: small, budget: gifts}]\n"
	l := newBudgetLog(t)
	l.at("2026-03-01T10:00:00Z")
	publish := func(version int, amount string) {
		set, err := Load(fstest.MapFS{
			"large.yaml": {Data: fmt.Appendf(nil, dish, "large", "7.00 USD")},
			"small.yaml": {Data: fmt.Appendf(nil, dish, "small", "2.00 USD")},
			"acme.yaml":  {Data: fmt.Appendf(nil, sponsor, version, amount)},
		}, ".")
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range set.Campaigns() {
			l.record(string(control(TypePublished, c.Definition().Append(nil))))
		}
	}
	publish(1, "10.00 USD")
	l.hit("ann", "bob").decide().standing("acme/gifts : 9.00 USD of 10.00 USD granted, 2 denied, 2 wait")
	l.answered("ann achieved of 2026-03-01", "ann achieved of 2026-03-01", "bob budget_exhausted of 2026-03-01", "bob budget_exhausted of 2026-03-01")
	publish(2, "11.00 USD") // the larger one does not fit
	l.standing("acme/gifts : 11.00 USD of 11.00 USD granted, 1 denied, 1 wait").answered("bob achieved of 2026-03-01")
	if diff := cmp.Diff([]string{"ann", "ann", "bob"}, l.issued); diff != "" {
		t.Error(diff)
	}
}

// What waits of an erased user is forgotten at the budget's home (C4), also what is still on its way there: the name is in nothing that is stored.
func TestAnErasedUserIsForgottenByBudgets(t *testing.T) {
	l := newBudgetLog(t)
	l.at("2026-03-01T10:00:00Z").raise(1, "{rewards: 1, reopen: 14 days}").hit("ann", "bob-the-erased", "cem").decide().standing("c : 1 of 1 granted, 2 denied, 2 wait")
	l.hit("bob-the-erased") // decided before the recall comes, and denied
	l.apply("bob-the-erased", string(ErasedEvent("bob-the-erased", "1", "salt", time.UnixMilli(l.clock))))
	l.decide().standing("c : 1 of 1 granted, 3 denied, 1 wait")
	for name, value := range l.stored {
		if strings.Contains(name+string(value), "bob-the-erased") {
			t.Errorf("%q has the erased user's name: %s", name, value)
		}
	}
	l.raise(2, "{rewards: 5, reopen: 14 days}")
	if diff := cmp.Diff([]string{"ann", "cem"}, l.issued); diff != "" {
		t.Error(diff)
	}
}

// So is what a budget keeps that says nothing of `reopen`, or that no version names any more.
func TestAnErasedUserIsForgottenByBudgetsOfBefore(t *testing.T) {
	l := newBudgetLog(t)
	l.at("2026-03-01T10:00:00Z").raise(1, "{rewards: 1}").hit("ann", "bob-the-erased").decide()
	l.record(string(control(TypePublished, definition("c", 2, "").Append(nil))))
	l.apply("bob-the-erased", string(ErasedEvent("bob-the-erased", "1", "salt", time.UnixMilli(l.clock))))
	l.decide()
	for name, value := range l.stored {
		if strings.Contains(name+string(value), "bob-the-erased") {
			t.Errorf("%q has the erased user's name: %s", name, value)
		}
	}
}

// Of one budget so many denied claims wait at most, those that were denied first.
func TestDeniedClaimsThatWaitAreBounded(t *testing.T) {
	bs := NewBudgets()
	bs.tell(Budget{ID: "c", Rewards: 1, Reopen: time.Hour, zone: loadZone("UTC")})
	claim := func(user string) *Claim {
		return &Claim{Budget: "c", Reward: Reward{Campaign: &Campaign{ID: "c"}, User: user, Terms: &RewardTerms{Kind: "gift"}}}
	}
	for n := range maxKept + 10 {
		if _, rejection := bs.Decide(claim(fmt.Sprint(n)), 1); rejection != nil {
			t.Fatal(rejection)
		}
	}
	if s := bs.Standings()[0].At(1); s.Waiting != maxKept || s.Denied != maxKept+9 {
		t.Errorf("%d wait of %d that were denied", s.Waiting, s.Denied)
	}
	bs.tell(Budget{ID: "c", Rewards: 2, Reopen: time.Hour, zone: loadZone("UTC")})
	if told := bs.reopen("c", 2); len(told.Rewards) != 1 || told.Rewards[0].User != "1" {
		t.Errorf("granted is %v, and the first that was denied is 1", told.Rewards)
	}
}

// What was stored once is read for ever: these are the values of the first version, and a ledger that has claims.
func TestStoredBudgetsGolden(t *testing.T) {
	f := NewInForce()
	for name, value := range map[string]string{
		"\xffbudget/acme/gifts": `{"form":1,"budget":{"id":"acme/gifts","units":1000,"currency":"USD","per":"month","timezone":"Asia/Tokyo","reopen_ms":86400000},` +
			`"period":24314,"granted":2,"granted_units":900,"denied":1,"first":1772359200000,"last":1772359200001,"home":3,"next":1}`,
		"\xffdenied/acme/gifts/0000000000000000": `{"form":1,"at":1772359200002,"claim":{"budget":"acme/gifts","home":3,"from":5,"date":"2026-03-01","campaign":"acme.large",` +
			`"version":2,"user":"bob","cycle":"1","tier":"1","kind":"gift","amount":{"units":700,"currency":"USD"},"achieved_at":"2026-03-01T10:00:00Z","evidence":["2"],"evidence_count":1}}`,
	} {
		if err := f.Restore(name, []byte(value)); err != nil {
			t.Fatal(err)
		}
		defer func() {
			for _, s := range f.Stored() {
				if s.Name == name && string(s.Value) != value {
					t.Errorf("%q is written as\n%s, and was\n%s", name, s.Value, value)
				}
			}
		}()
	}
	if b := f.Budgets()[0].At(1772359200003); b.Left() != 100 || b.Waiting != 1 || b.Home != 3 || b.Period != "2026-03" {
		t.Errorf("%+v", b)
	}
	l := &Ledger{}
	p := l.progressOf(1)
	p.paid, p.waiting, p.denied = 5, 1, 300
	const golden = "01000000000000000100000000000000010540" + "01ac0200"
	if got := hex.EncodeToString(l.Append(nil)); got != golden {
		t.Errorf("a ledger with claims is %s", got)
	}
	encoded, err := hex.DecodeString(golden)
	if err != nil {
		t.Fatal(err)
	}
	if read, err := Decode(encoded); err != nil || read.progress[0].waiting != 1 || read.progress[0].denied != 300 {
		t.Errorf("%+v, %v", read, err)
	}
}

// A claim is the same after its way through the log, with whatever texts.
func TestAClaimIsReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := &Campaign{ID: "c", Version: rapid.IntRange(1, 1<<31-1).Draw(t, "version"), Sponsor: rapid.SampledFrom([]string{"", "ac\"me"}).Draw(t, "sponsor")}
		text := rapid.StringN(1, 20, 64)
		claim := &Claim{Budget: "c", Home: rapid.Int32Range(0, maxPartition).Draw(t, "home"), Date: Day(rapid.IntRange(0, 40000).Draw(t, "date")), Reward: Reward{
			Campaign: c, User: text.Draw(t, "user"), Cycle: text.Draw(t, "cycle"), Tier: text.Draw(t, "tier"),
			Terms:      &RewardTerms{Kind: text.Draw(t, "kind")},
			AchievedAt: rapid.Int64Range(0, 1<<61).Draw(t, "at"), Evidence: rapid.SliceOfN(text, 1, maxEvidence).Draw(t, "evidence"),
			EvidenceCount: rapid.Uint64Range(1, 1<<62).Draw(t, "count"),
		}}
		if rapid.Bool().Draw(t, "money") {
			claim.Reward.Terms.Amount = &Amount{rapid.Int64Range(0, 1<<62).Draw(t, "units"), "USD"}
			claim.Reward.Terms.Attributes = []byte(`{"b":1,"a":{"c":[1.50,"x"]}}`)
		}
		claim.Reward.ID = RewardID(c.ID, claim.Reward.User, claim.Reward.Cycle, claim.Reward.Tier)
		var doc document
		if err := doc.parse(claim.Append(nil, 7)); err != nil {
			t.Fatal(err)
		}
		read, err := readClaim(doc.root().Get("data"))
		if err != nil {
			t.Fatal(err)
		}
		claim.From = 7
		if diff := cmp.Diff(string(claim.append(nil)), string(read.append(nil))); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(string(claim.Reward.AppendJSON(nil)), string(read.Reward.AppendJSON(nil))); diff != "" {
			t.Error(diff)
		}
	})
}

// Random budgets, claims, clocks and versions, restored after each record: never more is granted in a period than the largest budget that was in
// force in it, nothing that fits is denied, and each claim is granted once at most.
func TestNoBudgetIsEverPassed(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		per := rapid.SampledFrom([]string{"", ", per: day", ", per: week", ", per: month"}).Draw(rt, "per")
		reopen := rapid.SampledFrom([]string{"", ", reopen: 2 days", ", reopen: 35 days"}).Draw(rt, "reopen")
		l := newBudgetLog(t)
		l.at("2026-03-01T10:00:00Z")
		version, limit := 0, 0
		publish := func() {
			version++
			limit = rapid.IntRange(1, 6).Draw(rt, "limit")
			l.raise(version, fmt.Sprintf("{rewards: %d%s%s}", limit, per, reopen))
		}
		publish()
		granted, largest, period := 0, limit, ""
		achieved := 0
		for step := range rapid.IntRange(1, 30).Draw(rt, "steps") {
			l.clock += int64(rapid.SampledFrom([]time.Duration{0, time.Hour, 20 * time.Hour, 9 * 24 * time.Hour}).Draw(rt, "passes")) / int64(time.Millisecond)
			if now := l.inForce.Budgets()[0].PeriodAt(l.clock); now != period {
				granted, largest, period = 0, limit, now
			}
			before := len(l.issued)
			if rapid.IntRange(0, 4).Draw(rt, "what") == 0 {
				publish()
				largest = max(largest, limit)
			} else {
				fits := granted < limit
				if l.hit(fmt.Sprint("user-", step)).decide(); fits != (len(l.issued) > before) {
					rt.Fatalf("%d of %d are granted, and a claim is granted: %t", granted, limit, !fits)
				}
			}
			granted += len(l.issued) - before
			if granted > largest {
				rt.Fatalf("%d were granted in %q, and the budget was never more than %d", granted, period, largest)
			}
			if got := l.inForce.Budgets()[0].At(l.clock).Granted; got != int64(granted) {
				rt.Fatalf("the budget counts %d, granted were %d", got, granted)
			}
			for _, a := range l.answers {
				for _, o := range l.apply(a.user, a.value) {
					if strings.Contains(o, "achieved") {
						achieved++
					}
				}
			}
			l.answers = nil
		}
		if seen := map[string]bool{}; achieved != len(l.issued) {
			rt.Fatalf("%d rewards are issued, and %d users know of one", len(l.issued), achieved)
		} else {
			for _, user := range l.issued {
				if seen[user] {
					rt.Fatalf("%s is rewarded twice", user)
				}
				seen[user] = true
			}
		}
	})
}

// BenchmarkDecide is the cost of one claim from its record to the reward's and the answer's, and of what is stored.
func BenchmarkDecide(b *testing.B) {
	f := NewInForce()
	if _, rejection, err := f.Publish(definition("c", 1, "limits: {budget: {rewards: 2000000000}}"), 0); rejection != nil || err != nil {
		b.Fatal(rejection, err)
	}
	const clock = 1772359200000
	r := NewEngine(f.Set(), 0).Apply(&Ledger{}, &Event{User: "user-1", ID: "0198a7a0-52c1-7d2e-9a53-0b1f2f6c7a11", Source: "s", Type: "hit", Time: msToNs(clock)}, clock)
	record := Record{Key: []byte(ControlKey), Value: r.Claims[0].Append(nil, 0)}
	var d Decoder
	var ev Event
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		if rejection := d.DecodeControl(&record, &ev); rejection != nil {
			b.Fatal(rejection)
		}
		result, rejection, err := f.Apply(&ev, clock)
		if err != nil || rejection != nil || len(result.Rewards) != 1 {
			b.Fatal(err, rejection)
		}
		out = result.Answers[0].Append(result.Rewards[0].AppendJSON(out[:0]))
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "claims/s")
}
