package stream

import (
	"math"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// latencies is a histogram to which many equal observations are added at once: the records of a batch share their time of
// arrival. Its buckets are those of a native histogram of schema 3, a factor of the eighth root of 2 apart; the classic histogram beside it has every
// fourth of their bounds, from 1 ms to over an hour.
type latencies struct {
	desc     *prometheus.Desc
	began    time.Time
	mu       sync.Mutex
	buckets  [latencyBuckets + 1]uint64 // the last is everything above, too
	count    uint64
	sum      float64                               // seconds
	examples [classicBuckets + 1]*latencyOfExample // by classic bucket, the newest
}

// latencyOfExample is a latency of which a trace is kept.
type latencyOfExample struct {
	of      trace.TraceID
	seconds float64
	at      time.Time
}

const (
	// latencySchema is the native histogram's: so many bounds between a power of 2 and the next, as a power of 2.
	latencySchema = 3
	perPower      = 1 << latencySchema
	// firstPower and lastPower are the powers of 2 of the first bound and the last one, in seconds: 1 ms, and twelve days.
	firstPower, lastPower = -10, 20
	latencyBuckets        = (lastPower-firstPower)*perPower + 1
	// perClassic is how many buckets are one of the classic histogram, whose last bound is over an hour.
	perClassic     = 4
	classicBuckets = (12-firstPower)*perPower/perClassic + 1
)

func newLatencies(name, help string) *latencies {
	return &latencies{desc: prometheus.NewDesc(name, help, nil, nil), began: time.Now()}
}

// bound is a bucket's upper bound in seconds.
func bound(bucket int) float64 { return math.Exp2(firstPower + float64(bucket)/perPower) }

// bucketOf is the bucket of a latency in seconds. Latencies are whole milliseconds, which are no bounds, so rounding decides nothing.
func bucketOf(seconds float64) int {
	if seconds <= bound(0) {
		return 0
	}
	return min(latencyBuckets, int(math.Ceil((math.Log2(seconds)-firstPower)*perPower)))
}

// classicOf is the classic histogram's bucket for one of ours.
func classicOf(bucket int) int { return min(classicBuckets, (bucket+perClassic-1)/perClassic) }

// since is a latency in seconds. A broker's clock that is ahead of ours gives 0.
func since(arrived int64, now time.Time) float64 {
	return max(0, float64(now.UnixMilli()-arrived)/1000)
}

// add counts what arrived and was done at now.
func (l *latencies) add(arrivals []arrival, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range arrivals {
		seconds := since(a.ms, now)
		l.buckets[bucketOf(seconds)] += uint64(a.n) //nolint:gosec // a count
		l.count += uint64(a.n)                      //nolint:gosec // a count
		l.sum += seconds * float64(a.n)
	}
}

// exemplify notes of latencies that were added which traces they are of.
func (l *latencies) exemplify(rewards []followed, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range rewards {
		seconds := since(rewards[i].arrived, now)
		l.examples[classicOf(bucketOf(seconds))] = &latencyOfExample{rewards[i].of.TraceID(), seconds, now}
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
	classic := make([]*dto.Bucket, classicBuckets)
	native := map[int]int64{}
	var seen uint64
	for i, n := range l.buckets {
		seen += n
		if i%perClassic == 0 && i/perClassic < classicBuckets {
			classic[i/perClassic] = &dto.Bucket{CumulativeCount: new(seen), UpperBound: new(bound(i))}
		}
		if i > 0 && n > 0 {
			native[firstPower*perPower+i] = int64(n) //nolint:gosec // a count
		}
	}
	both := bothHistograms{prometheus.MustNewConstNativeHistogram(l.desc, l.count, l.sum, native, nil, l.buckets[0], latencySchema, bound(0), l.began), classic, nil}
	for i, e := range l.examples {
		if e == nil {
			continue
		}
		example := &dto.Exemplar{
			Label: []*dto.LabelPair{{Name: new("trace_id"), Value: new(e.of.String())}},
			Value: new(e.seconds), Timestamp: timestamppb.New(e.at),
		}
		both.examples = append(both.examples, example)
		if i == classicBuckets {
			both.classic = append(both.classic, &dto.Bucket{CumulativeCount: new(l.count), UpperBound: new(math.Inf(1)), Exemplar: example})
			continue
		}
		classic[i].Exemplar = example
	}
	metrics <- both
}

// bothHistograms is a native histogram with the classic one beside it: a scraper takes which it knows.
type bothHistograms struct {
	prometheus.Metric
	classic  []*dto.Bucket
	examples []*dto.Exemplar
}

// Write is part of prometheus.Metric.
func (b bothHistograms) Write(out *dto.Metric) error {
	if err := b.Metric.Write(out); err != nil {
		return err
	}
	out.Histogram.Bucket, out.Histogram.Exemplars = b.classic, b.examples
	return nil
}
