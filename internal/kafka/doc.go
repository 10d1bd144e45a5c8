// Package kafka is what Stampede asks of Kafka: how to connect, which topics with which settings, and a broker inside the
// process for the demo and for quick tests.
//
//   - connection.go: the options that every client of ours shares, and the first question to a broker, with an error for
//     people when nobody answers.
//   - topics.go: the topics, made where they are missing and checked where they exist. A wrong setting is refused with the
//     command that mends it, all of them in one error.
//   - flags.go: the command-line flags that say all this.
//   - look.go: the same for whoever only looks, and reach.go the way to one broker, step by step.
//   - log.go: reads a stretch of a partition's log, for restores and for whoever judges a run.
//   - client_metrics.go: the library's measurements of the client that works now.
//   - embedded.go: a broker in this process. It is a convenience and no promise of durability.
//
// The package kafkatest starts a real Apache Kafka for tests.
package kafka
