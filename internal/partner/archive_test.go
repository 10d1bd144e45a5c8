package partner_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"github.com/stampede-rewards/stampede/internal/partner"
)

// archive runs an archive in the background. end stops it and returns its error.
func (h *house) archive(dir string) (end func() error) {
	h.Helper()
	ctx, stop := context.WithTimeout(context.Background(), patience)
	done := make(chan error, 1)
	go func() {
		done <- partner.Archive{Connection: h.connection, Topic: topic, Dir: dir, FileRows: 40, FileEvery: 50 * time.Millisecond}.Run(ctx)
	}()
	return func() error {
		stop()
		return <-done
	}
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
