package stream

import (
	"context"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/stampede-rewards/stampede/internal/tracing"
	"github.com/stampede-rewards/stampede/pkg/campaign"
)

// An event may say of which trace it is, by a header of its record. What it leads to says the same, with the same bytes: its rewards, so that fulfilment
// goes on with the trace, and its claims, so that a budget's rewards do, which are issued by another partition. So what is written follows from the
// log and not from who traces. Outcomes say nothing of it: partners could join them with events by it. What is due by the clock is no part of the
// trace of the record that moved the clock, which may be any user's.
//
// Spans are made when a cycle has committed, and only where Config has a place for them. So there is one for each reward that was issued, and none
// for what was tried in vain.

// traceOf is the header that says of which trace a record is, and what it says; not valid where the record has none. The last header of the name holds.
func traceOf(r *kgo.Record) (header kgo.RecordHeader, of trace.SpanContext) {
	for _, h := range slices.Backward(r.Headers) {
		if h.Key == tracing.Header {
			return h, tracing.Parent(h.Value)
		}
	}
	return kgo.RecordHeader{}, trace.SpanContext{}
}

// passing is a record in the eyes of what is due by then: its place, and not its trace.
func passing(r *kgo.Record) *kgo.Record {
	if _, of := traceOf(r); !of.IsValid() {
		return r
	}
	place := *r
	place.Headers = nil
	return &place
}

// followed is a reward of which a trace is kept.
type followed struct {
	of       trace.SpanContext // the event's
	reward   string            // the id
	campaign string
	offset   int64 // of the event
	arrived  int64 // the same, Unix ms
}

// maxFollowed bounds the rewards of a partition and cycle that are followed; those beyond it have no span.
const maxFollowed = 500

// follow notes the rewards of a record whose trace is kept.
func (t *tally) follow(rewards []campaign.Reward, r *kgo.Record) {
	if len(rewards) == 0 {
		return
	}
	_, of := traceOf(r)
	if !of.IsSampled() {
		return
	}
	for i := range rewards {
		if len(t.followed) == maxFollowed {
			t.unfollowed++
			continue
		}
		t.followed = append(t.followed, followed{of, rewards[i].ID, rewards[i].Campaign.ID, r.Offset, r.Timestamp.UnixMilli()})
	}
}

// phases are when a cycle went from one phase to the next.
type phases struct {
	began      time.Time     // its first records were there
	folding    time.Duration // how long the engine took, of the time until it was collected
	collected  time.Time
	journalled time.Time
	produced   time.Time // all records were acknowledged
	committed  time.Time
}

// trace makes the spans of a cycle that has committed.
func (s *session) trace(touched []*partition) {
	if s.tracer == nil {
		return
	}
	at, records := &s.phases, 0
	for _, p := range touched {
		records += p.tally.records
		for i := range p.tally.followed {
			s.traceReward(p.number, &p.tally.followed[i])
		}
	}
	ctx, cycle := s.tracer.Start(context.Background(), "cycle", trace.WithTimestamp(at.began))
	if !cycle.IsRecording() {
		return
	}
	cycle.SetAttributes(attribute.Int("stampede.partitions", len(touched)), attribute.Int("stampede.events", records), attribute.Float64("stampede.fold_seconds", at.folding.Seconds()))
	from := at.began
	for _, phase := range []struct {
		name string
		to   time.Time
	}{{"collect", at.collected}, {"journal", at.journalled}, {"produce", at.produced}, {"commit", at.committed}} {
		_, span := s.tracer.Start(ctx, phase.name, trace.WithTimestamp(from))
		span.End(trace.WithTimestamp(phase.to))
		from = phase.to
	}
	cycle.End(trace.WithTimestamp(at.committed))
}

// traceReward makes the span of a reward, from when its event was there to when it was committed. It does not say whose it is.
func (s *session) traceReward(partition int32, f *followed) {
	at := &s.phases
	_, span := s.tracer.Start(trace.ContextWithRemoteSpanContext(context.Background(), f.of), "reward",
		trace.WithSpanKind(trace.SpanKindConsumer), trace.WithTimestamp(at.began), trace.WithAttributes(
			attribute.String("stampede.campaign", f.campaign), attribute.String("stampede.reward", f.reward),
			attribute.String("messaging.system", "kafka"), attribute.String("messaging.destination.name", s.topics.Events.Name),
			attribute.Int("messaging.destination.partition.id", int(partition)), attribute.Int64("messaging.kafka.offset", f.offset)))
	span.AddEvent("collected", trace.WithTimestamp(at.collected))
	span.AddEvent("journalled", trace.WithTimestamp(at.journalled))
	span.AddEvent("produced", trace.WithTimestamp(at.produced))
	span.End(trace.WithTimestamp(at.committed))
}
