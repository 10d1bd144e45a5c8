// Package sim attacks the runtime in a world that it owns, where a minute takes milliseconds and every fault is drawn from a seed.
//
// What runs is the real thing: the runtime of internal/stream, the store of pkg/state on Pebble, the Kafka client. Under it the
// world is replaced. Time is that of a testing/synctest bubble, which jumps to the next timer when nothing else is left to do. The network
// is a broker's in memory, with our own ears between (network.go). The disk is Pebble's crashable file system, which knows what was
// synced (disk.go). A process can be killed between any two things that it does to the outside, and what it does to
// the outside is all that a death can interrupt: requests are written and answers read, bytes go to files. So crash points need no hooks in the
// program: a crash at a request or at a write is one at the cycle's step that made it.
//
// Read it in this order:
//
//   - scenario.go: what a seed draws, an installation, its load and its faults; fault.go: the faults.
//   - world.go: one scenario from its beginning to the verdict; process.go: the lives of a process; load.go: what upstream sends.
//   - network.go and disk.go: where faults strike.
//   - coverage.go: the rare paths that a run must have taken, told from what processes log and what went over the wire.
//   - sim_test.go: many seeds on all cores, the report of a failing one, shrinking; mutants_test.go: programs with one line broken, each of which
//     must be caught.
//
// A seed draws all that is ours to draw. What it can't fix is the order in which the Go scheduler runs goroutines, so a failing seed is
// run several times, and the report has the whole story of the time that it failed.
//
// The package is built with the tag synctests, which makes the Kafka client wait in ways that the bubble understands.
package sim
