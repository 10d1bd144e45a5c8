// Package gateway is the front door for upstream teams who speak HTTP: it takes CloudEvents and puts them into Kafka, each under its user's key.
//
// A request goes through the files in this order. server.go bounds what a client can cost: connections, headers, time, bytes in memory.
// keys.go says who asks, for which sources and how often. read.go turns the three modes of the CloudEvents HTTP binding (binary, structured,
// batched) into events, each decoded as a processor will decode it, so that what would be a dead letter is refused where its author sees it.
// Then a [Sink] takes the events over: kafka.go waits for Kafka's acknowledgement; spool.go writes them to the disk, and forward.go brings them
// to Kafka when it can be reached. answer.go tells what became of each event, problem.go what was wrong, by RFC 9457.
//
// A client is told 202 only for what will reach the topic: Kafka has acknowledged it, or the disk has. What it is told 503 for may have
// reached the topic as well; it is to be sent again under the same id, and counts once (E3). Events of one user keep the order in which a
// client sent them, one request after the other.
package gateway
