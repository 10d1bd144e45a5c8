package stream

import (
	"math"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// latencies is a histogram to which many equal observations are added at once: the records of a batch share their time of
// arrival. The buckets are a factor of the square root of 2 apart, from 1 ms to over an hour.
type latencies struct {
	desc    *prometheus.Desc
	mu      sync.Mutex
	buckets [latencyBuckets + 1]uint64 // the last is everything above
	count   uint64
	sum     float64 // seconds
}

const latencyBuckets = 44

func newLatencies(name, help string) *latencies {
	return &latencies{desc: prometheus.NewDesc(name, help, nil, nil)}
}

// bound is a bucket's upper bound in seconds.
func bound(bucket int) float64 { return 0.001 * math.Pow(2, float64(bucket)/2) }

// add counts what arrived and was done at now. A broker's clock that is ahead of ours gives 0.
func (l *latencies) add(arrivals []arrival, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range arrivals {
		seconds := max(0, float64(now.UnixMilli()-a.ms)/1000)
		bucket := 0
		if seconds > bound(0) {
			bucket = min(latencyBuckets, int(math.Ceil(2*math.Log2(seconds/0.001)-1e-9)))
		}
		l.buckets[bucket] += uint64(a.n) //nolint:gosec // a count
		l.count += uint64(a.n)           //nolint:gosec // a count
		l.sum += seconds * float64(a.n)
	}
}

// snapshot is the buckets' counts, for quantiles over the time between two of them.
func (l *latencies) snapshot() [latencyBuckets + 1]uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buckets
}

// quantile is the upper bound of the bucket that holds the q-quantile of what came between two snapshots; 0 if nothing did.
func quantile(before, after [latencyBuckets + 1]uint64, q float64) time.Duration {
	var total uint64
	for i := range after {
		total += after[i] - before[i]
	}
	var seen uint64
	for i := range after {
		seen += after[i] - before[i]
		if total > 0 && float64(seen) >= q*float64(total) {
			return time.Duration(bound(i) * float64(time.Second))
		}
	}
	return 0
}

// Describe is part of prometheus.Collector.
func (l *latencies) Describe(descs chan<- *prometheus.Desc) { descs <- l.desc }

// Collect is part of prometheus.Collector.
func (l *latencies) Collect(metrics chan<- prometheus.Metric) {
	l.mu.Lock()
	defer l.mu.Unlock()
	cumulative := make(map[float64]uint64, latencyBuckets)
	var seen uint64
	for i := range latencyBuckets {
		seen += l.buckets[i]
		cumulative[bound(i)] = seen
	}
	metrics <- prometheus.MustNewConstHistogram(l.desc, l.count, l.sum, cumulative)
}
