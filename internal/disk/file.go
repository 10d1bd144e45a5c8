package disk

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Unfinished ends the name of a file that is being written.
const Unfinished = ".tmp"

// WriteFile writes a file under another name, and gives it its own when it is whole and on the disk.
func WriteFile(path string, write func(io.Writer) error) error {
	f, err := os.Create(path + Unfinished)
	if err != nil {
		return err
	}
	if err := errors.Join(write(f), f.Sync(), f.Close()); err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(f.Name()))
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// SyncDir brings to the disk which files a directory has, under which names: syncing a file is not enough for that.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
