package campaign

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var (
	modelStart   = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	modelZones   = []string{"UTC", "Etc/GMT+12", "Etc/GMT+7", "Etc/GMT-5", "Etc/GMT-14"}
	modelKinds   = []string{"a", "b"}
	modelPeriods = []string{"day", "week", "month", "quarter", "year"}
)

// between draws evenly: rapid's own ranges and samples prefer what is small and comes first, and most options would hardly ever be drawn.
func between(t *rapid.T, least, most int, what string) int {
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
	}).Draw(t, what)
}

func oneOfThese[E any](t *rapid.T, these []E, what string) E {
	return these[between(t, 0, len(these)-1, what)]
}

func drawBool(t *rapid.T, what string) bool { return between(t, 0, 1, what) == 1 }

func sometimes(t *rapid.T, what string) bool { return between(t, 0, 3, what) == 3 }

func drawFilter(t *rapid.T) modelFilter {
	f := modelFilter{types: oneOfThese(t, [][]string{{"a"}, {"b"}, {"a", "b"}}, "types")}
	if sometimes(t, "has where") {
		f.where = oneOfThese(t, slices.Sorted(maps.Keys(modelWheres)), "where")
	}
	return f
}

// drawModelGoal draws any goal that the loader takes. inside says that a goal is around it, judged that this one has a period.
func drawModelGoal(t *rapid.T, c *modelCampaign, inside, judged bool, depth int) *modelGoal {
	kinds := []string{"event", "count", "sum", "distinct", "streak", "sequence"}
	if judged || !c.ends.IsZero() || !inside {
		kinds = append(kinds, "none")
	}
	if depth > 0 {
		kinds = append(kinds, "all", "any", "some")
	}
	g := &modelGoal{kind: oneOfThese(t, kinds, "kind"), modelFilter: drawFilter(t), numbers: []int{between(t, 1, 4, "number")}, outermost: !inside}
	per := func() {
		if !judged {
			g.per = oneOfThese(t, modelPeriods, "per")
		}
	}
	tiers := func() {
		if !inside && (!c.always || g.per != "") && sometimes(t, "tiers") {
			g.numbers = append(g.numbers, g.numbers[0]+between(t, 1, 3, "next number"))
		}
	}
	switch g.kind {
	case "event":
		g.numbers = []int{1}
	case "none":
		g.numbers = []int{1}
		if !inside && (c.ends.IsZero() || drawBool(t, "has per")) {
			per()
		}
	case "count", "sum", "distinct":
		switch between(t, 0, 3, "window") {
		case 0:
			per()
		case 1:
			g.days = between(t, 1, 5, "days")
		case 2:
			g.hours = between(t, 1, 60, "hours")
		}
		if g.days+g.hours == 0 {
			g.net = g.kind == "sum" && drawBool(t, "net")
			tiers()
		}
	case "streak":
		g.period = oneOfThese(t, []string{"day", "day", "week", "month"}, "period")
		g.least, g.leastSum = between(t, 1, 3, "least"), sometimes(t, "least is a sum")
		g.forgive = between(t, 0, 2, "forgive")
		if sometimes(t, "has on") {
			g.on = [][]string{{"mon", "wed", "fri"}, {"mon", "tue", "wed", "thu", "fri"}, {"sun"}}[between(t, 0, 2, "on")]
		}
		tiers()
	case "sequence":
		g.numbers = []int{1}
		for i := range between(t, 1, 3, "steps") {
			s := modelStep{modelFilter: drawFilter(t)}
			if i > 0 {
				switch between(t, 0, 2, "limit") {
				case 1:
					s.days = between(t, 1, 3, "step's days")
				case 2:
					s.hours = between(t, 1, 40, "step's hours")
				}
			}
			g.steps = append(g.steps, s)
		}
		if len(g.steps) > 1 && drawBool(t, "has without") {
			f := drawFilter(t)
			g.without = &f
		}
	default:
		if !inside && (c.always || drawBool(t, "has per")) {
			per()
		}
		for range between(t, 1, 3, "parts") {
			g.parts = append(g.parts, drawModelGoal(t, c, true, judged || g.per != "", depth-1))
		}
		g.numbers = []int{1}
		if g.needs = map[string]int{"all": len(g.parts), "any": 1}[g.kind]; g.kind == "some" {
			g.needs = between(t, 1, len(g.parts), "needs")
		}
	}
	return g
}

func drawCampaign(t *rapid.T, id string) *modelCampaign {
	c := &modelCampaign{
		id: id, always: drawBool(t, "always"), optIn: sometimes(t, "opt in"), eligible: sometimes(t, "eligible"),
		starts: modelStart.Add(time.Duration(between(t, 0, 60, "starts")) * time.Hour),
		zone:   oneOfThese(t, modelZones, "zone"),
		late:   []time.Duration{0, 90 * time.Minute, 24 * time.Hour, 48 * time.Hour, 20 * 24 * time.Hour}[between(t, 0, 4, "lateness")],
	}
	if drawBool(t, "ends") {
		c.ends = c.starts.Add(time.Duration(between(t, 1, 400, "hours")) * time.Hour)
	}
	if sometimes(t, "limited") {
		c.limit = between(t, 1, 2, "limit")
	}
	if sometimes(t, "days start late") {
		c.dayStarts = 4 * time.Hour
	}
	c.goal = drawModelGoal(t, c, false, false, 2)
	return c
}

// drawRecords draws what users do, in the order of the clock.
func drawRecords(t *rapid.T, campaigns []*modelCampaign) []modelRecord {
	var records []modelRecord
	for i := range between(t, 1, 24, "records") {
		r := modelRecord{
			user: oneOfThese(t, []string{"ann", "bob"}, "user"), id: fmt.Sprintf("e%02d", i), kind: oneOfThese(t, modelKinds, "type"),
			at: modelStart.Add(time.Duration(between(t, -48, 500, "at")) * 30 * time.Minute), v: between(t, -1, 4, "v"),
		}
		r.clock = r.at.Add([]time.Duration{0, 0, 0, time.Hour, 20 * time.Hour, 40 * time.Hour, 100 * time.Hour}[between(t, 0, 6, "delay")])
		switch between(t, 0, 9, "zone is told") {
		case 0:
			r.zone = oneOfThese(t, modelZones, "event's zone")
		case 1:
			r.written = oneOfThese(t, []string{"+00:00", "-11:00", "+13:30"}, "offset")
		}
		c := campaigns[between(t, 0, len(campaigns)-1, "of campaign")]
		switch between(t, 0, 12, "control") {
		case 0:
			r.kind, r.timezone = "stampede.profile", oneOfThese(t, modelZones, "user's zone")
		case 1:
			r.kind, r.plan = "stampede.profile", oneOfThese(t, []string{"gold", "x", "null"}, "plan")
		case 2:
			r.kind, r.campaign = "stampede.enrolled", c.id
		case 3:
			r.kind, r.campaign = "stampede.withdrawn", c.id
		case 4:
			r.kind, r.dates = "stampede.excused", []int{modelDayOf(r.at) + between(t, -3, 3, "excused")}
		case 5:
			r.kind = "login" // concerns no campaign
		}
		// Without these, hardly anybody would ever be rewarded in some campaigns.
		switch c := campaigns[0]; {
		case c.optIn && i < 2:
			r.kind, r.campaign, r.dates, r.timezone, r.plan = "stampede.enrolled", c.id, nil, "", ""
		case c.eligible && i < 4 && !sometimes(t, "of no plan"):
			r.kind, r.campaign, r.dates, r.timezone, r.plan = "stampede.profile", "", nil, "", "gold"
			r.at = modelStart.Add(-24 * time.Hour)
			r.clock = r.at
		}
		records = append(records, r)
		if sometimes(t, "twice") {
			again := r
			again.clock = r.clock.Add(time.Duration(between(t, 0, 30, "hours until it comes again")) * time.Hour)
			records = append(records, again)
		}
	}
	slices.SortStableFunc(records, func(a, b modelRecord) int { return a.clock.Compare(b.clock) })
	return records
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
	steps      time.Duration // the clock is moved on in steps of that length between records; 0: with the records alone
}

func playWorld(t *rapid.T, w *modelWorld, d disturbance) played {
	var campaigns []*Campaign
	for _, m := range w.campaigns {
		c, wrong := Parse("c.yaml", []byte(m.yaml()))
		if wrong != nil {
			t.Fatalf("%s\n%v", m.yaml(), wrong)
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
		restart := func() {
			for user, l := range replay.ledgers {
				again, err := Decode(l.Append(nil))
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
		for _, r := range w.records {
			if int(r.user[0])%d.partitions != partition {
				continue
			}
			advance(r.clock)
			var decoder Decoder
			var ev Event
			if why := decoder.Decode(&Record{Key: []byte(r.user), Value: r.cloudEvent()}, &ev); why != nil {
				t.Fatal(why)
			}
			result := replay.Apply(&ev)
			if result.Rejection != nil {
				t.Fatal(result.Rejection)
			}
			_ = took(r.user, replay.Clock(), result)
			for user, l := range replay.ledgers {
				if bound := l.sizeBound; len(l.Append(nil)) > bound && bound > 0 {
					t.Fatalf("the ledger of %s has %d bytes, its own bound is %d", user, len(l.Append(nil)), bound)
				}
			}
			if d.restarts {
				restart()
			}
		}
		advance(w.until)
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
		w := &modelWorld{campaigns: []*modelCampaign{drawCampaign(rt, "c0")}}
		if sometimes(rt, "two campaigns") {
			w.campaigns = append(w.campaigns, drawCampaign(rt, "c1"))
		}
		w.records = drawRecords(rt, w.campaigns)
		w.until = w.records[len(w.records)-1].clock.Add(time.Duration(between(rt, 0, 100, "days after")) * 24 * time.Hour)
		got := playWorld(rt, w, disturbance{partitions: 1})
		for _, user := range []string{"ann", "bob"} {
			var want []string
			for _, c := range w.campaigns {
				want = append(want, w.expect(c, user, func(what string) { rare[what]++ })...)
			}
			slices.Sort(want)
			if diff := cmp.Diff(want, got.told[user]); diff != "" {
				text := ""
				for _, c := range w.campaigns {
					text += c.yaml()
				}
				for _, r := range w.records {
					if r.user == user {
						text += fmt.Sprintf("%s %s\n", r.clock.Format(time.RFC3339), r.cloudEvent())
					}
				}
				rt.Fatalf("%s until %s:\n%s(-model +engine)\n%s", user, w.until.Format(time.RFC3339), text, diff)
			}
		}
		for _, d := range []disturbance{{partitions: 1, restarts: true}, {partitions: 1, steps: 31 * time.Hour, restarts: true}, {partitions: 2, steps: 100 * time.Hour}} {
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
}

// inTimeInAnyOrder makes a world in which all that users do is in time in whatever order it arrives: what they say of themselves comes first,
// then events at rising clocks. Nobody withdraws, because what arrives after a withdrawal does not count for the time before it (C2).
func inTimeInAnyOrder(w *modelWorld) (controls, events []modelRecord) {
	const late = 25 * 24 * time.Hour
	for _, c := range w.campaigns {
		c.late = late
	}
	ids := map[string]bool{}
	for _, r := range w.records {
		switch {
		case ids[r.id] || r.kind == "stampede.withdrawn":
		case strings.HasPrefix(r.kind, "stampede."):
			controls = append(controls, r)
		default:
			events = append(events, r)
		}
		ids[r.id] = true
	}
	return controls, events
}

// arriving puts records in the world one after the other, and returns the rewards in the end: campaign, user, cycle and tier.
func (w *modelWorld) arriving(t *rapid.T, controls, events []modelRecord) []string {
	last := modelStart.Add(11 * 24 * time.Hour) // behind every event's time
	other := *w
	other.records = nil
	for _, r := range slices.Concat(controls, events) {
		last = last.Add(3 * time.Hour)
		r.clock = last
		other.records = append(other.records, r)
	}
	other.until = modelStart.Add(900 * 24 * time.Hour)
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
func bounded(w *modelWorld) bool {
	return slices.ContainsFunc(w.campaigns, func(c *modelCampaign) bool { return c.limit > 0 && c.eachPeriodPays() })
}

func TestP1AnyOrderAndDuplicatesGiveTheSameRewards(t *testing.T) {
	paid := 0
	rapid.Check(t, func(rt *rapid.T) {
		w := &modelWorld{campaigns: []*modelCampaign{drawCampaign(rt, "c0")}}
		w.records = drawRecords(rt, w.campaigns)
		controls, events := inTimeInAnyOrder(w)
		want := w.arriving(rt, controls, events)
		permuted := slices.Clone(events)
		for i := range permuted {
			j := between(rt, i, len(permuted)-1, "swaps with")
			permuted[i], permuted[j] = permuted[j], permuted[i]
			if sometimes(rt, "comes again") {
				permuted = append(permuted, permuted[between(rt, 0, i, "which")])
			}
		}
		got := w.arriving(rt, controls, permuted[:min(len(permuted), 2*len(events))])
		if bounded(w) && len(got) == len(want) {
			return
		}
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Fatalf("another order gives other rewards (-as told +permuted):\n%s%s", w.campaigns[0].yaml(), diff)
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
		w := &modelWorld{campaigns: []*modelCampaign{drawCampaign(rt, "c0")}}
		if g := w.campaigns[0].goal; g.waits() || g.has(func(l *modelGoal) bool { return l.without != nil }) {
			return // one more event is what these do not want
		}
		w.records = drawRecords(rt, w.campaigns)
		controls, events := inTimeInAnyOrder(w)
		if len(events) == 0 {
			return
		}
		before := w.arriving(rt, controls, events)
		one := events[between(rt, 0, len(events)-1, "like")]
		one.id, one.at = "one more", modelStart.Add(time.Duration(between(rt, 0, 500, "when"))*30*time.Minute)
		after := w.arriving(rt, controls, slices.Insert(slices.Clone(events), between(rt, 0, len(events), "where"), one))
		paid, more = paid+len(before), more+len(after)-len(before)
		if len(after) < len(before) {
			rt.Fatalf("one more event gives fewer rewards:\n%s%v\n%v", w.campaigns[0].yaml(), before, after)
		}
		for _, reward := range before {
			if !bounded(w) && !slices.Contains(after, reward) {
				rt.Fatalf("one more event takes %s away:\n%s%v", reward, w.campaigns[0].yaml(), after)
			}
		}
	})
	if paid == 0 || more == 0 {
		t.Errorf("%d rewards were paid, and %d for one more event", paid, more)
	}
}
