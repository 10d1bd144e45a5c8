package state

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

func TestAStoreIsLookedAtWithoutOpeningIt(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	look := func() Look {
		t.Helper()
		l, err := LookAt(dir)
		must(t, err)
		return l
	}
	if l := look(); l != (Look{}) {
		t.Errorf("of a directory that is not there: %+v", l)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Error("the directory was made")
	}
	other := exec.Command(os.Args[0])
	other.Env = append(os.Environ(), holder+"="+dir)
	other.Stderr = os.Stderr
	must(t, other.Start())
	defer other.Process.Kill()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(dir, "done")); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the other process does not come to work")
		}
	}
	if l := look(); !l.Exists || !l.Held || l.HeldBy != other.Process.Pid || l.Bytes == 0 {
		t.Errorf("process %d works on it, and it is told %+v", other.Process.Pid, l)
	}
	must(t, other.Process.Kill())
	other.Wait()
	if l := look(); !l.Exists || l.Held || l.HeldBy != 0 {
		t.Errorf("nobody works on it, and it is told %+v", l)
	}

	// What a newer program wrote is told as that.
	markers, err := filepath.Glob(filepath.Join(dir, "marker.format-version.*"))
	must(t, err)
	if len(markers) == 0 {
		t.Fatal("Pebble has no marker of its format")
	}
	must(t, os.Rename(markers[len(markers)-1], filepath.Join(dir, "marker.format-version.999999.999")))
	if _, err := LookAt(dir); !errors.Is(err, ErrNewer) {
		t.Errorf("of a format that is not known: %v", err)
	}
}
