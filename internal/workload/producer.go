package workload

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stampede-rewards/stampede/internal/kafka"
)

// tick is how often a producer looks what is due.
const tick = 5 * time.Millisecond

// Producer produces a generator's events at a steady rate: what is due is told by the schedule and not by how fast the broker
// answers.
type Producer struct {
	Generator Generator
	Client    *kgo.Client
	Topic     string
	Rate      int    // events a second; 0 is as fast as the broker takes them
	From      uint64 // number of the first event
	Count     uint64 // 0 is without end

	sent atomic.Uint64
}

// Sent is how many events the broker has acknowledged.
func (p *Producer) Sent() uint64 { return p.sent.Load() }

// Run produces until ctx ends or Count events are out, and waits until the broker has acknowledged them. The end of ctx is no error.
func (p *Producer) Run(ctx context.Context) error {
	producing, fail := context.WithCancelCause(context.WithoutCancel(ctx))
	defer fail(nil)
	begun := time.Now()
	for k := uint64(0); (p.Count == 0 || k < p.Count) && ctx.Err() == nil && producing.Err() == nil; k++ {
		if p.Rate > 0 {
			due := begun.Add(time.Duration(float64(k) / float64(p.Rate) * float64(time.Second)))
			if wait := time.Until(due); wait > 0 {
				select {
				case <-ctx.Done():
					continue
				case <-time.After(max(wait, tick)):
				}
			}
		}
		user, value := p.Generator.Event(p.From+k, time.Now())
		p.Client.Produce(producing, &kgo.Record{Topic: p.Topic, Key: []byte(user), Value: value}, func(_ *kgo.Record, err error) {
			if err != nil {
				fail(err)
				return
			}
			p.sent.Add(1)
		})
	}
	err := kafka.Flush(producing, p.Client)
	if err == nil {
		err = context.Cause(producing)
	}
	if err != nil {
		return fmt.Errorf("produce to %s: %w", p.Topic, err)
	}
	return nil
}
