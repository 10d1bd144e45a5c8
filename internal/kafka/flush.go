package kafka

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// flushTimeout bounds the wait for the acknowledgement of what was produced when a program is told to stop.
const flushTimeout = 15 * time.Second

// Flush waits until the broker has acknowledged all that a client has produced. The error says how many records it has not.
func Flush(ctx context.Context, cl *kgo.Client) error {
	bounded, cancel := context.WithTimeout(ctx, flushTimeout)
	defer cancel()
	if err := cl.Flush(bounded); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("%d events are not acknowledged after %s: send them again, an event counts once", cl.BufferedProduceRecords(), flushTimeout)
	}
	return nil
}
