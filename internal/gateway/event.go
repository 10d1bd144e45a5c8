package gateway

import (
	"context"
	"errors"

	"github.com/stampede-rewards/stampede/pkg/campaign"
)

// Event is an event on its way to Kafka, as the record that it will be: structured, or binary with its attributes as headers.
type Event struct {
	User    string // the record's key
	Headers []campaign.Header
	Value   []byte
}

// Sink takes events over.
type Sink interface {
	// Take returns when all events are safe, or when it is known which are not: an error for each of them at its place, nil for those that
	// are. Events of one user stay in their order. The errors are those below.
	Take(ctx context.Context, events []Event) []error
	// Ready returns why no events can be taken at the moment, nil if they can.
	Ready() error
}

// What a sink may say of an event.
var (
	// ErrBusy means that as much is on its way as there may be.
	ErrBusy = errors.New("more events are on their way than the gateway keeps in memory")
	// ErrFull means that the spool has no space left.
	ErrFull = errors.New("the spool is full: Kafka has not been reached for long")
	// ErrNotAcknowledged means that nobody knows whether the event is in the topic.
	ErrNotAcknowledged = errors.New("Kafka has not acknowledged the event in time: it may be in the topic or not")
	// ErrTooLarge means that the topic takes no record of this size.
	ErrTooLarge = errors.New("the topic takes no record of this size")
	// ErrClosing means that the gateway is being stopped.
	ErrClosing = errors.New("the gateway is being stopped")
)

// failed says the same of all events.
func failed(events []Event, err error) []error {
	errs := make([]error, len(events))
	for i := range errs {
		errs[i] = err
	}
	return errs
}
