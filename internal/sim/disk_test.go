//go:build synctests

package sim

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A store that is opened while the disk is slow writes more than the disk takes in that time. The rest is written as soon as it is quick again,
// as on a real disk: once the world has become calm nothing may be late by what was before (seed 301774).
func TestASlowDiskIsLateForAsLongAsItIsSlow(t *testing.T) {
	for _, c := range []struct {
		name          string
		slow          time.Duration
		writes        int
		calmAt, waits time.Duration
	}{
		{"few writes", 4 * time.Second, 3, 0, 3 * slowWrite},
		{"more than it takes", 4 * time.Second, 100, 0, 4 * time.Second},
		{"the world becomes calm", 4 * time.Second, 100, time.Second - healLook/2, time.Second}, // it is seen at the next look
		{"none", 4 * time.Second, 0, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDisk(&life{world: &world{covered: map[string]int{}}}, vfs.NewCrashableMem())
				begun := time.Now()
				d.slow = begun.Add(c.slow)
				for range c.writes {
					if err := d.room(journalWrite); err != nil {
						t.Fatal(err)
					}
				}
				if c.calmAt > 0 {
					time.AfterFunc(c.calmAt, func() {
						d.mu.Lock()
						d.slow = time.Time{}
						d.mu.Unlock()
					})
				}
				d.wait()
				if got := time.Since(begun).Truncate(healLook); got != c.waits {
					t.Errorf("it has cost %s, not %s", got, c.waits)
				}
			})
		})
	}
}
