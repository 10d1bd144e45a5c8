package stream

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stampede-rewards/stampede/pkg/state"
)

// A disk that refuses a write says nothing about what is on it: nobody is told that a store was dropped, and nothing is.
func TestNoStoreIsDroppedForADiskThatRefuses(t *testing.T) {
	o := &opener{metrics: NewMetrics(), log: slog.New(slog.DiscardHandler)} // without a store: nothing is asked of it
	_, err := o.unreadable(1, fmt.Errorf("read: %w", state.ErrBroken))
	if end := (fatal{}); !errors.As(err, &end) || !errors.Is(err, state.ErrBroken) {
		t.Errorf("who opens a partition then is told %v", err)
	}
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(o.metrics.quarantined)
	families, err := registry.Gather()
	if err != nil || len(families) != 1 {
		t.Fatal(families, err)
	}
	if n := families[0].Metric[0].GetCounter().GetValue(); n != 0 {
		t.Errorf("%v stores were dropped", n)
	}
}

// What is older than the changelog remembers deletions is not brought up to date, and what a first restore has left behind when it was cut off is as
// old as that restore.
func TestLedgersOlderThanDeletionsAreRememberedAreDropped(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		name    string
		p       state.Position
		dropped bool
	}{
		{"nothing is there", state.Position{}, false},
		{"of now", state.Position{Changelog: 7, CaughtUp: now.UnixMilli()}, false},
		{"of the week before last", state.Position{Changelog: 7, CaughtUp: now.Add(-14 * 24 * time.Hour).UnixMilli()}, true},
		{"the journal of the first cycles, of now", state.Position{Input: 7, CaughtUp: now.UnixMilli()}, false},
		{"the journal of the first cycles, of the week before last", state.Position{Input: 7, CaughtUp: now.Add(-14 * 24 * time.Hour).UnixMilli()}, true},
		{"a first restore was cut off just now", state.Position{Restoring: true, CaughtUp: now.UnixMilli()}, false},
		{"a first restore was cut off long ago", state.Position{Restoring: true, CaughtUp: now.Add(-14 * 24 * time.Hour).UnixMilli()}, true},
		{"a first restore was cut off, nobody knows when", state.Position{Restoring: true}, true},
	} {
		if why := outdated(c.p, now, 7*24*time.Hour); (why != "") != c.dropped {
			t.Errorf("%s: %q", c.name, why)
		}
	}
}
