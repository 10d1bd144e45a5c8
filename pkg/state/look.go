package state

import (
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// MaxOpenFiles is how many files a store has open at most.
const MaxOpenFiles = maxOpenFiles

// Look is what can be told of a store without opening it.
type Look struct {
	Exists bool
	Held   bool  // a process has it open
	HeldBy int   // which; 0 where it is one of another container
	Bytes  int64 // on the disk
}

// LookAt looks at the store of a directory, and takes, makes and changes nothing. That a newer program wrote it is an error, [ErrNewer]. The ledgers are not read.
func LookAt(dir string) (Look, error) {
	var l Look
	desc, err := peek(dir, vfs.Default)
	if errors.Is(err, iofs.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return l, fmt.Errorf("look at store %s: %w", dir, err)
	}
	if l.Exists = desc.Exists; !l.Exists {
		return l, nil
	}
	if l.Held, l.HeldBy, err = holderOf(filepath.Join(dir, "LOCK")); err == nil {
		l.Bytes, err = bytesIn(dir)
	}
	if err != nil {
		return l, fmt.Errorf("look at store %s: %w", dir, err)
	}
	return l, nil
}

// holderOf is the process that has Pebble's lock, by asking the kernel and not by trying: a processor that starts at this moment must not meet it.
func holderOf(path string) (held bool, pid int, err error) {
	f, err := os.Open(path)
	if errors.Is(err, iofs.ErrNotExist) {
		return false, 0, nil
	}
	if err != nil {
		return false, 0, err
	}
	lock := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	if err := errors.Join(unix.FcntlFlock(f.Fd(), unix.F_GETLK, &lock), f.Close()); err != nil {
		return false, 0, fmt.Errorf("lock of %s: %w", path, err)
	}
	if lock.Type == unix.F_UNLCK {
		return false, 0, nil
	}
	return true, max(0, int(lock.Pid)), nil
}

// bytesIn adds up the files of a directory. One that goes meanwhile is not there.
func bytesIn(dir string) (total int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, entry iofs.DirEntry, err error) error {
		if errors.Is(err, iofs.ErrNotExist) {
			return nil
		}
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if errors.Is(err, iofs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		total += info.Size()
		return nil
	})
	return total, err
}

// peek reads the format of what is in a directory, and refuses that of a newer program.
func peek(dir string, fs vfs.FS) (*pebble.DBDesc, error) {
	desc, err := pebble.Peek(dir, fs)
	if err != nil {
		if strings.Contains(err.Error(), "unknown format major version") {
			return nil, fmt.Errorf("%w: run that version, or drop the directory and let it be restored (%w)", ErrNewer, err)
		}
		return nil, err
	}
	if desc.Exists && desc.FormatMajorVersion > pebbleFormat {
		return nil, fmt.Errorf("%w: its Pebble format is %d and this one reads up to %d: run that version, or drop the directory and let it be restored",
			ErrNewer, desc.FormatMajorVersion, pebbleFormat)
	}
	return desc, nil
}
