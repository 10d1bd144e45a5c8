//go:build synctests

package sim

import (
	"context"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// In the end everything has closed, and nobody's ledger is left. The changelog says so of each user for as long as it keeps deletions, and
// then it says nothing. Who comes back with a store from before that must not believe it.

// outdatedWait is how long the processes get to open their partitions.
const outdatedWait = 5 * time.Second

// copies are the stores of all processes as they are now.
func (w *world) copies() []*vfs.MemFS {
	copies := make([]*vfs.MemFS, len(w.processes))
	for i, p := range w.processes {
		p.mu.Lock()
		copies[i] = p.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: p.random})
		if p.life != nil {
			copies[i] = p.life.disk.copy(100, p.random)
		}
		p.mu.Unlock()
	}
	return copies
}

// outdated lets the changelog forget its deletions, and gives all processes their old stores.
func (w *world) outdated(ctx context.Context, old []*vfs.MemFS) {
	time.Sleep(2 * shortRetention)
	w.compact()
	for i, p := range w.processes {
		p.mu.Lock()
		p.old = old[i]
		p.mu.Unlock()
		p.newest().crash(&Fault{Kind: OldStore})
	}
	w.trace("world", "gives everybody the store from before everything closed")
	time.Sleep(outdatedWait)
	w.awaitProcessed(ctx)
}
