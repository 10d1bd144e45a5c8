package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// compare runs rows with the programs of two revisions, one after the other each time, and writes what benchstat reads: base.txt and head.txt.
type compare struct {
	Base  string   `arg:"" help:"The revision to compare with, as git names it."`
	Row   []string `placeholder:"NAME,..." help:"Only these rows (default: all that need no real Kafka)."`
	Times int      `default:"6" help:"How often each is run; benchstat wants six or more to tell a difference from chance (${default})."`
	Small int      `default:"1" placeholder:"N" help:"Take only the N-th part of the users and events (${default})."`
	Out   string   `default:"bench-results" type:"path" placeholder:"DIR" help:"Where the two files go (${default})."`
}

// Validate is called by kong.
func (c *compare) Validate() error { return validRows(c.Row, c.Times, c.Small) }

// side is a revision's programs and what they came to.
type side struct {
	name     string
	programs string // their directory
	text     strings.Builder
}

// Run is called by main.
func (c *compare) Run(ctx context.Context) (err error) {
	scratch, err := os.MkdirTemp("", "stampede-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	base, head := &side{name: "base", programs: filepath.Join(scratch, "base-programs")}, &side{name: "head", programs: filepath.Join(scratch, "head-programs")}
	if err := build(ctx, ".", head.programs); err != nil {
		return err
	}
	if err := buildRevision(ctx, c.Base, filepath.Join(scratch, "source"), base.programs); err != nil {
		return err
	}
	for i := range rows {
		row := &rows[i]
		if row.real || len(c.Row) > 0 && !slices.Contains(c.Row, row.name) {
			continue
		}
		for n := range c.Times {
			for _, s := range []*side{base, head} {
				figures, err := row.run(ctx, &rig{programs: s.programs, scratch: scratch, small: c.Small, sites: n})
				if err != nil {
					return fmt.Errorf("%s of %s: %w", row.name, s.name, err)
				}
				fmt.Fprintf(os.Stderr, "%s, %d of %d, %s: %s\n", row.name, n+1, c.Times, s.name, row.show(figures))
				s.add(row, figures)
			}
		}
		for _, s := range []*side{base, head} { // after each row: a long run may be ended before its last
			if err := s.write(c.Out); err != nil {
				return err
			}
		}
	}
	return nil
}

// buildRevision builds the programs of a revision, and this one as it is: the broker and what measures are the same for both.
func buildRevision(ctx context.Context, revision, source, programs string) error {
	for _, words := range [][]string{{"clone", "--quiet", "--no-checkout", ".", source}, {"-C", source, "checkout", "--quiet", "--detach", revision}} {
		cmd := exec.CommandContext(ctx, "git", words...) //nolint:gosec // our own words, and a revision
		cmd.Stderr = os.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("git %s: %w", strings.Join(words, " "), err)
		}
	}
	if err := build(ctx, source, programs, "processor", "producer"); err != nil {
		return err
	}
	return build(ctx, ".", programs, "bench")
}

// add notes a run in the form of Go's benchmarks.
func (s *side) add(row *row, v values) {
	for _, f := range row.figures {
		fmt.Fprintf(&s.text, "Benchmark%s 1 %v %s\n", row.name, v[f.name], strings.ReplaceAll(f.name, " ", "-"))
	}
}

func (s *side) write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, s.name+".txt"), []byte(s.text.String()), 0o600)
}
