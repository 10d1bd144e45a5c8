package state

import (
	"fmt"
	"strconv"
	"strings"
)

// TransactionID names one Kafka transaction for ever: the runtime commits it with the offsets, and the journal keeps it.
type TransactionID struct {
	Worker      string // the worker's name
	Incarnation uint64 // one for every life of the worker
	Sequence    uint64 // counts the cycles of that life
}

// String is "worker/incarnation in hex/sequence".
func (id TransactionID) String() string {
	return id.Worker + "/" + strconv.FormatUint(id.Incarnation, 16) + "/" + strconv.FormatUint(id.Sequence, 10)
}

// ParseTransactionID reads what [TransactionID.String] writes, and nothing else. The worker's name may contain slashes.
func ParseTransactionID(text string) (TransactionID, error) {
	head, sequence, ok := cutLast(text)
	if !ok {
		return TransactionID{}, fmt.Errorf("transaction id %q: want worker/incarnation/sequence", text)
	}
	worker, incarnation, ok := cutLast(head)
	if !ok {
		return TransactionID{}, fmt.Errorf("transaction id %q: want worker/incarnation/sequence", text)
	}
	id := TransactionID{Worker: worker}
	var err error
	if id.Incarnation, err = strconv.ParseUint(incarnation, 16, 64); err != nil {
		return TransactionID{}, fmt.Errorf("transaction id %q: incarnation: %w", text, err)
	}
	if id.Sequence, err = strconv.ParseUint(sequence, 10, 64); err != nil {
		return TransactionID{}, fmt.Errorf("transaction id %q: sequence: %w", text, err)
	}
	if id.String() != text {
		return TransactionID{}, fmt.Errorf("transaction id %q: should be written %q", text, id)
	}
	return id, nil
}

func cutLast(text string) (before, after string, found bool) {
	i := strings.LastIndexByte(text, '/')
	if i < 0 {
		return "", "", false
	}
	return text[:i], text[i+1:], true
}
