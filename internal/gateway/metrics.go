package gateway

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
)

// maxBuckets bounds the native histogram: beyond it the buckets become wider, and after an hour they may begin anew.
const maxBuckets = 160

// Metrics are the gateway's. The labels are bounded: keys by the file of keys, results by what a problem can be.
type Metrics struct {
	events *prometheus.CounterVec
	took   prometheus.Histogram
	spool  []prometheus.Collector
}

// NewMetrics returns metrics; spool is nil where there is none.
func NewMetrics(spool *Spool) *Metrics {
	m := &Metrics{
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stampede_gateway_events_total", Help: "Events by the key that sent them and by what became of them: accepted, or why not.",
		}, []string{"key", "result"}),
		took: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "stampede_gateway_request_seconds", Help: "How long a request took from its headers to its answer.",
			Buckets:                     []float64{.001, .0025, .005, .01, .02, .05, .1, .25, .5, 1, 2.5, 5, 10},
			NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: maxBuckets, NativeHistogramMinResetDuration: time.Hour,
		}),
	}
	if spool != nil {
		m.spool = []prometheus.Collector{
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "stampede_gateway_spool_bytes", Help: "What the spool takes of the disk."},
				func() float64 { return float64(spool.Bytes()) }),
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "stampede_gateway_spool_limit_bytes", Help: "What the spool may take of the disk."},
				func() float64 { return float64(spool.most) }),
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "stampede_gateway_spool_events", Help: "Events of the spool that are not in Kafka yet."},
				func() float64 { return float64(spool.Waiting()) }),
		}
	}
	return m
}

// Describe is Prometheus'.
func (m *Metrics) Describe(to chan<- *prometheus.Desc) {
	for _, c := range m.all() {
		c.Describe(to)
	}
}

// Collect is Prometheus'.
func (m *Metrics) Collect(to chan<- prometheus.Metric) {
	for _, c := range m.all() {
		c.Collect(to)
	}
}

func (m *Metrics) all() []prometheus.Collector {
	return append([]prometheus.Collector{m.events, m.took}, m.spool...)
}

// request notes how long a request took, with its trace as an example where it is one that was kept.
func (m *Metrics) request(took time.Duration, of trace.SpanContext) {
	if !of.IsSampled() {
		m.took.Observe(took.Seconds())
		return
	}
	m.took.(prometheus.ExemplarObserver).ObserveWithExemplar(took.Seconds(), prometheus.Labels{"trace_id": of.TraceID().String()})
}

func (m *Metrics) event(key string, problem *Problem) {
	result := "accepted"
	if problem != nil {
		result = strings.TrimPrefix(problem.Type, problemPrefix)
	}
	m.events.WithLabelValues(key, result).Inc()
}
