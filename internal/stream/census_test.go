package stream_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/stampede-rewards/stampede/internal/kafka"
	"github.com/stampede-rewards/stampede/internal/stream"
)

// users is a worker's last census.
func (w *worker) users() map[string]float64 {
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(w.metrics)
	families, err := registry.Gather()
	if err != nil {
		panic(err)
	}
	counts := map[string]float64{}
	for _, f := range families {
		if f.GetName() == "stampede_campaign_users" {
			for _, m := range f.GetMetric() {
				counts[m.GetLabel()[0].GetValue()+" "+m.GetLabel()[1].GetValue()] = m.GetGauge().GetValue()
			}
		}
	}
	return counts
}

// A census tells who took part, who is in progress and who has achieved something, in all partitions, and nothing of partitions that have gone.
func TestACensusCountsUsers(t *testing.T) {
	b := newBenchWith(t, kafka.TopicsConfig{})
	ends := time.Now().Add(24 * time.Hour)
	b.inForce(closing(t, "two-visits", ends, "{count: 2, of: visit}"), births(t, "births", 1, ""))
	at := time.Now()
	b.visits(0, 0, 30, at)
	b.visits(3, 30, 40, at)
	b.visits(0, 0, 7, at.Add(time.Second))
	often := func(cfg *stream.Config) { cfg.CensusInterval = 10 * time.Millisecond }
	w := b.start(b.dir("a"), often)
	want := map[string]float64{
		"two-visits took_part": 40, "two-visits in_progress": 33, "two-visits achieved": 7,
		"births took_part": 0, "births in_progress": 0, "births achieved": 0,
	}
	b.eventually("all users are counted", func() bool { return cmp.Equal(w.users(), want) })
	second := b.start(b.dir("b"), often)
	b.eventually("each counts those of its partitions", func() bool {
		mine, yours := w.users()["two-visits took_part"], second.users()["two-visits took_part"]
		return mine+yours == 40 && w.Status().Open == 3 && second.Status().Open == 3
	})
	b.end(w)
	b.end(second)
}
