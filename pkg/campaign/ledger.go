package campaign

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"
)

// Ledger is everything that is known of one user: the recent events, the profile's history and the progress in every
// campaign. It is one value in the store and one record in the changelog. The zero Ledger is a user of whom nothing is known.
type Ledger struct {
	seen      seen
	profile   profile
	progress  []progress // by campaign key
	sizeBound int        // no encoding of this ledger is longer (E7)
}

// progress is one user's state in one campaign. What every goal needs is here; `days` is the streak's.
type progress struct {
	campaign uint64   // campaignKey of the campaign's id
	paid     uint64   // rewards issued: the ordinals 1 to paid
	count    uint64   // events that counted
	latest   int64    // the largest time among them, Unix ns (R3)
	ids      []string // ids of the events that counted since the last reward, the newest maxEvidence
	days     days     // days with a hit (G6)
}

// maxEvidence is how many event ids a reward can name (R2).
const maxEvidence = 32

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
		l.progress = slices.Insert(l.progress, i, progress{campaign: campaign})
	}
	return &l.progress[i]
}

// paid returns how many rewards the user has from a campaign.
func (l *Ledger) paid(campaign uint64) uint64 {
	if i, found := l.find(campaign); found {
		return l.progress[i].paid
	}
	return 0
}

func (l *Ledger) find(campaign uint64) (int, bool) {
	return slices.BinarySearchFunc(l.progress, campaign, func(p progress, key uint64) int { return cmp.Compare(p.campaign, key) })
}

// note counts an event as evidence. id is copied.
func (p *progress) note(at int64, id string) {
	if p.count == 0 || at > p.latest {
		p.latest = at
	}
	p.count++
	if len(p.ids) == maxEvidence {
		p.ids = slices.Delete(p.ids, 0, 1)
	}
	p.ids = append(p.ids, string([]byte(id)))
}

// finish drops all that an ended progress does not need: nothing can be earned any more, only what was paid is remembered.
func (p *progress) finish() { *p = progress{campaign: p.campaign, paid: p.paid} }

// Empty says whether nothing is known of the user.
func (l *Ledger) Empty() bool {
	return len(l.seen) == 0 && len(l.profile.zones) == 0 && len(l.profile.attributes) == 0 && len(l.progress) == 0
}
