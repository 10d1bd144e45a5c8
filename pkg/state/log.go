package state

import (
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Pebble offers two ways to commit: wait for the disk, or leave the batch in a buffer of this process, from where it is written
// when 32 KiB have come together. A process that is killed loses that buffer. What [Store.Prepare] wants lies between: the
// batch is with the kernel, which survives the process, and nobody waits for the disk. So Pebble is told to wait for the
// disk, and relaxedFS answers at once for its log.
//
// Pebble reads a log that is not the newest as one that was closed in order, and is: closing one waits for the disk. A write waits for that, so the
// kernel is asked early to begin with what there is. And the format of the store is one whose log makes no claims about what is on the disk.

// relaxedFS is a file system on which a write-ahead log is on the disk when it is written, as far as Pebble can tell.
type relaxedFS struct {
	vfs.FS
	strict atomic.Int32 // commits under way that do wait for the disk
}

// Create wraps a log.
func (fs *relaxedFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.Create(name, category)
	return fs.relaxed(name, f, err)
}

// ReuseForWrite wraps a log.
func (fs *relaxedFS) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.ReuseForWrite(oldname, newname, category)
	return fs.relaxed(newname, f, err)
}

// Unwrap is part of vfs.FS.
func (fs *relaxedFS) Unwrap() vfs.FS { return fs.FS }

func (fs *relaxedFS) relaxed(name string, f vfs.File, err error) (vfs.File, error) {
	if err != nil || !strings.HasSuffix(name, ".log") {
		return f, err
	}
	return &relaxedLog{File: f, fs: fs}, nil
}

// writeBackBytes is after how much of a log the kernel is asked to bring it to the disk. All 64 MiB of one at its end took 40 ms, for which a commit waited.
const writeBackBytes = 1 << 20

// relaxedLog is a write-ahead log.
type relaxedLog struct {
	vfs.File
	fs      *relaxedFS
	waiting atomic.Bool // something was not waited for

	written, begun int64          // bytes; with begun's the kernel has begun
	beginning      atomic.Bool    // it is being asked, by a goroutine of this log
	asking         sync.WaitGroup // for that
	failed         atomic.Pointer[error]
}

// Write also has the kernel begin to write to the disk, if it is time and the last time has ended.
func (l *relaxedLog) Write(p []byte) (n int, err error) {
	n, err = l.File.Write(p)
	l.written += int64(n)
	if end := l.written; err == nil && end-l.begun >= writeBackBytes && l.beginning.CompareAndSwap(false, true) {
		l.begun = end
		l.asking.Go(func() {
			if _, err := l.SyncTo(end); err != nil {
				l.failed.Store(&err) // the kernel tells it once
			}
			l.beginning.Store(false)
		})
	}
	return n, err
}

// Sync waits for the disk if anybody wants that.
func (l *relaxedLog) Sync() error { return l.sync(l.File.Sync) }

// SyncData does the same.
func (l *relaxedLog) SyncData() error { return l.sync(l.File.SyncData) }

func (l *relaxedLog) sync(disk func() error) error {
	if failed := l.failed.Load(); failed != nil {
		return *failed
	}
	if l.fs.strict.Load() == 0 {
		l.waiting.Store(true)
		return nil
	}
	l.waiting.Store(false)
	return disk()
}

// Close waits for the disk.
func (l *relaxedLog) Close() error {
	l.asking.Wait()
	var err error
	if failed := l.failed.Load(); failed != nil {
		err = *failed
	} else if l.waiting.Load() {
		err = l.File.SyncData()
	}
	if err != nil {
		_ = l.File.Close() // the first error is the one to tell
		return err
	}
	return l.File.Close()
}

// durably runs a call that commits with pebble.Sync and is to reach the disk.
func (s *Store) durably(call func() error) error {
	if s.relaxed != nil {
		s.relaxed.strict.Add(1)
		defer s.relaxed.strict.Add(-1)
	}
	return s.guard(call)
}
