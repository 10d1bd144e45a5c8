package endtoend

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// smallDisk is a file system of a few megabytes, in memory.
type smallDisk struct{ dir string }

// newSmallDisk mounts one where only a child of the test sees it, and leads there by the child's root: so it needs no root where users
// may make namespaces of their own, and it is gone with the child, however the test ends. The error says why there is none.
func newSmallDisk(t *testing.T, bytes int) (*smallDisk, error) {
	t.Helper()
	mountPoint := t.TempDir()
	holder := exec.Command("sh", "-c", `mount -t tmpfs -o size="$1",mode=755 small "$2" && echo mounted && exec cat`, "sh", fmt.Sprint(bytes), mountPoint)
	holder.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		holder.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
		}
	}
	var said strings.Builder
	holder.Stderr = &said
	alive, err := holder.StdinPipe() // the child ends when this does
	if err != nil {
		return nil, err
	}
	out, err := holder.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := holder.Start(); err != nil {
		return nil, fmt.Errorf("a mount namespace: %w", err)
	}
	t.Cleanup(func() {
		alive.Close()
		holder.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "mounted\n" {
		alive.Close()
		_ = holder.Wait() // for what it said
		return nil, fmt.Errorf("mount a tmpfs: %s", strings.TrimSpace(said.String()))
	}
	d := &smallDisk{fmt.Sprintf("/proc/%d/root%s", holder.Process.Pid, mountPoint)}
	if _, err := os.Stat(d.dir); err != nil {
		return nil, err
	}
	return d, nil
}

func (d *smallDisk) filler() string { return filepath.Join(d.dir, "filler") }

// fill leaves no byte.
func (d *smallDisk) fill() error {
	f, err := os.Create(d.filler())
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(f, zeros{})
	if !errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("the disk does not become full: %w", err)
	}
	return nil
}

// free gives the space back.
func (d *smallDisk) free() error { return os.Remove(d.filler()) }

type zeros struct{}

// Read reads zeros for ever.
func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
