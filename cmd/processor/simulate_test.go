package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stampede-rewards/stampede/pkg/campaign"
)

// hits is a file of events, one a minute, of a few users in turn. When all have been read, it looks at what the program then holds.
type hits struct {
	left, n int
	line    []byte // what is not read of it
	live    uint64 // bytes
}

func (h *hits) Read(p []byte) (int, error) {
	if len(h.line) == 0 {
		if h.left == 0 {
			h.live = liveBytes()
			return 0, io.EOF
		}
		h.left--
		h.n++
		const users = 20
		at := time.Date(2026, 1, 1, 0, h.n, 0, 0, time.UTC).Format(time.RFC3339)
		h.line = fmt.Appendf(nil, `{"specversion":"1.0","id":"%d","source":"/app","type":"hit","subject":"user-%d","time":%q,"data":{"n":1}}`+"\n", h.n, h.n%users, at)
	}
	n := copy(p, h.line)
	h.line = h.line[n:]
	return n, nil
}

func liveBytes() uint64 {
	runtime.GC()
	runtime.GC() // what a finalizer held
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// A simulation's memory grows with the users, and not with the file.
func TestASimulationHoldsNoMoreOfALongerFile(t *testing.T) {
	set, err := campaign.Load(fstest.MapFS{
		"count.yaml":  {Data: []byte("campaign: count\nversion: 1\nstarts: 2026-01-01\nlateness: 1h\nrepeat: always\ngoal: {count: 10, of: hit, per: day}\nreward: {kind: points}\n")},
		"sum.yaml":    {Data: []byte("campaign: sum\nversion: 1\nstarts: 2026-01-01\nlateness: 1h\nrepeat: always\ngoal: {sum: 7, of: hit, value: event.data.n}\nreward: {kind: points}\n")},
		"streak.yaml": {Data: []byte("campaign: streak\nversion: 1\nstarts: 2026-01-01\nlateness: 1h\nrepeat: always\ngoal: {streak: 2, of: hit}\nreward: {kind: points}\n")},
	}, ".")
	if err != nil {
		t.Fatal(err)
	}
	held := func(events int) uint64 {
		before := liveBytes()
		s, file := newSimulation(set), &hits{left: events}
		if err := s.run(context.Background(), file); err != nil {
			t.Fatal(err)
		}
		if s.events != events || s.rejected != 0 || s.rewards.n < events/10 {
			t.Fatalf("of %d events: %s", events, s.summary())
		}
		return file.live - min(before, file.live)
	}
	const events, times, slack = 2000, 10, 128 << 10 // 7 bytes for each event more: it would take more to remember one
	held(events)                                     // what is made once in a process
	short, long := held(events), held(times*events)
	t.Logf("%d bytes after %d events, %d after %d", short, events, long, times*events)
	if long > short+slack {
		t.Errorf("after %d events it holds %d bytes, and after %d times as many %d", events, short, times, long)
	}
}
