package judge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stampede-rewards/stampede/internal/kafka"
)

// Observer reads rewards while things go wrong, as fulfilment does, and sees whether one comes twice.
type Observer struct {
	stop context.CancelFunc
	done chan struct{}

	mu       sync.Mutex
	seen     map[string]string // reward id -> where
	findings []error
	firstAt  time.Time
}

// Observe begins to read a topic of rewards from its start.
func Observe(c kafka.Connection, topic string) (*Observer, error) {
	cl, err := kgo.NewClient(append(c.Options(),
		kgo.ConsumeTopics(topic),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()))...)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	o := &Observer{stop: stop, done: make(chan struct{}), seen: map[string]string{}}
	go func() {
		defer close(o.done)
		defer cl.Close()
		for ctx.Err() == nil {
			for iter := cl.PollFetches(ctx).RecordIter(); !iter.Done(); {
				o.see(iter.Next())
			}
		}
	}()
	return o, nil
}

func (o *Observer) see(r *kgo.Record) {
	var reward struct {
		ID string `json:"id"`
	}
	place := fmt.Sprintf("%s/%d@%d", r.Topic, r.Partition, r.Offset)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.firstAt.IsZero() {
		o.firstAt = time.Now()
	}
	if err := json.Unmarshal(r.Value, &reward); err != nil || reward.ID == "" {
		o.findings = append(o.findings, fmt.Errorf("%s is no reward: %.100q", place, r.Value))
		return
	}
	if before, ok := o.seen[reward.ID]; ok && before == place {
		return // a client that has lost its place reads again
	} else if ok {
		o.findings = append(o.findings, fmt.Errorf("reward %s was seen at %s and at %s", reward.ID, before, place))
		return
	}
	o.seen[reward.ID] = place
}

// Count is how many rewards were seen so far.
func (o *Observer) Count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.seen)
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
	<-o.done
	return errors.Join(o.findings...)
}
