package stream

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stampede-rewards/stampede/pkg/state"
)

// Commit travels as metadata with a committed offset, in the same transaction (S3). It fits the broker's limit of 4096 bytes
// by far: a worker's name is bounded by the group's.
type Commit struct {
	Transaction state.TransactionID
	Step        int64 // the position's: how many transactions fired what was due before the record at the offset
	Clock       int64 // the partition's clock, Unix ms (E2)
}

const metadataForm = "stampede/1"

// String is the metadata.
func (c Commit) String() string {
	return fmt.Sprintf("%s %s %d %d", metadataForm, c.Transaction, c.Step, c.Clock)
}

// ParseCommit reads what String wrote. An offset with other metadata was not committed by a processor.
func ParseCommit(s string) (Commit, error) {
	fields := strings.Fields(s)
	if len(fields) != 4 || fields[0] != metadataForm {
		return Commit{}, fmt.Errorf("the committed offset's metadata is %.80q: it was not committed by this version of the processor", s)
	}
	transaction, err := state.ParseTransactionID(fields[1])
	if err != nil {
		return Commit{}, fmt.Errorf("the committed offset's metadata: %w", err)
	}
	step, err := strconv.ParseInt(fields[2], 10, 64)
	if err != nil {
		return Commit{}, fmt.Errorf("the committed offset's metadata: step: %w", err)
	}
	clock, err := strconv.ParseInt(fields[3], 10, 64)
	if err != nil {
		return Commit{}, fmt.Errorf("the committed offset's metadata: clock: %w", err)
	}
	return Commit{transaction, step, clock}, nil
}

// positionKey is the changelog key of a partition's position record (S4). It can't be a user: no UTF-8 begins with 0xff.
const positionKey = "\xffposition"

// PositionRecord is the last changelog record of a partition in every transaction: where the events stood.
type PositionRecord struct {
	Input       int64    // next offset of events
	Step        int64    // see Commit
	Clock       int64    // Unix ms
	EventsTopic [16]byte // Kafka's id of the events topic: a topic made again has another
}

// String is the record's value.
func (p PositionRecord) String() string {
	return fmt.Sprintf("%s %d %d %d %x", metadataForm, p.Input, p.Step, p.Clock, p.EventsTopic)
}

func (p PositionRecord) point() point { return point{p.Input, p.Step} }

// ParsePosition reads a position record.
func ParsePosition(r *kgo.Record) (PositionRecord, error) {
	s := string(r.Value)
	var p PositionRecord
	var form, id string
	if _, err := fmt.Sscanf(s, "%s %d %d %d %s", &form, &p.Input, &p.Step, &p.Clock, &id); err != nil || form != metadataForm {
		return PositionRecord{}, fmt.Errorf("the changelog's position record is %.80q: it was not written by this version of the processor", s)
	}
	var topic []byte
	if _, err := fmt.Sscanf(id, "%x", &topic); err != nil || len(topic) != len(p.EventsTopic) {
		return PositionRecord{}, fmt.Errorf("the changelog's position record names the topic %.80q", id)
	}
	p.EventsTopic = [16]byte(topic)
	return p, nil
}

// IsPosition says whether a changelog record is a position record and no user's ledger.
func IsPosition(r *kgo.Record) bool { return string(r.Key) == positionKey }
