package partner_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/stampede-rewards/stampede/internal/partner"
)

// archive runs an archive in the background. end stops it and returns its error.
func (h *house) archive(dir string) (end func() error) {
	h.Helper()
	stop, done := h.archives(dir)
	return func() error {
		stop()
		return <-done
	}
}

func (h *house) archives(dir string) (stop func(), done <-chan error) {
	h.Helper()
	ctx, stop := context.WithTimeout(context.Background(), patience)
	ended := make(chan error, 1)
	go func() {
		ended <- partner.Archive{
			Connection: h.connection, Topic: h.partner.Topic, Dir: dir, FileRows: 40, FileEvery: 50 * time.Millisecond, Log: slog.New(slog.NewTextHandler(h.Output(), nil)),
		}.Run(ctx)
	}()
	return stop, ended
}

// archived is all rows of a directory's files, in the order of cycles, which the house counts.
func (h *house) archived(dir string) (cycles []string) {
	h.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.parquet"))
	if err != nil {
		h.Fatal(err)
	}
	for _, file := range files {
		rows, err := parquet.ReadFile[partner.ArchiveRow](file)
		if err != nil {
			h.Fatal(err)
		}
		for _, r := range rows {
			if r.Campaign != "steps" || r.Sponsor != "city" || r.Outcome != "achieved" || r.Tier != "1" || r.Date != 20_000 || r.KeyID != "k1" || len(r.Pseudonym) != 64 {
				h.Errorf("a row is %+v", r)
			}
			cycles = append(cycles, fmt.Sprintf("%6s", r.Cycle))
		}
	}
	slices.Sort(cycles)
	return cycles
}

func (h *house) wants(dir string) {
	h.Helper()
	var want []string
	for i := 1; i <= h.written; i++ {
		want = append(want, fmt.Sprintf("%6d", i))
	}
	if diff := cmp.Diff(want, h.archived(dir)); diff != "" {
		h.Errorf("rows in %s (-want +got):\n%s", filepath.Base(dir), diff)
	}
}

// An archive is stopped and goes on; and at moments of its life it is copied, which is what a crash leaves behind, with a file that was not finished. Each goes on
// from its files, and has every outcome once.
func TestAnArchiveHasEveryOutcomeOnce(t *testing.T) {
	h := newHouse(t)
	dir := filepath.Join(t.TempDir(), "archive")
	var copies []string
	for i := range 3 {
		h.write(50)
		end := h.archive(dir)
		h.eventually("some is archived", func() bool { return len(h.archived(dir)) > i*100 })
		copied := filepath.Join(t.TempDir(), fmt.Sprint("copy-", i))
		if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		left := filepath.Join(copied, fmt.Sprintf("%s-0-%d-%d.parquet.tmp", topic, 10_000, 10_001))
		if err := os.WriteFile(left, []byte("PAR1 and then the power went"), 0o600); err != nil {
			t.Fatal(err)
		}
		copies = append(copies, copied)
		h.write(50)
		if err := end(); err != nil {
			t.Error(err)
		}
	}
	for _, dir := range append(copies, dir) {
		end := h.archive(dir)
		h.eventually("all is archived", func() bool { return len(h.archived(dir)) >= h.written })
		if err := end(); err != nil {
			t.Error(err)
		}
		h.wants(dir)
		if left, err := filepath.Glob(filepath.Join(dir, "*.tmp")); err != nil || len(left) > 0 {
			t.Errorf("left behind are %v, %v", left, err)
		}
	}
}

func TestAnArchiveRefusesWhatCanNotBeRight(t *testing.T) {
	h := newHouse(t)
	h.write(20)
	dir := t.TempDir()
	end := h.archive(dir)
	h.eventually("it is archived", func() bool { return len(h.archived(dir)) == 20 })
	if err := h.archive(dir)(); err == nil || !strings.Contains(err.Error(), "is in use by another process") {
		t.Errorf("a second one on the directory: %v", err)
	}
	if err := end(); err != nil {
		t.Error(err)
	}
	for _, c := range []struct{ file, want string }{
		{topic + "-0-0-3.parquet", "has two files of offset"},
		{topic + "-0-0-1000000.parquet", "lead to an offset that outcomes.acme/0 does not have"},
	} {
		dir := t.TempDir()
		for _, name := range []string{c.file, topic + "-1-0-0.parquet"} {
			if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if strings.Contains(c.want, "two files") {
			if err := os.WriteFile(filepath.Join(dir, topic+"-0-2-5.parquet"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		err := partner.Archive{Connection: h.connection, Topic: topic, Dir: dir}.Run(t.Context())
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.file, err)
		}
	}
}

// All is in files and retention takes all, the last transaction's marker, too: nothing is lost, and the next archive goes on.
func TestAnArchiveIsNotHeldUpByMarkersThatAreGone(t *testing.T) {
	onBoth(t, func(h *house) {
		h.commits(20, 1, 0, 39)
		dir := h.TempDir()
		end := h.archive(dir)
		h.eventually("all is archived", func() bool { return len(h.archived(dir)) == 60 })
		if err := end(); err != nil {
			h.Fatal(err)
		}
		h.retains(-1)
		end = h.archive(dir)
		h.commits(7)
		h.eventually("what came later, too", func() bool { return len(h.archived(dir)) == 67 })
		if err := end(); err != nil {
			h.Error(err)
		}
		h.wants(dir)
		h.commits(20)
		h.retains(-1)
		if err := <-second(h.archives(dir)); err == nil || !strings.Contains(err.Error(), "does not have: its retention was quicker") || !strings.Contains(err.Error(), "at most") {
			h.Errorf("20 outcomes are lost: %v", err)
		}
	})
}

func second[A, B any](_ A, b B) B { return b }

// A topic that was deleted and made anew has other outcomes at the same offsets.
func TestAnArchiveKnowsItsTopic(t *testing.T) {
	const want = "are of another topic outcomes.acme, which was deleted and made anew"
	anew := func(t *testing.T, h *house) *house {
		t.Helper()
		if _, err := kadm.NewClient(h.client).DeleteTopics(t.Context(), topic); err != nil {
			t.Fatal(err)
		}
		h = newHouseOn(t, h.connection, topic)
		h.write(50)
		return h
	}
	t.Run("stopped", func(t *testing.T) {
		h, dir := newHouse(t), t.TempDir()
		h.write(20)
		end := h.archive(dir)
		h.eventually("all is archived", func() bool { return len(h.archived(dir)) == 20 })
		if err := end(); err != nil {
			t.Fatal(err)
		}
		h = anew(t, h)
		if err := <-second(h.archives(dir)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("it ended with %v", err)
		}
	})
	t.Run("at work", func(t *testing.T) {
		h, dir := newHouse(t), t.TempDir()
		h.write(20)
		_, done := h.archives(dir)
		h.eventually("all is archived", func() bool { return len(h.archived(dir)) == 20 })
		h = anew(t, h)
		if err := <-done; err == nil || !strings.Contains(err.Error(), want) && !strings.Contains(err.Error(), "there is no topic") {
			t.Errorf("it ended with %v", err)
		}
		if n := len(h.archived(dir)); n != 20 {
			t.Errorf("there are %d rows, of two topics", n)
		}
	})
}

// A broker that is away for a while ends nothing.
func TestAnArchiveWaitsForABroker(t *testing.T) {
	h, dir := newHouse(t), t.TempDir()
	h.write(20)
	var away atomic.Bool
	var refused atomic.Int32
	h.connection.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		if away.Load() {
			refused.Add(1)
			return nil, &net.OpError{Op: "dial", Net: network, Err: errors.New("connection refused")}
		}
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	stop, done := h.archives(dir)
	defer stop()
	h.eventually("all is archived", func() bool { return len(h.archived(dir)) == 20 })
	away.Store(true)
	h.eventually("the broker was missed", func() bool { return refused.Load() > 1 })
	away.Store(false)
	h.write(20)
	h.eventually("what came later is archived", func() bool { return len(h.archived(dir)) == 40 })
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	h.wants(dir)
}
