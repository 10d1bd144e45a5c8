package partner

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
)

// feed is a partition of the partner's topic on its way out, in batches of records that follow each other.
//
// A batch is announced before it is delivered: the group's offset stays where it is, and its metadata say where the batch ends. Who goes on after a crash
// delivers the very same batch again, whatever has been written since; so its id is the same, and the receiver can drop it.
type feed struct {
	partition int32
	position  int64         // the group's offset: everything before it is delivered
	announced int64         // the end of the batch that is announced, 0 for none
	pending   []*kgo.Record // polled and not delivered, in order
}

// batch is what is delivered at a time.
type batch struct {
	records []*kgo.Record
	end     int64 // the offset behind its last record
}

// add takes records that were polled.
func (f *feed) add(records []*kgo.Record) { f.pending = append(f.pending, records...) }

// next is the batch to deliver, of most records at most; nil where more has to be polled first. A batch that is announced is what it was.
func (f *feed) next(most int) *batch {
	if f.announced != 0 {
		n := 0
		for n < len(f.pending) && f.pending[n].Offset < f.announced {
			n++
		}
		if n > 0 && (f.pending[n-1].Offset == f.announced-1 || n < len(f.pending)) {
			return &batch{f.pending[:n], f.announced}
		}
		if n < len(f.pending) {
			f.announced = 0 // the topic's retention has taken all of it
		}
	}
	if f.announced != 0 || len(f.pending) == 0 {
		return nil
	}
	records := f.pending[:min(most, len(f.pending))]
	return &batch{records, records[len(records)-1].Offset + 1}
}

// delivered takes a batch off.
func (f *feed) delivered(b *batch) {
	f.pending = f.pending[len(b.records):]
	f.position, f.announced = b.end, 0
}

// announcePrefix begins the metadata of an offset behind which a batch is announced.
const announcePrefix = "stampede-batch-until "

func (f *feed) metadata() string {
	if f.announced == 0 {
		return ""
	}
	return announcePrefix + strconv.FormatInt(f.announced, 10)
}

// readMetadata is what metadata announced.
func (f *feed) readMetadata(metadata string) error {
	if metadata == "" {
		return nil
	}
	text, ok := strings.CutPrefix(metadata, announcePrefix)
	end, err := strconv.ParseInt(text, 10, 64)
	if !ok || err != nil || end <= f.position {
		return fmt.Errorf("partition %d: the group's offset %d has the metadata %q, which no push writes: does another program use the group?", f.partition, f.position, metadata)
	}
	f.announced = end
	return nil
}

// id names the batch by its place in the log, and tells nothing of it.
func (b *batch) id() string {
	first, last := b.records[0], b.records[len(b.records)-1]
	sum := sha256.Sum256(fmt.Appendf(nil, "stampede:batch:v1 %s/%d@%d-%d", first.Topic, first.Partition, first.Offset, last.Offset))
	return "msg_" + hex.EncodeToString(sum[:16])
}

// cloudEvent is an outcome in a batch. It has no `time`: a partner is not to know it.
type cloudEvent struct {
	SpecVersion string    `json:"specversion"`
	ID          string    `json:"id"`
	Source      string    `json:"source"`
	Type        string    `json:"type"`
	Subject     string    `json:"subject"` // the pseudonym
	ContentType string    `json:"datacontenttype"`
	Data        eventData `json:"data"`
}

type eventData struct {
	Campaign string  `json:"campaign"`
	Sponsor  string  `json:"sponsor,omitempty"`
	Outcome  string  `json:"outcome"`
	Cycle    string  `json:"cycle"`
	Tier     string  `json:"tier"`
	Date     string  `json:"date"`
	Key      string  `json:"key"`
	Others   []Other `json:"other_pseudonyms,omitempty"`
}

// body is the batch as CloudEvents, the same bytes each time.
func (b *batch) body() ([]byte, error) {
	events := make([]cloudEvent, len(b.records))
	for i, r := range b.records {
		o, err := Read(r)
		if err != nil {
			return nil, err
		}
		events[i] = cloudEvent{
			SpecVersion: "1.0", ID: fmt.Sprintf("%s/%d/%d", r.Topic, r.Partition, r.Offset), Source: "/stampede/outcomes",
			Type: "stampede.outcome." + o.Kind, Subject: o.Pseudonym, ContentType: "application/json",
			Data: eventData{o.Campaign, o.Sponsor, o.Kind, o.Cycle, o.Tier, o.Date, o.KeyID, o.Others},
		}
	}
	return json.Marshal(events)
}
