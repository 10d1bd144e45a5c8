//go:build synctests

package sim

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// Faults that come at a time, and not at a request or at an operation of the disk.

// schedule arms a fault that waits for an occasion, and lets one that comes at a time come.
func (w *world) schedule(f *Fault, timed *sync.WaitGroup) {
	switch f.Kind {
	case CrashBefore, CrashAfter, CrashAtDisk, Remove, Evict, Drop, Lose, Unknown, Late:
		w.processes[f.Process].arm(f)
	case Recreate: // in the end
	default:
		timed.Go(func() {
			time.Sleep(f.At - w.elapsed())
			w.strike(f)
		})
	}
}

// strike lets a fault happen now.
func (w *world) strike(f *Fault) {
	l := w.processes[f.Process].newest()
	if l == nil {
		return // it has not begun
	}
	if f.Kind != Compact {
		w.struck(f)
	}
	switch f.Kind {
	case Kill, LoseStore, OldStore, AheadStore:
		l.crash(f)
	case Stop:
		l.stop(f.For)
	case Cut, BlackHole, Pause:
		l.network.strike(f)
	case Reject:
		w.reject(f)
	case MoveLeaders:
		w.cluster.ShufflePartitionLeaders()
	case MoveCoordinators:
		w.cluster.RehashCoordinators()
	case Compact:
		w.compact()
	case DiskFull:
		l.disk.mu.Lock()
		l.disk.full = time.Now().Add(f.For)
		l.disk.mu.Unlock()
	case DiskSlow:
		l.disk.mu.Lock()
		l.disk.slow = time.Now().Add(f.For)
		l.disk.mu.Unlock()
	case ClockJump:
		w.jumped.Add(int64(f.Jump))
	case Poison:
		w.poison(f.Nth + int(f.At))
	case Publish:
		w.publishLater(f)
	default:
	}
}

// removeMember takes a process out of the group, as an operator does who has taken it away for good, or believes so.
func (w *world) removeMember(p *process) {
	left, err := kadm.NewClient(w.upstream).LeaveGroup(context.Background(), kadm.LeaveGroup(group).InstanceIDs(p.name))
	if err == nil {
		err = left.Error()
	}
	if err != nil && !errors.Is(err, kerr.UnknownMemberID) { // it was not in
		w.trace("world", fmt.Sprintf("%s was not taken out of the group: %v", p.name, err))
	}
}

// publishLater publishes what comes into force with a fault.
func (w *world) publishLater(f *Fault) {
	n := 0
	for i := range w.Faults {
		if w.Faults[i].Kind == Publish {
			n++
		}
		if &w.Faults[i] == f {
			w.publish(w.load.inForce[n])
			return
		}
	}
}
