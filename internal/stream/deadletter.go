package stream

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/stampede-rewards/stampede/internal/kafka"
	"github.com/stampede-rewards/stampede/pkg/campaign"
)

// The headers that a dead letter carries beside those of its record (E6).
const (
	headerTopic     = "stampede_topic" // of the record; a reward names the event that it was issued by in the same way
	headerPartition = "stampede_partition"
	headerOffset    = "stampede_offset"
	headerTimestamp = "stampede_timestamp" // of the record, Unix ms
	headerReason    = "stampede_reason"
	headerDetail    = "stampede_detail"
	headerPart      = "stampede_part" // "2/5": see deadLetters
)

// deadLetters are the records for one that can't be processed (E6): its key, value and headers as they were, and in headers
// of ours its place, its time and the reason.
//
// A record that is too large for one dead letter (it may have been compressed better, or its topic takes more) goes whole, key and
// headers too, as the values of numbered parts: put together they are the record in Kafka's own format. WholeRecord reads it.
func (rs records) deadLetters(r *kgo.Record, why *campaign.Rejection) []*kgo.Record {
	ours := append(appendPlace(nil, r),
		kgo.RecordHeader{Key: headerTimestamp, Value: strconv.AppendInt(nil, r.Timestamp.UnixMilli(), 10)},
		kgo.RecordHeader{Key: headerReason, Value: []byte(why.Reason)},
		kgo.RecordHeader{Key: headerDetail, Value: []byte(why.Detail)})
	letter := func(key, value []byte, headers []kgo.RecordHeader) *kgo.Record {
		return &kgo.Record{
			Topic: rs.topics.DeadLetters.Name, Partition: r.Partition % rs.topics.DeadLetters.Partitions,
			Key: key, Value: value, Headers: headers,
		}
	}
	partBytes := int(rs.topics.DeadLetters.MaxMessageBytes) - kafka.LetterHeaderBytes
	size := len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		size += len(h.Key) + len(h.Value) + headerOverhead
	}
	if size <= partBytes {
		return []*kgo.Record{letter(r.Key, r.Value, append(append([]kgo.RecordHeader(nil), r.Headers...), ours...))}
	}
	whole := encodeRecord(r)
	parts := (len(whole) + partBytes - 1) / partBytes
	letters := make([]*kgo.Record, parts)
	for i := range letters {
		part := kgo.RecordHeader{Key: headerPart, Value: []byte(strconv.Itoa(i+1) + "/" + strconv.Itoa(parts))}
		value := whole[i*partBytes : min(len(whole), (i+1)*partBytes)]
		letters[i] = letter(nil, value, append(append([]kgo.RecordHeader(nil), ours...), part))
	}
	return letters
}

// addedHeaders is how many headers a dead letter of one part has beside its record's: the place, time, reason and detail.
const addedHeaders = placeHeaders + 3

// headerOverhead is the most that a header's two lengths take.
const headerOverhead = 10

// encodeRecord writes key, value and headers in Kafka's record format (KIP-98), with no offset or time of its own.
func encodeRecord(r *kgo.Record) []byte {
	record := kmsg.Record{Key: r.Key, Value: r.Value}
	for _, h := range r.Headers {
		record.Headers = append(record.Headers, kmsg.Header{Key: h.Key, Value: h.Value})
	}
	body := record.AppendTo(nil)
	record.Length = int32(len(body) - 1) //nolint:gosec // no record is that long; the first byte is the length 0
	return record.AppendTo(nil)
}

// WholeRecord puts the parts of a dead letter together, in their order, and returns the key, value and headers of the
// record that could not be processed. A dead letter without parts is its own record.
func WholeRecord(letters []*kgo.Record) (*kgo.Record, error) {
	if len(letters) == 0 {
		return nil, errors.New("no dead letter")
	}
	var whole []byte
	for i, l := range letters {
		part := Header(l, headerPart)
		if part == "" && len(letters) == 1 {
			return ownRecord(l), nil
		}
		if want := fmt.Sprintf("%d/%d", i+1, len(letters)); part != want {
			return nil, fmt.Errorf("dead letter %s/%d@%d is part %q, wanted %s", l.Topic, l.Partition, l.Offset, part, want)
		}
		whole = append(whole, l.Value...)
	}
	var record kmsg.Record
	if err := record.ReadFrom(whole); err != nil {
		return nil, fmt.Errorf("dead letter %s/%d@%d: its parts are no record: %w", letters[0].Topic, letters[0].Partition, letters[0].Offset, err)
	}
	r := &kgo.Record{Key: record.Key, Value: record.Value}
	for _, h := range record.Headers {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	return r, nil
}

// ownRecord is a dead letter without the headers that were added.
func ownRecord(l *kgo.Record) *kgo.Record {
	r := &kgo.Record{Key: l.Key, Value: l.Value}
	if own := len(l.Headers) - addedHeaders; own > 0 {
		r.Headers = l.Headers[:own]
	}
	return r
}

// Header returns a record's last header of a name, empty if it has none.
func Header(r *kgo.Record, name string) string {
	for _, h := range slices.Backward(r.Headers) {
		if h.Key == name {
			return string(h.Value)
		}
	}
	return ""
}
