package stream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/stampede-rewards/stampede/pkg/campaign"
	"github.com/stampede-rewards/stampede/pkg/state"
)

// A census counts how many users stand where in each campaign, in the partitions that are open, as of their last checkpoints. It reads the store whole, a
// partition after the other, and rests in between: so its numbers are as old as it takes to have them for a fiftieth of a core.

// censusRest is how much longer a census rests than it works.
const censusRest = 49

// stages are where a user stands in a campaign.
type stages struct{ tookPart, inProgress, achieved int }

// countEvery counts until ctx ends.
func (w *Worker) countEvery(ctx context.Context) {
	counts := map[int32]map[string]stages{} // by partition and campaign
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(w.cfg.CensusInterval):
		}
		open := w.Status().Inputs
		maps.DeleteFunc(counts, func(n int32, _ map[string]stages) bool {
			_, has := open[n]
			return !has
		})
		for _, n := range slices.Sorted(maps.Keys(open)) {
			began := time.Now()
			of, err := w.count(ctx, n)
			switch {
			case ctx.Err() != nil || errors.Is(err, state.ErrBroken):
				return // whoever works with the store says so
			case err != nil: // it may have gone to another process meanwhile
				w.cfg.Log.Debug("the users of a partition are not counted", "partition", n, "error", err)
				delete(counts, n)
			default:
				counts[n] = of
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(censusRest * time.Since(began)):
			}
		}
		w.cfg.Metrics.observeUsers(counts)
	}
}

// count counts the users of a partition, by campaign.
func (w *Worker) count(ctx context.Context, n int32) (map[string]stages, error) {
	inForce := campaign.NewInForce()
	err := w.cfg.Store.Campaigns(n, func(name string, value []byte) error {
		if campaign.IsErased(name) {
			return nil
		}
		return inForce.Restore(name, bytes.Clone(value))
	})
	if err != nil {
		return nil, err
	}
	set, counts := inForce.Set(), map[string]stages{}
	for _, c := range set.Campaigns() {
		counts[c.ID] = stages{} // nobody is a number, too
	}
	var ledgers campaign.Ledgers
	var parts []campaign.Part
	return counts, w.cfg.Store.Each(n, func(user, encoded []byte) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		ledgers.Reset() // one at a time
		ledger, err := ledgers.Decode(encoded)
		if err != nil {
			return fmt.Errorf("the ledger of %q: %w", user, err)
		}
		parts = set.AppendParts(parts[:0], ledger)
		for _, at := range parts {
			s := counts[at.Campaign.ID]
			s.tookPart++
			if at.InProgress {
				s.inProgress++
			}
			if at.Achieved {
				s.achieved++
			}
			counts[at.Campaign.ID] = s
		}
		return nil
	})
}
