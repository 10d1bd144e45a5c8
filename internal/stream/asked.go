package stream

import (
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stampede-rewards/stampede/internal/kafka"
)

// What the runtime asks of Kafka, for whoever looks beforehand whether it would get it.

const (
	// LongestTransaction is the longest timeout that is asked for: a worker's, a publish's or a replay's.
	LongestTransaction = max(transactionTimeout, publishTimeout, replayTimeout)
	// SessionTimeout is what a worker asks of its group.
	SessionTimeout = sessionTimeout
)

// TransactionalID is that of a worker.
func TransactionalID(group, instance string) string { return group + "-" + instance }

// Uses says what a worker does with topics: which it reads, and which it writes.
func Uses(cfg kafka.TopicsConfig) kafka.TopicsConfig {
	names := cfg.Names.WithDefaults()
	cfg.Reads = []string{names.Events, names.Changelog}
	cfg.Writes = append([]string{names.Events, names.Rewards, names.Changelog, names.DeadLetters}, names.Outcomes...)
	return cfg
}

// IsReplay says whether an event was sent again because of a dead letter: then it was not its producer who chose the partition.
func IsReplay(r *kgo.Record) bool { return Header(r, headerReplayOf) != "" }
