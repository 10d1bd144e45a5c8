package stream

import (
	"testing"
	"time"
)

// The commit interval is the rhythm of commits, and not a wait before each.
func TestWhenACommitIsDue(t *testing.T) {
	const interval = 40 * time.Millisecond
	now := time.Now()
	caughtUp, behind := &partition{highWatermark: 7}, &partition{highWatermark: 8}
	caughtUp.next.Input, behind.next.Input = 7, 7
	for name, c := range map[string]struct {
		began      time.Duration // of the last commit, before now
		partitions map[int32]*partition
		in         time.Duration
	}{
		"nothing has come for long":          {time.Hour, map[int32]*partition{0: caughtUp}, interval / leastShare},
		"the last commit took a part of it":  {15 * time.Millisecond, map[int32]*partition{0: caughtUp, 1: caughtUp}, 25 * time.Millisecond},
		"it took nearly all":                 {38 * time.Millisecond, map[int32]*partition{0: caughtUp}, interval / leastShare},
		"records wait in the log":            {15 * time.Millisecond, map[int32]*partition{0: caughtUp, 1: behind}, interval},
		"they do, and nothing came for long": {time.Hour, map[int32]*partition{0: behind}, interval},
	} {
		t.Run(name, func(t *testing.T) {
			s := &session{Worker: &Worker{cfg: Config{CommitInterval: interval}}, partitions: c.partitions, phases: phases{collected: now.Add(-c.began)}}
			if in := s.commitDue(now).Sub(now); in != c.in {
				t.Errorf("it is due in %s, want %s", in, c.in)
			}
		})
	}
}
