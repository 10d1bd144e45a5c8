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

// spaceFor is a file system that has space for so many writes and then for none.
type spaceFor struct {
	vfs.FS
	left atomic.Int64
}

func (fs *spaceFor) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.Create(name, category)
	if err != nil {
		return nil, err
	}
	return &spaceFile{f, fs}, nil
}

func (fs *spaceFor) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.ReuseForWrite(oldname, newname, category)
	if err != nil {
		return nil, err
	}
	return &spaceFile{f, fs}, nil
}

type spaceFile struct {
	vfs.File
	fs *spaceFor
}

func (f *spaceFile) Write(p []byte) (int, error) {
	if f.fs.left.Add(-1) < 0 {
		return 0, syscall.ENOSPC
	}
	return f.File.Write(p)
}

// Whichever write the disk has no space for, whoever writes is told so, and the process lives to say it: Pebble panics in some of these places
// with a lock that it has given up, and nothing can catch that.
func TestAFullDiskIsToldWhicheverWriteMeetsIt(t *testing.T) {
	use := func(fs vfs.FS) error {
		s, err := Open(Config{Dir: "store", FS: fs, MemoryBytes: testMemory})
		if err != nil {
			return err
		}
		for n := 1; n <= 3; n++ {
			steps := []func() error{
				func() error { return s.Prepare([]Prepared{entry(1, n, set("ann", strings.Repeat("1", 1000)))}) },
				func() error {
					return s.Checkpoint(1, Position{Input: int64(n)}, []Change{{User: "ann", Ledger: []byte("1")}})
				},
				func() error { return s.Drop(1) }, // which begins a new log
			}
			for _, step := range steps {
				if err := step(); err != nil {
					return errors.Join(err, s.Close())
				}
			}
		}
		return s.Close()
	}
	refused := 0
	for space := int64(0); ; space++ {
		fs := &spaceFor{FS: vfs.NewMem()}
		fs.left.Store(space)
		err := use(fs)
		if err == nil && fs.left.Load() >= 0 {
			t.Logf("the store makes %d writes", space)
			break
		}
		if err == nil {
			continue // the last writes were in the background, and nobody waited for them
		}
		refused++
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("with space for %d writes whoever writes is told %v", space, err)
		}
	}
	if refused < 10 {
		t.Errorf("only %d writes were refused", refused)
	}
}
