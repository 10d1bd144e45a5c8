// Package disk is what programs that keep files need beside os: a directory that one process has for itself, and files that a crash leaves whole or not
// at all. Stores have their own means (pkg/state); these are for the spool of the gateway, the archive and the reports of partners, and the embedded
// broker.
package disk

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// ErrInUse is told by Lock where another process has the lock.
var ErrInUse = errors.New("in use by another process")

// Lock takes a file for this process until unlock is called, or the process ends, however it ends: the kernel gives it back. The file is made if it
// is missing, and stays.
func Lock(path string) (unlock func() error, err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil { //nolint:gosec // a descriptor is an int
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.Join(ErrInUse, f.Close())
		}
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	return f.Close, nil
}
