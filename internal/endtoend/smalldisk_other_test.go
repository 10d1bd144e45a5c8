//go:build !linux

package endtoend

import (
	"errors"
	"testing"
)

// smallDisk can't be had here.
type smallDisk struct{ dir string }

func newSmallDisk(*testing.T, int) (*smallDisk, error) {
	return nil, errors.New("mounting a small file system needs Linux")
}

func (d *smallDisk) fill() error { return nil }
func (d *smallDisk) free() error { return nil }
