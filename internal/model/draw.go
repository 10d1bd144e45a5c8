package model

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"
)

// Draw is where everything that is drawn comes from: a seeded generator, or a property test that makes what it has found smaller.
type Draw interface {
	// Between is one of the numbers from least to most, each as likely as any other. what names it for people.
	Between(least, most int, what string) int
}

// Rand draws from a generator: the same seed draws the same.
func Rand(r *rand.Rand) Draw { return random{r} }

type random struct{ *rand.Rand }

// Between is part of Draw.
func (r random) Between(least, most int, _ string) int { return least + r.IntN(most-least+1) }

// Start is about when everything happens that is drawn: a Monday.
var Start = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

var (
	zones         = []string{"UTC", "Etc/GMT+12", "Etc/GMT+7", "Etc/GMT-5", "Etc/GMT-14"}
	kindsOfEvents = []string{"a", "b"}
	units         = []string{"day", "week", "month", "quarter", "year"}
)

func oneOfThese[E any](d Draw, these []E, what string) E {
	return these[d.Between(0, len(these)-1, what)]
}

func drawBool(d Draw, what string) bool { return d.Between(0, 1, what) == 1 }

func sometimes(d Draw, what string) bool { return d.Between(0, 3, what) == 3 }

func drawFilter(d Draw) filter {
	f := filter{types: oneOfThese(d, [][]string{{"a"}, {"b"}, {"a", "b"}}, "types")}
	if sometimes(d, "has where") {
		f.where = oneOfThese(d, slices.Sorted(maps.Keys(wheres)), "where")
	}
	return f
}

// drawGoal draws any goal that the loader takes. inside says that a goal is around it, judged that this one has a period.
func drawGoal(d Draw, c *Campaign, inside, judged bool, depth int) *Goal {
	kinds := []string{"event", "count", "sum", "distinct", "streak", "sequence"}
	if judged || !c.Ends.IsZero() || !inside {
		kinds = append(kinds, "none")
	}
	if depth > 0 {
		kinds = append(kinds, "all", "any", "some")
	}
	g := &Goal{kind: oneOfThese(d, kinds, "kind"), filter: drawFilter(d), numbers: []int{d.Between(1, 4, "number")}, outermost: !inside}
	per := func() {
		if !judged {
			g.per = oneOfThese(d, units, "per")
		}
	}
	tiers := func() {
		if !inside && (!c.Always || g.per != "") && sometimes(d, "tiers") {
			g.numbers = append(g.numbers, g.numbers[0]+d.Between(1, 3, "next number"))
		}
	}
	switch g.kind {
	case "event":
		g.numbers = []int{1}
	case "none":
		g.numbers = []int{1}
		if !inside && (c.Ends.IsZero() || drawBool(d, "has per")) {
			per()
		}
	case "count", "sum", "distinct":
		switch d.Between(0, 3, "window") {
		case 0:
			per()
		case 1:
			g.days = d.Between(1, 5, "days")
		case 2:
			g.hours = d.Between(1, 60, "hours")
		}
		if g.days+g.hours == 0 {
			g.net = g.kind == "sum" && drawBool(d, "net")
			tiers()
		}
	case "streak":
		g.period = oneOfThese(d, []string{"day", "day", "week", "month"}, "period")
		g.least, g.leastSum = d.Between(1, 3, "least"), sometimes(d, "least is a sum")
		g.forgive = d.Between(0, 2, "forgive")
		if sometimes(d, "has on") {
			g.on = [][]string{{"mon", "wed", "fri"}, {"mon", "tue", "wed", "thu", "fri"}, {"sun"}}[d.Between(0, 2, "on")]
		}
		tiers()
	case "sequence":
		g.numbers = []int{1}
		for i := range d.Between(1, 3, "steps") {
			s := step{filter: drawFilter(d)}
			if i > 0 {
				switch d.Between(0, 2, "limit") {
				case 1:
					s.days = d.Between(1, 3, "step's days")
				case 2:
					s.hours = d.Between(1, 40, "step's hours")
				}
			}
			g.steps = append(g.steps, s)
		}
		if len(g.steps) > 1 && drawBool(d, "has without") {
			f := drawFilter(d)
			g.without = &f
		}
	default:
		if !inside && (c.Always || drawBool(d, "has per")) {
			per()
		}
		for range d.Between(1, 3, "parts") {
			g.parts = append(g.parts, drawGoal(d, c, true, judged || g.per != "", depth-1))
		}
		g.numbers = []int{1}
		if g.needs = map[string]int{"all": len(g.parts), "any": 1}[g.kind]; g.kind == "some" {
			g.needs = d.Between(1, len(g.parts), "needs")
		}
	}
	return g
}

// DrawCampaign draws a campaign of any kind, with any options, in version 1.
func DrawCampaign(d Draw, id string) *Campaign {
	c := &Campaign{
		ID: id, Version: 1, Always: drawBool(d, "always"), OptIn: sometimes(d, "opt in"), Eligible: sometimes(d, "eligible"),
		Starts: Start.Add(time.Duration(d.Between(0, 60, "starts")) * time.Hour),
		Zone:   oneOfThese(d, zones, "zone"),
		Late:   []time.Duration{0, 90 * time.Minute, 24 * time.Hour, 48 * time.Hour, 20 * 24 * time.Hour}[d.Between(0, 4, "lateness")],
	}
	if drawBool(d, "ends") {
		c.Ends = c.Starts.Add(time.Duration(d.Between(1, 400, "hours")) * time.Hour)
	}
	if sometimes(d, "limited") {
		c.Limit = d.Between(1, 2, "limit")
	}
	if sometimes(d, "days start late") {
		c.DayStarts = 4 * time.Hour
	}
	c.Goal = drawGoal(d, c, false, false, 2)
	return c
}

// DrawRecords draws n things that users do, and some of them again, in the order of the clock. The campaigns are those that the records are
// about; of the first of them most users are to be rewarded. Ids begin anew with each call.
func DrawRecords(d Draw, campaigns []*Campaign, users []string, n int) []Record {
	var records []Record
	for i := range n {
		r := Record{
			User: oneOfThese(d, users, "user"), ID: fmt.Sprintf("e%02d", i), Kind: oneOfThese(d, kindsOfEvents, "type"),
			At: Start.Add(time.Duration(d.Between(-48, 500, "at")) * 30 * time.Minute), V: d.Between(-1, 4, "v"),
		}
		r.Clock = r.At.Add([]time.Duration{0, 0, 0, time.Hour, 20 * time.Hour, 40 * time.Hour, 100 * time.Hour}[d.Between(0, 6, "delay")])
		switch d.Between(0, 9, "zone is told") {
		case 0:
			r.Zone = oneOfThese(d, zones, "event's zone")
		case 1:
			r.Written = oneOfThese(d, []string{"+00:00", "-11:00", "+13:30"}, "offset")
		}
		c := campaigns[d.Between(0, len(campaigns)-1, "of campaign")]
		switch d.Between(0, 12, "control") {
		case 0:
			r.Kind, r.Timezone = "stampede.profile", oneOfThese(d, zones, "user's zone")
		case 1:
			r.Kind, r.Plan = "stampede.profile", oneOfThese(d, []string{"gold", "x", "null"}, "plan")
		case 2:
			r.Kind, r.Campaign = "stampede.enrolled", c.ID
		case 3:
			r.Kind, r.Campaign = "stampede.withdrawn", c.ID
		case 4:
			r.Kind, r.Dates = "stampede.excused", []int{DayOf(r.At) + d.Between(-3, 3, "excused")}
		case 5:
			r.Kind = "login" // concerns no campaign
		}
		// Without these, hardly anybody would ever be rewarded in some campaigns.
		switch c := campaigns[0]; {
		case c.OptIn && i < len(users):
			r.Kind, r.Campaign, r.Dates, r.Timezone, r.Plan = "stampede.enrolled", c.ID, nil, "", ""
		case c.Eligible && i < 2*len(users) && !sometimes(d, "of no plan"):
			r.Kind, r.Campaign, r.Dates, r.Timezone, r.Plan = "stampede.profile", "", nil, "", "gold"
			r.At = Start.Add(-24 * time.Hour)
			r.Clock = r.At
		}
		records = append(records, r)
		if sometimes(d, "twice") {
			again := r
			again.Clock = r.Clock.Add(time.Duration(d.Between(0, 30, "hours until it comes again")) * time.Hour)
			records = append(records, again)
		}
	}
	slices.SortStableFunc(records, func(a, b Record) int { return a.Clock.Compare(b.Clock) })
	return records
}
