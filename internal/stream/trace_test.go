package stream_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	collected "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/stampede-rewards/stampede/internal/command"
	"github.com/stampede-rewards/stampede/internal/gateway"
	"github.com/stampede-rewards/stampede/internal/kafka"
	"github.com/stampede-rewards/stampede/internal/stream"
	"github.com/stampede-rewards/stampede/internal/tracing"
)

// collector is an OpenTelemetry collector that keeps what it is sent by OTLP over HTTP.
type collector struct {
	*httptest.Server
	mu    sync.Mutex
	spans []*otlp.Span
}

func newCollector(t *testing.T) *collector {
	c := &collector{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var sent collected.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(body, &sent)
		}
		if err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("%s was sent to the collector: %v", r.URL, err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, resource := range sent.GetResourceSpans() {
			for _, scope := range resource.GetScopeSpans() {
				c.spans = append(c.spans, scope.GetSpans()...)
			}
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(c.Close)
	return c
}

// named are the spans of a name, of a trace, in the order in which they came.
func (c *collector) named(trace, name string) (all []*otlp.Span) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spans {
		if s.GetName() == name && hex.EncodeToString(s.GetTraceId()) == trace {
			all = append(all, s)
		}
	}
	return all
}

// traced sends everything to a collector.
func (b *bench) traced(endpoint string) *tracing.Tracing {
	b.Helper()
	traces, err := tracing.Flags{TracesEndpoint: endpoint, TracesRatio: 1}.Start("test", "v0", slog.New(slog.NewTextHandler(b.Output(), nil)))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(traces.Close)
	return traces
}

// gatewayTo is the address of a gateway with a sink; it serves until the returned function is called.
func (b *bench) gatewayTo(sink gateway.Sink, traces *tracing.Tracing) (address string, metrics *gateway.Metrics, end func()) {
	b.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	metrics = gateway.NewMetrics(nil)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- gateway.NewServer(gateway.Config{Traces: traces.Provider()}, sink, metrics).Run(ctx, listener)
	}()
	end = sync.OnceFunc(func() {
		stop()
		if err := <-done; err != nil {
			b.Error(err)
		}
	})
	b.Cleanup(end)
	return listener.Addr().String(), metrics, end
}

// kafkaSink is a gateway's way to Kafka.
func (b *bench) kafkaSink(traces *tracing.Tracing) *gateway.Kafka {
	b.Helper()
	c := b.connection
	if provider := traces.Provider(); provider != nil {
		c.Hooks = append(c.Hooks, gateway.TraceProducing(provider))
	}
	cl, err := c.Client(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(cl.Close)
	return gateway.NewKafka(cl, b.topics.Events.Name, 0)
}

// post sends an event of a user to a gateway. more is members of the event, header a traceparent for the request.
func (b *bench) post(address, user, more, header string) {
	b.Helper()
	body := fmt.Sprintf(`{"specversion":"1.0","id":"1","source":"/t","type":"birth.reported","subject":%q,"time":%q%s}`, user, time.Now().UTC().Format(time.RFC3339), more)
	r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, "http://"+address+"/v1/events", strings.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/cloudevents+json")
	if header != "" {
		r.Header.Set("traceparent", header)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		b.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusAccepted {
		b.Fatalf("the event of %s is answered %s", user, answer.Status)
	}
}

// recordsOf are the committed records of a topic with a key.
func (b *bench) recordsOf(topic kafka.Topic, key string) (all []*kgo.Record) {
	b.Helper()
	if err := b.connection.ReadTopic(b.Context(), topic.Name, func(r *kgo.Record) error {
		if string(r.Key) == key {
			all = append(all, r)
		}
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	return all
}

// traceparentOf is what the one record of a topic with a key says of its trace.
func (b *bench) traceparentOf(topic kafka.Topic, key string) string {
	b.Helper()
	all := b.recordsOf(topic, key)
	if len(all) == 0 {
		b.Fatalf("%s has no record of %s", topic.Name, key)
	}
	return stream.Header(all[0], "traceparent")
}

// ids of a trace and of the client's span in it, which the client has sampled.
const (
	spooledTrace  = "0af7651916cd43dd8448eb211c80319c"
	directTrace   = "1bf7651916cd43dd8448eb211c80319c"
	budgetedTrace = "2cf7651916cd43dd8448eb211c80319c"
	clientSpan    = "b7ad6b7169203331"
)

func traceparent(trace, span string) string { return "00-" + trace + "-" + span + "-01" }

// One trace has the client's request, the record that the gateway wrote, and the reward, each below the one before, whichever way the event took: through
// a spool that a gateway has left to the next one, or directly. The reward tells fulfilment of it, and so does one that a budget in another partition
// has granted.
func TestATraceGoesFromTheRequestToTheReward(t *testing.T) {
	b := newBenchWith(t, kafka.TopicsConfig{})
	b.with(sharesWith(t, []string{"k1"}, "acme"))
	b.inForce(births(t, "births", 1, "share: acme"), logged(t, "budgeted", 1, "{rewards: 10}"))
	collector := newCollector(t)
	traces := b.traced(collector.URL)
	dir := t.TempDir()
	spool := func() *gateway.Spool {
		s, err := gateway.OpenSpool(dir, 0, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}

	first := spool()
	address, metrics, end := b.gatewayTo(first, traces)
	b.post(address, "ann", "", traceparent(spooledTrace, clientSpan))
	end()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := spool()
	ctx, stop := context.WithCancel(t.Context())
	forwarded := make(chan error, 1)
	go func() { forwarded <- second.Forward(ctx, b.kafkaSink(traces), slog.New(slog.DiscardHandler)) }()
	b.eventually("the spool is empty", func() bool { return second.Waiting() == 0 })
	stop()
	if err := <-forwarded; err != nil {
		t.Error(err)
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	direct, _, _ := b.gatewayTo(b.kafkaSink(traces), traces)
	b.post(direct, "bob", `,"traceparent":"`+traceparent(directTrace, clientSpan)+`"`, "")
	if err := b.client.ProduceSync(t.Context(), &kgo.Record{
		Topic: b.topics.Events.Name, Key: []byte("eve"), Headers: []kgo.RecordHeader{{Key: "traceparent", Value: []byte(traceparent(budgetedTrace, clientSpan))}},
		Value: fmt.Appendf(nil, `{"specversion":"1.0","id":"1","source":"/t","type":"data.logged","time":%q}`, time.Now().UTC().Format(time.RFC3339)),
	}).FirstErr(); err != nil {
		t.Fatal(err)
	}

	w := b.start(b.dir("a"), func(cfg *stream.Config) { cfg.Traces = traces.Provider() })
	b.eventually("all rewards are issued", func() bool { return w.Status().Rewards == 3 })
	b.eventually("the collector has all spans", func() bool {
		for _, trace := range []string{spooledTrace, directTrace, budgetedTrace} {
			if len(collector.named(trace, "reward")) == 0 {
				return false
			}
		}
		return len(collector.named(spooledTrace, "POST /v1/events")) > 0 && len(collector.named(directTrace, "events publish")) > 0 && len(collector.named(spooledTrace, "events publish")) > 0
	})

	below := func(parent string, trace, name string) (id string) {
		t.Helper()
		spans := collector.named(trace, name)
		if len(spans) != 1 || hex.EncodeToString(spans[0].GetParentSpanId()) != parent {
			t.Fatalf("of trace %s the spans %q are %v, wanted one below %s", trace, name, spans, parent)
		}
		if took := spans[0].GetEndTimeUnixNano() - spans[0].GetStartTimeUnixNano(); took == 0 || took > uint64(patience) {
			t.Errorf("the span %q of trace %s took %s", name, trace, time.Duration(took)) //nolint:gosec // bounded
		}
		if text := spans[0].String(); strings.Contains(text, "ann") || strings.Contains(text, "bob") || strings.Contains(text, "eve\"") {
			t.Errorf("a span tells of a user: %s", text)
		}
		return hex.EncodeToString(spans[0].GetSpanId())
	}
	of := func(trace, span, user string) {
		t.Helper()
		want := traceparent(trace, span)
		if event, reward := b.traceparentOf(b.topics.Events, user), b.traceparentOf(b.topics.Rewards, user); event != want || reward != want {
			t.Errorf("%s: the event says %q, the reward %q, wanted %q", user, event, reward, want)
		}
	}
	request := below(clientSpan, spooledTrace, "POST /v1/events")
	publish := below(request, spooledTrace, "events publish")
	below(publish, spooledTrace, "reward")
	of(spooledTrace, publish, "ann")
	publish = below(clientSpan, directTrace, "events publish")
	below(publish, directTrace, "reward")
	of(directTrace, publish, "bob")
	below(clientSpan, budgetedTrace, "reward")
	of(budgetedTrace, clientSpan, "eve")
	if r := b.outcomesOf("acme"); len(r) != 2 || slices.ContainsFunc(r, func(r *kgo.Record) bool { return stream.Header(r, "traceparent") != "" }) {
		t.Errorf("partners are told %v", r)
	}
	b.end(w)
	b.judge(b.dir("a"))

	// Whoever looks at a latency finds the trace.
	for name, m := range map[string]prometheus.Collector{"stampede_reward_latency_seconds": w.metrics, "stampede_gateway_request_seconds": metrics} {
		example := regexp.MustCompile(name + `_bucket\{le="[^"]+"\} [0-9]+ # \{trace_id="(` + spooledTrace + "|" + directTrace + "|" + budgetedTrace + `)"\} `)
		if text := openMetrics(t, m); !example.MatchString(text) {
			t.Errorf("%s has no example:\n%s", name, text)
		}
	}
}

// openMetrics is what a scraper that asks for OpenMetrics is answered.
func openMetrics(t *testing.T, m prometheus.Collector) string {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(m)
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil)
	r.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	answer := httptest.NewRecorder()
	command.MetricsHandler(registry).ServeHTTP(answer, r)
	if kind := answer.Header().Get("Content-Type"); !strings.HasPrefix(kind, "application/openmetrics-text") {
		t.Errorf("it answers %s", kind)
	}
	return answer.Body.String()
}

// Where nobody traces, what an event says of its trace is handed on all the same, because rewards follow from the log; and where it says nothing, nothing
// is made up.
func TestWithoutTracingTracesAreHandedOn(t *testing.T) {
	b := newBenchWith(t, kafka.TopicsConfig{})
	b.inForce(births(t, "births", 1, ""))
	address, _, _ := b.gatewayTo(b.kafkaSink(nil), nil)
	b.post(address, "ann", "", traceparent(spooledTrace, clientSpan))
	b.post(address, "bob", "", "")
	b.post(address, "eve", "", "00-nonsense")
	b.end(b.work("a"))
	for user, want := range map[string]string{"ann": traceparent(spooledTrace, clientSpan), "bob": "", "eve": ""} {
		if event, reward := b.traceparentOf(b.topics.Events, user), b.traceparentOf(b.topics.Rewards, user); event != want || reward != want {
			t.Errorf("%s: the event says %q, the reward %q, wanted %q", user, event, reward, want)
		}
	}
	b.judge(b.dir("a"))
}

// A collector that takes requests and never answers holds nothing up: not the gateway, not the processor, not their end.
func TestACollectorThatHangsHoldsNothingUp(t *testing.T) {
	hanging := make(chan struct{})
	asked := make(chan struct{}, 100)
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		asked <- struct{}{}
		<-hanging
	}))
	t.Cleanup(func() {
		close(hanging)
		silent.Close()
	})
	b := newBenchWith(t, kafka.TopicsConfig{})
	b.inForce(births(t, "births", 1, ""))
	traces := b.traced(silent.URL)
	address, _, _ := b.gatewayTo(b.kafkaSink(traces), traces)
	b.post(address, "ann", "", "")
	records := make([]*kgo.Record, 10_000) // more than may wait for the collector
	for i := range records {
		records[i] = &kgo.Record{
			Topic: b.topics.Events.Name, Key: fmt.Appendf(nil, "user-%d", i), Headers: []kgo.RecordHeader{{Key: "traceparent", Value: []byte(traceparent(directTrace, clientSpan))}},
			Value: fmt.Appendf(nil, `{"specversion":"1.0","id":"1","source":"/t","type":"birth.reported","time":%q}`, time.Now().UTC().Format(time.RFC3339)),
		}
	}
	if err := b.client.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	w := b.start(b.dir("a"), func(cfg *stream.Config) { cfg.Traces = traces.Provider() })
	b.processed()
	<-asked
	b.post(address, "bob", "", "")
	b.processed()
	b.end(w)
	began := time.Now()
	traces.Close()
	if took := time.Since(began); took > patience/3 {
		t.Errorf("it took %s to end", took)
	}
	if v := b.judge(b.dir("a")); v.Rewards != len(records)+2 {
		t.Errorf("%d rewards", v.Rewards)
	}
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(traces.Collectors()...)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]float64{}
	for _, f := range families {
		counts[f.GetName()] = f.GetMetric()[0].GetCounter().GetValue()
	}
	if counts["stampede_trace_spans_ended_total"] < 1000 || counts["stampede_trace_spans_sent_total"] != 0 {
		t.Errorf("the spans are counted as %v", counts)
	}
}

// The same events lead to the same rewards, headers and all, whether a processor is traced or not. But for the clock of their issue: the two logs tell of
// the campaign at different times.
func TestRewardsAreTheSameTracedOrNot(t *testing.T) {
	var written [2][]string
	issuedAt := regexp.MustCompile(`"issued_at":"[^"]*"`)
	for i := range written {
		b := newBenchWith(t, kafka.TopicsConfig{})
		b.inForce(births(t, "births", 1, ""))
		at := time.Now().UTC().Truncate(time.Hour)
		for n := range 100 {
			r := &kgo.Record{
				Topic: b.topics.Events.Name, Key: fmt.Appendf(nil, "user-%d", n%7), Timestamp: at,
				Value: fmt.Appendf(nil, `{"specversion":"1.0","id":"%d","source":"/t","type":"birth.reported","time":%q}`, n, at.Format(time.RFC3339)),
			}
			if n%2 == 0 {
				r.Headers = []kgo.RecordHeader{{Key: "traceparent", Value: fmt.Appendf(nil, "00-%032x-%016x-0%d", n+1, n+1, n/2%2)}}
			}
			if err := b.client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		w := b.start(b.dir("a"), func(cfg *stream.Config) {
			if i == 1 {
				cfg.Traces = b.traced(newCollector(t).URL).Provider()
			}
		})
		b.processed()
		b.end(w)
		for n := range 7 {
			for _, r := range b.recordsOf(b.topics.Rewards, fmt.Sprintf("user-%d", n)) {
				written[i] = append(written[i], fmt.Sprintf("%s %s %q", r.Key, issuedAt.ReplaceAll(r.Value, nil), r.Headers))
			}
		}
	}
	if diff := cmp.Diff(written[0], written[1]); diff != "" {
		t.Errorf("untraced and traced:\n%.3000s", diff)
	}
	if n := strings.Count(fmt.Sprint(written[0]), "traceparent"); n != 50 {
		t.Errorf("%d rewards say of which trace they are", n)
	}
}

// What time has made due for a user is no part of the trace of the record that told of the time: that one is another user's.
func TestWhatTimeMakesDueIsInNoTrace(t *testing.T) {
	b := newBenchWith(t, kafka.TopicsConfig{})
	now := time.Now()
	b.inForce(closing(t, "no-complaints", now.Add(time.Hour), "{none: complaint}"), births(t, "births", 1, ""))
	client, err := b.connection.Client(t.Context(), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, r := range []struct {
		user, kind string
		at         time.Time
	}{{"ann", "visit", now}, {"bob", "birth.reported", now.Add(2 * time.Hour)}} {
		if err := client.ProduceSync(t.Context(), &kgo.Record{
			Topic: b.topics.Events.Name, Key: []byte(r.user), Timestamp: r.at, Headers: []kgo.RecordHeader{{Key: "traceparent", Value: []byte(traceparent(directTrace, clientSpan))}},
			Value: fmt.Appendf(nil, `{"specversion":"1.0","id":"1","source":"/t","type":%q,"time":%q}`, r.kind, r.at.UTC().Format(time.RFC3339)),
		}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	b.end(b.work("a"))
	if ann, bob := b.traceparentOf(b.topics.Rewards, "ann"), b.traceparentOf(b.topics.Rewards, "bob"); ann != "" || bob != traceparent(directTrace, clientSpan) {
		t.Errorf("the reward of who is due by time says %q, of who has sent the record %q", ann, bob)
	}
	b.judge(b.dir("a"))
}
