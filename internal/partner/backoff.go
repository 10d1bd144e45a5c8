package partner

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	// retryMin is the first wait before something is tried again.
	retryMin = 500 * time.Millisecond
	// retryMax is the longest, what is added by chance not counted.
	retryMax = time.Minute
)

// backoff is how long to wait before something is tried again: longer each time.
type backoff struct{ wait, most time.Duration }

// next is the next wait. It is never shorter than after, which somebody has asked for; up to a half is added by chance, so that many who failed together part.
func (b *backoff) next(after time.Duration) time.Duration {
	wait := max(b.wait, after)
	b.wait = min(2*b.wait, b.most)
	return wait + rand.N(wait/2+1)
}

// pause waits, or until ctx ends: then the error is its.
func pause(ctx context.Context, wait time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(wait):
		return nil
	}
}
