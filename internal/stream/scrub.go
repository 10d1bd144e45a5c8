package stream

import (
	"context"
	"errors"
	"time"

	"github.com/stampede-rewards/stampede/pkg/state"
)

// scrubEvery takes what is left of erased users off the disk, every interval until ctx ends: it rewrites whole partitions, so the interval bounds what
// that costs, and says how long the bytes of an erased user stay after the checkpoint.
func (w *Worker) scrubEvery(ctx context.Context) {
	every := time.NewTicker(w.cfg.ScrubInterval)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		began := time.Now()
		partitions, err := w.cfg.Store.Scrub(ctx)
		switch {
		case ctx.Err() != nil || errors.Is(err, state.ErrBroken):
			return // whoever works with the store says so
		case err != nil:
			w.cfg.Log.Warn("the store still has bytes of erased users; it is tried again", "error", err, "in", w.cfg.ScrubInterval)
		case partitions > 0:
			w.cfg.Log.Info("erased users are off the disk", "partitions", partitions, "took", time.Since(began).Round(time.Millisecond))
		}
	}
}
