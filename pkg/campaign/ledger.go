package campaign

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"math"
	"slices"
	"sort"
)

// Ledger is everything that is known of one user: the recent events, the profile's history and the progress in every
// campaign. It is one value in the store and one record in the changelog. The zero Ledger is a user of whom nothing is known.
type Ledger struct {
	due       int64 // Unix ms, 0 for never: see Due
	known     int64 // the earliest time told of the user that was in time, Unix ms; 0 for none (G8)
	seen      seen
	profile   profile
	excused   []excused  // by campaign key, 0 for all campaigns
	progress  []progress // by campaign key
	ids       []packedID // of the events that a reward may have to name: evidence.go
	sizeBound int        // no encoding of this ledger is longer (E7)
	in        *Ledgers   // whose memory it is; nil if it has its own
}

// excused is dates that can't be missed, in a campaign or in all (C3).
type excused struct {
	campaign uint64
	dates    days
}

// progress is one user's state in one campaign.
type progress struct {
	campaign uint64   // campaignKey of the campaign's id
	paid     uint64   // rewards issued
	part     taking   // whether the user takes part (C2)
	from     int64    // since when, Unix ns; not of byDefault
	before   uint64   // rewards issued before the evidence began anew: after a withdrawal, or a version with `on_change: restart`
	epoch    uint64   // the campaign's, when the evidence began (L2)
	revision uint64   // the campaign's, when the evidence was last judged (L2)
	tried    bool     // something has counted since the evidence began (R4)
	waiting  uint64   // of the rewards paid, those that a budget was asked for and has not answered (O2)
	denied   uint64   // and those that it has denied
	buckets  []bucket // by period; one, of period 0, where the goal has no `per`
}

// taking says whether a user takes part in a campaign.
type taking uint8

const (
	byDefault taking = iota // as the campaign's `enrol` says
	in
	out
)

// bucket is the evidence of one period.
type bucket struct {
	period period
	paid   uint64  // rewards issued for it, where each period pays its own
	count  uint64  // events that counted
	latest int64   // the largest time among them, Unix ns (R3)
	day    Day     // its civil date (T1); noDay where a ledger of version 1 does not say
	ids    []uint8 // the events that counted since the last reward, the newest maxEvidence: places in the ledger's ids
	cells  []cell  // by leaf, then period
}

// noDay is no date.
const noDay = Day(math.MinInt32)

// cell is the evidence of one leaf, as its kind wants it; what a kind does not use is empty.
type cell struct {
	leaf    int
	period  period // where the leaf has a `per` of its own
	count   uint64
	sum     int64 // millionths
	days    days  // periods with a hit
	amounts []periodAmount
	marks   []mark
	values  []string // sorted
}

// campaignKey stands for a campaign's id in ledgers: the first 8 bytes of its SHA-256. Two campaigns in force whose keys
// are the same are refused when they are loaded.
func campaignKey(id string) uint64 {
	sum := sha256.Sum256([]byte(id))
	return binary.BigEndian.Uint64(sum[:8])
}

// progressOf returns the user's progress in a campaign, new where there was none. The pointer holds until the next call.
func (l *Ledger) progressOf(campaign uint64) *progress {
	i, found := l.find(campaign)
	if !found {
		l.progress = slices.Insert(withRoom(l.in.slabs().progress, l.progress), i, progress{campaign: campaign})
	}
	return &l.progress[i]
}

func (l *Ledger) find(campaign uint64) (int, bool) {
	return sort.Find(len(l.progress), func(i int) int { return cmp.Compare(campaign, l.progress[i].campaign) })
}

func (p *progress) findBucket(of period) (int, bool) {
	return sort.Find(len(p.buckets), func(i int) int { return cmp.Compare(of, p.buckets[i].period) })
}

// bucket returns the evidence of a period, new where there was none. The pointer holds until the next call.
func (p *progress) bucket(of period, in *Ledgers) *bucket {
	i, found := p.findBucket(of)
	if !found {
		p.buckets = slices.Insert(withRoom(in.slabs().buckets, p.buckets), i, bucket{period: of})
	}
	return &p.buckets[i]
}

// cell returns the evidence of a leaf, new where there was none. The pointer holds until the next call.
func (b *bucket) cell(leaf int, of period, in *Ledgers) *cell {
	i, found := sort.Find(len(b.cells), func(i int) int { return -b.cells[i].compare(leaf, of) })
	if !found {
		b.cells = slices.Insert(withRoom(in.slabs().cells, b.cells), i, cell{leaf: leaf, period: of})
	}
	return &b.cells[i]
}

// compare says whether a cell stands before (-1) or behind (1) that of a leaf and a period.
func (c *cell) compare(leaf int, of period) int {
	if by := cmp.Compare(c.leaf, leaf); by != 0 {
		return by
	}
	return cmp.Compare(c.period, of)
}

func (c *cell) empty() bool {
	return c.count == 0 && c.sum == 0 && len(c.days) == 0 && len(c.amounts) == 0 && len(c.marks) == 0 && len(c.values) == 0
}

// beginning is the user's progress in a campaign as the campaign's version wants it, new where there was none. The pointer holds until
// the next call.
func (e *Engine) beginning(l *Ledger, c *Campaign) *progress {
	if _, found := l.find(c.key); !found {
		p := l.progressOf(c.key)
		p.epoch, p.revision = c.epoch, c.revision
		return p
	}
	p := l.progressOf(c.key)
	e.restartFor(p, c)
	return p
}

// user is what goals may ask about the user by a clock, Unix ms.
func (l *Ledger) user(c *Campaign, clock int64) user {
	return user{campaign: c, profile: &l.profile, excused: l.excusedIn(c.key), clock: clock, may: true}
}

// startAnew lets a progress begin again: what was paid stays paid, per period too, and ordinals go on.
func (p *progress) startAnew() {
	p.before, p.tried = p.paid, false
	p.buckets = slices.DeleteFunc(p.buckets, func(b bucket) bool { return b.paid == 0 })
	for i := range p.buckets {
		p.buckets[i] = bucket{period: p.buckets[i].period, paid: p.buckets[i].paid}
	}
}

// restartFor begins anew where the campaign has, by a version with `on_change: restart` (L2). It says whether it has.
func (e *Engine) restartFor(p *progress, c *Campaign) bool {
	if p.epoch == c.epoch {
		return false
	}
	p.startAnew()
	if p.epoch < uint64(len(c.units)) && c.units[p.epoch] != c.cycleUnit() {
		p.buckets = nil // periods of another length than the campaign's are now
	}
	p.epoch, e.released = c.epoch, true
	return true
}

// excusedIn are the dates excused in a campaign.
func (l *Ledger) excusedIn(campaign uint64) []Day {
	var dates []Day
	for _, x := range l.excused {
		if x.campaign == 0 || x.campaign == campaign {
			for _, run := range x.dates {
				for day := run.first; day <= run.last; day++ {
					dates = append(dates, day)
				}
			}
		}
	}
	slices.Sort(dates)
	return slices.Compact(dates)
}

// excuse notes dates of a campaign, or of all where the key is 0.
func (l *Ledger) excuse(campaign uint64, dates []Day) {
	i, found := slices.BinarySearchFunc(l.excused, campaign, func(x excused, key uint64) int { return cmp.Compare(x.campaign, key) })
	if !found {
		l.excused = slices.Insert(l.excused, i, excused{campaign: campaign})
	}
	for _, day := range dates {
		l.excused[i].dates.add(day)
	}
}

// forgetExcused drops the dates that no streak can ask for any more: those before the first campaign that is not closed by a clock
// (Unix ms), and all of a campaign that is.
func (e *Engine) forgetExcused(l *Ledger, clock int64) {
	if len(l.excused) == 0 {
		return
	}
	l.excused = slices.DeleteFunc(l.excused, func(x excused) bool {
		c := e.set.byKey[x.campaign]
		return x.campaign != 0 && (c == nil || c.closes(noUnit, 0) <= clock)
	})
	first := e.firstOpenDay(clock)
	for i := range l.excused {
		l.excused[i].dates = l.excused[i].dates.from(first)
	}
	l.excused = slices.DeleteFunc(l.excused, func(x excused) bool { return len(x.dates) == 0 })
}

// Empty says whether nothing is known of the user.
func (l *Ledger) Empty() bool {
	return l.known == 0 && len(l.seen.list) == 0 && len(l.profile.zones) == 0 && len(l.profile.attributes) == 0 && len(l.excused) == 0 && len(l.progress) == 0
}
