// Package tracing follows single events by OpenTelemetry: from the request that brought one to the gateway, through the log, to the reward that it
// led to. It is off where nobody names a collector.
//
// What joins the parts is the W3C trace context of an event, its `traceparent`. It travels in a header of the event's record, so it is in the log like
// all that influences a result, and a reward's record has the same one: what is written depends on the log alone, and not on whether anybody traces
// (P3). parent.go reads it. Spans are told beside that: they wait in a bounded queue, and where a collector is slow or away they are
// dropped and counted. Nothing that processes an event waits for them.
package tracing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

const (
	// queueSpans bounds the spans that wait for the collector; more are dropped.
	queueSpans = 4096
	// batchSpans is how many of them go into one request.
	batchSpans = 512
	// batchWait is how long a span waits for others to go with.
	batchWait = time.Second
	// exportTimeout bounds one request to the collector, tries included.
	exportTimeout = 10 * time.Second
	// closeTimeout bounds how long the end of a program waits for the collector.
	closeTimeout = 2 * time.Second
)

// Flags are the command-line flags of a program that can be traced. The tags are kong's.
type Flags struct {
	TracesEndpoint string  `env:"STAMPEDE_TRACES_ENDPOINT,OTEL_EXPORTER_OTLP_ENDPOINT" placeholder:"URL" help:"Send traces to this OpenTelemetry collector, by OTLP over HTTP, for example http://localhost:4318 (default: no traces)."`
	TracesRatio    float64 `env:"STAMPEDE_TRACES_RATIO" default:"0.01" placeholder:"0..1" help:"How much of what nobody has decided about yet is traced; an event that comes with a trace is traced as its sender says (${default})."`
}

// Validate is called by kong.
func (f Flags) Validate() error {
	if _, err := f.url(); err != nil {
		return err
	}
	if ratio := f.TracesRatio; ratio < 0 || ratio > 1 || math.IsNaN(ratio) {
		return fmt.Errorf("--traces-ratio must be from 0 to 1, not %g", f.TracesRatio)
	}
	return nil
}

// url is where spans are posted: like OTEL_EXPORTER_OTLP_ENDPOINT, the flag names what /v1/traces is below of.
func (f Flags) url() (string, error) {
	u, err := url.Parse(f.TracesEndpoint)
	if f.TracesEndpoint != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
		return "", fmt.Errorf("--traces-endpoint %s is no URL of a collector: write for example http://localhost:4318", f.TracesEndpoint)
	}
	return u.JoinPath("v1", "traces").String(), nil
}

// Tracing is a program's spans on their way to a collector. Nil is none.
type Tracing struct {
	provider *sdk.TracerProvider
	exporter *exporter
}

// Start begins to send spans of a service, and returns nil where the flags name no collector. It does not ask whether the collector is there.
func (f Flags) Start(service, version string, log *slog.Logger) (*Tracing, error) {
	if f.TracesEndpoint == "" {
		return nil, nil
	}
	to, err := f.url()
	if err != nil {
		return nil, err
	}
	// What else a collector may ask for, as headers with a token, the library reads from its own OTEL_EXPORTER_OTLP_ variables; what else is to be
	// said of this process, from OTEL_RESOURCE_ATTRIBUTES.
	client, err := otlptracehttp.New(context.Background(), otlptracehttp.WithEndpointURL(to), otlptracehttp.WithTimeout(exportTimeout))
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	e := &exporter{SpanExporter: client, to: to, log: log}
	about, err := resource.New(context.Background(), resource.WithAttributes(attribute.String("service.name", service), attribute.String("service.version", version)), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	return &Tracing{
		exporter: e,
		provider: sdk.NewTracerProvider(
			sdk.WithResource(about),
			sdk.WithSampler(sdk.ParentBased(sdk.TraceIDRatioBased(f.TracesRatio))),
			sdk.WithSpanProcessor(counted{e, sdk.NewBatchSpanProcessor(e,
				sdk.WithMaxQueueSize(queueSpans), sdk.WithMaxExportBatchSize(batchSpans), sdk.WithBatchTimeout(batchWait), sdk.WithExportTimeout(exportTimeout))}),
		),
	}, nil
}

// Provider is the spans' source, nil where there is none.
func (t *Tracing) Provider() trace.TracerProvider {
	if t == nil {
		return nil
	}
	return t.provider
}

// Close sends what waits, and does not wait long for a collector that takes its time.
func (t *Tracing) Close() {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		t.exporter.log.Warn("the last spans are lost", "collector", t.exporter.to, "error", err)
	}
	if lost := t.exporter.ended.Load() - t.exporter.sent.Load(); lost > 0 {
		t.exporter.log.Warn("spans are lost: the collector did not take them in time", "collector", t.exporter.to, "spans", lost)
	}
}

// Collectors count the spans. A difference that grows is what a collector has not taken.
func (t *Tracing) Collectors() []prometheus.Collector {
	if t == nil {
		return nil
	}
	counter := func(name, help string, of *atomic.Int64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "stampede_trace_spans_" + name, Help: help}, func() float64 { return float64(of.Load()) })
	}
	return []prometheus.Collector{
		counter("ended_total", "Spans that were to be sent to the collector.", &t.exporter.ended),
		counter("sent_total", "Spans that the collector has taken. The others wait, or are lost.", &t.exporter.sent),
	}
}

// exporter counts what the collector takes, and tells when it begins to fail and when it is back.
type exporter struct {
	sdk.SpanExporter
	to          string
	log         *slog.Logger
	ended, sent atomic.Int64
	failing     bool // of the one goroutine that exports
}

// ExportSpans is the SDK's. An error is told here: the SDK would write it to stderr, each time.
func (e *exporter) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := e.SpanExporter.ExportSpans(ctx, spans)
	switch {
	case err == nil && e.failing:
		e.log.Info("the collector takes spans again", "collector", e.to)
	case err != nil && !e.failing:
		e.log.Warn("the collector takes no spans: they are dropped until it does, and nothing else is touched by it", "collector", e.to, "error", err)
	}
	if e.failing = err != nil; err == nil {
		e.sent.Add(int64(len(spans)))
	}
	return nil
}

// counted counts the spans that are to be sent.
type counted struct {
	e *exporter
	sdk.SpanProcessor
}

// OnEnd is the SDK's.
func (c counted) OnEnd(s sdk.ReadOnlySpan) {
	c.e.ended.Add(1)
	c.SpanProcessor.OnEnd(s)
}
