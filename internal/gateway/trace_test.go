package gateway

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	sdk "go.opentelemetry.io/otel/sdk/trace"
)

const (
	ofRequest = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	ofEvent   = "00-1bf7651916cd43dd8448eb211c80319c-c8ad6b7169203331-01"
)

// traces are what the records of the events that a sink was given say of their traces.
func (s *tray) traces() (all []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.events {
		all = append(all, carrier{&s.events[i]}.Get("traceparent")+carrier{&s.events[i]}.Get("tracestate"))
	}
	return all
}

// Where nobody traces, an event's record says what the event says, else what its request says, else nothing.
func TestWithoutTracingARecordSaysWhatWasSaid(t *testing.T) {
	d := newDoor(t, Config{})
	d.post(eventOf("ann", "1"), structured)
	d.post(eventOf("ann", "2"), structured, "traceparent: "+ofRequest, "tracestate: vendor=1")
	d.post(eventOf("ann", "3"), structured, "traceparent: 00-none")
	d.post(eventOf("ann", "4", `"traceparent":"`+ofEvent+`"`), structured, "traceparent: "+ofRequest)
	d.post(eventOf("ann", "5", `"traceparent":7`), structured)
	d.post("{}", "Content-Type: application/json", "ce-specversion: 1.0", "ce-id: 6", "ce-source: /app", "ce-type: t", "ce-subject: ann", "ce-time: 2026-03-01T10:00:00Z", "ce-traceparent: "+ofEvent)
	d.post("["+eventOf("ann", "7")+","+eventOf("ann", "8", `"traceparent":"`+ofEvent+`"`)+"]", "Content-Type: "+batchType, "traceparent: "+ofRequest)
	want := []string{"", ofRequest + "vendor=1", "", ofEvent, "", ofEvent, ofRequest, ofEvent}
	if diff := cmp.Diff(want, d.sink.traces()); diff != "" {
		t.Error(diff)
	}
}

// Where the gateway traces, a record says of which request it is, unless its event has a trace of its own, which the request's span then links to. A
// request that is refused has its span too.
func TestARequestHasASpan(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	d := newDoor(t, Config{Traces: sdk.NewTracerProvider(sdk.WithSpanProcessor(spans))})
	d.post("["+eventOf("ann", "1")+","+eventOf("ann", "2", `"traceparent":"`+ofEvent+`"`)+"]", "Content-Type: "+batchType, "traceparent: "+ofRequest)
	d.post("nonsense", structured)
	var told []string
	for _, s := range spans.Ended() {
		line := s.Name() + " below " + s.Parent().SpanID().String()
		for _, l := range s.Links() {
			line += " links to " + l.SpanContext.SpanID().String()
		}
		for _, a := range s.Attributes() {
			line += " " + string(a.Key) + "=" + a.Value.String()
		}
		told = append(told, line)
	}
	want := []string{
		"POST /v1/events below b7ad6b7169203331 links to c8ad6b7169203331 http.request.method=POST http.route=/v1/events http.response.status_code=202",
		"POST /v1/events below 0000000000000000 http.request.method=POST http.route=/v1/events http.response.status_code=400",
	}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Error(diff)
	}
	first := spans.Ended()[0].SpanContext()
	if diff := cmp.Diff([]string{"00-" + first.TraceID().String() + "-" + first.SpanID().String() + "-01", ofEvent}, d.sink.traces()); diff != "" {
		t.Error(diff)
	}
}

// A request that says nothing of a trace costs no memory for it.
func TestWithoutATraceNothingIsAllocatedForOne(t *testing.T) {
	s := NewServer(Config{}, &tray{}, NewMetrics(nil))
	r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/v1/events", strings.NewReader(""))
	items := []item{{event: Event{User: "ann"}}, {event: Event{User: "bob"}}}
	if n := testing.AllocsPerRun(100, func() {
		ctx, span := s.trace(r)
		carry(ctx, span, items)
		answered(span, http.StatusAccepted)
		items[0].event.traced(ctx)
		span.End()
	}); n != 0 {
		t.Errorf("%g allocations", n)
	}
}
