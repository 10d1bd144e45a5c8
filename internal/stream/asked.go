package stream

import "github.com/twmb/franz-go/pkg/kgo"

// What the runtime asks of Kafka, for whoever looks beforehand whether it would get it.

const (
	// LongestTransaction is the longest timeout that is asked for: a worker's, a publish's or a replay's.
	LongestTransaction = max(transactionTimeout, publishTimeout, replayTimeout)
	// SessionTimeout is what a worker asks of its group.
	SessionTimeout = sessionTimeout
)

// TransactionalID is that of a worker.
func TransactionalID(group, instance string) string { return group + "-" + instance }

// IsReplay says whether an event was sent again because of a dead letter: then it was not its producer who chose the partition.
func IsReplay(r *kgo.Record) bool { return Header(r, headerReplayOf) != "" }
