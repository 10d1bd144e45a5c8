package command

import (
	"bytes"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// output is what a log has written. Who counts writes beside whoever logs.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write is part of io.Writer.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// pass lets a window end.
func pass() {
	time.Sleep(repeatsWindow)
	synctest.Wait()
}

// logged runs a test in a time of its own, on a log that is sampled, and compares what was written. Times are left out.
func logged(t *testing.T, first int, want string, test func(log *slog.Logger)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var out output
		test(slog.New(newSampling(slog.NewTextHandler(&out, nil), first)))
		synctest.Wait()
		got := regexp.MustCompile(`(?m)^time=\S+ `).ReplaceAllString(out.String(), "")
		if want := strings.TrimPrefix(want, "\n"); got != want {
			t.Errorf("logged:\n%s\nwanted:\n%s", got, want)
		}
	})
}

func TestRepeatsAreLeftOutAndCounted(t *testing.T) {
	logged(t, 2, `
level=WARN msg="no connection" try=0
level=WARN msg="no connection" try=1 repeats="more like this are left out for 10s and counted"
level=WARN msg="left out 18 like this in the last 10s" like="no connection"
level=WARN msg="no connection" try=20
`, func(log *slog.Logger) {
		for i := range 20 {
			log.Warn("no connection", "try", i)
		}
		pass()
		log.Warn("no connection", "try", 20)
	})
}

func TestOthersAreNotLeftOut(t *testing.T) {
	logged(t, 1, `
level=WARN msg=slow repeats="more like this are left out for 10s and counted"
level=ERROR msg=slow repeats="more like this are left out for 10s and counted"
level=WARN msg=slower repeats="more like this are left out for 10s and counted"
level=ERROR msg=refused partition=1 repeats="more like this are left out for 10s and counted"
level=ERROR msg=refused partition=2 repeats="more like this are left out for 10s and counted"
level=WARN msg=slow partition=3 repeats="more like this are left out for 10s and counted"
level=INFO msg=open
level=INFO msg=open
`, func(log *slog.Logger) {
		log.Warn("slow")
		log.Error("slow")
		log.Warn("slower")
		log.Error("refused", "partition", 1)
		log.Error("refused", "partition", 2)
		log.With("partition", 3).Warn("slow")
		log.Info("open")
		log.Info("open")
	})
}

// Whoever counts says it with the attributes of the logger whose messages were left out.
func TestWhatIsLeftOutIsToldWithItsAttributes(t *testing.T) {
	logged(t, 1, `
level=WARN msg=slow worker=a disk.bytes=1 disk.repeats="more like this are left out for 10s and counted"
level=WARN msg="left out 1 like this in the last 10s" worker=a disk.like=slow
`, func(log *slog.Logger) {
		log = log.With("worker", "a").WithGroup("disk")
		log.Warn("slow", "bytes", 1)
		log.Warn("slow", "bytes", 2)
		pass()
	})
}

// A log that is not to be sampled is not.
func TestNoSampling(t *testing.T) {
	logged(t, 0, strings.Repeat("level=WARN msg=slow\n", 100), func(log *slog.Logger) {
		for range 100 {
			log.Warn("slow")
		}
	})
}

// What is remembered is bounded. While it is full of what still repeats, others are let through; when windows have ended there is room again.
func TestWhatIsRememberedIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out output
		handler := newSampling(slog.NewTextHandler(&out, nil), 1)
		log := slog.New(handler)
		for i := range maxRemembered {
			log.Warn(fmt.Sprint("message ", i))
		}
		for range 3 {
			log.Warn("one too many")
		}
		if n := strings.Count(out.String(), `msg="one too many"`); n != 3 {
			t.Errorf("of 3 for which there is no room %d were logged", n)
		}
		pass()
		for range 3 {
			log.Warn("one too many")
		}
		if n := strings.Count(out.String(), `msg="one too many"`); n != 4 {
			t.Errorf("when there is room again %d more were logged", n-3)
		}
		pass()
		if !strings.Contains(out.String(), `msg="left out 2 like this in the last 10s" like="one too many"`) {
			t.Errorf("what was left out is not counted:\n%s", out.String()[len(out.String())-300:])
		}
		if n := len(handler.(sampling).repeats.windows); n != 0 {
			t.Errorf("%d messages are remembered, whose windows have ended", n)
		}
	})
}
