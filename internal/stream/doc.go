// Package stream is the runtime: it carries events from Kafka through the engine to rewards, exactly once.
//
// Read it in the order in which an event travels:
//
//   - worker.go: a worker is one consumer-group member and one transactional producer. It lives through clients: whenever
//     the outcome of a transaction is not known for certain, the client is thrown away and a new one asks the broker.
//   - session.go: one client's life, in which it polls and runs cycles; rebalance.go keeps those and the group's
//     rebalances apart.
//   - cycle.go: poll, apply, prepare in the store's journal, commit one Kafka transaction, checkpoint now and then. cores.go runs what is done in
//     each partition side by side.
//   - partition.go: a partition's task: decode, ledger, engine. Nothing is written there. overlay.go is the ledgers in memory. records.go
//     makes the records that go out, deadletter.go those for what can't be processed.
//   - scrub.go takes erased users off the disk.
//   - timers.go fires what time has made due, tick.go keeps the clock of an idle partition moving.
//   - open.go and restore.go: how a partition's state is found again after whatever happened; metadata.go is what was
//     written to make that possible.
//   - in_force.go: the campaigns of a partition, which its log tells; publish.go is how they get into the log, and registry.go what
//     publishers compare with.
//   - tally.go, metrics.go, latency.go, census.go, status.go: what happened, for people; trace.go: what became of one event.
//
// The invariants that comments cite; with the build tag `invariants`, what must hold in memory is looked at after every cycle (invariants.go):
//
//	S1  A cycle begins only when the one before it is decided. So of a partition's journal only the newest entry can be
//	    undecided.
//	S2  What is in the store's keyspace is a committed prefix of the log: it is written at a checkpoint, between cycles.
//	S3  The offset's metadata names the transaction that committed it, in the same atomic step.
//	S4  Every transaction ends each of its changelog partitions with a position record. So a reader of the changelog
//	    knows that it has read all of a transaction, and up to which input offset.
//	S5  No error and no unasked-for abort is interpreted: the client is discarded, and the broker is asked again.
//	S6  No cycle is open while the group rebalances: a planned rebalance aborts nothing.
package stream
