package doctor

import "golang.org/x/sys/unix"

// kinds are the file systems on which a store should not be, by the kernel's numbers.
var kinds = map[int64]string{
	unix.TMPFS_MAGIC: "tmpfs", unix.RAMFS_MAGIC: "ramfs", unix.OVERLAYFS_SUPER_MAGIC: "overlayfs",
	unix.NFS_SUPER_MAGIC: "nfs", unix.SMB_SUPER_MAGIC: "smb", unix.SMB2_SUPER_MAGIC: "smb", unix.CIFS_SUPER_MAGIC: "smb", unix.FUSE_SUPER_MAGIC: "fuse",
}

// volumeOf asks the kernel for what holds a directory.
func volumeOf(dir string) (volume, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return volume{}, err
	}
	return volume{
		kind: kinds[int64(fs.Type)], free: fs.Bavail * uint64(fs.Bsize), //nolint:gosec,unconvert // of other types on other processors
		freeInodes: fs.Ffree, inodes: fs.Files,
	}, nil
}
