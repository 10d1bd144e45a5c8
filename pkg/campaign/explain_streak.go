package campaign

import "fmt"

// hit is one of a streak's hits: its period, and where it stands when countable periods alone are numbered.
type hit struct {
	period period
	at     int
}

// unused are the hits behind the last run that pays: what the next one can begin with.
func (k *streak) unused(c *cell, u user, length int) []hit {
	var hits []hit
	for p, at := range k.hitsIn(c, u) {
		hits = append(hits, hit{p, at})
		if n := len(hits); len(k.hits) == 1 && n >= length && at-hits[n-length].at+1 <= length+k.forgive {
			hits = hits[:0]
		}
	}
	return hits
}

// maxAhead bounds the periods that are looked at for the one by which a run goes on.
const maxAhead = 1000

// deadline is the last period in which a hit can follow another one where so many countable periods between them may be missed. ok is false where it
// is too far away to be told.
func (k *streak) deadline(after period, mayMiss int, u user) (p period, ok bool) {
	for p = after + 1; p <= after+maxAhead; p++ {
		if !k.countable(p, u) {
			continue
		}
		if mayMiss--; mayMiss < 0 {
			return p, true
		}
	}
	return 0, false
}

func (k *streak) stand(c *cell, u user) string {
	length := k.hits[0]
	if len(k.hits) > 1 {
		length = k.hits[min(k.worth(c, u), len(k.hits)-1)]
	}
	of := fmt.Sprintf(" of %s in a row", counted(length, k.unit))
	hits, tried := k.unused(c, u, length), -1
	for i := max(0, len(hits)-length+1); i < len(hits); i++ { // the longest run that is alive begins first
		last, has := hits[len(hits)-1], len(hits)-i
		missed := last.at - hits[i].at + 1 - has
		if missed > k.forgive || missed == tried {
			continue
		}
		tried = missed // it is broken: so is one that begins later and has missed as many
		until, told := k.deadline(last.period, k.forgive-missed, u)
		if told && u.campaign.closes(k.unit, until) <= u.clock {
			continue
		}
		text := fmt.Sprintf("%d%s, the last hit is %s", has, of, k.unit.key(last.period))
		if k.forgive > 0 {
			text += fmt.Sprintf(", %d of %d forgiven", missed, k.forgive)
		}
		if told {
			text += fmt.Sprintf("; the next hit is to be %s at the latest", k.unit.key(until))
		}
		return text + k.begun(c)
	}
	text := "0" + of
	if len(hits) > 0 {
		text += ": the run whose last hit is " + k.unit.key(hits[len(hits)-1].period) + " is broken, and the next hit begins another"
	}
	return text + k.begun(c)
}

// begun tells of the newest period that has something, and is no hit.
func (k *streak) begun(c *cell) string {
	if len(c.amounts) == 0 {
		return ""
	}
	a := c.amounts[len(c.amounts)-1]
	if k.sum {
		return fmt.Sprintf("; %s has %s of %s", k.unit.key(a.period), decimal(a.amount), decimal(k.least))
	}
	return fmt.Sprintf("; %s has %d of %d events", k.unit.key(a.period), a.amount, k.least)
}
