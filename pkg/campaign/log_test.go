package campaign

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/stampede-rewards/stampede/internal/model"
)

// playLog is what the engine makes of a partition's log, in the model's words.
func playLog(t interface{ Fatal(...any) }, entries []model.Entry) (rewards []model.Reward, letters []model.Letter) {
	inForce := NewInForce()
	replay := NewReplay(NewEngine(inForce.Set(), 0))
	var decoder Decoder
	var ev Event
	for _, e := range entries {
		took := func(_ string, _ int64, result *Result) error {
			for i := range result.Rewards {
				r, err := model.ParseReward(e.Offset, result.Rewards[i].AppendJSON(nil))
				if err != nil {
					t.Fatal(err)
				}
				rewards = append(rewards, r)
			}
			return nil
		}
		reject := func(why *Rejection) {
			letters = append(letters, model.Letter{Offset: e.Offset, Reason: string(why.Reason)})
		}
		replay.Use(inForce.Set())
		_ = replay.Advance(e.Timestamp, took)
		record := &Record{Key: e.Key, Value: e.Value}
		for _, h := range e.Headers {
			record.Headers = append(record.Headers, Header{h.Key, h.Value})
		}
		for user := range replay.ledgers { // a ledger is at any time what can be put away and read back
			if err := replay.restart(user); err != nil {
				t.Fatal(err)
			}
		}
		erased := NewErased()
		for _, s := range replay.Erased().Stored() {
			if err := erased.Restore(s.Name, s.Value); err != nil {
				t.Fatal(err)
			}
		}
		replay.engine.UseErased(erased)
		if IsControl(e.Key) {
			why := decoder.DecodeControl(record, &ev)
			if why == nil {
				var err error
				if _, why, err = inForce.Apply(&ev, replay.Clock()); err != nil {
					t.Fatal(err)
				}
			}
			if why != nil {
				reject(why)
			}
			continue
		}
		if why := decoder.Decode(record, &ev); replay.Drop(&ev, why) != nil {
			continue
		} else if why != nil {
			reject(why)
		} else if result := replay.Apply(&ev); result.Rejection != nil {
			reject(result.Rejection)
		} else {
			_ = took(ev.User, 0, result)
		}
	}
	return rewards, letters
}

// The engine and the model agree on logs in which campaigns come into force, change and go while users do things: which rewards there are,
// because of which record, in which order and of which version, and what goes to the dead letters.
func TestTheEngineAgreesWithTheModelOnLogs(t *testing.T) {
	paid, refused := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		draw := drawing{rt}
		story := model.DrawStory(draw, modelUsers, draw.Between(1, 150, "records"))
		entries := story.Entries(7)
		expected := model.NewLog(story.Campaigns...)
		for _, e := range entries {
			if err := expected.Read(e); err != nil {
				rt.Fatal(err)
			}
		}
		rewards, letters := playLog(rt, entries)
		want := expected.Rewards()
		diff := cmp.Diff(want, model.Arrange(want, rewards), cmpopts.IgnoreUnexported(model.Reward{})) + cmp.Diff(expected.Letters(), letters)
		if diff != "" {
			text := ""
			for _, e := range entries {
				text += fmt.Sprintf("%d %d %q %s\n", e.Offset, e.Timestamp, e.Key, e.Value)
			}
			rt.Fatalf("%s(-model +engine)\n%s", text, diff)
		}
		paid, refused = paid+len(want), refused+len(letters)
	})
	if t.Logf("%d rewards, %d dead letters", paid, refused); paid == 0 || refused == 0 {
		t.Error("too little happened to prove anything")
	}
}

// writtenLog is a log of records, written by hand.
type writtenLog struct {
	t       *testing.T
	entries []model.Entry
}

// at is a record that arrives at once.
func (l *writtenLog) at(clock, key, kind, data string) {
	l.t.Helper()
	l.arrives(clock, clock, key, kind, data)
}

// arrives is a record of something that happened at a time.
func (l *writtenLog) arrives(clock, happened, key, kind, data string) {
	l.t.Helper()
	at, err := time.Parse(time.RFC3339, clock)
	if err != nil {
		l.t.Fatal(err)
	}
	n := int64(len(l.entries))
	l.entries = append(l.entries, model.Entry{Offset: n, Timestamp: at.UnixMilli(), Key: []byte(key), Value: fmt.Appendf(nil,
		`{"specversion":"1.0","id":"%d","source":"s","type":%q,"time":%q,"data":%s}`, n, kind, happened, data)})
}

func (l *writtenLog) publish(clock string, d Definition) {
	l.t.Helper()
	l.at(clock, ControlKey, TypePublished, string(d.Append(nil)))
}

// A version with `on_change: restart` has another goal. What is kept of the old one is looked at with the user's next record, though that
// concerns another campaign.
func TestL2ARestartIsSeenWithTheNextRecordOfAnyKind(t *testing.T) {
	l := &writtenLog{t: t}
	l.publish("2026-03-01T00:00:00Z", definition("c", 1, "goal: {all: [{event: hit}, {count: 5, of: hit}]}"))
	l.publish("2026-03-01T00:00:00Z", definition("other", 1, "goal: {event: miss}"))
	l.at("2026-03-01T10:00:00Z", "u", "hit", "{}")
	l.publish("2026-03-02T00:00:00Z", definition("c", 2, "on_change: restart\ngoal: {count: 2, of: hit}"))
	l.at("2026-03-02T10:00:00Z", "u", "miss", "{}") // this once took a leaf that the new goal does not have, and the process with it
	l.at("2026-03-02T11:00:00Z", "u", "hit", "{}")
	l.at("2026-03-02T12:00:00Z", "u", "hit", "{}")
	rewards, _ := playLog(t, l.entries)
	var got []string
	for _, r := range rewards {
		got = append(got, fmt.Sprintf("%s@%d because of %d", r.Campaign, r.Version, r.Offset))
	}
	if diff := cmp.Diff([]string{"other@1 because of 4", "c@2 because of 6"}, got); diff != "" {
		t.Error(diff)
	}
}

// L2: a version with another number judges what was done so far with the user's next record, though that concerns no campaign at all, was
// processed before or is too late. A record that is rejected is none of the user's.
func TestL2ANewNumberIsSeenWithTheNextRecordOfAnyKind(t *testing.T) {
	for _, c := range []struct {
		name, happened, kind string
		want                 []string
	}{
		{"of another campaign", "2026-03-02T10:00:00Z", "miss", []string{"other@1 cycle 1 because of 6", "c@2 cycle 1 because of 6"}},
		{"of no campaign", "2026-03-02T10:00:00Z", "login", []string{"c@2 cycle 1 because of 6"}},
		{"too late", "2026-02-20T10:00:00Z", "hit", []string{"c@2 cycle 1 because of 6"}},
		{"of the campaign", "2026-03-02T10:00:00Z", "hit", []string{"c@2 cycle 1 because of 6", "c@2 cycle 2 because of 6"}},
		{"a date excused in all", "2026-03-02T10:00:00Z", "stampede.excused", []string{"c@2 cycle 1 because of 6"}},
		{"rejected", "2026-03-02T10:00:00Z", "stampede.unknown", nil},
	} {
		l := &writtenLog{t: t}
		l.publish("2026-03-01T00:00:00Z", definition("c", 1, "repeat: always\ngoal: {count: 5, of: hit}"))
		l.publish("2026-03-01T00:00:00Z", definition("other", 1, "goal: {event: miss}"))
		l.at("2026-03-01T10:00:00Z", "u", "hit", "{}")
		l.at("2026-03-01T11:00:00Z", "u", "hit", "{}")
		l.at("2026-03-01T12:00:00Z", "u", "hit", "{}")
		l.publish("2026-03-02T00:00:00Z", definition("c", 2, "repeat: always\ngoal: {count: 2, of: hit}"))
		l.arrives("2026-03-02T10:00:00Z", c.happened, "u", c.kind, `{"dates":["2026-03-02"]}`)
		rewards, _ := playLog(t, l.entries)
		var got []string
		for _, r := range rewards {
			got = append(got, fmt.Sprintf("%s@%d cycle %s because of %d", r.Campaign, r.Version, r.Cycle, r.Offset))
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

// What the users did before a restart is forgotten with its ids: a ledger that keeps one can't be read back, which playLog tries.
func TestL2ARestartForgetsTheEventsThatCounted(t *testing.T) {
	for _, next := range []string{"hit", "stampede.excused"} {
		l := &writtenLog{t: t}
		l.publish("2026-03-01T00:00:00Z", definition("c", 1, "goal: {count: 5, of: hit}"))
		l.at("2026-03-01T10:00:00Z", "u", "hit", "{}")
		l.publish("2026-03-02T00:00:00Z", definition("c", 2, "on_change: restart\ngoal: {streak: 5, of: hit}"))
		l.at("2026-03-02T10:00:00Z", "u", next, `{"dates":["2026-03-02"]}`)
		l.at("2026-03-02T11:00:00Z", "u", "hit", "{}")
		if rewards, letters := playLog(t, l.entries); len(rewards)+len(letters) > 0 {
			t.Errorf("%s: %v, %v", next, rewards, letters)
		}
	}
}

// A restart can change which periods pay. Those that were paid are no periods of the new length: this once paid every month since the year 244.
func TestL2ARestartWithOtherPeriods(t *testing.T) {
	goal := func(per string) string {
		return "on_change: restart\nrepeat: always\ngoal: {any: [{event: hit}, {none: claim}], per: " + per + "}"
	}
	l := &writtenLog{t: t}
	l.publish("2026-03-02T00:00:00Z", definition("c", 1, goal("week")))
	l.at("2026-03-02T10:00:00Z", "u", "hit", "{}")
	l.publish("2026-03-03T00:00:00Z", definition("c", 2, goal("month")))
	l.at("2026-03-03T10:00:00Z", "u", "hit", "{}")
	l.at("2026-03-04T10:00:00Z", "u", "hit", "{}")
	l.publish("2026-03-05T00:00:00Z", definition("c", 3, goal("week"))) // which weeks were paid is forgotten: it would pay this one again
	l.publish("2026-03-05T00:00:00Z", definition("c", 4, goal("day")))
	l.at("2026-03-05T10:00:00Z", "u", "hit", "{}")
	rewards, letters := playLog(t, l.entries)
	var got []string
	for _, r := range rewards {
		got = append(got, r.Cycle)
	}
	if diff := cmp.Diff([]string{"2026-W10", "2026-03", "2026-03-05"}, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]model.Letter{{Offset: 5, Reason: string(ReasonBadControl)}}, letters); diff != "" {
		t.Error(diff)
	}
}

// A campaign that was withdrawn is closed when its lateness has passed. A date that is excused later pays nothing in it.
func TestT4NothingIsPaidInAWithdrawnCampaignThatIsClosed(t *testing.T) {
	for _, c := range []struct {
		excused string
		want    int
	}{{"2026-03-04T11:59:00Z", 1}, {"2026-03-04T12:00:00Z", 0}} {
		l := &writtenLog{t: t}
		l.publish("2026-03-01T00:00:00Z", definition("c", 1, "lateness: 24h\ngoal: {streak: 2, of: hit}"))
		l.at("2026-03-01T10:00:00Z", "u", "hit", "{}")
		l.at("2026-03-03T10:00:00Z", "u", "hit", "{}")
		l.at("2026-03-03T12:00:00Z", ControlKey, TypeWithdrawn, `{"campaign":"c"}`)
		l.at(c.excused, "u", "stampede.excused", `{"dates":["2026-03-02"]}`)
		if rewards, _ := playLog(t, l.entries); len(rewards) != c.want {
			t.Errorf("excused at %s: %d rewards, wanted %d", c.excused, len(rewards), c.want)
		}
	}
}

// That nothing happened in what a withdrawal has cut short is worth nothing: to withdraw a campaign would pay everybody. A period that had ended by itself is paid.
func TestG8AWithdrawalPaysNobody(t *testing.T) {
	for _, c := range []struct{ goal, withdrawn, want string }{
		{"repeat: always\ngoal: {none: claim, per: month}", "2026-03-15T00:00:00Z", "2026-02"},
		{"repeat: always\ngoal: {none: claim, per: month}", "2026-04-01T11:59:59Z", "2026-02"},
		{"repeat: always\ngoal: {none: claim, per: month}", "2026-04-01T12:00:00Z", "2026-02 2026-03"},
		{"ends: 2026-05-01\ngoal: {none: claim}", "2026-03-15T00:00:00Z", ""},
		{"ends: 2026-05-01\ngoal: {none: claim}", "2026-05-02T00:00:00Z", "1"},
		{"ends: 2026-05-01\ngoal: {any: [{none: claim}, {sum: 5, value: event.data.n, of: paid, net: true}]}", "2026-03-15T00:00:00Z", ""},
	} {
		l := &writtenLog{t: t}
		l.publish("2026-02-01T12:00:00Z", Definition{Language: Language, Source: "campaign: c\nversion: 1\nstarts: 2026-02-01\nlateness: 48h\nreward: {kind: points}\n" + c.goal})
		l.at("2026-02-10T10:00:00Z", "u", "login", "{}")
		l.at(c.withdrawn, ControlKey, TypeWithdrawn, `{"campaign":"c"}`)
		l.at("2026-06-20T00:00:00Z", ControlKey, TypeTick, "null")
		rewards, _ := playLog(t, l.entries)
		var got []string
		for _, r := range rewards {
			got = append(got, r.Cycle)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s, withdrawn at %s: rewards %q, wanted %q", c.goal, c.withdrawn, got, c.want)
		}
	}
}

// A user is told of when a period has closed, by a late event that happened in it. The period is decided, and not once more for that user.
func TestG8WhoIsKnownTooLateForAPeriodHasNoPartInIt(t *testing.T) {
	l := &writtenLog{t: t}
	l.publish("2026-03-01T00:00:00Z", definition("c", 1, "ends: 2026-03-04T05:00:00Z\nlateness: 48h\nrepeat: always\ngoal: {none: claim, per: day}"))
	l.publish("2026-03-01T00:00:00Z", definition("late", 1, "lateness: 20 days"))
	l.at("2026-03-05T22:00:00Z", "u", "login", "{}")                              // after the end of c
	l.arrives("2026-03-06T02:00:00Z", "2026-03-01T22:00:00Z", "u", "login", "{}") // 2 March closed at noon
	l.at("2026-03-10T00:00:00Z", ControlKey, TypeTick, "null")
	rewards, _ := playLog(t, l.entries)
	var got []string
	for _, r := range rewards {
		got = append(got, r.Cycle)
	}
	if diff := cmp.Diff([]string{"2026-03-03", "2026-03-04"}, got); diff != "" {
		t.Error(diff)
	}
}

// What is told late of an earlier time does not hold beyond what was told of a later one, long ago and of the zone that the user had anyway.
func TestC1AnOlderZoneDoesNotOvertakeANewerOne(t *testing.T) {
	l := &writtenLog{t: t}
	l.publish("2026-03-01T00:00:00Z", definition("c", 1, "lateness: 48h\nrepeat: always\ngoal: {count: 1, of: hit, per: day}"))
	l.at("2026-03-01T10:00:00Z", "u", "stampede.profile", `{"timezone":"Asia/Tokyo"}`)
	l.at("2026-03-05T10:00:00Z", "u", "stampede.profile", `{"timezone":"Asia/Tokyo"}`) // once, this was forgotten as no news
	l.at("2026-03-08T01:00:00Z", "u", "hit", "{}")
	l.arrives("2026-03-08T12:00:00Z", "2026-03-03T10:00:00Z", "u", "stampede.profile", `{"timezone":"America/Los_Angeles"}`)
	l.at("2026-03-08T16:00:00Z", "u", "hit", "{}") // 9 March in Tokyo
	rewards, _ := playLog(t, l.entries)
	var got []string
	for _, r := range rewards {
		got = append(got, r.Cycle)
	}
	if diff := cmp.Diff([]string{"2026-03-08", "2026-03-09"}, got); diff != "" {
		t.Error(diff)
	}
}

// A date that a change of zone made too short can't be missed. What that is worth is paid with the record that tells of the zone.
func TestG6AChangeOfZonePaysAtOnce(t *testing.T) {
	l := &writtenLog{t: t}
	l.publish("2026-05-01T00:00:00Z", definition("c", 1, "goal: {streak: 2, of: hit}"))
	l.at("2026-05-01T00:00:00Z", "u", "stampede.profile", `{"timezone":"America/Los_Angeles"}`)
	l.at("2026-05-05T04:00:00Z", "u", "hit", "{}") // 4 May
	l.at("2026-05-06T12:00:00+09:00", "u", "hit", "{}")
	l.arrives("2026-05-06T04:00:00Z", "2026-05-05T15:00:00Z", "u", "stampede.profile", `{"timezone":"Asia/Tokyo"}`)
	l.at("2026-05-06T05:00:00Z", "u", "hit", "{}") // this once had to come
	rewards, _ := playLog(t, l.entries)
	if len(rewards) != 1 || rewards[0].Offset != 4 || rewards[0].Events != 2 {
		t.Errorf("got %v, wanted one reward for two events because of record 4", rewards)
	}
}

// A zone that is told too late shortens no date either, where a newer one was told for a time that is too late as well.
func TestC1AnOlderZoneThatIsTooLateChangesNothing(t *testing.T) {
	for _, c := range []struct {
		told string // when
		want int
	}{{"2026-05-28T00:00:00Z", 1}, {"2026-05-28T00:00:01Z", 0}} {
		l := &writtenLog{t: t}
		l.publish("2026-05-01T00:00:00Z", definition("c", 1, "lateness: 480h\ngoal: {streak: 2, of: hit}"))
		l.at("2026-05-01T00:00:00Z", "u", "stampede.profile", `{"timezone":"America/Los_Angeles"}`)
		l.at("2026-05-05T04:00:00Z", "u", "hit", "{}") // 4 May
		l.at("2026-05-06T12:00:00+09:00", "u", "hit", "{}")
		l.at("2026-05-08T00:00:00Z", "u", "stampede.profile", `{"timezone":"America/Los_Angeles"}`)
		l.arrives(c.told, "2026-05-05T15:00:00Z", "u", "stampede.profile", `{"timezone":"Asia/Tokyo"}`)
		if rewards, _ := playLog(t, l.entries); len(rewards) != c.want {
			t.Errorf("told at %s: %d rewards, wanted %d", c.told, len(rewards), c.want)
		}
	}
}

// The first period that pays for nothing is the one in which the campaign starts where it is, for every user. Whoever was behind it, and did something on an
// earlier date, was once paid for the dates between.
func TestG8TheFirstPeriodIsTheSameForAll(t *testing.T) {
	l := &writtenLog{t: t}
	l.publish("2026-03-01T00:00:00Z", Definition{Language: Language, Source: `{campaign: c, version: 1, starts: "2026-03-03T10:00:00Z", timezone: Etc/GMT-14,
lateness: 0s, repeat: always, goal: {none: claim, per: day}, reward: {kind: points}}`})
	l.at("2026-03-03T10:30:00Z", "u", "login", "{}")
	l.arrives("2026-03-03T10:30:00Z", "2026-03-02T22:30:00-12:00", "v", "claim", "{}")
	l.at("2026-03-05T12:00:00Z", ControlKey, TypeTick, "null")
	rewards, _ := playLog(t, l.entries)
	var got []string
	for _, r := range rewards {
		got = append(got, r.User+" "+r.Cycle)
	}
	if diff := cmp.Diff([]string{"u 2026-03-04", "v 2026-03-04"}, got); diff != "" {
		t.Error(diff)
	}
}

// A campaign is withdrawn at the instant of a sequence's last event, or before the time that its sender gave it: that is outside, and the sequence is not
// paid, whenever somebody looks. It once was, where nobody had looked when the campaign closed.
func TestT3ASequenceThatEndsAtAWithdrawalIsOutside(t *testing.T) {
	for _, c := range []struct {
		last string
		want int
	}{{"2026-03-03T17:29:59.999Z", 1}, {"2026-03-03T17:30:00Z", 0}, {"2026-03-03T17:34:00Z", 0}} {
		for _, looked := range []bool{false, true} {
			l := &writtenLog{t: t}
			l.publish("2026-03-01T00:00:00Z", definition("c", 1, "lateness: 90m\ngoal: {sequence: [{of: hit}, {of: hit}], without: {of: miss}}"))
			l.at("2026-03-03T12:00:00Z", "u", "hit", "{}")
			l.arrives("2026-03-03T17:30:00Z", c.last, "u", "hit", "{}")
			l.at("2026-03-03T17:30:00Z", ControlKey, TypeWithdrawn, `{"campaign":"c"}`)
			if looked {
				l.at("2026-03-03T18:00:00Z", "u", "stampede.profile", "{}")
			}
			l.at("2026-03-05T00:00:00Z", ControlKey, TypeTick, "null")
			if rewards, _ := playLog(t, l.entries); len(rewards) != c.want {
				t.Errorf("last at %s, looked at before: %t: %d rewards, wanted %d", c.last, looked, len(rewards), c.want)
			}
		}
	}
}

// Without a lateness, a campaign is closed with its withdrawal. Nothing that comes at the same clock changes anything in it, and the model says so: it once
// looked for a period that is not closed for ever.
func TestT4AWithdrawalClosesACampaignThatWaitsForNothing(t *testing.T) {
	var c *model.Campaign
	for seed := uint64(0); c == nil || !c.EachPeriodPays() || c.Late > 0 || !c.OptIn || c.Goal.Waits(); seed++ {
		c = model.DrawCampaign(model.Rand(rand.New(rand.NewPCG(seed, 0))), "c")
	}
	l := &writtenLog{t: t}
	control := func(value []byte) {
		l.entries = append(l.entries, model.Entry{Offset: int64(len(l.entries)), Timestamp: model.Start.UnixMilli(), Key: []byte(model.ControlKey), Value: value})
	}
	clock := model.Start.Format(time.RFC3339)
	control(c.Published())
	l.at(clock, "u", "stampede.enrolled", `{"campaign":"c"}`)
	control(c.Withdrawn())
	l.at(clock, "u", "stampede.withdrawn", `{"campaign":"c"}`)
	expected := model.NewLog(c)
	for _, e := range l.entries {
		if err := expected.Read(e); err != nil {
			t.Fatal(err)
		}
	}
	rewards, letters := playLog(t, l.entries)
	if len(rewards)+len(letters)+len(expected.Rewards())+len(expected.Letters()) > 0 {
		t.Errorf("engine: %v, %v; model: %v, %v", rewards, letters, expected.Rewards(), expected.Letters())
	}
}

// Whatever is known of a user can be told at any time, also where a version has begun anew and the user has not been looked at since.
func TestEverythingThatIsKnownCanBeExported(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		draw := drawing{rt}
		entries := model.DrawStory(draw, modelUsers, draw.Between(1, 60, "records")).Entries(0)
		inForce := NewInForce()
		engine := NewEngine(inForce.Set(), 0)
		replay := NewReplay(engine)
		var decoder Decoder
		var ev Event
		for _, e := range entries {
			replay.Use(inForce.Set())
			_ = replay.Advance(e.Timestamp, func(string, int64, *Result) error { return nil })
			record := &Record{Key: e.Key, Value: e.Value}
			if IsControl(e.Key) {
				if decoder.DecodeControl(record, &ev) == nil {
					_, _, _ = inForce.Apply(&ev, replay.Clock())
				}
				replay.Use(inForce.Set())
			} else if decoder.Decode(record, &ev) == nil {
				replay.Apply(&ev)
			}
			for user, l := range replay.Ledgers {
				encoded := l.Append(nil)
				again, err := Decode(encoded)
				if err != nil {
					rt.Fatal(err)
				}
				known := engine.Export(again, replay.Clock())
				text, err := json.Marshal(known)
				if err != nil || known.RememberedEvents != len(l.seen.list) || len(known.Campaigns) != len(l.progress) {
					rt.Fatalf("%s: %s, %v", user, text, err)
				}
				if !bytes.Equal(l.Append(nil), encoded) {
					rt.Fatalf("%s: an export changed the ledger", user)
				}
			}
		}
	})
}
