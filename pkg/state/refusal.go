package state

import (
	"errors"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Pebble answers a disk that refuses a write in many ways: it panics, in some places with a lock that it has given up, which no recover can catch;
// it calls Fatalf in goroutines of its own; it tries again for ever. All of them end the process before it can say why, or never. So Pebble does
// not hear of it: the store is broken for that cause, whoever writes is told, and the call that met it does not return. Nothing may be asked of
// Pebble any more anyway, until the process has started anew.

// diskRefuses says whether an error is one that trying again does not mend.
func diskRefuses(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EIO) || errors.Is(err, syscall.EROFS)
}

// refusalFS is a file system whose refusals Pebble does not hear of.
type refusalFS struct {
	vfs.FS
	breakFor func(cause error)
}

// heard returns an error that Pebble may hear of.
func (fs *refusalFS) heard(err error) error {
	if diskRefuses(err) {
		fs.breakFor(err)
		select {} // see above
	}
	return err
}

// Create wraps a file.
func (fs *refusalFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.Create(name, category)
	return fs.wrapped(f, err)
}

// ReuseForWrite wraps a file.
func (fs *refusalFS) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.ReuseForWrite(oldname, newname, category)
	return fs.wrapped(f, err)
}

func (fs *refusalFS) wrapped(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return f, fs.heard(err)
	}
	return &refusalFile{File: f, fs: fs}, nil
}

// Link is part of vfs.FS.
func (fs *refusalFS) Link(oldname, newname string) error {
	return fs.heard(fs.FS.Link(oldname, newname))
}

// Rename is part of vfs.FS.
func (fs *refusalFS) Rename(oldname, newname string) error {
	return fs.heard(fs.FS.Rename(oldname, newname))
}

// Unwrap is part of vfs.FS.
func (fs *refusalFS) Unwrap() vfs.FS { return fs.FS }

// refusalFile is a file that is written.
type refusalFile struct {
	vfs.File
	fs *refusalFS
}

// Write is part of vfs.File.
func (f *refusalFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	return n, f.fs.heard(err)
}

// Sync is part of vfs.File.
func (f *refusalFile) Sync() error { return f.fs.heard(f.File.Sync()) }

// SyncData is part of vfs.File.
func (f *refusalFile) SyncData() error { return f.fs.heard(f.File.SyncData()) }

// SyncTo is part of vfs.File.
func (f *refusalFile) SyncTo(length int64) (bool, error) {
	full, err := f.File.SyncTo(length)
	return full, f.fs.heard(err)
}

// Close is part of vfs.File.
func (f *refusalFile) Close() error { return f.fs.heard(f.File.Close()) }
