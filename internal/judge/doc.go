// Package judge says whether rewards were issued exactly once. Every test that kills, cuts or delays something ends here.
//
// Judge reads what a run left behind, in Kafka and in the stores, when nothing runs any more, and holds it against what the pure engine makes of
// the same events; and against package model, which shares no code with the engine, where it knows the campaigns. An Observer reads along
// while things go wrong. What is found names the invariant that does not hold (Broken, Invariants). The numbers are those of the
// literature on stream processors; those marked with a star are watched all the time, and what the order of the logs keeps is looked at
// once more in the end:
//
//	fold_equality        1    rewards of a partition of events are the engine's of what is committed of it, record for record, in order
//	model_equality       1    they, and the reasons of dead letters, are the model's
//	dead_letters         1    each record that can't be processed is there once, with its bytes and its reason
//	outcomes             1    a partner's topic has the engine's outcomes of each pseudonym, once, in order, where the case names partners
//	no_duplicate         2 *  no reward's id is there twice, but of a user who was erased and began anew (C4)
//	nothing_uncommitted  2 *  no reward is for a record at or behind the committed offset
//	cause_monotonic      5 *  rewards for a partition of events are in the order of the records that led to them
//	offsets_monotonic    5 *  a committed offset, with its step, never goes back
//	changelog_monotonic  5 *  position records of a partition go on, in input and step and in clock
//	changelog_fold       3, 9 the changelog, last word by last word, is the engine's ledgers, campaigns and erased users, byte for byte
//	changelog_position   3    the last position record says the committed offset, the engine's clock and the topic
//	store_behind_commit  4    no store is ahead of the committed offset
//	store_contents       4, 9 a store holds the engine's ledgers, campaigns and clock of the very offset that it says, behind the committed one too
//	fencing              6 *  nothing of an earlier life of a worker is committed after a later one has committed
//	no_open_transaction  7    nothing is left undecided in any topic
//	claim_equality            claims and answers in the partitions of events are the engine's, record for record, in order
//	budget_held            *  rewards of a budget never pass it; once everything is processed, every claim is answered
//	liveness                  when nothing goes wrong any more, everything is processed in time: see AwaitProcessed
//
// Records do not say who has written them, so fencing is seen by what Kafka keeps: the producer's epoch of records, and the worker's life in the
// metadata of committed offsets. That a former owner of a partition, under another name, writes to it still is seen by
// changelog_monotonic, cause_monotonic and no_duplicate. Restored stores are like all others (9), a second delivery of an event (10) and a
// new version of a campaign (12) are part of the folds. A topic that was made anew (11) ends in a refusal, which tests of package stream expect.
package judge
