package state

import (
	"errors"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// begunFS counts what is asked of the kernel.
type begunFS struct {
	vfs.FS
	fails        error
	begun, ended atomic.Int64
}

func (fs *begunFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.Create(name, category)
	return &begunFile{f, fs}, err
}

type begunFile struct {
	vfs.File
	fs *begunFS
}

func (f *begunFile) SyncTo(length int64) (bool, error) {
	f.fs.begun.Store(length)
	return false, f.fs.fails
}

func (f *begunFile) SyncData() error {
	f.fs.ended.Add(1)
	return f.File.SyncData()
}

// Whoever fills a log waits for the disk at its end, so most of it is to be there by then.
func TestTheKernelBeginsWithALogBeforeItsEnd(t *testing.T) {
	disk := &begunFS{FS: vfs.NewMem()}
	fs := &relaxedFS{FS: disk}
	log, err := fs.Create("000001.log", vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	const times, size = 64, writeBackBytes / 8
	for range times {
		if _, err := log.Write(make([]byte, size)); err != nil {
			t.Fatal(err)
		}
		if err := log.SyncData(); err != nil {
			t.Fatal(err)
		}
		log.(*relaxedLog).asking.Wait() // a quick disk
	}
	if begun := disk.begun.Load(); begun <= times*size-writeBackBytes || disk.ended.Load() != 0 {
		t.Errorf("of %d bytes the kernel has begun with %d, and was waited for %d times: all but the last %d are to have begun, and nobody waits before the end",
			times*size, begun, disk.ended.Load(), writeBackBytes)
	}
	if err := log.Close(); err != nil || disk.ended.Load() != 1 {
		t.Errorf("the end was waited for %d times (%v): what has begun need not be on the disk", disk.ended.Load(), err)
	}
}

// The kernel tells once that it could not write, and that may be when nobody waits.
func TestALogTellsWhatTheKernelToldEarly(t *testing.T) {
	disk := &begunFS{FS: vfs.NewMem(), fails: errors.New("a bad block")}
	log, err := (&relaxedFS{FS: disk}).Create("000001.log", vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := log.Write(make([]byte, writeBackBytes)); err != nil {
		t.Fatal(err)
	}
	log.(*relaxedLog).asking.Wait()
	if err := log.SyncData(); !errors.Is(err, disk.fails) {
		t.Errorf("the next commit is told %v", err)
	}
	if err := log.Close(); !errors.Is(err, disk.fails) {
		t.Errorf("who closes the log is told %v", err)
	}
}
