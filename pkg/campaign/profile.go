package campaign

import (
	"cmp"
	"slices"
	"strings"
)

// profile is what is known of a user beside events (C1): zones and attributes, each with the instant from which it is in
// force. Records may arrive in any order: what is in force at an instant is the newest told for it or before.
type profile struct {
	zones      []zoneChange // by time; older ones are kept as far back as a streak may span them (G6)
	attributes []attribute  // by name
}

type zoneChange struct {
	at   int64 // Unix ns
	zone *zone
}

type attribute struct {
	name     string
	versions []version // by time
}

// version is an attribute's value from an instant on: its JSON text, nil where it was removed.
type version struct {
	at    int64 // Unix ns
	value []byte
}

// zoneAt returns the zone in force at an instant, or nil where none had been told for it.
func (p *profile) zoneAt(at int64) *zone {
	for _, change := range slices.Backward(p.zones) {
		if change.at <= at {
			return change.zone
		}
	}
	return nil
}

// setZone notes that the user is in z from an instant on. Of two for the same instant the one that arrives later holds.
func (p *profile) setZone(at int64, z *zone) {
	i, found := slices.BinarySearchFunc(p.zones, at, func(c zoneChange, at int64) int { return cmp.Compare(c.at, at) })
	if found {
		p.zones[i].zone = z
	} else {
		p.zones = slices.Insert(p.zones, i, zoneChange{at, z})
	}
}

// setAttribute notes an attribute's value (JSON text; nil removes it) from an instant on.
func (p *profile) setAttribute(at int64, name string, value []byte) {
	i, found := slices.BinarySearchFunc(p.attributes, name, func(a attribute, name string) int { return strings.Compare(a.name, name) })
	if !found {
		p.attributes = slices.Insert(p.attributes, i, attribute{name: strings.Clone(name)})
	}
	a := &p.attributes[i]
	j, found := slices.BinarySearchFunc(a.versions, at, func(v version, at int64) int { return cmp.Compare(v.at, at) })
	if found {
		a.versions[j].value = value
	} else {
		a.versions = slices.Insert(a.versions, j, version{at, value})
	}
}

// forget drops the values that no event in time can see any more: all but the newest one at or before the horizon (Unix ns). That one
// stays even where it says that the attribute was removed: an older value may still be told.
func (p *profile) forget(horizon int64) {
	for i := range p.attributes {
		a := &p.attributes[i]
		n := 0
		for n+1 < len(a.versions) && a.versions[n+1].at <= horizon {
			n++
		}
		a.versions = slices.Delete(a.versions, 0, n)
	}
}

// hasOldZones says whether forgetZones may find any, which costs a look at the campaigns.
func (p *profile) hasOldZones(horizon int64) bool {
	return len(p.zones) > 1 && p.zones[1].at <= horizon
}

// forgetZones drops the zones that no event in time can see any more and no streak asks for, back to the first date of a campaign.
func (p *profile) forgetZones(horizon int64, first Day) {
	const widest = 3 // days from a date's midnight in UTC within which the date lies, wherever one is
	old := 0
	for old+1 < len(p.zones) && p.zones[old+1].at <= min(horizon, msToNs(int64(first-widest)*dayMs)) {
		old++
	}
	p.zones = slices.Delete(p.zones, 0, old)
}

// forgetRepeats drops a zone told again, which is no change, once nothing can come between: when a newer one is past. The newest that is past
// stays, as it overtakes what is told later of an earlier time.
func (p *profile) forgetRepeats(past func(at int64) bool) {
	for i := len(p.zones) - 2; i > 0; i-- {
		if p.zones[i].zone.name == p.zones[i-1].zone.name && past(p.zones[i+1].at) {
			p.zones = slices.Delete(p.zones, i, i+1)
		}
	}
}

// overtaken says whether a newer zone than one of an instant is past.
func (p *profile) overtaken(at int64, past func(at int64) bool) bool {
	return slices.ContainsFunc(p.zones, func(c zoneChange) bool { return c.at > at && past(c.at) })
}

// appendAttributes writes the attributes in force at an instant as one JSON object.
func (p *profile) appendAttributes(dst []byte, at int64) []byte {
	dst = append(dst, '{')
	for i := range p.attributes {
		a := &p.attributes[i]
		j := len(a.versions) - 1
		for j >= 0 && a.versions[j].at > at {
			j--
		}
		if j < 0 || a.versions[j].value == nil {
			continue
		}
		if dst[len(dst)-1] != '{' {
			dst = append(dst, ',')
		}
		dst = appendJSONString(dst, a.name)
		dst = append(dst, ':')
		dst = append(dst, a.versions[j].value...)
	}
	return append(dst, '}')
}

// compactJSON copies a JSON text without its white space, so that a ledger does not depend on how a sender indents.
func compactJSON(raw []byte) []byte {
	dst := make([]byte, 0, len(raw))
	inString := false
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		switch {
		case inString && c == '\\':
			dst = append(dst, c, raw[i+1])
			i++
			continue
		case c == '"':
			inString = !inString
		case !inString && (c == ' ' || c == '\t' || c == '\n' || c == '\r'):
			continue
		}
		dst = append(dst, c)
	}
	return dst
}
