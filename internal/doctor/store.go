package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/docker/go-units"

	"github.com/stampede-rewards/stampede/pkg/state"
)

const (
	// adviceFree is what a disk should have left at least, as the alert StampedeStoreDiskFilling has it, and wrongFree what is as good as nothing.
	adviceFree = 1 << 30
	wrongFree  = 64 << 20
	// adviceInodes is how many files more there should be room for: a store has some hundreds, and a compaction makes some before it deletes others.
	adviceInodes = 10_000

	// probes is how many small writes are measured, and probeBytes how large each is.
	probes     = 20
	probeBytes = 4 << 10
	// slowSync is from when on waiting for the disk is told.
	slowSync = 20 * time.Millisecond
)

// volume is what holds the store.
type volume struct {
	kind       string // of file system, empty where it is not known
	free       uint64 // bytes for this user
	freeInodes uint64
	inodes     uint64 // 0 where the file system counts none
}

// examineStore looks at the store's directory and the disk below it.
func examineStore(cfg Config) []Finding {
	if cfg.State == "" {
		return []Finding{{Severity: Unchecked, Area: Disk, Place: "store", What: "no --state is given, so the disk is not looked at"}}
	}
	var found []Finding
	place := "store " + cfg.State
	look, err := state.LookAt(cfg.State)
	switch {
	case errors.Is(err, state.ErrNewer):
		found = append(found, Finding{Severity: Wrong, Area: Disk, Place: place, What: err.Error(), Why: "an older program does not read it", Mend: "run the newer program, or delete the directory: it is restored from the changelog"})
	case err != nil:
		found = append(found, Finding{Severity: Wrong, Area: Disk, Place: place, What: err.Error(), Why: "a processor does not start on it", Mend: "mend what the error says, or delete the directory: it is restored from the changelog"})
	default:
		found = append(found, storeLook(place, look))
	}
	dir, err := existing(cfg.State)
	if err != nil {
		return append(found, unchecked(Disk, place, "the disk", err))
	}
	v, err := volumeOf(dir)
	if err != nil {
		found = append(found, unchecked(Disk, dir, "the file system", err))
	} else {
		found = append(found, volumes(dir, v, look.Bytes)...)
	}
	took, err := probe(dir)
	if err != nil {
		return append(found, Finding{Severity: Wrong, Area: Disk, Place: dir, What: "nothing can be written there: " + err.Error(), Why: "a processor can't work without its store", Mend: "ls -ld " + dir + "; the processor's user must own it"})
	}
	return append(found, syncs(dir, took))
}

// storeLook tells what is in the directory.
func storeLook(place string, look state.Look) Finding {
	f := Finding{Severity: OK, Area: Disk, Place: place}
	switch {
	case !look.Exists:
		f.What = "it is not there yet, `processor run` makes it"
	case look.Held && look.HeldBy > 0:
		f.What = fmt.Sprintf("process %d works on it; it has %s, in a format that this program reads", look.HeldBy, units.BytesSize(float64(look.Bytes)))
	case look.Held:
		f.What = fmt.Sprintf("a process of another container works on it; it has %s, in a format that this program reads", units.BytesSize(float64(look.Bytes)))
	default:
		f.What = fmt.Sprintf("nobody works on it; it has %s, in a format that this program reads", units.BytesSize(float64(look.Bytes)))
	}
	return f
}

// existing is the directory, or the nearest above it that is there.
func existing(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for {
		_, err := os.Stat(dir)
		if err == nil {
			return dir, nil
		}
		if !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			return "", err
		}
		dir = filepath.Dir(dir)
	}
}

// volumes judges a file system.
func volumes(dir string, v volume, storeBytes int64) []Finding {
	var found []Finding
	say := func(severity Severity, what, why, mend string) {
		found = append(found, Finding{Severity: severity, Area: Disk, Place: dir, What: what, Why: why, Mend: mend})
	}
	switch v.kind {
	case "tmpfs", "ramfs":
		say(Advice, "it is on "+v.kind+", in memory", "every restart of the machine reads the whole changelog, and the store takes memory that nobody has counted", "put --state on a disk")
	case "overlayfs":
		say(Advice, "it is in the container's own layer (overlayfs)", "it is gone with the container, and every new one reads the whole changelog; its writes are slow", "mount a volume there")
	case "nfs", "smb", "fuse":
		say(Advice, "it is on a file system of a network or of a user's program ("+v.kind+")",
			"each checkpoint waits for it, and its locks may not keep two processors from working on one store", "put --state on a local disk: what it has can always be restored from the changelog")
	}
	needed := max(adviceFree, 2*storeBytes)
	switch {
	case v.free < wrongFree:
		say(Wrong, fmt.Sprintf("%s are free", units.BytesSize(float64(v.free))), "a processor ends when its disk is full", "make room, or give it a larger disk")
	case v.free < uint64(needed): //nolint:gosec // it is above 0
		say(Advice, fmt.Sprintf("%s are free, and %s are what the store may need", units.BytesSize(float64(v.free)), units.BytesSize(float64(needed))),
			"a restore and a compaction write anew before they delete; a processor ends when its disk is full", "make room, or give it a larger disk")
	default:
		say(OK, fmt.Sprintf("%s are free", units.BytesSize(float64(v.free))), "", "")
	}
	if v.inodes > 0 && v.freeInodes < adviceInodes {
		say(Advice, fmt.Sprintf("there is room for %d files more (inodes)", v.freeInodes), "a store needs hundreds, and the disk is full when there are none left", "look for what has made so many: df -i "+dir)
	}
	return found
}

// probe measures how long small writes take until they are on the disk. The file has no name by then, so that nothing can be left behind.
func probe(dir string) (took []time.Duration, err error) {
	f, err := os.CreateTemp(dir, ".doctor-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := os.Remove(f.Name()); err != nil {
		return nil, err
	}
	block := make([]byte, probeBytes)
	for range probes {
		began := time.Now()
		if _, err := f.Write(block); err != nil {
			return nil, err
		}
		if err := f.Sync(); err != nil {
			return nil, err
		}
		took = append(took, time.Since(began))
	}
	return took, nil
}

// syncs judges how long the disk takes.
func syncs(dir string, took []time.Duration) Finding {
	took = slices.Sorted(slices.Values(took))
	median, longest := took[len(took)/2].Round(10*time.Microsecond), took[len(took)-1].Round(10*time.Microsecond)
	f := Finding{Severity: OK, Area: Disk, Place: dir, What: fmt.Sprintf("a small write is on the disk after %s, the slowest of %d after %s", median, len(took), longest)}
	if median > slowSync {
		f.Severity = Advice
		f.Why = "checkpoints wait for it, and with --sync every transaction does"
		f.Mend = "put --state on a faster disk, best on a local SSD; without --sync only checkpoints wait"
	}
	return f
}
