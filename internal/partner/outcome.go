package partner

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"regexp"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stampede-rewards/stampede/pkg/campaign"
)

// The headers of an outcome's record. It has no others.
const (
	// HeaderKey is the id of the key that made the pseudonym.
	HeaderKey = "stampede_key"
	// HeaderOther is a pseudonym of the same user under another key of the partner's, `<key id>:<pseudonym>`; there is one for each other key, in the
	// order of the configuration. So during an overlap a partner can join what it had with what comes.
	HeaderOther = "stampede_other_pseudonym"
)

// firstAnywhere is how long before a date begins in UTC it begins where it does first, at UTC+14:00.
const firstAnywhere = 14 * time.Hour

// Record is an outcome on the partner's topic, which has so many partitions (O1). It says what a partner may know and nothing else, so its timestamp is the
// instant at which the civil date first began anywhere: that tells no more than the date, and is never ahead of a broker's clock. Equal outcomes have
// equal records (P3).
func (p *Partner) Record(o *campaign.Outcome, partitions int32) *kgo.Record {
	key := p.Keys[0]
	pseudonym := key.Pseudonym(o.User)
	headers := []kgo.RecordHeader{{Key: HeaderKey, Value: []byte(key.ID)}}
	for _, other := range p.Keys[1:] {
		headers = append(headers, kgo.RecordHeader{Key: HeaderOther, Value: []byte(other.ID + ":" + other.Pseudonym(o.User))})
	}
	return &kgo.Record{
		Topic: p.Topic, Partition: partitionOf(pseudonym, partitions), Timestamp: firstInstant(o.Date),
		Key: []byte(pseudonym), Value: o.AppendShared(nil), Headers: headers,
	}
}

// partitionOf keeps the outcomes of a pseudonym in order.
func partitionOf(pseudonym string, partitions int32) int32 {
	h := fnv.New32a()
	h.Write([]byte(pseudonym))
	return int32(h.Sum32() % uint32(partitions)) //nolint:gosec // both are positive and small
}

func firstInstant(d campaign.Day) time.Time {
	return time.Unix(int64(d)*int64(24*time.Hour/time.Second), 0).UTC().Add(-firstAnywhere)
}

// Outcome is what a partner reads.
type Outcome struct {
	Pseudonym string
	KeyID     string
	Others    []Other // the same user's pseudonyms under other keys, during an overlap

	Campaign string
	Sponsor  string // empty where the campaign has none
	Kind     string // achieved, failed, withdrawn
	Cycle    string
	Tier     string
	Date     string // civil, 2026-03-01
}

// Other is a pseudonym under another key.
type Other struct {
	KeyID     string `json:"key" parquet:"key"`
	Pseudonym string `json:"pseudonym" parquet:"pseudonym"`
}

var pseudonymForm = regexp.MustCompile(`^[0-9a-f]{64}$`)

// Read reads an outcome's record. The error names its place and what is wrong.
func Read(r *kgo.Record) (Outcome, error) {
	o, err := parse(r)
	if err != nil {
		return o, fmt.Errorf("%s/%d@%d is no outcome: %w: does another program write to the topic?", r.Topic, r.Partition, r.Offset, err)
	}
	return o, nil
}

func parse(r *kgo.Record) (Outcome, error) {
	var value struct {
		Campaign string `json:"campaign"`
		Sponsor  string `json:"sponsor"`
		Outcome  string `json:"outcome"`
		Cycle    string `json:"cycle"`
		Tier     string `json:"tier"`
		Date     string `json:"date"`
	}
	d := json.NewDecoder(bytes.NewReader(r.Value))
	d.DisallowUnknownFields()
	if err := d.Decode(&value); err != nil {
		return Outcome{}, err
	}
	o := Outcome{
		Pseudonym: string(r.Key), Campaign: value.Campaign, Sponsor: value.Sponsor, Kind: value.Outcome, Cycle: value.Cycle, Tier: value.Tier, Date: value.Date,
	}
	for _, h := range r.Headers {
		switch h.Key {
		case HeaderKey:
			o.KeyID = string(h.Value)
		case HeaderOther:
			id, pseudonym, ok := strings.Cut(string(h.Value), ":")
			if !ok || !pseudonymForm.MatchString(pseudonym) {
				return o, fmt.Errorf("its header %s has no pseudonym", h.Key)
			}
			o.Others = append(o.Others, Other{id, pseudonym})
		}
	}
	_, err := time.Parse(time.DateOnly, o.Date)
	switch {
	case err != nil:
		return o, fmt.Errorf("its date: %w", err)
	case !pseudonymForm.MatchString(o.Pseudonym):
		return o, errors.New("its key is no pseudonym")
	case o.KeyID == "" || o.Campaign == "" || o.Kind == "":
		return o, errors.New("a part of it is missing")
	}
	return o, nil
}
