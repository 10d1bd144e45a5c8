package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stampede-rewards/stampede/internal/kafka"
	"github.com/stampede-rewards/stampede/pkg/state"
)

const (
	// restoreProgress is how often a long restore says how far it is.
	restoreProgress = 5 * time.Second
	// positionTail is how far from its end the changelog is searched for the last position record, when the group's offsets are
	// gone and somebody has to be told where to go on.
	positionTail = 100_000
)

// restore reads the changelog of a partition into the store, from the store's position until the position record that names the
// committed offset (S4). Not found means that the changelog's end was reached without it.
func (o *opener) restore(ctx context.Context, n int32, target point, from state.Position, log *slog.Logger) (state.Position, bool, error) {
	select {
	case o.restores <- struct{}{}:
		defer func() { <-o.restores }()
	case <-ctx.Done():
		return state.Position{}, false, ctx.Err()
	}
	end, err := o.changelogEnd(ctx, n)
	if err != nil {
		return state.Position{}, false, err
	}
	into, err := o.store.Restore(n, from)
	if err != nil {
		return state.Position{}, false, fatal{fmt.Errorf("restore events/%d: %w", n, err)}
	}
	defer into.Abandon()

	began := time.Now()
	said := began
	var ledgers int64
	position := from
	found := false
	err = o.readChangelog(ctx, n, from.Changelog, end, func(r *kgo.Record) (bool, error) {
		o.metrics.restoredRecords.Inc()
		if !IsPosition(r) {
			ledgers++
			change, err := changeOf(string(r.Key), r.Value)
			if err != nil {
				return false, &RefusedError{n, err.Error()}
			}
			if err := into.Add(change.User, change.Ledger, change.Due); err != nil {
				return false, fatal{fmt.Errorf("restore events/%d: %w", n, err)}
			}
			if time.Since(said) > restoreProgress {
				said = time.Now()
				log.Info("restoring", "ledgers", ledgers, "at", r.Offset, "of", end)
			}
			return true, nil
		}
		p, err := ParsePosition(r)
		if err != nil {
			return false, &RefusedError{n, err.Error()}
		}
		if p.EventsTopic != o.topics.Events.ID {
			return true, nil // of an events topic that is gone: the committed offset is not of that one
		}
		position.Input, position.Step, position.Clock, position.Changelog = p.Input, p.Step, p.Clock, r.Offset+1
		found = p.point() == target
		return !found, nil
	})
	if err != nil || !found {
		return state.Position{}, false, err
	}
	position.CaughtUp, position.Restoring = time.Now().UnixMilli(), false
	if err := into.Finish(position); err != nil {
		return state.Position{}, false, fatal{fmt.Errorf("restore events/%d: %w", n, err)}
	}
	o.metrics.restores.Inc()
	log.Info("restored", "ledgers", ledgers, "from", from.Changelog, "took", time.Since(began).Round(time.Millisecond))
	return position, true, nil
}

// changelogEnd is the offset behind the last record, committed or not: what was committed before now lies before it.
func (o *opener) changelogEnd(ctx context.Context, n int32) (int64, error) {
	ends, err := o.connection.Ends(ctx, o.topics.Changelog.Name)
	if err != nil {
		return 0, err
	}
	end, ok := ends[n]
	if !ok {
		return 0, fmt.Errorf("topic %s has no partition %d", o.topics.Changelog.Name, n)
	}
	return end, nil
}

// readChangelog visits the committed records from an offset until visit has seen enough or the end is reached. An offset that
// the log does not have leads nowhere: nothing is visited.
func (o *opener) readChangelog(ctx context.Context, n int32, from, end int64, visit func(*kgo.Record) (more bool, err error)) error {
	err := o.connection.ReadCommitted(ctx, []kafka.Span{{Topic: o.topics.Changelog.Name, Partition: n, From: from, End: end}}, visit)
	if errors.Is(err, kerr.OffsetOutOfRange) {
		return nil
	}
	return err
}

// lastPosition finds the newest committed position record that is wanted: near the changelog's end, or else anywhere.
func (o *opener) lastPosition(ctx context.Context, n int32, end int64, wanted func(PositionRecord) bool) (last PositionRecord, found bool, err error) {
	for _, from := range []int64{max(0, end-positionTail), 0} {
		err = o.readChangelog(ctx, n, from, end, func(r *kgo.Record) (bool, error) {
			if !IsPosition(r) {
				return true, nil
			}
			p, err := ParsePosition(r)
			if err != nil {
				return false, &RefusedError{n, err.Error()}
			}
			if wanted(p) {
				last, found = p, true
			}
			return true, nil
		})
		if err != nil || found || from == 0 {
			break
		}
	}
	return last, found, err
}
