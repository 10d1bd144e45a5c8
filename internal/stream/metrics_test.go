package stream

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.opentelemetry.io/otel/trace"

	"github.com/stampede-rewards/stampede/pkg/campaign"
)

// families are what a scraper is given of metrics, by name.
func families(t *testing.T, m prometheus.Collector) map[string]*dto.MetricFamily {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(m)
	all, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]*dto.MetricFamily{}
	for _, f := range all {
		byName[f.GetName()] = f
	}
	return byName
}

// However many campaigns and budgets there are, there are so many series; what has none of its own is counted together.
func TestLabelsAreBounded(t *testing.T) {
	const each = 3 * maxNames
	m := NewMetrics()
	count := newTally()
	census := map[string]stages{}
	var budgets []campaign.BudgetStanding
	for n := range each {
		id := fmt.Sprint("c", n)
		count.rewards[id] = 1
		count.decisions[decisionOf{id, campaign.Counted}] = 1
		count.outcomes[outcomeOf{id, campaign.Failed}] = 1
		count.claims[claimOf{id, "granted"}] = 1
		census[id] = stages{1, 1, 1}
		budgets = append(budgets, campaign.BudgetStanding{Budget: campaign.Budget{ID: id}})
	}
	m.observe(0, &count, 0, time.Now())
	m.observeUsers(map[int32]map[string]stages{0: census})
	paying := map[string]bool{}
	for _, b := range budgets {
		paying[b.ID] = true
	}
	m.observeBudgets(0, budgets, paying, 0)
	all := families(t, m)
	for name, most := range map[string]int{
		"rewards_total": maxNames + 1, "decisions_total": maxNames + 1, "outcomes_total": maxNames + 1, "claims_total": 3*maxNames + 1,
		"campaign_users": 3 * (maxNames + 1), "budget_left": maxNames, "budget_limit": maxNames,
	} {
		f := all["stampede_"+name]
		sum := 0.0
		for _, series := range f.GetMetric() {
			sum += series.GetCounter().GetValue()
		}
		if len(f.GetMetric()) != most || strings.HasSuffix(name, "_total") && sum != each {
			t.Errorf("%s has %d series, wanted %d; their sum is %g", name, len(f.GetMetric()), most, sum)
		}
	}
}

// Every histogram is a native one, for whoever knows those, with the classic one beside it.
func TestEveryHistogramIsNativeAndClassic(t *testing.T) {
	m := NewMetrics()
	now := time.Now()
	for _, l := range []*latencies{m.eventLatency, m.rewardLatency} {
		l.add([]arrival{{now.UnixMilli() - 3, 2}, {now.UnixMilli(), 1}, {now.Add(-400 * time.Hour).UnixMilli(), 1}}, now)
	}
	for _, h := range []prometheus.Histogram{m.cycleSeconds, m.foldSeconds, m.prepareSeconds, m.commitSeconds} {
		h.Observe(0.003)
	}
	histograms := 0
	for name, f := range families(t, m) {
		h := f.GetMetric()[0].GetHistogram()
		if h == nil {
			continue
		}
		histograms++
		if len(h.GetBucket()) < 10 || h.Schema == nil || len(h.GetPositiveSpan()) == 0 {
			t.Errorf("%s: %v", name, h)
		}
		seen := h.GetZeroCount()
		at := int64(0)
		for _, d := range h.GetPositiveDelta() {
			at += d
			seen += uint64(at) //nolint:gosec // a count
		}
		if seen != h.GetSampleCount() {
			t.Errorf("%s has %d in its native buckets, of %d", name, seen, h.GetSampleCount())
		}
	}
	if histograms != 6 {
		t.Errorf("there are %d", histograms)
	}
}

// A latency is in the bucket whose bounds are around it, in the native histogram and in the classic one, and so is its example.
func TestLatenciesAreInTheirBuckets(t *testing.T) {
	for _, ms := range []int64{0, 1, 2, 3, 9, 50, 1000, 3_000_000, 5_000_000, 2_000_000_000} {
		l := newLatencies("x", "x")
		now := time.Now()
		l.add([]arrival{{now.UnixMilli() - ms, 1}}, now)
		l.exemplify([]followed{{of: trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}}), arrived: now.UnixMilli() - ms}}, now)
		h := families(t, l)["x"].GetMetric()[0].GetHistogram()
		seconds := float64(ms) / 1000
		below := -1.0
		for _, b := range h.GetBucket() {
			inside := seconds > below && seconds <= b.GetUpperBound()
			if (b.GetCumulativeCount() == 1) != (seconds <= b.GetUpperBound()) || (b.GetExemplar() != nil) != inside {
				t.Errorf("%d ms: the bucket up to %g has %d, and the example %v", ms, b.GetUpperBound(), b.GetCumulativeCount(), b.GetExemplar())
			}
			below = b.GetUpperBound()
		}
		if ms == 0 || seconds > bound(latencyBuckets-1) {
			continue // not between the native histogram's bounds
		}
		bucket := int(h.GetPositiveSpan()[0].GetOffset()) - firstPower*perPower
		if low, high := bound(bucket-1), bound(bucket); seconds <= low || seconds > high {
			t.Errorf("%d ms is in the native bucket from %g to %g", ms, low, high)
		}
	}
}
