package judge

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stampede-rewards/stampede/internal/stream"
)

const (
	// commitsEvery is how often the committed offsets are asked for.
	commitsEvery = 250 * time.Millisecond
	// commitsTimeout bounds the wait for an answer; the next one may come.
	commitsTimeout = 5 * time.Second
)

// Observer reads rewards and the changelog while things go wrong, as fulfilment does, asks for the committed offsets now and then, and holds
// all of it against the invariants that must hold at every moment.
type Observer struct {
	c     Case
	stop  context.CancelFunc
	tasks sync.WaitGroup

	mu        sync.Mutex
	order     *order
	commits   *commits
	firstAt   time.Time
	polls     int            // answers that told the committed offsets
	uncovered map[int32]owed // by partition of events: a reward that no answer has covered yet
}

// owed is a reward that was seen: the committed offset must be behind its cause.
type owed struct {
	cause int64
	since int // answers when it was seen
}

// Observe begins to read rewards and the changelog from their starts, and to ask for the committed offsets. It starts no goroutine that Stop
// does not end.
func (c Case) Observe() (*Observer, error) {
	cl, err := kgo.NewClient(append(c.Connection.Options(),
		kgo.ConsumeTopics(c.Topics.Rewards.Name, c.Topics.Changelog.Name),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()))...)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	o := &Observer{c: c, stop: stop, order: newOrder(c), commits: newCommits(), uncovered: map[int32]owed{}}
	o.tasks.Go(func() {
		defer cl.Close()
		for ctx.Err() == nil {
			for iter := cl.PollFetches(ctx).RecordIter(); !iter.Done(); {
				o.see(iter.Next())
			}
		}
	})
	o.tasks.Go(func() { o.poll(ctx) })
	return o, nil
}

func (o *Observer) see(r *kgo.Record) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.order.see(r) || r.Topic != o.c.Topics.Rewards.Name {
		return
	}
	if o.firstAt.IsZero() {
		o.firstAt = time.Now()
	}
	if source, cause, err := causeOf(r); err == nil {
		if _, waits := o.uncovered[source]; !waits {
			o.uncovered[source] = owed{cause, o.polls}
		}
	}
}

// poll asks for the committed offsets, with another client than the one that reads: that one waits for its fetches.
func (o *Observer) poll(ctx context.Context) {
	cl, done, err := o.c.Connection.Asker()
	if err != nil {
		return // one of the same options works
	}
	defer done()
	every := time.NewTicker(commitsEvery)
	defer every.Stop()
	for {
		o.ask(ctx, kadm.NewClient(cl))
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
	}
}

// ask is shown what the group has committed. Offsets of a transaction whose end is decided and not yet written are waited for.
func (o *Observer) ask(ctx context.Context, admin *kadm.Client) {
	ctx, cancel := context.WithTimeout(kadm.RequireStable(ctx), commitsTimeout)
	defer cancel()
	o.mu.Lock()
	began := o.polls
	o.mu.Unlock()
	told, err := o.c.offsets(ctx, admin)
	if err != nil {
		return // things go wrong: that is what this is for
	}
	maps.DeleteFunc(told, func(_ int32, r kadm.OffsetResponse) bool { return r.Err != nil })
	o.mu.Lock()
	defer o.mu.Unlock()
	o.commits.see(told)
	o.polls++
	for n, r := range told {
		reward, some := o.uncovered[n]
		switch {
		case !some:
		case covers(r, reward.cause):
			delete(o.uncovered, n)
		case reward.since+1 < began: // it was asked, and answered, twice since
			o.order.find(broken(NothingUncommitted, "a reward for events/%d@%d is committed, and the committed offset is %d", n, reward.cause, r.At))
			delete(o.uncovered, n)
		}
	}
}

// covers says whether a committed offset is behind a record, or before it and behind some of what was due at its clock.
func covers(r kadm.OffsetResponse, cause int64) bool {
	if r.At != cause {
		return r.At > cause
	}
	named, err := stream.ParseCommit(r.Metadata)
	return err == nil && named.Step > 0
}

// Count is how many rewards were seen so far.
func (o *Observer) Count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.order.rewards)
}

// FirstAt is when the first reward was seen, zero if none was.
func (o *Observer) FirstAt() time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.firstAt
}

// Stop ends the reading and says what was wrong.
func (o *Observer) Stop() error {
	o.stop()
	o.tasks.Wait()
	return errors.Join(o.order.err(), o.commits.err())
}
