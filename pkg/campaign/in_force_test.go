package campaign

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// log is one partition's records through InForce and the engine, with what is stored of the campaigns. After every record the campaigns are
// also restored from it, and must be the same bytes.
type log struct {
	t       *testing.T
	inForce *InForce
	engine  *Engine
	ledger  *Ledger
	stored  map[string][]byte
	clock   int64
}

func newLog(t *testing.T) *log {
	f := NewInForce()
	return &log{t: t, inForce: f, engine: NewEngine(f.Set(), 0), ledger: &Ledger{}, stored: map[string][]byte{}}
}

// at moves the clock on.
func (l *log) at(clock string) *log {
	l.t.Helper()
	at, err := time.Parse(time.RFC3339, clock)
	if err != nil {
		l.t.Fatal(err)
	}
	l.clock = at.UnixMilli()
	return l
}

// control applies a record under ControlKey, and returns the reason of a rejection.
func (l *log) control(kind, data string) Reason {
	l.t.Helper()
	value := fmt.Sprintf(`{"specversion":"1.0","id":"1","source":"/publish","type":%q,"time":"2026-01-01T00:00:00Z","data":%s}`, kind, data)
	var d Decoder
	var ev Event
	if rejection := d.DecodeControl(&Record{Key: []byte(ControlKey), Value: []byte(value)}, &ev); rejection != nil {
		return rejection.Reason
	}
	told, rejection, err := l.inForce.Apply(&ev, l.clock)
	changed := told.Stored
	if err != nil {
		l.t.Fatal(err)
	}
	if rejection != nil {
		if len(changed) > 0 || rejection.Detail == "" {
			l.t.Errorf("a rejection that changes %v, and says %q", changed, rejection.Detail)
		}
		return rejection.Reason
	}
	for _, s := range changed {
		l.stored[s.Name] = s.Value
		if s.Value == nil {
			delete(l.stored, s.Name)
		}
	}
	if len(changed) == 0 {
		return "nothing"
	}
	l.restore()
	return ""
}

// restore goes on with what is stored, as after a restart.
func (l *log) restore() {
	l.t.Helper()
	f := NewInForce()
	for _, name := range slices.Sorted(maps.Keys(l.stored)) {
		if err := f.Restore(name, l.stored[name]); err != nil {
			l.t.Fatal(err)
		}
	}
	again := map[string][]byte{}
	for _, s := range f.Stored() {
		again[s.Name] = s.Value
	}
	if diff := cmp.Diff(l.stored, again); diff != "" {
		l.t.Fatalf("restored it is stored as something else: %s", diff)
	}
	l.inForce = f
}

// publish publishes campaign c, whose goal is one event of type hit unless more says otherwise.
func (l *log) publish(version int, more string) Reason {
	l.t.Helper()
	return l.control(TypePublished, string(definition("c", version, more).Append(nil)))
}

func definition(id string, version int, more string) Definition {
	src := fmt.Sprintf("campaign: %s\nversion: %d\nstarts: 2000-01-01\nreward: {kind: points}\n%s\n", id, version, more)
	if !strings.Contains(more, "goal:") {
		src += "goal: {event: hit}\nrepeat: always\n"
	}
	return Definition{Language: Language, Source: src}
}

// event tells of an event and returns the decision of each campaign, by id.
func (l *log) event(id, at string) string {
	l.t.Helper()
	var d Decoder
	var ev Event
	value := fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"s","type":"hit","time":%q}`, id, at)
	if rejection := d.Decode(&Record{Key: []byte("u"), Value: []byte(value)}, &ev); rejection != nil {
		l.t.Fatal(rejection)
	}
	l.engine.Use(l.inForce.Set())
	r := l.engine.Apply(l.ledger, &ev, l.clock)
	var told []string
	for _, d := range r.Decisions {
		told = append(told, d.Campaign.ID+" "+d.Decision.String())
	}
	for _, reward := range r.Rewards {
		told = append(told, fmt.Sprintf("reward of version %d", reward.Campaign.Version))
	}
	return strings.Join(told, ", ")
}

func (l *log) want(what string, got, want any) {
	l.t.Helper()
	if got != want {
		l.t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func TestVersionsComeIntoForceAtTheirPlace(t *testing.T) {
	l := newLog(t).at("2026-03-01T00:00:00Z")
	l.want("before it is published", l.event("1", "2026-03-01T00:00:00Z"), "")
	l.want("a first version", l.publish(2, ""), Reason(""))
	l.want("an event", l.event("2", "2026-03-01T00:00:00Z"), "c counted, reward of version 2")
	l.want("the same again", l.publish(2, ""), Reason("nothing"))
	l.want("the same version with other content", l.publish(2, "title: other"), ReasonNotRaised)
	l.want("a lower version", l.publish(1, ""), ReasonNotRaised)
	l.want("a higher version", l.publish(3, "title: other"), Reason(""))
	l.want("an event", l.event("3", "2026-03-01T00:00:00Z"), "c counted, reward of version 3")
	l.want("what counts is changed", l.publish(4, "goal: {event: [hit, miss]}\nrepeat: always"), ReasonNeedsRestart)
	l.want("an event", l.event("4", "2026-03-01T00:00:00Z"), "c counted, reward of version 3")
	l.want("on_change without a change of what counts", l.publish(5, "on_change: restart"), Reason(""))
	l.want("epoch", l.inForce.Set().Campaigns()[0].epoch, uint64(0))
	l.want("a change with on_change", l.publish(6, "on_change: restart\ngoal: {event: [hit, miss]}\nrepeat: always"), Reason(""))
	l.want("epoch", l.inForce.Set().Campaigns()[0].epoch, uint64(1))
	l.want("since", l.inForce.Standings()[0].Since, l.clock)
}

func TestAWithdrawalIsAnEnd(t *testing.T) {
	l := newLog(t).at("2026-03-01T00:00:00Z")
	l.want("withdrawn before it is known", l.control(TypeWithdrawn, `{"campaign":"c"}`), ReasonBadControl)
	l.publish(1, "lateness: 1h")
	l.at("2026-03-02T00:00:00Z")
	l.want("withdrawn", l.control(TypeWithdrawn, `{"campaign":"c"}`), Reason(""))
	l.want("withdrawn again", l.control(TypeWithdrawn, `{"campaign":"c"}`), Reason("nothing"))
	l.want("what happened before arrives", l.event("1", "2026-03-01T23:59:59Z"), "c counted, reward of version 1")
	l.want("what happens then", l.event("2", "2026-03-02T00:00:00Z"), "c outside")
	l.want("published again in the same version", l.publish(1, "lateness: 1h"), ReasonNotRaised)
	l.want("running", l.inForce.Running(l.clock), 1)
	l.at("2026-03-02T00:59:59Z")
	l.want("published again", l.publish(2, "lateness: 1h"), Reason(""))
	l.want("what happens now", l.event("3", "2026-03-02T00:30:00Z"), "c counted, reward of version 2")
	l.want("withdrawn", l.control(TypeWithdrawn, `{"campaign":"c"}`), Reason(""))
	l.at("2026-03-02T01:59:59Z")
	l.want("running", l.inForce.Running(l.clock), 0)
	l.want("published when it is closed", l.publish(3, "lateness: 1h"), ReasonClosed)
}

func TestAnEndedCampaignIsClosed(t *testing.T) {
	l := newLog(t).at("2026-03-01T00:00:00Z")
	l.publish(1, "ends: 2026-03-02\nlateness: 1h")
	l.at("2026-03-02T00:59:59Z")
	l.want("the end is moved in time", l.publish(2, "ends: 2026-03-03\nlateness: 1h"), Reason(""))
	l.at("2026-03-03T01:00:00Z")
	l.want("the same again", l.publish(2, "ends: 2026-03-03\nlateness: 1h"), Reason("nothing"))
	l.want("too late", l.publish(3, "ends: 2026-03-04\nlateness: 1h"), ReasonClosed)
	l.want("withdrawn", l.control(TypeWithdrawn, `{"campaign":"c"}`), Reason("nothing"))
}

// An event is forgotten when it is too late, and then the lateness is raised: the same event must not be in time again.
func TestE3ARaisedLatenessLetsNoDuplicateIn(t *testing.T) {
	l := newLog(t).at("2026-03-01T00:00:00Z")
	l.publish(1, "lateness: 1h")
	l.want("the first publish raises nothing", len(l.inForce.raises), 0)
	l.want("an event", l.event("1", "2026-03-01T00:00:00Z"), "c counted, reward of version 1")
	l.at("2026-03-01T02:00:00Z")
	l.want("another makes it forgotten", l.event("2", "2026-03-01T02:00:00Z"), "c counted, reward of version 1")
	l.want("remembered", len(l.ledger.seen.list), 1)
	l.want("raised", l.publish(2, "lateness: 48h"), Reason(""))
	l.want("the forgotten one again", l.event("1", "2026-03-01T00:00:00Z"), "c too_late")
	l.want("one of before that is new", l.event("3", "2026-03-01T00:30:00Z"), "c too_late")
	l.want("one of before that was in time", l.event("4", "2026-03-01T01:00:00Z"), "c counted, reward of version 2")
	l.at("2026-03-02T12:00:00Z")
	l.want("one of after", l.event("5", "2026-03-01T02:00:00Z"), "c counted, reward of version 2")
	l.want("a duplicate of after", l.event("5", "2026-03-01T02:00:00Z"), "c duplicate")
	l.at("2026-03-03T02:00:00Z")
	l.publish(3, "lateness: 48h")
	l.want("a raise that still matters", len(l.inForce.raises), 1)
	l.at("2026-03-03T02:00:01Z")
	l.publish(4, "lateness: 48h")
	l.want("a raise that does not", len(l.inForce.raises), 0)
	l.want("nothing is stored of it", len(l.stored), 1)
}

// The largest lateness is raised by a campaign that is new: an event that was forgotten must not be in time for it.
func TestE3ANewCampaignWithALargerLatenessLetsNoDuplicateIn(t *testing.T) {
	l := newLog(t).at("2026-03-01T00:00:00Z")
	l.publish(1, "lateness: 1h")
	l.event("1", "2026-03-01T00:00:00Z")
	l.at("2026-03-01T02:00:00Z").event("2", "2026-03-01T02:00:00Z")
	l.control(TypePublished, string(definition("large", 1, "lateness: 48h").Append(nil)))
	l.want("the forgotten one again", l.event("1", "2026-03-01T00:00:00Z"), "c too_late, large too_late")
	l.want("one that is remembered", l.event("2", "2026-03-01T02:00:00Z"), "c duplicate, large duplicate")
	l.want("one of before that was in time", l.event("3", "2026-03-01T01:00:00Z"), "c counted, large counted, reward of version 1, reward of version 1")
	l.at("2026-03-01T02:30:00Z").event("4", "2026-03-01T02:30:00Z")
	l.want("what is too late by the old lateness is forgotten", len(l.ledger.seen.list), 2)
}

// A campaign's own lateness is raised below the largest: what it had settled stays settled.
func TestARaiseBelowTheLargestHoldsForItsCampaign(t *testing.T) {
	l := newLog(t).at("2026-03-01T00:00:00Z")
	l.control(TypePublished, string(definition("large", 1, "lateness: 10 days").Append(nil)))
	l.publish(1, "lateness: 1h")
	l.publish(2, "lateness: 24h")
	l.want("it is no raise of the largest", len(l.inForce.raises), 0)
	l.want("of before", l.event("1", "2026-02-28T22:00:00Z"), "c too_late, large counted, reward of version 1")
	l.at("2026-03-01T12:00:00Z")
	l.want("of after", l.event("2", "2026-03-01T00:00:00Z"), "c counted, large counted, reward of version 2, reward of version 1")
}

func TestBrokenControlRecords(t *testing.T) {
	l := newLog(t).at("2026-03-01T00:00:00Z")
	for _, c := range []struct {
		name, kind, data string
		want             Reason
	}{
		{"an unknown type", "stampede.profile", `{}`, ReasonUnknownControl},
		{"no object", TypePublished, `1`, ReasonBadControl},
		{"no language", TypePublished, `{"source":"x"}`, ReasonBadControl},
		{"a member that this language has not", TypePublished, `{"language":1,"source":"x","colour":"red"}`, ReasonBadControl},
		{"a campaign with mistakes", TypePublished, `{"language":1,"source":"campaign: c"}`, ReasonBadControl},
		{"no source", TypePublished, `{"language":1}`, ReasonBadControl},
		{"an id that is no text", TypeWithdrawn, `{"campaign":1}`, ReasonBadControl},
		{"a tick", TypeTick, `null`, "nothing"},
	} {
		l.want(c.name, l.control(c.kind, c.data), c.want)
	}
	var ev Event
	if r := (&Decoder{}).DecodeControl(&Record{Value: []byte("{")}, &ev); r == nil || r.Reason != ReasonNotJSON {
		t.Errorf("not JSON: %v", r)
	}
	// What only a newer program understands is no dead letter: it would not be one there.
	for _, value := range []string{fmt.Sprintf(`{"language":%d}`, Language+1), fmt.Sprintf(`{"language":%d,"source":1,"more":true}`, Language+1)} {
		var d document
		if err := d.parse([]byte(value)); err != nil {
			t.Fatal(err)
		}
		_, rejection, err := l.inForce.Apply(&Event{Type: TypePublished, Data: d.root()}, l.clock)
		if newer := (*NewerLanguageError)(nil); !errors.As(err, &newer) || rejection != nil || !strings.Contains(err.Error(), "upgrade the processor") {
			t.Errorf("a newer language: %v, %v", rejection, err)
		}
	}
	// These types are for partitions: a user can't send them.
	for _, kind := range []string{TypePublished, TypeWithdrawn, TypeTick, TypeClaimed} {
		r := l.engine.Apply(l.ledger, &Event{User: "u", ID: "1", Source: "s", Type: kind}, l.clock)
		if r.Rejection == nil || r.Rejection.Reason != ReasonUnknownControl {
			t.Errorf("%s from a user: %+v", kind, r)
		}
	}
}

func TestManyRaisesAreBounded(t *testing.T) {
	var rs raises
	for i := range 10 * maxRaises {
		at := int64(i) * 1000
		before := rs
		rs = rs.with(at, time.Duration(i)*time.Millisecond)
		for event := int64(0); event < at; event += 500 { // no lateness grows again
			if now, was := rs.bound(event, time.Hour), before.bound(event, time.Duration(i)*time.Millisecond); now > was {
				t.Fatalf("after raise %d an event at %d is judged by %s, and was by %s", i, event, now, was)
			}
		}
	}
	if len(rs) != maxRaises {
		t.Errorf("%d raises are kept", len(rs))
	}
}

// Who reads what a later version has stored would go on with half of it, and issue other rewards than that version does.
func TestWhatALaterVersionStoredIsNotRead(t *testing.T) {
	l := newLog(t).at("2026-03-01T00:00:00Z")
	l.want("a publish", l.publish(1, ""), Reason(""))
	for name, value := range map[string]string{
		storedCampaign + "c": string(l.stored[storedCampaign+"c"]),
		storedRaises:         `{"form":1,"raises":[]}`,
		storedBudget + "c":   `{"form":1,"budget":{"id":"c","rewards":3,"reopen_ms":0},"home":3,"next":1}`,
		"\xffunheard of":     `{"form":1,"raises":[]}`,
		storedSalt:           `{"form":1,"salt":"` + strings.Repeat("ab", 32) + `"}`,
		storedErased + strings.Repeat("ab", len(erasedHash{})): `{"form":1,"at":1}`,
	} {
		restore := NewInForce().Restore
		if IsErased(name) {
			restore = NewErased().Restore
		}
		if err := restore(name, []byte(value)); (err != nil) != (name == "\xffunheard of") {
			t.Errorf("%q of this version: %v", name, err)
		}
		for _, form := range []string{`"form":2`, `"from":1`} {
			later := strings.Replace(value, `"form":1`, form, 1)
			if err := restore(name, []byte(later)); !errors.Is(err, errNewer) {
				t.Errorf("%q with %s: %v", name, form, err)
			}
		}
	}
}
