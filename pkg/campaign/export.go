package campaign

import (
	"encoding/json"
	"strconv"
	"time"
)

// Known is everything that a ledger says of a user, for people who ask what is known of them: JSON with names that explain themselves. Times are RFC 3339,
// dates civil.
type Known struct {
	Since            string            `json:"known_since,omitempty"` // the earliest time that was told of the user, as long as that matters
	RememberedEvents int               `json:"remembered_events"`     // hashes by which a duplicate is recognized
	Timezones        []KnownFrom       `json:"timezones,omitempty"`
	Attributes       []KnownAttribute  `json:"attributes,omitempty"`
	Excused          []KnownExcused    `json:"excused_dates,omitempty"`
	Campaigns        []KnownInCampaign `json:"campaigns,omitempty"`
	EventIDs         []string          `json:"event_ids,omitempty"` // of events that a reward may have to name
	LooksAgainAt     string            `json:"looks_again_at,omitempty"`
}

// KnownFrom is something that holds from a time on.
type KnownFrom struct {
	From  string          `json:"from"`
	Value json.RawMessage `json:"value"` // null where it was removed
}

// KnownAttribute is an attribute of the profile with its history.
type KnownAttribute struct {
	Name    string      `json:"name"`
	History []KnownFrom `json:"history"`
}

// KnownExcused is dates that can't be missed.
type KnownExcused struct {
	Campaign string   `json:"campaign"` // "" is every campaign
	Dates    []string `json:"dates"`
}

// KnownInCampaign is the progress in one campaign.
type KnownInCampaign struct {
	Campaign  string        `json:"campaign"`
	Title     string        `json:"title,omitempty"`
	Version   int           `json:"version,omitempty"`
	Standing  []string      `json:"standing,omitempty"` // in sentences
	Rewards   uint64        `json:"rewards_issued"`
	Waiting   uint64        `json:"claims_waiting,omitempty"` // for a budget's word (O2)
	Denied    uint64        `json:"claims_denied,omitempty"`
	TakesPart string        `json:"takes_part"`      // by_default, enrolled or withdrawn
	Since     string        `json:"since,omitempty"` // of an enrolment or withdrawal
	Periods   []KnownPeriod `json:"periods,omitempty"`
}

// KnownPeriod is the evidence of one period, or of the whole campaign where it has none.
type KnownPeriod struct {
	Period   string      `json:"period,omitempty"`
	Rewards  uint64      `json:"rewards_issued,omitempty"`
	Events   uint64      `json:"events_counted"`
	Latest   string      `json:"latest_event,omitempty"`
	EventIDs []string    `json:"event_ids,omitempty"` // since the last reward
	Parts    []KnownPart `json:"parts,omitempty"`
}

// KnownPart is what one part of a goal keeps.
type KnownPart struct {
	Events uint64      `json:"events,omitempty"`
	Sum    string      `json:"sum,omitempty"`
	Hits   [][2]string `json:"hits,omitempty"` // periods of a streak, from and to
	Values []string    `json:"values,omitempty"`
	Marks  []KnownMark `json:"marks,omitempty"` // events that a window or a sequence may need
	Sums   []string    `json:"sums,omitempty"`  // of periods that are not a hit yet
}

// KnownMark is an event that a window or a sequence keeps.
type KnownMark struct {
	At     string `json:"at"`
	Date   string `json:"date"`
	ID     string `json:"id,omitempty"`
	Amount string `json:"amount,omitempty"`
	Value  string `json:"value,omitempty"`
}

// Export tells everything that is known of a user, by a clock (Unix ms). The ledger is not to be used for anything else afterwards.
func (e *Engine) Export(l *Ledger, clock int64) Known {
	k := Known{Since: exportMs(l.known), RememberedEvents: len(l.seen.list), EventIDs: l.allIDs(), LooksAgainAt: exportMs(l.due)}
	for _, z := range l.profile.zones {
		k.Timezones = append(k.Timezones, KnownFrom{exportNs(z.at), appendJSONString(nil, z.zone.name)})
	}
	for _, a := range l.profile.attributes {
		known := KnownAttribute{Name: a.name}
		for _, v := range a.versions {
			from := KnownFrom{exportNs(v.at), v.value}
			if v.value == nil {
				from.Value = json.RawMessage("null")
			}
			known.History = append(known.History, from)
		}
		k.Attributes = append(k.Attributes, known)
	}
	for _, x := range l.excused {
		known := KnownExcused{}
		if x.campaign != 0 {
			known.Campaign = e.exportID(x.campaign)
		}
		for _, run := range x.dates {
			for day := run.first; day <= run.last; day++ {
				known.Dates = append(known.Dates, day.String())
			}
		}
		k.Excused = append(k.Excused, known)
	}
	for i := range l.progress {
		k.Campaigns = append(k.Campaigns, e.exportProgress(l, &l.progress[i], clock))
	}
	return k
}

// exportID is a campaign's id, or where it is closed and forgotten what stands for it.
func (e *Engine) exportID(key uint64) string {
	if c := e.set.byKey[key]; c != nil {
		return c.ID
	}
	return "closed, known as " + strconv.FormatUint(key, 16)
}

func (e *Engine) exportProgress(l *Ledger, p *progress, clock int64) KnownInCampaign {
	k := KnownInCampaign{
		Campaign: e.exportID(p.campaign), Rewards: p.paid - min(p.paid, p.waiting+p.denied), Waiting: p.waiting, Denied: p.denied,
		TakesPart: map[taking]string{byDefault: "by_default", in: "enrolled", out: "withdrawn"}[p.part],
	}
	if p.part != byDefault {
		k.Since = exportNs(p.from)
	}
	c := e.set.byKey[p.campaign]
	var goal *goal // that the evidence is of; nil where it is not known any more
	if c != nil {
		k.Title, k.Version = c.Title, c.Version
		if p.epoch == c.epoch {
			goal = c.goal
		}
	}
	for i := range p.buckets {
		k.Periods = append(k.Periods, l.exportBucket(goal, &p.buckets[i]))
	}
	if c != nil {
		e.restartFor(p, c) // the sentences are by the goal as it is now
		k.Standing = e.explain(l, c, clock)
	}
	return k
}

func (l *Ledger) exportBucket(g *goal, b *bucket) KnownPeriod {
	k := KnownPeriod{Rewards: b.paid, Events: b.count, EventIDs: l.named(b.ids)}
	if g != nil && g.per != noUnit {
		k.Period = g.per.key(b.period)
	}
	if b.count > 0 {
		k.Latest = exportNs(b.latest)
	}
	for i := range b.cells {
		k.Parts = append(k.Parts, b.cells[i].export(g))
	}
	return k
}

func (c *cell) export(g *goal) KnownPart {
	k := KnownPart{Events: c.count, Values: c.values}
	if c.sum != 0 {
		k.Sum = decimal(c.sum)
	}
	unit := perDay
	if g != nil && c.leaf < len(g.leaves) {
		if s, ok := g.leaves[c.leaf].kind.(*streak); ok {
			unit = s.unit
		}
	}
	for _, run := range c.days {
		k.Hits = append(k.Hits, [2]string{unit.key(period(run.first)), unit.key(period(run.last))})
	}
	for _, a := range c.amounts {
		k.Sums = append(k.Sums, unit.key(a.period)+": "+decimal(a.amount))
	}
	for _, m := range c.marks {
		mark := KnownMark{At: exportNs(m.at), Date: m.day.String(), ID: m.id, Value: m.value}
		if m.amount != 0 {
			mark.Amount = decimal(m.amount)
		}
		k.Marks = append(k.Marks, mark)
	}
	return k
}

func exportMs(ms int64) string {
	if ms == 0 {
		return ""
	}
	return exportNs(msToNs(ms))
}

func exportNs(ns int64) string { return time.Unix(0, ns).UTC().Format(time.RFC3339Nano) }
