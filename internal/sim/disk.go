//go:build synctests

package sim

import (
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// diskOp is what is done to the disk. A power cut strikes at one: before it, in its middle, or behind it.
type diskOp string

// The operations, by what they are for.
const (
	journalWrite  diskOp = "a write to the journal" // Pebble's log, to which everything goes first
	journalSync   diskOp = "a sync of the journal"
	tableWrite    diskOp = "a write to a table" // a flush, or a restore
	manifestWrite diskOp = "a write to the manifest"
	linkFile      diskOp = "a link" // an ingested table
	renameFile    diskOp = "a rename"
	removeFile    diskOp = "a removal"
)

var diskOps = []diskOp{journalWrite, journalWrite, journalWrite, journalSync, tableWrite, manifestWrite, linkFile, renameFile, removeFile}

// disk is the file system as one life of a process sees it. When the process is killed, or the power is cut, what the next life finds is a copy
// of that moment; what the dying one still writes, nobody reads.
type disk struct {
	vfs.FS // *vfs.MemFS
	life   *life

	mu   sync.Mutex
	full time.Time // until then
	slow time.Time
	owed time.Duration // what slow writes have cost, see room
}

func newDisk(l *life, fs *vfs.MemFS) *disk { return &disk{FS: fs, life: l} }

// copy is what another life would find now.
func (d *disk) copy(kept int, r *rand.Rand) *vfs.MemFS {
	return d.FS.(*vfs.MemFS).CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: kept, RNG: r})
}

// slowWrite is how long a write takes on a slow disk.
const slowWrite = 300 * time.Millisecond

// at lets faults strike around an operation. half does the first half of it, if there is such a thing.
func (d *disk) at(op diskOp, half func(), do func() error) error {
	f := d.life.process.strike(func(f *Fault) bool { return f.Kind == CrashAtDisk && f.Disk == op })
	if f == nil {
		return do()
	}
	switch {
	case f.Torn && half != nil:
		half()
		d.life.crash(f)
		return nil
	case f.Torn:
		err := do()
		d.life.crash(f)
		return err
	default:
		d.life.crash(f)
		return do()
	}
}

// room is the error of a full disk, and notes what a slow one costs.
//
// Nobody may sleep here: Pebble holds locks, and who waits for a lock keeps the bubble's time from moving. What others notice of a slow disk is
// that the next request comes late, so that is where it is waited for.
func (d *disk) room(op diskOp) error {
	d.mu.Lock()
	now := time.Now()
	full, slow := now.Before(d.full), now.Before(d.slow)
	if slow && op == journalWrite {
		d.owed += slowWrite
	}
	d.mu.Unlock()
	if full {
		d.life.world.cover(refusedWrite)
		return syscall.ENOSPC
	}
	return nil
}

// wait waits for what the disk has taken since the last request. What is not written when it is quick again costs nothing more: a store that is
// opened writes more than a slow disk takes in the time that it is slow.
func (d *disk) wait() {
	d.mu.Lock()
	written := time.Now().Add(d.owed)
	d.owed = 0
	d.mu.Unlock()
	for {
		d.mu.Lock()
		slow := d.slow
		d.mu.Unlock()
		left := min(time.Until(written), time.Until(slow))
		if left <= 0 {
			return
		}
		d.life.world.cover(slowWrites)
		time.Sleep(min(left, healLook))
	}
}

// Create is part of vfs.FS.
func (d *disk) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := d.FS.Create(name, category)
	return d.watched(name, f, err)
}

// ReuseForWrite is part of vfs.FS.
func (d *disk) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := d.FS.ReuseForWrite(oldname, newname, category)
	return d.watched(newname, f, err)
}

// Link is part of vfs.FS.
func (d *disk) Link(oldname, newname string) error {
	return d.at(linkFile, nil, func() error { return d.FS.Link(oldname, newname) })
}

// Rename is part of vfs.FS.
func (d *disk) Rename(oldname, newname string) error {
	return d.at(renameFile, nil, func() error { return d.FS.Rename(oldname, newname) })
}

// Remove is part of vfs.FS.
func (d *disk) Remove(name string) error {
	return d.at(removeFile, nil, func() error { return d.FS.Remove(name) })
}

// Unwrap is part of vfs.FS.
func (d *disk) Unwrap() vfs.FS { return d.FS }

func (d *disk) watched(name string, f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return f, err
	}
	switch base := filepath.Base(name); {
	case strings.HasSuffix(base, ".log"):
		return &file{File: f, disk: d, write: journalWrite, sync: journalSync}, nil
	case strings.HasSuffix(base, ".sst"):
		return &file{File: f, disk: d, write: tableWrite}, nil
	case strings.HasPrefix(base, "MANIFEST"):
		return &file{File: f, disk: d, write: manifestWrite}, nil
	}
	return f, nil
}

// file is one that is watched.
type file struct {
	vfs.File
	disk        *disk
	write, sync diskOp // sync is empty where nobody strikes
}

// Write is part of vfs.File.
func (f *file) Write(p []byte) (n int, err error) {
	if err := f.disk.room(f.write); err != nil {
		return 0, err
	}
	written := 0
	err = f.disk.at(f.write, func() {
		written, _ = f.File.Write(p[:len(p)/2]) // memory takes everything
	}, func() error {
		n, err = f.File.Write(p)
		return err
	})
	if written > 0 { // the rest goes where nobody reads
		n, err = f.File.Write(p[written:])
		n += written
	}
	return n, err
}

// Sync is part of vfs.File.
func (f *file) Sync() error { return f.synced(f.File.Sync) }

// SyncData is part of vfs.File.
func (f *file) SyncData() error { return f.synced(f.File.SyncData) }

func (f *file) synced(do func() error) error {
	if f.sync == "" {
		return do()
	}
	return f.disk.at(f.sync, nil, do)
}
