// Package doctor looks at everything that a processor depends on and is not its own: the brokers, the topics, what it is allowed to do, the clocks, the
// group, the producers of the events, the disk and the limits of the machine. It says what is wrong, why that matters and how to mend it.
//
// It looks and does nothing else. It makes no topic, joins no group and begins no transaction. On the disk it writes a file of a few KB, to measure how long
// that takes, and the file is gone before it is written to.
//
//   - finding.go: what is told.
//   - examine.go: the order in which things are looked at, and how to reach them.
//   - address.go: each address on its own, the brokers' advertised ones too.
//   - broker.go: versions, features and settings of the brokers, and the topics that Kafka keeps for itself.
//   - topic.go: our topics.
//   - permission.go: what the brokers say that we may do.
//   - clock.go: this machine's clock against those of the brokers.
//   - group.go: the consumer group, and transactions that nobody ends.
//   - partitioner.go: by which rule the producers choose a user's partition, found in a sample of the events.
//   - store.go, limit.go: the disk and the machine.
//
// In each file one function asks, and others, pure, say what the answers mean: those are what tests are about. What can't be asked, because a broker is
// too old, refuses, or has no such question, is told as not checked, and never as right.
package doctor
