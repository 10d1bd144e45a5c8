package state

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// stage is something that a store does over and over, to so many ledgers at a time, with the most that it may allocate for each of them.
type stage struct {
	run     func()
	ledgers int
	most    float64
}

const (
	stagePartitions = 6
	stageLedger     = 600 // bytes, of a user with some weeks of events
)

// stages are what the store does with ledgers.
func stages(tb testing.TB) map[string]stage {
	const users = 1000 // a cycle's
	changes := make([][]Change, stagePartitions)
	for i := range users {
		p := i % stagePartitions
		changes[p] = append(changes[p], Change{User: fmt.Sprintf("user-%08d", i), Ledger: slices.Repeat([]byte{byte(i)}, stageLedger), Due: 1_000_000 + int64(i)})
	}
	open := func() *Store {
		s, err := Open(Config{Dir: tb.TempDir(), FS: vfs.Default, MemoryBytes: 1 << 30, RestoreBufferBytes: 4 << 20})
		must(tb, err)
		tb.Cleanup(func() { must(tb, s.Close()) })
		return s
	}
	journal, keys, read, restored := open(), open(), open(), open()
	all := map[string]stage{}

	sequence, input := uint64(0), int64(0)
	all["append to the journal"] = stage{func() {
		sequence, input = sequence+1, input+users
		entries := make([]Prepared, stagePartitions)
		for p := range entries {
			entries[p] = Prepared{Partition: int32(p), Transaction: TransactionID{"a", 1, sequence}, Position: Position{Input: input}, Changes: changes[p]} //nolint:gosec // few
		}
		must(tb, journal.Prepare(entries))
		if sequence%100 == 0 { // which ends them
			for p := range entries {
				must(tb, journal.Checkpoint(int32(p), Position{Input: input}, nil)) //nolint:gosec // few
			}
		}
	}, users, 0.3}

	for p := range changes {
		must(tb, read.Checkpoint(int32(p), Position{}, changes[p])) //nolint:gosec // few
	}
	var buffer []byte
	all["read"] = stage{func() {
		for p := range changes {
			for i := range changes[p] {
				value, found, err := read.Get(int32(p), changes[p][i].User, buffer[:0]) //nolint:gosec // few
				if must(tb, err); !found {
					tb.Fatal("it is not there")
				}
				buffer = value
			}
		}
	}, users, 0.1}

	at := int64(0)
	all["checkpoint"] = stage{func() {
		at++
		for p := range changes {
			for i := range changes[p] {
				changes[p][i].Was, changes[p][i].Due = changes[p][i].Due, 1_000_000+at+int64(i)
			}
			must(tb, keys.Checkpoint(int32(p), Position{Input: at}, changes[p])) //nolint:gosec // few
		}
	}, users, 0.5}

	const records = 120_000 // of the changelog, which has each user three times
	r := rand.New(rand.NewPCG(1, 2))
	order := make([]string, records)
	for i := range order {
		order[i] = fmt.Sprintf("user-%08d", r.IntN(records/3))
	}
	ledger := slices.Repeat([]byte{7}, stageLedger)
	all["restore"] = stage{func() {
		into, err := restored.Restore(0, Position{})
		must(tb, err)
		for i, user := range order {
			if i%100 == 99 {
				must(tb, into.Add(user, nil, 0))
			} else {
				must(tb, into.Add(user, ledger, 1_000_000+int64(i)))
			}
		}
		must(tb, into.Finish(Position{Input: 1}))
	}, records, 0.5}
	return all
}

func BenchmarkStage(b *testing.B) {
	for name, one := range stages(b) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				one.run()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(one.ledgers), "ns/ledger")
		})
	}
}

// Allocations are not noisy, so they are checked where times are not.
func TestStagesAllocate(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	for name, one := range stages(t) {
		if got := testing.AllocsPerRun(5, one.run) / float64(one.ledgers); got > one.most {
			t.Errorf("%s: %g allocations a ledger, at most %g are expected", name, got, one.most)
		}
	}
}
