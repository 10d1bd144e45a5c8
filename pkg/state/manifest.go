package state

import (
	"errors"
	"path/filepath"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Pebble begins a new manifest now and then: it writes and syncs the file, makes a marker that names it, and only then syncs the directory,
// which makes both their names durable. Until then a power cut may keep the marker and lose the manifest's name, on a file system that does not
// keep a synced file's name by itself (POSIX does not ask for it). Such a store can't be opened. So the directory is synced between the two.

// manifestFS is a file system on which a synced manifest has its name.
type manifestFS struct{ vfs.FS }

// Create wraps a manifest.
func (fs *manifestFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.Create(name, category)
	if err != nil || !strings.HasPrefix(filepath.Base(name), "MANIFEST-") {
		return f, err
	}
	return &manifestFile{File: f, fs: fs.FS, dir: filepath.Dir(name)}, nil
}

// Unwrap is part of vfs.FS.
func (fs *manifestFS) Unwrap() vfs.FS { return fs.FS }

// manifestFile is a new manifest.
type manifestFile struct {
	vfs.File
	fs    vfs.FS
	dir   string
	named bool // on the disk
}

// Sync syncs the file, and at first its name.
func (f *manifestFile) Sync() error {
	if err := f.File.Sync(); err != nil || f.named {
		return err
	}
	dir, err := f.fs.OpenDir(f.dir)
	if err != nil {
		return err
	}
	if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
		return err
	}
	f.named = true
	return nil
}
