package campaign

import (
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/stampede-rewards/stampede/internal/model"
)

// drawing draws for the model, evenly: rapid's own ranges and samples prefer what is small and comes first, and most options would hardly
// ever be drawn.
type drawing struct{ *rapid.T }

// Between is part of model.Draw.
func (d drawing) Between(least, most int, what string) int {
	const bits = 12
	return rapid.Custom(func(t *rapid.T) int {
		n := 0
		for range bits {
			n *= 2
			if rapid.Bool().Draw(t, "bit") {
				n++
			}
		}
		return least + n%(most-least+1)
	}).Draw(d.T, what)
}

func (d drawing) sometimes(what string) bool { return d.Between(0, 3, what) == 3 }

// modelUsers are those whose records are drawn.
var modelUsers = []string{"ann", "bob"}

func drawRecords(d drawing, campaigns []*model.Campaign) []model.Record {
	return model.DrawRecords(d, campaigns, modelUsers, d.Between(1, 24, "records"))
}

// played is what the engine made of a world: by user what was told, and the ledger in the end; and all that was told, in order.
type played struct {
	told    map[string][]string
	ledgers map[string]string
	order   []string
}

// disturbance is what must not matter (P3).
type disturbance struct {
	partitions int           // the users are spread over as many
	restarts   bool          // each ledger is put away and read back after each record
	cycles     bool          // and read back into memory that is used again
	steps      time.Duration // the clock is moved on in steps of that length between records; 0: with the records alone
}

func playWorld(t *rapid.T, w *model.World, d disturbance) played {
	var campaigns []*Campaign
	for _, m := range w.Campaigns {
		c, wrong := Parse("c.yaml", []byte(m.YAML()))
		if wrong != nil {
			t.Fatalf("%s\n%v", m.YAML(), wrong)
		}
		campaigns = append(campaigns, c)
	}
	set, err := NewSet(campaigns)
	if err != nil {
		t.Fatal(err)
	}
	p := played{told: map[string][]string{}, ledgers: map[string]string{}}
	for partition := range d.partitions {
		replay := NewReplay(NewEngine(set, 0))
		results := 0
		took := func(user string, at int64, r *Result) error {
			const most = 5000 // a year of daily closes for both users, many times
			if results++; results > most {
				t.Fatalf("something is due again and again, at last at %s", time.UnixMilli(at).UTC())
			}
			told := ", told at " + time.UnixMilli(at).UTC().Format(time.RFC3339Nano)
			for _, reward := range r.Rewards {
				line := fmt.Sprintf("%s reward %s/%s achieved %s by %d events%s", reward.Campaign.ID, reward.Cycle, reward.Tier,
					time.Unix(0, reward.AchievedAt).UTC().Format(time.RFC3339Nano), reward.EvidenceCount, told)
				p.told[user], p.order = append(p.told[user], line), append(p.order, user+string(reward.AppendJSON(nil)))
			}
			for _, o := range r.Outcomes {
				if o.Kind != Achieved {
					line := fmt.Sprintf("%s %s %s/%s%s", o.Campaign.ID, o.Kind, o.Cycle, o.Tier, told)
					p.told[user], p.order = append(p.told[user], line), append(p.order, user+string(o.AppendJSON(nil)))
				}
			}
			return nil
		}
		var cycle Ledgers
		restart := func() {
			encoded := map[string][]byte{}
			for user, l := range replay.ledgers {
				encoded[user] = l.Append(nil)
			}
			decode := Decode
			if d.cycles {
				cycle.Reset()
				decode = cycle.Decode
			}
			for user, l := range replay.ledgers {
				again, err := decode(encoded[user])
				if err != nil {
					t.Fatalf("ledger of %s: %v", user, err)
				}
				*l = *again
			}
		}
		advance := func(to time.Time) {
			if d.steps > 0 && replay.Clock() > 0 {
				for at := time.UnixMilli(replay.Clock()).Add(d.steps); at.Before(to); at = at.Add(d.steps) {
					_ = replay.Advance(at.UnixMilli(), took)
					if d.restarts {
						restart()
					}
				}
			}
			_ = replay.Advance(to.UnixMilli(), took)
		}
		for _, r := range w.Records {
			if int(r.User[0])%d.partitions != partition {
				continue
			}
			advance(r.Clock)
			var decoder Decoder
			var ev Event
			if why := decoder.Decode(&Record{Key: []byte(r.User), Value: r.CloudEvent()}, &ev); why != nil {
				t.Fatal(why)
			}
			result := replay.Apply(&ev)
			if result.Rejection != nil {
				t.Fatal(result.Rejection)
			}
			_ = took(r.User, replay.Clock(), result)
			for user, l := range replay.ledgers {
				if bound := l.sizeBound; len(l.Append(nil)) > bound && bound > 0 {
					t.Fatalf("the ledger of %s has %d bytes, its own bound is %d", user, len(l.Append(nil)), bound)
				}
			}
			if d.restarts {
				restart()
			}
		}
		advance(w.Until)
		for user, l := range replay.ledgers {
			p.ledgers[user] = string(l.Append(nil))
		}
	}
	for user := range p.told {
		slices.Sort(p.told[user])
	}
	return p
}

// The engine agrees with the model for goals of every kind with every option, and whatever must not matter does not: how many partitions there
// are, restarts, and whether anybody looks between the records.
func TestP3TheEngineAgreesWithTheModelWhateverIsBetween(t *testing.T) {
	rare := map[string]int{}
	rapid.Check(t, func(rt *rapid.T) {
		draw := drawing{rt}
		w := &model.World{Campaigns: []*model.Campaign{model.DrawCampaign(draw, "c0")}}
		if draw.sometimes("two campaigns") {
			w.Campaigns = append(w.Campaigns, model.DrawCampaign(draw, "c1"))
		}
		w.Records = drawRecords(draw, w.Campaigns)
		w.Until = w.Records[len(w.Records)-1].Clock.Add(time.Duration(draw.Between(0, 100, "days after")) * 24 * time.Hour)
		got := playWorld(rt, w, disturbance{partitions: 1})
		want := w.Expect(func(what string) { rare[what]++ })
		for _, user := range modelUsers {
			if diff := cmp.Diff(want[user], got.told[user]); diff != "" {
				text := ""
				for _, c := range w.Campaigns {
					text += c.YAML()
				}
				for _, r := range w.Records {
					if r.User == user {
						text += fmt.Sprintf("%s %s\n", r.Clock.Format(time.RFC3339), r.CloudEvent())
					}
				}
				rt.Fatalf("%s until %s:\n%s(-model +engine)\n%s", user, w.Until.Format(time.RFC3339), text, diff)
			}
		}
		for _, d := range []disturbance{{partitions: 1, restarts: true}, {partitions: 1, restarts: true, cycles: true}, {partitions: 1, steps: 31 * time.Hour, restarts: true}, {partitions: 2, steps: 100 * time.Hour}} {
			other := playWorld(rt, w, d)
			if diff := cmp.Diff(got.told, other.told); diff != "" {
				rt.Fatalf("%+v changes what is told:\n%s", d, diff)
			}
			if diff := cmp.Diff(got.ledgers, other.ledgers); diff != "" {
				rt.Fatalf("%+v changes ledgers:\n%s", d, diff)
			}
			if d.partitions == 1 && !slices.Equal(got.order, other.order) {
				rt.Fatalf("%+v changes the order or the bytes:\n%s", d, cmp.Diff(got.order, other.order))
			}
		}
	})
	t.Logf("reached: %v", rare)
	met(t, rare)
}

// manyChecks is from how many draws on all that is rare must have been met. Of a hundred, rapid's default, a run with the race detector can say no such thing;
// `make endtoend` draws as many, always the same: what is rare is met or it is not.
const manyChecks = 2500

// met wants everything to have been reached that the model can reach without a log.
func met(t *testing.T, reached map[string]int) {
	t.Helper()
	checks, err := strconv.Atoi(flag.Lookup("rapid.checks").Value.String())
	if err != nil {
		t.Fatal(err)
	}
	if checks < manyChecks {
		return
	}
	want := []string{
		"a campaign failed", "a period failed", "a date too short", "a higher tier", "a reward after a withdrawal", "a reward for nothing", "counted against", "duplicate", "too late",
		"a streak of weeks", "a streak of months", "net paid", "none paid", "without paid",
	}
	for _, kind := range []string{"event", "count", "sum", "distinct", "streak", "sequence", "none", "all", "any", "some"} {
		want = append(want, "reward of "+kind)
	}
	for _, unit := range []string{"day", "week", "month", "quarter", "year"} {
		want = append(want, "reward per "+unit)
	}
	for _, what := range want {
		if reached[what] == 0 {
			t.Errorf("in %d draws there was never %s: what the property says of it is not proved", checks, what)
		}
	}
}

// inTimeInAnyOrder makes a world in which all that users do is in time in whatever order it arrives: what they say of themselves comes first,
// then events at rising clocks. Nobody withdraws, because what arrives after a withdrawal does not count for the time before it (C2).
func inTimeInAnyOrder(w *model.World) (controls, events []model.Record) {
	const late = 25 * 24 * time.Hour
	for _, c := range w.Campaigns {
		c.Late = late
	}
	ids := map[string]bool{}
	for _, r := range w.Records {
		switch {
		case ids[r.ID] || r.Kind == "stampede.withdrawn":
		case strings.HasPrefix(r.Kind, "stampede."):
			controls = append(controls, r)
		default:
			events = append(events, r)
		}
		ids[r.ID] = true
	}
	return controls, events
}

// arriving puts records in the world one after the other, and returns the rewards in the end: campaign, user, cycle and tier.
func arriving(t *rapid.T, w *model.World, controls, events []model.Record) []string {
	last := model.Start.Add(11 * 24 * time.Hour) // behind every event's time
	other := *w
	other.Records = nil
	for _, r := range slices.Concat(controls, events) {
		last = last.Add(3 * time.Hour)
		r.Clock = last
		other.Records = append(other.Records, r)
	}
	other.Until = model.Start.Add(900 * 24 * time.Hour)
	var rewards []string
	for user, told := range playWorld(t, &other, disturbance{partitions: 1}).told {
		for _, line := range told {
			if words := strings.Fields(line); words[1] == "reward" {
				rewards = append(rewards, user+" "+words[0]+" "+words[2])
			}
		}
	}
	slices.Sort(rewards)
	return rewards
}

// bounded says that `limits.per_user` bounds periods: then it is what arrived first, and only the number of rewards is certain.
func bounded(w *model.World) bool {
	return slices.ContainsFunc(w.Campaigns, func(c *model.Campaign) bool { return c.Limit > 0 && c.EachPeriodPays() })
}

func TestP1AnyOrderAndDuplicatesGiveTheSameRewards(t *testing.T) {
	paid := 0
	rapid.Check(t, func(rt *rapid.T) {
		draw := drawing{rt}
		w := &model.World{Campaigns: []*model.Campaign{model.DrawCampaign(draw, "c0")}}
		w.Records = drawRecords(draw, w.Campaigns)
		controls, events := inTimeInAnyOrder(w)
		want := arriving(rt, w, controls, events)
		permuted := slices.Clone(events)
		for i := range permuted {
			j := draw.Between(i, len(permuted)-1, "swaps with")
			permuted[i], permuted[j] = permuted[j], permuted[i]
			if draw.sometimes("comes again") {
				permuted = append(permuted, permuted[draw.Between(0, i, "which")])
			}
		}
		got := arriving(rt, w, controls, permuted[:min(len(permuted), 2*len(events))])
		if bounded(w) && len(got) == len(want) {
			return
		}
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Fatalf("another order gives other rewards (-as told +permuted):\n%s%s", w.Campaigns[0].YAML(), diff)
		}
		paid += len(want)
	})
	if paid == 0 {
		t.Error("nothing was ever paid")
	}
}

func TestP2OneMoreEventTakesNoRewardAway(t *testing.T) {
	paid, more := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		draw := drawing{rt}
		w := &model.World{Campaigns: []*model.Campaign{model.DrawCampaign(draw, "c0")}}
		if !w.Campaigns[0].Goal.Monotone() {
			return // one more event is what these do not want
		}
		w.Records = drawRecords(draw, w.Campaigns)
		controls, events := inTimeInAnyOrder(w)
		if len(events) == 0 {
			return
		}
		before := arriving(rt, w, controls, events)
		for range 4 { // each added to the same events
			one := events[draw.Between(0, len(events)-1, "like")]
			one.ID, one.At = "one more", model.Start.Add(time.Duration(draw.Between(0, 500, "when"))*30*time.Minute)
			after := arriving(rt, w, controls, slices.Insert(slices.Clone(events), draw.Between(0, len(events), "where"), one))
			paid, more = paid+len(before), more+len(after)-len(before)
			if len(after) < len(before) {
				rt.Fatalf("one more event gives fewer rewards:\n%s%v\n%v", w.Campaigns[0].YAML(), before, after)
			}
			for _, reward := range before {
				if !bounded(w) && !slices.Contains(after, reward) {
					rt.Fatalf("one more event takes %s away:\n%s%v", reward, w.Campaigns[0].YAML(), after)
				}
			}
		}
	})
	if paid == 0 || more == 0 {
		t.Errorf("%d rewards were paid, and %d for one more event", paid, more)
	}
}
