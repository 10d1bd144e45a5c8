package state

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// holder makes this test binary another process, which works on the store in the directory that the variable names.
const holder = "STAMPEDE_STATE_TEST_HOLDER"

const preparedByHolder = 50

func TestMain(m *testing.M) {
	if dir := os.Getenv(holder); dir != "" {
		hold(dir)
	}
	os.Exit(m.Run())
}

// hold prepares some entries, says so, and waits to be killed.
func hold(dir string) {
	s, err := Open(Config{Dir: dir, MemoryBytes: testMemory})
	if err == nil {
		err = s.Checkpoint(1, Position{Input: 1}, []Change{set("ann", "0").due(100, 0), set("bob", "0").due(50, 0)})
	}
	if err == nil {
		err = s.Checkpoint(1, Position{Input: 2, Clock: 60}, []Change{set("ann", "0").due(70, 100), set("cid", "0").due(70, 0)})
	}
	for i := 1; i <= preparedByHolder && err == nil; i++ {
		err = s.Prepare([]Prepared{entry(1, i, set("ann", fmt.Sprint(i)))})
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "done"), nil, 0o600)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	time.Sleep(time.Hour)
}

// What Prepare wrote is with the kernel: a process that is killed loses none of it. And while it lives, nobody else opens its
// store.
func TestAKilledProcessLosesNothing(t *testing.T) {
	dir := t.TempDir()
	other := exec.Command(os.Args[0])
	other.Env = append(os.Environ(), holder+"="+dir)
	other.Stderr = os.Stderr
	must(t, other.Start())
	defer other.Wait()
	defer other.Process.Kill()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(dir, "done")); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the other process does not get done")
		}
	}
	if _, err := Open(Config{Dir: dir, MemoryBytes: testMemory}); !errors.Is(err, ErrInUse) {
		t.Fatalf("opened beside another process: %v", err)
	}
	must(t, other.Process.Kill())
	_ = other.Wait() // killed

	s, err := Open(Config{Dir: dir, MemoryBytes: testMemory})
	must(t, err)
	defer s.Close()
	c := contentOf(t, s, 1)
	if diff := cmp.Diff([]Timer{{70, "ann"}, {70, "cid"}}, c.Timers); diff != "" {
		t.Error(diff)
	}
	if len(c.Journal) != preparedByHolder || c.Position.Input != 2 || c.Ledgers["ann"] != "0" {
		t.Errorf("position %d, %d entries of %d, ledgers %v", c.Position.Input, len(c.Journal), preparedByHolder, c.Ledgers)
	}
}
