package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/stampede-rewards/stampede/pkg/campaign"
)

// errMistakes means that there are mistakes; they have been told.
var errMistakes = errors.New("there are mistakes")

// listMistakes writes mistakes whose files can be opened from here. severity is "warning: " or nothing.
func listMistakes(to io.Writer, severity string, ms campaign.Mistakes) error {
	return ms.List(to, severity, func(name string) (fs.File, error) { return os.Open(name) }) //nolint:gosec // it was read before
}

// tellMistakes writes every mistake in campaign files with its place.
func tellMistakes(err error) bool {
	mistakes, wrong := errors.AsType[campaign.Mistakes](err)
	if !wrong || listMistakes(os.Stderr, "", mistakes) != nil {
		return false
	}
	fmt.Fprintf(os.Stderr, "%d mistakes\n", len(mistakes))
	return true
}

// loadCampaigns reads a directory of campaigns. Its mistakes have places that can be opened from here.
func loadCampaigns(dir string) (*campaign.Set, error) {
	set, err := campaign.Load(os.DirFS(dir), ".")
	if mistakes, wrong := errors.AsType[campaign.Mistakes](err); wrong {
		return nil, placedIn(dir, mistakes)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", relative(dir), err)
	}
	return set, nil
}

// endAtOnce lets Ctrl-C and SIGTERM end the program where it is: what only reads has nothing to finish, and a large directory takes its time.
func endAtOnce() { signal.Reset(os.Interrupt, syscall.SIGTERM) }

// placedIn are mistakes of a directory's files, with names that can be opened from here.
func placedIn(dir string, ms campaign.Mistakes) campaign.Mistakes {
	placed := make(campaign.Mistakes, len(ms))
	for i, m := range ms {
		m.File = relative(filepath.Join(dir, filepath.FromSlash(m.File)))
		placed[i] = m
	}
	return placed
}

// relative is how a file is called in what is told.
func relative(file string) string {
	if dir, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(dir, file); err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
			return rel
		}
	}
	return file
}
