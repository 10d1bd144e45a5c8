package stream

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stampede-rewards/stampede/pkg/state"
)

// commitMetadata travels with a committed offset, in the same transaction (S3). It fits the broker's limit of 4096 bytes
// by far: a worker's name is bounded by the group's.
type commitMetadata struct {
	transaction state.TransactionID
	step        int64 // the position's
	clock       int64 // the partition's clock, Unix ms (E2)
}

const metadataForm = "stampede/1"

func (m commitMetadata) String() string {
	return fmt.Sprintf("%s %s %d %d", metadataForm, m.transaction, m.step, m.clock)
}

// parseMetadata reads what String wrote. An offset with other metadata was not committed by a processor.
func parseMetadata(s string) (commitMetadata, error) {
	fields := strings.Fields(s)
	if len(fields) != 4 || fields[0] != metadataForm {
		return commitMetadata{}, fmt.Errorf("the committed offset's metadata is %.80q: it was not committed by this version of the processor", s)
	}
	transaction, err := state.ParseTransactionID(fields[1])
	if err != nil {
		return commitMetadata{}, fmt.Errorf("the committed offset's metadata: %w", err)
	}
	step, err := strconv.ParseInt(fields[2], 10, 64)
	if err != nil {
		return commitMetadata{}, fmt.Errorf("the committed offset's metadata: step: %w", err)
	}
	clock, err := strconv.ParseInt(fields[3], 10, 64)
	if err != nil {
		return commitMetadata{}, fmt.Errorf("the committed offset's metadata: clock: %w", err)
	}
	return commitMetadata{transaction, step, clock}, nil
}

// Commit is what a processor writes beside a committed offset, for whoever judges.
type Commit struct {
	Transaction state.TransactionID
	Step        int64 // how many transactions fired what was due before the record at the offset
	Clock       int64 // Unix ms
}

// ParseCommit reads the metadata of a committed offset.
func ParseCommit(metadata string) (Commit, error) {
	m, err := parseMetadata(metadata)
	return Commit{m.transaction, m.step, m.clock}, err
}

// positionKey is the changelog key of a partition's position record (S4). It can't be a user: no UTF-8 begins with 0xff.
const positionKey = "\xffposition"

// positionRecord is the last changelog record of a partition in every transaction: where the events stood.
type positionRecord struct {
	point                // next offset of events, and the step
	clock       int64    // Unix ms
	eventsTopic [16]byte // Kafka's id of the events topic: a topic made again has another
}

func (p positionRecord) String() string {
	return fmt.Sprintf("%s %d %d %d %x", metadataForm, p.input, p.step, p.clock, p.eventsTopic)
}

func parsePosition(s string) (positionRecord, error) {
	var p positionRecord
	var form, id string
	if _, err := fmt.Sscanf(s, "%s %d %d %d %s", &form, &p.input, &p.step, &p.clock, &id); err != nil || form != metadataForm {
		return positionRecord{}, fmt.Errorf("the changelog's position record is %.80q: it was not written by this version of the processor", s)
	}
	var topic []byte
	if _, err := fmt.Sscanf(id, "%x", &topic); err != nil || len(topic) != len(p.eventsTopic) {
		return positionRecord{}, fmt.Errorf("the changelog's position record names the topic %.80q", id)
	}
	p.eventsTopic = [16]byte(topic)
	return p, nil
}

// PositionRecord is what a position record says, for whoever judges.
type PositionRecord struct {
	Input, Step int64
	Clock       int64 // Unix ms
	EventsTopic [16]byte
}

// ParsePosition reads a position record.
func ParsePosition(r *kgo.Record) (PositionRecord, error) {
	p, err := parsePosition(string(r.Value))
	return PositionRecord{p.input, p.step, p.clock, p.eventsTopic}, err
}

// IsPosition says whether a changelog record is a position record and no user's ledger.
func IsPosition(r *kgo.Record) bool { return string(r.Key) == positionKey }
