//go:build synctests

package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Scenario is what a seed draws: an installation, its load, and what goes wrong.
type Scenario struct {
	Seed uint64

	Brokers, Processes int
	Partitions         int32
	OldBrokers         bool // transactions as they were before KIP-890
	Sync               bool // the journal waits for the disk
	CommitInterval     time.Duration
	CheckpointInterval time.Duration
	ScrubInterval      time.Duration
	CycleRecords       int
	CycleFired         int
	OverlayBytes       int64 // few, so that ledgers are read from the store again and again; 0 is more than they take
	RestoreBufferBytes int
	DeleteRetention    time.Duration // of the changelog

	Load   time.Duration // how long events come
	Events int
	Faults []Fault // in the order of At
}

const (
	minLoad, maxLoad     = 2 * time.Second, 10 * time.Second
	minEvents, maxEvents = 15, 140
	maxFaults            = 7
	soonAfter            = 2 * time.Second
	unreachable          = 20 * time.Second

	week           = 7 * 24 * time.Hour
	shortRetention = 6 * time.Second
)

// remadeTopics are those that are made anew in the end of some scenarios.
var remadeTopics = []string{"events", "changelog"}

// Draw draws the scenario of a seed.
func Draw(seed uint64) Scenario {
	r := rand.New(rand.NewPCG(seed, 0x57a3))
	s := Scenario{
		Seed: seed, Brokers: []int{1, 1, 2, 3}[r.IntN(4)], Processes: 1 + r.IntN(3), Partitions: 1 + r.Int32N(4),
		OldBrokers: r.IntN(3) == 0, Sync: r.IntN(3) == 0,
		CommitInterval:     []time.Duration{5, 20, 50, 200}[r.IntN(4)] * time.Millisecond,
		CheckpointInterval: []time.Duration{100, 500, 2000, 5000}[r.IntN(4)] * time.Millisecond,
		ScrubInterval:      []time.Duration{time.Second, 5 * time.Second, time.Hour}[seed%3],
		CycleRecords:       []int{0, 0, 3, 20}[r.IntN(4)],
		CycleFired:         []int{0, 1, 3}[r.IntN(3)],
		RestoreBufferBytes: []int{0, 400}[r.IntN(2)],
		DeleteRetention:    []time.Duration{week, week, shortRetention}[r.IntN(3)],
		Load:               minLoad + time.Duration(r.Int64N(int64(maxLoad-minLoad))),
		Events:             minEvents + r.IntN(maxEvents-minEvents),
	}
	if s.Processes == 1 && r.IntN(2) == 0 {
		s.Processes = 2
	}
	next := points[seed%uint64(len(points))]
	for range 1 + r.IntN(maxFaults) {
		f := next.detailed(r, &s)
		if len(s.Faults) == 0 && slices.Contains(atStart, f.Request) {
			f.At, f.Nth = 0, 1 // it is to strike
		}
		next = drawPoint(r)
		if n := len(s.Faults); n > 0 && r.IntN(2) == 0 {
			f.At = s.Faults[n-1].At + time.Duration(r.Int64N(int64(soonAfter))) // the second fault while the first is being mended
		}
		s.Faults = append(s.Faults, f)
		if f.Kind == CrashAtDisk && f.Disk == linkFile { // a table is linked where a store is restored
			s.Faults = append(s.Faults, Fault{Kind: LoseStore, At: f.At + time.Duration(r.Int64N(int64(soonAfter))), Process: f.Process, Node: -1, Nth: 1})
		}
		if f.Kind == Remove && s.Processes > 1 { // who takes over reads the changelog while the dead one's transaction is open in it
			s.Faults = append(s.Faults, Fault{
				Kind: LoseStore, At: f.At + time.Duration(r.Int64N(int64(4*time.Second))), Process: (f.Process + 1) % s.Processes, Node: -1, Nth: 1,
			})
		}
	}
	if r.IntN(100) == 0 { // a process begins where no broker is reached, for longer than it tries
		s.Load = unreachable
		n := r.IntN(s.Processes)
		s.Faults = append(s.Faults,
			Fault{Kind: Cut, Process: n, Node: -1, Nth: 1, At: time.Second, For: unreachable},
			Fault{Kind: Kill, Process: n, Node: -1, Nth: 1, At: time.Second + time.Millisecond})
	}
	slices.SortStableFunc(s.Faults, func(a, b Fault) int { return int(a.At - b.At) })
	if r.IntN(30) == 0 {
		s.Faults = append(s.Faults, Fault{Kind: Recreate, Topic: remadeTopics[r.IntN(len(remadeTopics))]})
	}
	s.OverlayBytes = []int64{0, 0, 3000}[r.IntN(3)]
	return s
}

// without is the scenario with some of its faults left out, by their place.
func (s Scenario) without(dropped []int) Scenario {
	var kept []Fault
	for i, f := range s.Faults {
		if !slices.Contains(dropped, i) {
			kept = append(kept, f)
		}
	}
	s.Faults = kept
	return s
}

// String is for a report.
func (s Scenario) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: %d brokers (before KIP-890: %t), %d processes, %d partitions, %d events in %s\n", s.Seed, s.Brokers, s.OldBrokers, s.Processes, s.Partitions, s.Events, s.Load.Round(time.Millisecond))
	fmt.Fprintf(&b, "commits every %s or %d records, checkpoints every %s, scrubs every %s, journal synced: %t, fired a cycle: %d, ledgers in memory: %d bytes, restore buffer: %d, deletions kept for %s\n",
		s.CommitInterval, s.CycleRecords, s.CheckpointInterval, s.ScrubInterval, s.Sync, s.CycleFired, s.OverlayBytes, s.RestoreBufferBytes, s.DeleteRetention)
	for i, f := range s.Faults {
		fmt.Fprintf(&b, "%4d. %s\n", i, f)
	}
	return b.String()
}
