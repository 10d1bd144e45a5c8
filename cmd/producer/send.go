package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stampede-rewards/stampede/internal/kafka"
	"github.com/stampede-rewards/stampede/internal/ndjson"
	"github.com/stampede-rewards/stampede/pkg/campaign"
)

// send sends the events of files. The key is `subject`, and each line is decoded as a processor will decode it: a line that
// would be a dead letter is refused here, where its author sees it.
type send struct {
	kafka.EventsFlags
	Files []string `arg:"" optional:"" placeholder:"FILE" help:"Files of events, one CloudEvent a line; none or - is stdin."`
}

// Run is called by main.
func (s *send) Run(ctx context.Context) error {
	connection, err := s.Connection()
	if err != nil {
		return err
	}
	cl, topics, err := connect(ctx, connection, s.Topics())
	if err != nil {
		return err
	}
	defer cl.Close()
	if len(s.Files) == 0 {
		s.Files = []string{"-"}
	}
	d := dispatch{client: cl, topic: topics.Events.Name, decoder: campaign.Decoder{MaxBytes: campaign.DefaultEventBytes}}
	defer d.progress(ctx)()
	for _, name := range s.Files {
		if err = d.file(ctx, name); err != nil {
			break
		}
	}
	err = errors.Join(err, d.flush(ctx))
	fmt.Fprintf(os.Stderr, "%d events sent to %s, %d lines refused\n", d.acknowledged.Load(), d.topic, d.refused.Load())
	if refused := d.refused.Load(); err == nil && refused > 0 {
		return fmt.Errorf("%d lines were refused, the others are sent: mend them and send them; an event that is sent again under its id counts once", refused)
	}
	return err
}

// connect returns a client, and the events topic, made if it is missing.
func connect(ctx context.Context, c kafka.Connection, cfg kafka.TopicsConfig) (*kgo.Client, kafka.TopicsState, error) {
	asking, err := c.Client(ctx)
	if err != nil {
		return nil, kafka.TopicsState{}, err
	}
	defer asking.Close()
	cfg.Principal = c.Security.Principal()
	topics, err := kafka.EnsureEvents(ctx, asking, cfg)
	if err != nil {
		return nil, kafka.TopicsState{}, err
	}
	cl, err := c.Client(ctx, topics.BatchBytes())
	return cl, topics, err
}

// dispatch is the sending of some files.
type dispatch struct {
	client  *kgo.Client
	topic   string
	decoder campaign.Decoder

	refused      atomic.Uint64
	acknowledged atomic.Uint64
	failure      atomic.Pointer[error] // the first
}

func (d *dispatch) file(ctx context.Context, name string) error {
	in, err := ndjson.Open(name)
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // it was only read
	lines := ndjson.NewReader(in, campaign.DefaultEventBytes)
	for {
		line, number, cut, err := lines.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		if ctx.Err() != nil {
			return fmt.Errorf("stopped before line %d of %s: %w", number, name, ctx.Err())
		}
		if why := d.failure.Load(); why != nil {
			return fmt.Errorf("send to %s: %w", d.topic, *why)
		}
		place := fmt.Sprintf("%s:%d", name, number)
		if rejection := d.line(ctx, place, line, cut); rejection != nil {
			d.refuse(place, rejection)
		}
	}
}

func (d *dispatch) refuse(place string, why *campaign.Rejection) {
	d.refused.Add(1)
	fmt.Fprintf(os.Stderr, "%s: %s: %s\n", place, why.Reason, why.Detail)
}

// line sends one line, or says why it would become a dead letter.
func (d *dispatch) line(ctx context.Context, place string, line []byte, cut bool) *campaign.Rejection {
	if cut {
		return &campaign.Rejection{Reason: campaign.ReasonTooLarge, Detail: fmt.Sprintf("the line is longer than %d bytes", campaign.DefaultEventBytes)}
	}
	user := d.decoder.Subject(line)
	if user == "" {
		return &campaign.Rejection{Reason: campaign.ReasonNoKey, Detail: "the event has no `subject`: it must be the user's id"}
	}
	record := &kgo.Record{Topic: d.topic, Key: []byte(user), Value: append([]byte(nil), line...)}
	if rejection := d.decoder.Decode(&campaign.Record{Key: record.Key, Value: record.Value, Clock: time.Now().UnixMilli()}, &campaign.Event{}); rejection != nil {
		return rejection
	}
	// What has been taken is sent: an interruption ends the reading.
	d.client.Produce(context.WithoutCancel(ctx), record, func(_ *kgo.Record, err error) {
		switch {
		case errors.Is(err, kerr.MessageTooLarge):
			d.refuse(place, &campaign.Rejection{Reason: campaign.ReasonTooLarge, Detail: "the topic takes no record of this size: raise its max.message.bytes"})
		case err != nil:
			d.failure.CompareAndSwap(nil, &err)
		default:
			d.acknowledged.Add(1)
		}
	})
	return nil
}

func (d *dispatch) flush(ctx context.Context) error {
	if err := kafka.Flush(context.WithoutCancel(ctx), d.client); err != nil {
		return fmt.Errorf("send to %s: %w", d.topic, err)
	}
	if why := d.failure.Load(); why != nil {
		return fmt.Errorf("send to %s: %w", d.topic, *why)
	}
	return nil
}

// progress tells a terminal how far the sending is, until the function it returns is called.
func (d *dispatch) progress(ctx context.Context) (stop func()) {
	return onTerminal(ctx, func() string { return fmt.Sprintf("%d events sent", d.acknowledged.Load()) })
}
