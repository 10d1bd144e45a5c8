package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stampede-rewards/stampede/internal/kafka"
)

const (
	steadyRate  = 20_000 // events a second
	steadyUsers = 200_000
	// warmUp is what comes before a steady minute is measured, and steadyFor the minute. By then all users but one in four hundred have come: a user of whom
	// nothing is known costs several times as much, and is rare in a state that is steady.
	warmUp    = 60 * time.Second
	steadyFor = 60 * time.Second
	// sendEvery is how often what is due is sent.
	sendEvery = time.Millisecond
	// longest is the longest latency that is told apart.
	longest = 5 * time.Minute
)

// steadyConfig says how events arrive at a steady rate.
type steadyConfig struct {
	commit string // how often is committed
	real   bool   // on the real Kafka
}

// steady is events by a schedule that does not wait for anybody. A birth's id is the moment at which it was due to be sent, and its reward names it
// as evidence: that the generator, the broker or the processor was late is in the latency.
func steady(cfg steadyConfig) func(context.Context, *rig) (values, error) {
	return func(ctx context.Context, r *rig) (v values, err error) {
		j := job{users: steadyUsers, events: 1, memory: "1GiB"}
		s, err := r.site(ctx, j, cfg.real)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, s.close()) }()
		p, err := s.start(ctx, "store", append(j.memoryFlag(), "--commit-interval", cfg.commit)...)
		if err != nil {
			return nil, err
		}
		if err := p.awaitOpen(ctx); err != nil {
			return nil, errors.Join(err, p.kill())
		}
		ctx, stop := context.WithCancel(ctx)
		defer stop()
		m := &measuring{latencies: hdrhistogram.New(1, longest.Microseconds(), 3)}
		if err := m.read(ctx, s); err != nil {
			return nil, errors.Join(err, p.kill())
		}
		sent := make(chan error, 1)
		go func() { sent <- send(ctx, s) }()
		lasting := steadyFor / time.Duration(r.small)
		before, after, err := m.during(ctx, p, warmUp/time.Duration(r.small), lasting, sent)
		stop()
		m.reading.Wait()
		if err != nil {
			return nil, errors.Join(err, p.kill())
		}
		if m.latencies.TotalCount() == 0 {
			return nil, errors.Join(fmt.Errorf("no reward was read: %s", p.said()), p.kill())
		}
		return values{
			"CPU":                   (after.cpu - before.cpu) / lasting.Seconds(),
			"allocations per event": (after.allocations - before.allocations) / (after.events - before.events),
			"p50":                   float64(m.latencies.ValueAtQuantile(50)) / 1000,
			"p99":                   float64(m.latencies.ValueAtQuantile(99)) / 1000,
		}, p.stop()
	}
}

// send sends what is due until ctx ends.
func send(ctx context.Context, s *site) error {
	producing, fail := context.WithCancelCause(context.WithoutCancel(ctx))
	defer fail(nil)
	g := s.job.generator(2)
	begun := time.Now()
	gap := time.Second / steadyRate
	for k := 0; ctx.Err() == nil; {
		for ; ctx.Err() == nil; k++ { // who can't keep up is not to be kept from ending
			due := begun.Add(time.Duration(k) * gap)
			if due.After(time.Now()) {
				break
			}
			r := g.event(due, idOf(uint64(due.UnixNano()), uint64(k))) //nolint:gosec // neither is negative
			r.Topic, r.Timestamp = s.prefix+"events", time.Time{}      // as any producer does
			s.client.Produce(producing, r, func(_ *kgo.Record, err error) {
				if err != nil {
					fail(err)
				}
			})
		}
		if err := context.Cause(producing); err != nil {
			return fmt.Errorf("send events: %w", err)
		}
		time.Sleep(sendEvery)
	}
	return nil
}

// measuring reads rewards as fulfilment does.
type measuring struct {
	reading sync.WaitGroup

	mu        sync.Mutex
	on        bool
	latencies *hdrhistogram.Histogram // microseconds
	failed    error
}

// read begins to read the rewards.
func (m *measuring) read(ctx context.Context, s *site) error {
	cl, err := kgo.NewClient(append((kafka.Connection{Brokers: s.address}).Options(),
		kgo.ConsumeTopics(s.prefix+"rewards"), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(time.Second))...)
	if err != nil {
		return err
	}
	m.reading.Go(func() {
		defer cl.Close()
		for ctx.Err() == nil {
			fetches := cl.PollFetches(ctx)
			now := time.Now()
			for iter := fetches.RecordIter(); !iter.Done(); {
				m.see(iter.Next(), now)
			}
		}
	})
	return nil
}

func (m *measuring) see(r *kgo.Record, now time.Time) {
	var reward struct {
		Data struct {
			Campaign string   `json:"campaign"`
			Evidence []string `json:"evidence"`
		} `json:"data"`
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := json.Unmarshal(r.Value, &reward); err != nil {
		m.failed = err
		return
	}
	if !m.on || reward.Data.Campaign != "birth" {
		return
	}
	id, err := uuid.Parse(reward.Data.Evidence[0])
	if err == nil {
		due := time.Unix(0, int64(binary.BigEndian.Uint64(id[:8]))) //nolint:gosec // it was one
		err = m.latencies.RecordValue(now.Sub(due).Microseconds())
	}
	if err != nil {
		m.failed = fmt.Errorf("reward of event %s: %w", reward.Data.Evidence[0], err)
	}
}

// during measures while events arrive, when the processor is warm.
func (m *measuring) during(ctx context.Context, p *process, warm, lasting time.Duration, sent <-chan error) (before, after usage, err error) {
	wait := func(d time.Duration) error {
		select {
		case err := <-sent:
			return err
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(d):
			return nil
		}
	}
	measure := func(on bool) {
		m.mu.Lock()
		m.on = on
		m.mu.Unlock()
	}
	if err = wait(warm); err != nil {
		return before, after, err
	}
	if before, err = p.usage(ctx); err != nil {
		return before, after, err
	}
	measure(true)
	if err = wait(lasting); err != nil {
		return before, after, err
	}
	measure(false)
	after, err = p.usage(ctx)
	m.mu.Lock()
	defer m.mu.Unlock()
	return before, after, errors.Join(err, m.failed)
}
