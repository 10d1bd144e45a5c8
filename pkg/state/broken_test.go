package state

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// fullDisk is a file system that has no space for sorted tables while it is full. Logs still fit: Pebble writes them over old ones.
type fullDisk struct {
	vfs.FS
	full atomic.Bool
}

func (fs *fullDisk) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if fs.full.Load() && strings.HasSuffix(name, ".sst") {
		return nil, &os.PathError{Op: "create", Path: name, Err: syscall.ENOSPC}
	}
	return fs.FS.Create(name, category)
}

// A disk becomes full where only background work meets it. Whoever writes is told, and does not wait for ever.
func TestAFullDiskBreaksTheStore(t *testing.T) {
	fs := &fullDisk{FS: vfs.NewMem()}
	s, err := Open(Config{Dir: "store", FS: fs, MemoryBytes: testMemory})
	must(t, err)
	must(t, s.Prepare([]Prepared{entry(1, 1, set("ann", "1"))}))
	fs.full.Store(true)
	defer fs.full.Store(false) // so that what was left waiting comes to an end

	told := make(chan error, 1)
	go func() {
		for n := 2; ; n++ {
			if err := s.Prepare([]Prepared{entry(1, n, set("ann", strings.Repeat(fmt.Sprint(n), 100_000)))}); err != nil {
				told <- err
				return
			}
		}
	}()
	select {
	case err := <-told:
		if !errors.Is(err, ErrBroken) || !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("whoever writes is told %v, wanted that the store is broken and why", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("whoever writes waits for ever")
	}
	if _, _, err := s.Position(1); !errors.Is(err, ErrBroken) {
		t.Errorf("a broken store answers %v", err)
	}
	if err := s.Close(); !errors.Is(err, ErrBroken) {
		t.Errorf("a broken store closes with %v", err)
	}
}
