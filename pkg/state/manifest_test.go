package state

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// cutFS remembers what a power cut at each of its operations on names would leave.
type cutFS struct {
	vfs.FS
	mu     sync.Mutex // Pebble works on files in the background, too
	random *rand.Rand
	cuts   []*vfs.MemFS
	where  []string
}

func (fs *cutFS) cut(what string) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.cuts = append(fs.cuts, fs.FS.(*vfs.MemFS).CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: fs.random}))
	fs.where = append(fs.where, what)
}

func (fs *cutFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.Create(name, category)
	fs.cut("behind the creation of " + name)
	return f, err
}

func (fs *cutFS) Rename(from, to string) error {
	fs.cut("before the renaming of " + from)
	return fs.FS.Rename(from, to)
}

func (fs *cutFS) Remove(name string) error {
	fs.cut("before the removal of " + name)
	return fs.FS.Remove(name)
}

func (fs *cutFS) Unwrap() vfs.FS { return fs.FS }

// Wherever the power is cut while a store is opened, the next open finds a store.
func TestAStoreOpensAfterAPowerCutAnywhere(t *testing.T) {
	for _, sync := range []bool{false, true} {
		for seed := range uint64(20) {
			fs := &cutFS{FS: vfs.NewCrashableMem(), random: rand.New(rand.NewPCG(seed, 0))}
			for range 3 { // each open begins a new manifest
				s, err := Open(Config{Dir: "s", FS: fs, MemoryBytes: testMemory, Sync: sync})
				if err != nil {
					t.Fatal(err)
				}
				must(t, s.Checkpoint(0, Position{Input: 1}, []Change{{User: "u", Ledger: []byte("l")}}))
				must(t, s.Close())
			}
			for i, after := range fs.cuts {
				s, err := Open(Config{Dir: "s", FS: after, MemoryBytes: testMemory, Sync: sync})
				if err != nil {
					t.Fatal(fmt.Errorf("seed %d, %s: %w", seed, fs.where[i], err))
				}
				must(t, s.Close())
			}
		}
	}
}
