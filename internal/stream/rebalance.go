package stream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// The group's callbacks. The client runs them while no cycle is open: BlockRebalanceOnPoll holds them back from a poll that
// returned records to AllowRebalance, which a cycle calls when it is done (S6).
//
// A rebalance begins with onRevoked, of no partition or of some, and ends with onAssigned, of no partition or of some. Between the two
// the events are paused: what was polled then could not be committed, because the group's generation has moved on.
//
// The client's session keeps a flag "partitions were revoked" from onRevoked to the next End, which it makes an abort, and swallows
// every further onRevoked while the flag is up. So onAssigned ends an empty transaction, of which the broker learns nothing. It also
// rewinds to the committed offsets, which is where the client is.

// endGrace is how long a transaction may take to end while the group waits for it. After it, the member may have been
// thrown out without a way to know: the end is given up and the client discarded.
const endGrace = 3 * time.Second

var errEndGivenUp = errors.New("the group waited too long for a transaction to end")

// errForgotten means that the group threw this member out and took it in again under a new id. The client takes that for an ordinary rebalance when
// it hears of it from its own request to join, and goes on with the partitions that it had, from where it was: but others had them in between.
var errForgotten = errors.New("the group had forgotten this worker, and others may have had its partitions since")

// onBlocked asks the running cycle to end at once.
func (s *session) onBlocked(context.Context, *kgo.Client) {
	select {
	case s.rebalance <- struct{}{}:
	default: // it is asked already
	}
	s.wake()
	waitsFor := s.cycles.Load()
	time.AfterFunc(endGrace, func() {
		if cancel := s.ending.Load(); cancel != nil && s.cycles.Load() == waitsFor {
			(*cancel)()
		}
	})
}

// onRevoked hands partitions over: they are at a committed position, and their ledgers go to their keys.
func (s *session) onRevoked(_ context.Context, client *kgo.Client, revoked map[string][]int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return
	}
	client.PauseFetchTopics(s.topics.Events.Name)
	numbers := revoked[s.topics.Events.Name]
	s.revoked = s.revoked || len(numbers) > 0
	for _, n := range numbers {
		s.stopOpening(n)
		p := s.partitions[n]
		if p == nil {
			continue
		}
		delete(s.partitions, n)
		if err := p.checkpoint(); err != nil && s.failed == nil {
			s.failed = fatal{err}
			s.wake()
		}
	}
	s.status.revoked(numbers)
	if len(numbers) > 0 {
		s.cfg.Log.Info("partitions handed over", "partitions", numbers)
	}
}

// onLost means that the group has already given the partitions to somebody else. Nothing that is in memory may be used (S5).
func (s *session) onLost(_ context.Context, _ *kgo.Client, lost map[string][]int32) {
	s.fail(fmt.Errorf("the group took partitions %v away: this worker was not heard of for %s", lost[s.topics.Events.Name], sessionTimeout))
}

// onAssigned ends a rebalance. The new partitions stay paused until they are open.
func (s *session) onAssigned(ctx context.Context, client *kgo.Client, assigned map[string][]int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing || s.failed != nil {
		return
	}
	member, _ := client.GroupMetadata()
	if s.member != "" && member != s.member {
		s.failed = errForgotten
		s.wake()
		return
	}
	s.member = member
	s.cfg.Metrics.rebalances.Inc()
	if s.revoked {
		s.revoked = false
		s.mu.Unlock()
		err := s.takeFlagDown(ctx)
		s.mu.Lock()
		if err != nil {
			s.failed = err
			s.wake()
			return
		}
	}
	client.PauseFetchPartitions(assigned)
	client.ResumeFetchTopics(s.topics.Events.Name)
	s.status.assigned(assigned[s.topics.Events.Name])
	if numbers := assigned[s.topics.Events.Name]; len(numbers) > 0 {
		s.cfg.Log.Info("partitions assigned", "partitions", numbers)
	}
}

// takeFlagDown ends an empty transaction: see above.
func (s *session) takeFlagDown(ctx context.Context) error {
	if !exactlyOnce {
		return nil
	}
	if err := s.client.Begin(); err != nil {
		return fmt.Errorf("after a rebalance: begin: %w", err)
	}
	if _, err := s.client.End(context.WithoutCancel(ctx), kgo.TryAbort); err != nil {
		return fmt.Errorf("after a rebalance: end: %w", err)
	}
	return nil
}

// onOffsetsFetched begins to open the partitions that were assigned, with the very offsets that the client goes on from.
func (s *session) onOffsetsFetched(_ context.Context, _ *kgo.Client, response *kmsg.OffsetFetchResponse) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing || s.failed != nil {
		return nil
	}
	for _, group := range response.Groups {
		for _, topic := range group.Topics {
			if topic.Topic != s.topics.Events.Name && topic.TopicID != s.topics.Events.ID {
				continue
			}
			for _, p := range topic.Partitions {
				if p.ErrorCode != 0 {
					continue // the client tells it as a fetch error
				}
				if s.partitions[p.Partition] != nil {
					s.failed = fmt.Errorf("BUG: events/%d is assigned and was not revoked", p.Partition)
					return s.failed
				}
				c := committed{offset: p.Offset}
				if p.Metadata != nil {
					c.metadata = *p.Metadata
				}
				s.startOpening(p.Partition, c)
			}
		}
	}
	return nil
}

// startOpening opens a partition beside the loop, which takes it in when it is done. s.mu is held.
func (s *session) startOpening(n int32, c committed) {
	s.stopOpening(n)
	ctx, cancel := context.WithCancel(s.life)
	o := &opening{number: n, cancel: cancel, done: make(chan struct{})}
	s.opening[n] = o
	go func() {
		defer close(o.done)
		if o.position, o.err = s.opener.open(ctx, n, c); o.err == nil {
			o.inForce, o.erased, o.err = s.opener.ownState(n, o.position.Clock)
		}
		if refused := (*RefusedError)(nil); errors.As(o.err, &refused) {
			o.err = s.opener.stands(ctx, refused, c)
		}
		s.mu.Lock()
		s.opened = append(s.opened, o)
		s.mu.Unlock()
		s.wake()
	}()
}

// stopOpening ends the opening of a partition, if there is one, and waits for it. s.mu is held, and given up meanwhile.
func (s *session) stopOpening(n int32) {
	o := s.opening[n]
	if o == nil {
		return
	}
	delete(s.opening, n)
	o.cancel()
	s.mu.Unlock()
	<-o.done
	s.mu.Lock()
	s.opened = slices.DeleteFunc(s.opened, func(other *opening) bool { return other == o })
}

// takeIn lets the partitions that are open take part. s.mu is held.
func (s *session) takeIn() error {
	var resume []int32
	for _, o := range s.opened {
		delete(s.opening, o.number)
		o.cancel()
		var refused *RefusedError
		switch {
		case errors.As(o.err, &refused):
			// It stays paused: the others go on, and somebody has to look.
			s.cfg.Log.Error("a partition is refused and stays unprocessed until it is mended and the processor restarted", "partition", o.number, "error", refused)
			s.status.refused(o.number, refused)
			continue
		case o.err != nil:
			return fmt.Errorf("open events/%d: %w", o.number, o.err)
		}
		s.partitions[o.number] = s.newPartition(o)
		resume = append(resume, o.number)
		s.status.opened(o.number, o.position.Input, o.inForce.Running(o.position.Clock))
	}
	s.opened = nil
	if len(resume) > 0 {
		s.client.Client().ResumeFetchPartitions(map[string][]int32{s.topics.Events.Name: resume})
	}
	return nil
}

// numbers lists the open partitions in order.
func (s *session) numbers() []int32 { return slices.Sorted(maps.Keys(s.partitions)) }
