package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/stampede-rewards/stampede/pkg/campaign"
)

var quiet = slog.New(slog.DiscardHandler)

// numbered is an event that is told from others by its number.
func numbered(n int) Event {
	return Event{
		User: fmt.Sprintf("user-%d", n%3), Value: []byte(fmt.Sprint(n)),
		Headers: []campaign.Header{{Key: "content-type", Value: []byte(structuredType)}},
	}
}

// topic is a Kafka that takes everything, or refuses what it is told to.
type topic struct {
	mu     sync.Mutex
	got    []string
	refuse func(Event) error
}

func (k *topic) produce(_ context.Context, e Event, done func(error)) {
	k.mu.Lock()
	var err error
	if k.refuse != nil {
		err = k.refuse(e)
	}
	if err == nil {
		k.got = append(k.got, string(e.Value))
	}
	k.mu.Unlock()
	go done(err)
}

func (k *topic) has() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]string(nil), k.got...)
}

func openSpool(t interface {
	Helper()
	Fatal(...any)
}, dir string, most int64,
) *Spool {
	t.Helper()
	s, err := OpenSpool(dir, most, quiet)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// forwardAll forwards until nothing waits.
func forwardAll(t interface{ Fatal(...any) }, s *Spool, to producer) {
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- (&forwarder{s, to, quiet}).run(ctx) }()
	for deadline := time.Now().Add(time.Minute); s.Waiting() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("events are not forwarded: ", s.Waiting())
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func accepted(errs []error) (n int) {
	for _, err := range errs {
		if err == nil {
			n++
		}
	}
	return n
}

func TestWhatIsSpooledIsForwardedInItsOrder(t *testing.T) {
	dir := t.TempDir()
	s := openSpool(t, dir, 80_000) // files of 10,000 bytes
	var want []string
	for n := range 1000 {
		if err := s.Take(t.Context(), []Event{numbered(n)})[0]; err != nil {
			t.Fatal(err)
		}
		want = append(want, fmt.Sprint(n))
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix)); len(files) < 3 {
		t.Errorf("only %d files", len(files))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openSpool(t, dir, 80_000)
	k := &topic{}
	forwardAll(t, s, k)
	if diff := cmp.Diff(want, k.has()); diff != "" {
		t.Error(diff)
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix)); len(files) != 1 {
		t.Errorf("%d files are left of what is in Kafka", len(files))
	}
	if err := s.Take(t.Context(), []Event{numbered(1000)})[0]; err != nil {
		t.Fatal(err)
	}
	forwardAll(t, s, k)
	if got := k.has(); len(got) != 1001 || got[1000] != "1000" {
		t.Errorf("%d events are forwarded", len(got))
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestAFullSpoolRefusesUntilThereIsRoom(t *testing.T) {
	s := openSpool(t, t.TempDir(), 4000)
	taken := 0
	for taken = range 1000 {
		err := s.Take(t.Context(), []Event{numbered(taken)})[0]
		if errors.Is(err, ErrFull) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if s.Bytes() > 4000 || s.Bytes() < 3900 {
		t.Errorf("a spool of 4000 bytes is full with %d", s.Bytes())
	}
	k := &topic{}
	forwardAll(t, s, k)
	if err := s.Take(t.Context(), []Event{numbered(taken)})[0]; err != nil {
		t.Errorf("there is room again, and it says %v", err)
	}
	if len(k.has()) != taken {
		t.Errorf("%d were taken, %d forwarded", taken, len(k.has()))
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// Kafka refuses an event for a while: what follows it waits, or is sent again behind it. Nothing is lost, and a user's events keep their order
// if what was sent before is left out.
func TestAnEventThatIsRefusedIsSentAgain(t *testing.T) {
	s := openSpool(t, t.TempDir(), 0)
	refused := 0
	k := &topic{refuse: func(e Event) error {
		if string(e.Value) == "50" && refused < 3 {
			refused++
			return errors.New("not now")
		}
		return nil
	}}
	for n := range 100 {
		if err := s.Take(t.Context(), []Event{numbered(n)})[0]; err != nil {
			t.Fatal(err)
		}
	}
	forwardAll(t, s, k)
	seen := map[string]bool{}
	for _, v := range k.has() {
		seen[v] = true
	}
	if len(seen) != 100 || refused != 3 {
		t.Errorf("%d events are in Kafka, %d times one was refused", len(seen), refused)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// Whatever a crash leaves of what was not synced: what was accepted is forwarded, all of it, in its order.
func TestACrashLosesNothingThatWasAccepted(t *testing.T) {
	within, tries := t.TempDir(), 0
	rapid.Check(t, func(rt *rapid.T) {
		tries++
		dir := filepath.Join(within, fmt.Sprint(tries))
		k := &topic{}
		next := 0
		var want []string
		for range rapid.IntRange(1, 5).Draw(rt, "lives") {
			s := openSpool(rt, dir, 8000)
			for range rapid.IntRange(0, 30).Draw(rt, "requests") {
				var batch []Event
				for range rapid.IntRange(1, 4).Draw(rt, "batch") {
					batch = append(batch, numbered(next))
					next++
				}
				if accepted(s.Take(context.Background(), batch)) == 0 {
					continue
				}
				for _, e := range batch {
					want = append(want, string(e.Value))
				}
			}
			if rapid.Bool().Draw(rt, "Kafka is there") {
				forwardAll(rt, s, k)
			}
			if err := s.Close(); err != nil {
				rt.Fatal(err)
			}
			if files, _ := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix)); len(files) > 0 {
				torn := appendRecord(nil, &Event{User: "nobody", Value: []byte("was never accepted")})
				torn = torn[:rapid.IntRange(0, len(torn)-1).Draw(rt, "torn")]
				f, err := os.OpenFile(files[len(files)-1], os.O_APPEND|os.O_WRONLY, 0)
				if err == nil {
					_, err = f.Write(torn)
				}
				if err := errors.Join(err, f.Close()); err != nil {
					rt.Fatal(err)
				}
			}
			if rapid.IntRange(0, 3).Draw(rt, "forgets") == 0 {
				if err := os.Remove(filepath.Join(dir, forwardedName)); err != nil && !errors.Is(err, os.ErrNotExist) {
					rt.Fatal(err)
				}
			}
		}
		s := openSpool(rt, dir, 8000)
		forwardAll(rt, s, k)
		if err := s.Close(); err != nil {
			rt.Fatal(err)
		}
		// What was forgotten is sent again, as a stretch: without the repetitions it is what was accepted.
		var got []string
		seen := map[string]bool{}
		for _, v := range k.has() {
			if !seen[v] {
				got = append(got, v)
			}
			seen[v] = true
		}
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Fatal(diff)
		}
	})
}

func TestADamagedFileIsToldAndNotPassedOver(t *testing.T) {
	dir := t.TempDir()
	s := openSpool(t, dir, 8000)
	for n := range 60 {
		s.Take(t.Context(), []Event{numbered(n)})
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix))
	if len(files) < 2 {
		t.Fatalf("%d files", len(files))
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(files[0], data, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenSpool(dir, 8000, quiet); err == nil || !strings.Contains(err.Error(), "is damaged at byte") || !strings.Contains(err.Error(), files[0]) {
		t.Errorf("a damaged file is told as %v", err)
	}
}

func TestASpoolIsOneProcess(t *testing.T) {
	dir := t.TempDir()
	s := openSpool(t, dir, 0)
	if _, err := OpenSpool(dir, 0, quiet); err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("a second one is told %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// A disk that refuses costs the requests that it refuses and nothing else: nothing of them is there, and the next one finds a new file.
func TestADiskThatRefuses(t *testing.T) {
	dir := t.TempDir()
	s := openSpool(t, dir, 0)
	if err := s.Take(t.Context(), []Event{numbered(0)})[0]; err != nil {
		t.Fatal(err)
	}
	if err := s.file.Close(); err != nil { // as good as a disk that refuses
		t.Fatal(err)
	}
	if err := s.Take(t.Context(), []Event{numbered(1)})[0]; err == nil || s.Ready() == nil {
		t.Errorf("it is told as %v, and ready says %v", err, s.Ready())
	}
	if err := s.Take(t.Context(), []Event{numbered(2)})[0]; err != nil || s.Ready() != nil {
		t.Errorf("the next one is told %v, and ready says %v", err, s.Ready())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openSpool(t, dir, 0)
	k := &topic{}
	forwardAll(t, s, k)
	if diff := cmp.Diff([]string{"0", "2"}, k.has()); diff != "" {
		t.Error(diff)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// unsure is a disk that has for sure what was synced, and of the rest what it likes.
type unsure struct {
	made []*unsureFile // in directories that were synced or not
}

type unsureFile struct {
	segmentFile
	path            string
	named           bool // the directory was synced since
	written, synced int64
}

func (d *unsure) create(path string) (segmentFile, error) {
	f, err := createSegment(path)
	d.made = append(d.made, &unsureFile{segmentFile: f, path: path})
	return d.made[len(d.made)-1], err
}

func (d *unsure) syncDir(string) error {
	for _, f := range d.made {
		f.named = true
	}
	return nil
}

func (f *unsureFile) WriteAt(b []byte, at int64) (int, error) {
	f.written = max(f.written, at+int64(len(b)))
	return f.segmentFile.WriteAt(b, at)
}

func (f *unsureFile) Sync() error {
	f.synced = f.written
	return nil
}

// cut is what a power cut leaves of a directory, in another one.
func (d *unsure) cut(t *rapid.T, to string) {
	for _, f := range d.made {
		has, err := os.ReadFile(f.path)
		if err != nil {
			t.Fatal(err)
		}
		if !f.named {
			continue
		}
		left := rapid.Int64Range(f.synced, int64(len(has))).Draw(t, "left of "+filepath.Base(f.path))
		if err := os.WriteFile(filepath.Join(to, filepath.Base(f.path)), has[:left], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(to, forwardedName), nil, 0o600); err != nil { // it was renamed, and its content is gone
		t.Fatal(err)
	}
}

// What the gateway has answered 202 for is on the disk: a power cut leaves it.
func TestAPowerCutLosesNothingThatWasAccepted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "spool-") //nolint:usetesting // one for each try
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		before, after := filepath.Join(dir, "before"), filepath.Join(dir, "after")
		if err := os.Mkdir(after, 0o700); err != nil {
			t.Fatal(err)
		}
		s := openSpool(t, before, rapid.SampledFrom([]int64{400, 4000, 1 << 20}).Draw(t, "most"))
		disk := &unsure{}
		s.create, s.syncDir = disk.create, disk.syncDir
		var want []string
		n := 0
		for range rapid.IntRange(1, 20).Draw(t, "requests") {
			events := make([]Event, rapid.IntRange(1, 4).Draw(t, "events"))
			for i := range events {
				events[i] = numbered(n)
				n++
			}
			for i, err := range s.Take(context.Background(), events) {
				if err == nil {
					want = append(want, string(events[i].Value))
				}
			}
		}
		disk.cut(t, after)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = openSpool(t, after, 0)
		k := &topic{}
		forwardAll(t, s, k)
		if diff := cmp.Diff(want, k.has()); diff != "" {
			t.Fatal(diff)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func BenchmarkSpool(b *testing.B) {
	s := openSpool(b, b.TempDir(), 1<<40)
	e := Event{User: "user-1", Value: []byte(strings.Repeat("x", 280))}
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := s.Take(context.Background(), []Event{e})[0]; err != nil {
				b.Error(err)
			}
		}
	})
	if err := s.Close(); err != nil {
		b.Error(err)
	}
}
