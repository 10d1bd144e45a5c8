//go:build !linux

package doctor

import "golang.org/x/sys/unix"

// volumeOf asks the kernel for what holds a directory. Which kind of file system it is, is told on Linux only.
func volumeOf(dir string) (volume, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return volume{}, err
	}
	return volume{free: uint64(fs.Bavail) * uint64(fs.Bsize), freeInodes: uint64(fs.Ffree), inodes: fs.Files}, nil //nolint:gosec,unconvert // of other types elsewhere
}
