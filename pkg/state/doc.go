// Package state keeps ledgers on a local disk: the store under a processor.
//
// A store is one Pebble database shared by all partitions of a process. It knows users, as strings, and ledgers, as
// bytes that it never looks into; campaigns and Kafka mean nothing to it. What it adds to a key-value store is the
// promise that makes exactly-once rewards possible: the ledgers of a partition and the position in the log that they
// reflect change together or not at all.
//
// # The life of a change
//
// A cycle of the runtime is one Kafka transaction, and it meets the store in two steps.
//
// [Store.Prepare] appends one journal entry for every partition of the cycle, in one atomic write, before Kafka is
// asked to commit. An entry holds the transaction's id, the position after the cycle and what has become of ledgers: of each
// how it follows from what it was before ([Edits]), which the entries before say, or else the store. If the process dies
// after this step, the journal knows what the transaction would have done and its id tells whether it did.
//
// [Store.Checkpoint], every few seconds, moves the ledgers changed since the last checkpoint to their keys, with the
// position they reflect, and deletes the journal entries that are thereby done with: again in one atomic write. A
// user who is busy is written to its key once a checkpoint rather than once a cycle.
//
// A ledger may be due at an instant: something is then to happen to it, whether or not an event comes. The caller says so
// in [Change.Due], and the checkpoint that writes the ledger also moves its row in an index, from which [Store.Timers] reads
// which ledgers are due next. Like the ledgers, the index is as of the last checkpoint. The store fires nothing, and its only
// clock is the one in the position: whoever moves that fires the timers up to it first, and the next checkpoint deletes
// every row that it has reached.
//
// A row is a hint. One may be left from what a ledger was before, for a restore does not know which there were, and stays
// until its instant has come: so whoever fires a timer reads the ledger again. And the journal has no instants: when a
// ledger is due follows from its bytes, and whoever replays the journal works it out again.
//
// What else belongs to a partition's state and is no user's takes the same way: a name that begins with the byte 0xff,
// which no UTF-8 does, may stand wherever a user does. [Store.Campaigns] visits what has such names, [Store.Each] does not.
//
// A deletion in Pebble leaves the bytes, and the names of users, in files. For a user of whom no trace may stay ([Change.Erased]) the checkpoint notes
// that the partition is to be scrubbed, and [Store.Scrub], called now and then, rewrites what the disk has of it.
//
// So at any moment the ledgers of a partition, and its timers, are those at its [Position], and position plus journal
// reach at most one undecided transaction further. Nothing that was prepared is lost with the process, however it ends. A
// power cut can take the newest of a partition's writes, never one in the middle (with [Config.Sync] it takes nothing that
// was prepared); the changelog topic gives back the rest.
//
// # Opening a partition
//
// The runtime reads [Store.Position], visits [Store.Journal] from the oldest entry to the newest, decides whether the
// newest one was committed, and ends with a checkpoint, which also empties the journal. If it is still behind, it reads
// the changelog into a [Restore]. If what it finds cannot be, it calls [Store.Drop] and restores from nothing.
//
// # Who may call what
//
// All methods may be called from several goroutines, as long as one goroutine at a time writes to any one partition.
// Close comes after every other call has returned.
package state
