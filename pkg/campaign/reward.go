package campaign

import (
	"crypto/sha256"
	"math"
	"strconv"
	"unicode/utf8"
)

// Reward is one reward issued to one user (R2). Its id is a pure function of campaign, user, cycle and tier (R1).
type Reward struct {
	ID            string
	Campaign      *Campaign
	User          string
	Cycle         string       // from "1"
	Tier          string       // from "1"
	Terms         *RewardTerms // what is promised for the tier
	AchievedAt    int64        // Unix ns: the largest time among the evidence (R3)
	IssuedAt      int64        // Unix ms: the clock of the record that issued it (R3)
	Evidence      []string
	EvidenceCount uint64
}

// RewardType is the CloudEvents type of a reward's record, RewardContentType the record's content-type header.
const (
	RewardType        = "stampede.reward.issued"
	RewardContentType = "application/cloudevents+json"
)

// RewardID is the UUID (version 8, RFC 9562) of a reward, rule R1: the first 16 bytes of the SHA-256 over netstrings.
func RewardID(campaign, user, cycle, tier string) string {
	var space [128]byte // what most take
	b := space[:0]
	for _, s := range [...]string{"stampede:reward:v1", campaign, user, cycle, tier} {
		b = strconv.AppendInt(b, int64(len(s)), 10)
		b = append(b, ':')
		b = append(b, s...)
		b = append(b, ',')
	}
	sum := sha256.Sum256(b)
	sum[6] = sum[6]&0x0f | 0x80 // version 8
	sum[8] = sum[8]&0x3f | 0x80 // variant of RFC 9562
	return formatUUID(sum[:16])
}

// AppendJSON writes the reward's record: a structured CloudEvent (R2). Members are in a fixed order, so equal rewards have
// equal bytes (P3).
func (r *Reward) AppendJSON(dst []byte) []byte {
	c := r.Campaign
	dst = append(dst, `{"specversion":"1.0","id":`...)
	dst = appendJSONString(dst, r.ID)
	dst = append(dst, `,"source":`...)
	dst = appendJSONString(dst, "/stampede/campaigns/"+c.ID)
	dst = append(dst, `,"type":"`+RewardType+`","subject":`...)
	dst = appendJSONString(dst, r.User)
	dst = append(dst, `,"time":"`...)
	dst = formatTime(dst, r.AchievedAt)
	dst = append(dst, `","datacontenttype":"application/json","data":{"reward_id":`...)
	dst = appendJSONString(dst, r.ID)
	dst = append(dst, `,"campaign":`...)
	dst = appendJSONString(dst, c.ID)
	dst = append(dst, `,"version":`...)
	dst = strconv.AppendInt(dst, int64(c.Version), 10)
	if c.Sponsor != "" {
		dst = append(dst, `,"sponsor":`...)
		dst = appendJSONString(dst, c.Sponsor)
	}
	dst = append(dst, `,"user":`...)
	dst = appendJSONString(dst, r.User)
	dst = append(dst, `,"cycle":`...)
	dst = appendJSONString(dst, r.Cycle)
	dst = append(dst, `,"tier":`...)
	dst = appendJSONString(dst, r.Tier)
	dst = r.Terms.append(append(dst, ','))
	dst = append(dst, `,"achieved_at":"`...)
	dst = formatTime(dst, r.AchievedAt)
	dst = append(dst, `","issued_at":"`...)
	dst = formatTime(dst, msToNs(r.IssuedAt))
	dst = append(dst, '"', ',')
	return append(r.appendEvidence(dst), `}}`...)
}

// append writes what is promised as members of an object.
func (t *RewardTerms) append(dst []byte) []byte {
	dst = append(dst, `"kind":`...)
	dst = appendJSONString(dst, t.Kind)
	if a := t.Amount; a != nil {
		dst = append(dst, `,"amount":{"units":`...)
		dst = strconv.AppendInt(dst, a.Units, 10)
		dst = append(dst, `,"currency":"`+a.Currency+`"}`...)
	}
	if t.Attributes != nil {
		dst = append(dst, `,"attributes":`...)
		dst = append(dst, t.Attributes...)
	}
	return dst
}

// appendEvidence does so for the evidence.
func (r *Reward) appendEvidence(dst []byte) []byte {
	dst = append(dst, `"evidence":[`...)
	for i, id := range r.Evidence {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendJSONString(dst, id)
	}
	dst = append(dst, `],"evidence_count":`...)
	return strconv.AppendUint(dst, r.EvidenceCount, 10)
}

// msToNs converts a clock to the unit of an event's time; a clock beyond what ns can hold becomes the last instant.
func msToNs(ms int64) int64 {
	const unit = 1_000_000
	if ms > math.MaxInt64/unit {
		return math.MaxInt64
	}
	if ms < math.MinInt64/unit {
		return math.MinInt64
	}
	return ms * unit
}

// appendJSONString writes a JSON string. It escapes what RFC 8259 demands and nothing else, whatever the Go release does.
func appendJSONString(dst []byte, s string) []byte {
	const hexDigits = "0123456789abcdef"
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, `\n`...)
		case c < 0x20:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		case c < utf8.RuneSelf:
			dst = append(dst, c)
		default:
			r, size := utf8.DecodeRuneInString(s[i:])
			dst = utf8.AppendRune(dst, r) // what is not UTF-8 becomes U+FFFD
			i += size
			continue
		}
		i++
	}
	return append(dst, '"')
}
