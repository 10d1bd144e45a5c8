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
//
// Transactions end with markers, which have offsets as records have. The position goes on behind them, too: else retention that takes a marker would look as
// if it had taken an outcome.
type feed struct {
	partition int32
	position  int64         // the group's offset: everything before it is delivered; unknown until the group has one
	committed int64         // the position that the group knows
	announced int64         // the end of the batch that is announced, 0 for none
	pending   []*kgo.Record // polled and not delivered, in order, markers among them
}

// unknown is the position of a feed that nobody has read: where its log begins. It may begin later when it is read.
const unknown = -1

// batch is what is delivered at a time.
type batch struct {
	records []*kgo.Record
	end     int64 // the offset behind its last record
}

// add takes records that were polled.
func (f *feed) add(records []*kgo.Record) {
	if f.position == unknown && len(records) > 0 {
		f.position = records[0].Offset
	}
	f.pending = append(f.pending, records...)
}

// next is the batch to deliver, of most records at most; nil where more has to be polled first. A batch that is announced is what it was.
func (f *feed) next(most int) *batch {
	if f.announced != 0 {
		n := 0
		for n < len(f.pending) && f.pending[n].Offset < f.announced {
			n++
		}
		if n == len(f.pending) && (n == 0 || f.pending[n-1].Offset != f.announced-1) {
			return nil
		}
		if records := outcomesOf(f.pending[:n], n); len(records) > 0 {
			return &batch{records, f.announced}
		}
		f.announced = 0 // the topic's retention has taken all of it
	}
	f.pass()
	records := outcomesOf(f.pending, most)
	if len(records) == 0 {
		return nil
	}
	return &batch{records, records[len(records)-1].Offset + 1}
}

// pass moves the position behind markers.
func (f *feed) pass() {
	for len(f.pending) > 0 && f.pending[0].Attrs.IsControl() {
		f.position = f.pending[0].Offset + 1
		f.pending = f.pending[1:]
	}
}

// outcomesOf are the first of the records that are no markers.
func outcomesOf(pending []*kgo.Record, most int) (records []*kgo.Record) {
	for _, r := range pending {
		if len(records) == most {
			break
		}
		if !r.Attrs.IsControl() {
			records = append(records, r)
		}
	}
	return records
}

// delivered takes a batch off.
func (f *feed) delivered(b *batch) {
	for len(f.pending) > 0 && f.pending[0].Offset < b.end {
		f.pending = f.pending[1:]
	}
	f.position, f.announced = b.end, 0
	f.pass()
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
			SpecVersion: "1.0", ID: strings.ReplaceAll(placeOf(r), "@", "/"), Source: "/stampede/outcomes",
			Type: "stampede.outcome." + o.Kind, Subject: o.Pseudonym, ContentType: "application/json",
			Data: eventData{o.Campaign, o.Sponsor, o.Kind, o.Cycle, o.Tier, o.Date, o.KeyID, o.Others},
		}
	}
	return json.Marshal(events)
}

// placeOf is where an outcome was written first, TOPIC/PARTITION@OFFSET. A dead letter says it of itself: so the outcome has one id wherever it is delivered
// from, and however often it was buried.
func placeOf(r *kgo.Record) string {
	for _, h := range r.Headers {
		if h.Key == headerPlace {
			return string(h.Value)
		}
	}
	return fmt.Sprintf("%s/%d@%d", r.Topic, r.Partition, r.Offset)
}
