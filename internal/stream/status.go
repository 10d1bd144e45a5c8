package stream

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// Status is how a worker is doing, for a terminal and for /readyz.
type Status struct {
	Assigned int             // partitions
	Open     int             // of them
	Refused  []error         // why partitions are not processed
	Events   int64           // committed since the worker began
	Rewards  int64           // the same
	Lag      int64           // records of the open partitions that wait
	InForce  int             // campaigns that are not closed, of the partition that has the most
	Rejected int64           // records that went to the dead letters
	Overlay  int64           // bytes of ledgers in memory
	Latency  LatencySnapshot // event's arrival at the broker to its commit
	Inputs   map[int32]int64 // committed offset by open partition
}

// Ready says whether all that is assigned is processed.
func (s Status) Ready() bool { return s.Assigned > 0 && s.Open == s.Assigned }

// LatencySnapshot is a distribution of latencies up to a moment.
type LatencySnapshot struct {
	buckets [latencyBuckets + 1]uint64
}

// Since returns the q-quantile of what came after an earlier snapshot, 0 if nothing did. It is exact to a factor of 1.1.
func (l LatencySnapshot) Since(earlier LatencySnapshot, q float64) time.Duration {
	return quantile(earlier.buckets, l.buckets, q)
}

// status is kept by the loop and read by whoever asks.
type status struct {
	metrics *Metrics

	mu         sync.Mutex
	assignment map[int32]bool
	refusals   map[int32]error
	inputs     map[int32]int64
	lags       map[int32]int64
	inForce    map[int32]int // campaigns
	events     int64
	rewards    int64
	rejections int64
	overlay    int64
}

func newStatus(m *Metrics) *status {
	s := &status{metrics: m}
	s.sessionEnded()
	return s
}

func (s *status) sessionEnded() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.assignment, s.refusals = map[int32]bool{}, map[int32]error{}
	s.inputs, s.lags, s.inForce = map[int32]int64{}, map[int32]int64{}, map[int32]int{}
	s.gauges()
}

func (s *status) assigned(numbers []int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range numbers {
		s.assignment[n] = true
	}
	s.gauges()
}

func (s *status) revoked(numbers []int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range numbers {
		delete(s.assignment, n)
		delete(s.refusals, n)
		delete(s.inputs, n)
		delete(s.lags, n)
		delete(s.inForce, n)
		s.metrics.forget(n)
	}
	s.gauges()
}

func (s *status) opened(n int32, input int64, inForce int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inputs[n], s.inForce[n] = input, inForce
	s.gauges()
}

func (s *status) refused(n int32, why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusals[n] = why
	s.gauges()
}

func (s *status) committed(n int32, input, lag int64, inForce int, t *tally) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inputs[n], s.lags[n], s.inForce[n] = input, lag, inForce
	s.metrics.inForce.Set(float64(s.mostInForce()))
	s.events += int64(t.records)
	for _, rewards := range t.rewards {
		s.rewards += int64(rewards)
	}
	for _, rejected := range t.rejections {
		s.rejections += int64(rejected)
	}
}

func (s *status) stored(overlay int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.overlay = overlay
	s.metrics.overlayBytes.Set(float64(overlay))
}

func (s *status) gauges() {
	s.metrics.assigned.Set(float64(len(s.assignment)))
	s.metrics.open.Set(float64(len(s.inputs)))
	s.metrics.refused.Set(float64(len(s.refusals)))
	s.metrics.inForce.Set(float64(s.mostInForce()))
}

// mostInForce is of the partition that was told the most: the others are about to be.
func (s *status) mostInForce() int {
	most := 0
	for _, n := range s.inForce {
		most = max(most, n)
	}
	return most
}

// Status says how the worker is doing. It may be called at any time.
func (w *Worker) Status() Status {
	s := w.status
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Status{
		Assigned: len(s.assignment), Open: len(s.inputs), Events: s.events, Rewards: s.rewards, Rejected: s.rejections,
		Overlay: s.overlay, Latency: LatencySnapshot{s.metrics.eventLatency.snapshot()}, Inputs: maps.Clone(s.inputs),
		InForce: s.mostInForce(),
	}
	for _, lag := range s.lags {
		st.Lag += lag
	}
	for _, n := range slices.Sorted(maps.Keys(s.refusals)) {
		st.Refused = append(st.Refused, s.refusals[n])
	}
	return st
}
