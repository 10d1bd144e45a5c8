package gateway

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/semaphore"
)

// DefaultAcknowledged is how long Kafka may take to acknowledge an event where the configuration says nothing else.
const DefaultAcknowledged = 10 * time.Second

// Kafka takes events over by waiting until Kafka has acknowledged them: all replicas in sync, each once (the client's idempotent producer).
type Kafka struct {
	client   *kgo.Client
	topic    string
	most     time.Duration
	underway *semaphore.Weighted
}

// BufferedEvents bounds the events that wait for Kafka's acknowledgement. The client must not block before that.
const BufferedEvents = 50_000

// NewKafka uses a client that partitions by key. most is how long an acknowledgement may take; 0 is DefaultAcknowledged.
func NewKafka(client *kgo.Client, topic string, most time.Duration) *Kafka {
	if most == 0 {
		most = DefaultAcknowledged
	}
	return &Kafka{client: client, topic: topic, most: most, underway: semaphore.NewWeighted(BufferedEvents)}
}

// record is the event as Kafka has it.
func (k *Kafka) record(e Event) *kgo.Record {
	r := &kgo.Record{Topic: k.topic, Key: []byte(e.User), Value: e.Value}
	for _, h := range e.Headers {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	return r
}

// Take produces events and waits for their acknowledgement. What is not acknowledged in time may be in the topic all the same, or be there
// later: the client goes on trying.
func (k *Kafka) Take(ctx context.Context, events []Event) []error {
	if !k.underway.TryAcquire(int64(len(events))) { // all or none: the second of a user's events must not pass the first
		return failed(events, ErrBusy)
	}
	// A client that hangs up does not take its events back: what was begun is ended.
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), k.most)
	defer cancel()
	var mu sync.Mutex
	errs := failed(events, ErrNotAcknowledged)
	var all sync.WaitGroup
	for i := range events {
		all.Add(1)
		k.client.Produce(events[i].traced(context.WithoutCancel(ctx)), k.record(events[i]), func(_ *kgo.Record, err error) {
			k.underway.Release(1)
			mu.Lock()
			errs[i] = k.told(err)
			mu.Unlock()
			all.Done()
		})
	}
	done := make(chan struct{})
	go func() {
		all.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-bounded.Done():
	}
	mu.Lock()
	defer mu.Unlock()
	return append([]error(nil), errs...) // those that are not known yet are told to nobody any more
}

// told is a client's error in the sink's words.
func (k *Kafka) told(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, kerr.MessageTooLarge):
		return ErrTooLarge
	case errors.Is(err, kgo.ErrClientClosed):
		return ErrClosing
	}
	return fmt.Errorf("%w (topic %s: %w)", ErrNotAcknowledged, k.topic, err)
}

// produce is for the forwarder.
func (k *Kafka) produce(ctx context.Context, e Event, done func(error)) {
	k.client.Produce(e.traced(ctx), k.record(e), func(_ *kgo.Record, err error) {
		if err != nil {
			err = fmt.Errorf("topic %s: %w", k.topic, err)
		}
		done(err)
	})
}

// Ready says nothing: that Kafka is away is told with each event.
func (k *Kafka) Ready() error { return nil }
