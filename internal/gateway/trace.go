package gateway

import (
	"context"
	"errors"
	"net/http"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/plugin/kotel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/stampede-rewards/stampede/pkg/campaign"
)

// An event's trace context travels in its record's headers, through the spool too. It is what the event says of itself by the `traceparent` of
// CloudEvents' distributed tracing extension; else the request's span; else, where nobody traces here, what the request's headers say. Where
// there is none, none is made up.

// propagator reads and writes W3C Trace Context.
var propagator propagation.TraceContext

// carrier is an event's headers in the propagator's eyes.
type carrier struct{ e *Event }

func (c carrier) Get(name string) string {
	for _, h := range c.e.Headers {
		if h.Key == name {
			return string(h.Value)
		}
	}
	return ""
}

func (c carrier) Set(name, value string) {
	c.e.Headers = append(c.e.Headers, campaign.Header{Key: name, Value: []byte(value)})
}

func (c carrier) Keys() []string {
	names := make([]string, len(c.e.Headers))
	for i, h := range c.e.Headers {
		names[i] = h.Key
	}
	return names
}

// trace begins the span of a request, as a part of the trace that its headers name.
func (s *Server) trace(r *http.Request) (context.Context, trace.Span) {
	ctx := r.Context()
	if len(r.Header["Traceparent"]) > 0 { // most have none, and the carrier would allocate to find it out
		ctx = propagator.Extract(ctx, propagation.HeaderCarrier(r.Header))
	}
	if s.tracer == nil {
		return ctx, trace.SpanFromContext(ctx) // which tells nothing to anybody
	}
	return s.tracer.Start(ctx, "POST /v1/events", trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(attribute.String("http.request.method", http.MethodPost), attribute.String("http.route", "/v1/events")))
}

// answered notes in a request's span how it was answered.
func answered(span trace.Span, status int) {
	if !span.IsRecording() {
		return
	}
	span.SetAttributes(attribute.Int("http.response.status_code", status))
	if status >= http.StatusInternalServerError {
		span.SetStatus(codes.Error, http.StatusText(status))
	}
}

// carry puts into each event's headers of which trace it is.
func carry(ctx context.Context, span trace.Span, items []item) {
	for i := range items {
		it := &items[i]
		switch {
		case it.problem != nil:
		case it.trace.IsValid():
			span.AddLink(trace.Link{SpanContext: it.trace})
			propagator.Inject(trace.ContextWithRemoteSpanContext(ctx, it.trace), carrier{&it.event})
		default:
			propagator.Inject(ctx, carrier{&it.event})
		}
	}
}

// traced is a context for producing an event: of its trace, wherever the event was meanwhile.
func (e *Event) traced(ctx context.Context) context.Context {
	return propagator.Extract(ctx, carrier{e})
}

var errUserNotTold = errors.New("who the user is is nobody's business")

// TraceProducing makes a client's spans of what it produces, each a child of the event's own, which then stands for the event in its record.
func TraceProducing(provider trace.TracerProvider) kgo.Hook {
	return kotel.NewTracer(kotel.TracerProvider(provider), kotel.TracerPropagator(propagator),
		kotel.KeyFormatter(func(*kgo.Record) (string, error) { return "", errUserNotTold })) // a record's key is its user's id
}
