package gateway

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	// forwardWindow bounds the events that are on their way from the spool to Kafka.
	forwardWindow = 10_000
	// forwardNoted is how often the spool is told what is in Kafka while events are on their way.
	forwardNoted = 500 * time.Millisecond
	// forwardWait and forwardMaxWait bound the pause after Kafka has refused an event: it doubles from one to the other.
	forwardWait    = 100 * time.Millisecond
	forwardMaxWait = 10 * time.Second
)

// producer sends one event; done is called once, with nil when Kafka has acknowledged it. Events of one user must be acknowledged in the order
// of the calls, or not at all.
type producer interface {
	produce(ctx context.Context, e Event, done func(error))
}

// forwarder brings the spool's events to Kafka, in their order. After an error it begins again with the first event that is not
// acknowledged: what follows it is sent a second time, under the same ids.
type forwarder struct {
	spool *Spool
	to    producer
	log   *slog.Logger
}

// Forward brings what is in the spool to Kafka, and what comes, until ctx ends. It never gives up.
func (s *Spool) Forward(ctx context.Context, to *Kafka, log *slog.Logger) error {
	return (&forwarder{spool: s, to: to, log: log}).run(ctx)
}

// run forwards until ctx ends.
func (f *forwarder) run(ctx context.Context) error {
	for wait := forwardWait; ctx.Err() == nil; {
		before := f.spool.Waiting()
		err := f.attempt(ctx)
		if ctx.Err() != nil {
			break
		}
		if f.spool.Waiting() < before {
			wait = forwardWait // it got somewhere
		}
		f.log.Error("events of the spool are not taken by Kafka: they stay, and are sent again", "error", err, "wait", wait)
		select {
		case <-ctx.Done():
		case <-time.After(wait/2 + rand.N(wait/2)):
		}
		wait = min(2*wait, forwardMaxWait)
	}
	return nil //nolint:nilerr // it was asked to stop
}

// attempt forwards until something fails.
func (f *forwarder) attempt(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	f.spool.mu.Lock()
	next := f.spool.forwarded
	f.spool.mu.Unlock()
	w := newWindow(next)
	defer func() {
		if err := f.spool.Forwarded(w.base()); err != nil {
			f.log.Error("the spool forgets what is in Kafka: it is sent again after a restart, under the same ids", "error", err)
		}
	}()
	at := cursor{spool: f.spool, number: next}
	defer func() {
		if err := at.close(); err != nil {
			f.log.Warn("a file of the spool was not closed", "error", err)
		}
	}()
	noted, told := time.Now(), next
	for {
		if base := w.base(); time.Since(noted) >= forwardNoted || base == at.number && base > told {
			noted, told = time.Now(), base
			if err := f.spool.Forwarded(base); err != nil {
				return err
			}
		}
		number, e, ok, err := at.next()
		if err != nil {
			return err
		}
		if !ok {
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-f.spool.more(at.number):
			case <-w.moved:
			case <-time.After(forwardNoted):
			}
			continue
		}
		if !w.enter(ctx) {
			return context.Cause(ctx)
		}
		f.to.produce(ctx, e, func(err error) {
			if err != nil {
				cancel(err)
			}
			w.leave(number, err == nil)
		})
	}
}

// window is the events that are on their way: a bounded number from the first that is not acknowledged.
type window struct {
	slots chan struct{}
	moved chan struct{} // has something when one was acknowledged since it was read

	mu    sync.Mutex
	first uint64
	acked map[uint64]bool
}

func newWindow(first uint64) *window {
	return &window{slots: make(chan struct{}, forwardWindow), moved: make(chan struct{}, 1), first: first, acked: map[uint64]bool{}}
}

// enter waits for a place; false if ctx ends first.
func (w *window) enter(ctx context.Context) bool {
	select {
	case w.slots <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (w *window) leave(number uint64, acknowledged bool) {
	<-w.slots
	if !acknowledged {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.acked[number] = true
	for w.acked[w.first] {
		delete(w.acked, w.first)
		w.first++
	}
	select {
	case w.moved <- struct{}{}:
	default:
	}
}

// base is the number of the first event that is not acknowledged.
func (w *window) base() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.first
}
