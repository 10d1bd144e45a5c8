package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stampede-rewards/stampede/pkg/campaign"
)

// A partition in which nothing arrives has a clock that stands still. Its owner writes a tick to it when something is due by the wall clock (T5):
// a record like any other, so that what fires is in the log. It decides when a tick is worth writing and nothing else; one too many, from
// a worker that has lost the partition, changes nothing.

const (
	// tickIdle is how long nothing has come before a tick is written, and how long one is given before the next.
	tickIdle = time.Second
	// tickTimeout bounds how long a tick is tried; the next one comes anyway.
	tickTimeout = 10 * time.Second
)

// ticker writes ticks, outside of any transaction.
type ticker struct {
	client *kgo.Client
	s      *session
}

func newTicker(s *session) (*ticker, error) {
	client, err := kgo.NewClient(append(s.cfg.Connection.Options(),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.RecordDeliveryTimeout(tickTimeout),
	)...)
	if err != nil {
		return nil, fmt.Errorf("kafka client for ticks: %w", err)
	}
	return &ticker{client, s}, nil
}

// write writes a tick. It does not wait: that it has arrived is seen by the partition's next record.
func (t *ticker) write(partition int32, now time.Time) {
	record := &kgo.Record{
		Topic: t.s.topics.Events.Name, Partition: partition, Key: []byte(campaign.ControlKey),
		Value: campaign.Tick(now), Timestamp: now,
	}
	t.client.Produce(t.s.life, record, func(_ *kgo.Record, err error) {
		switch {
		case err == nil:
			t.s.cfg.Metrics.ticks.Inc()
		case !errors.Is(err, context.Canceled) && !errors.Is(err, kgo.ErrClientClosed):
			t.s.cfg.Log.Warn("a tick was not written; what is due in the partition waits for the next one, or for an event", "partition", partition, "error", err)
		}
	})
}

// nextTick is when a tick is worth writing, zero if nothing is due anywhere. s.mu is held.
func (s *session) nextTick() (next time.Time, err error) {
	for _, p := range s.partitions {
		at, err := p.tickAt()
		if err != nil {
			return time.Time{}, err
		}
		if !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	return next, nil
}

// tickAt is when a tick is worth writing to a partition, zero if nothing is due.
func (p *partition) tickAt() (time.Time, error) {
	_, due, err := p.nextDue()
	if err != nil {
		return time.Time{}, err
	}
	for _, forgets := range []int64{p.engine.ForgetsErasedAt(), p.inForce.ForgetsDeniedAt()} {
		if forgets != 0 && (due == 0 || forgets < due) {
			due = forgets // who was erased, or was denied a reward, is not remembered longer because nothing comes
		}
	}
	if due == 0 {
		return time.Time{}, nil
	}
	at := p.heard.Add(tickIdle)
	if due := time.UnixMilli(due); due.After(at) {
		at = due
	}
	return at, nil
}

// tick writes a tick to each partition for which it is time.
func (s *session) tick() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for _, n := range s.numbers() {
		p := s.partitions[n]
		at, err := p.tickAt()
		if err != nil {
			return err
		}
		if !at.IsZero() && !at.After(now) {
			p.heard = now
			s.ticker.write(n, now)
		}
	}
	return nil
}
