package kafka

import (
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/plugin/kprom"
)

// ClientMetrics are the library's own measurements of the client that works now. Clients follow one another, and the
// library registers the same names for each: so each has a registry of its own, and the newest is shown. To a scraper the
// counters begin anew, as after a restart.
type ClientMetrics struct {
	mu      sync.Mutex
	current *prometheus.Registry
}

// Hook is for one client, the next.
func (m *ClientMetrics) Hook() kgo.Hook {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.current = prometheus.NewRegistry()
	return kprom.NewMetrics("stampede_kafka", kprom.Registry(m.current))
}

// Gather is part of prometheus.Gatherer.
func (m *ClientMetrics) Gather() ([]*dto.MetricFamily, error) {
	m.mu.Lock()
	current := m.current
	m.mu.Unlock()
	if current == nil {
		return nil, nil
	}
	families, err := current.Gather()
	for _, f := range families {
		if name, counts := strings.CutSuffix(f.GetName(), "_total"); counts && f.GetType() == dto.MetricType_GAUGE {
			f.Name = &name // the library calls two of its gauges like counters
		}
	}
	return families, err
}
