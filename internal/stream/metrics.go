package stream

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stampede-rewards/stampede/pkg/campaign"
	"github.com/stampede-rewards/stampede/pkg/state"
)

// maxBuckets bounds a native histogram: beyond it the buckets become wider, and after an hour they may begin anew.
const maxBuckets = 160

// Metrics are what a worker counts, for a Prometheus registry. Everything about events counts what was committed, once. Labels are bounded: by the topic's
// partitions, by lists in the program, and what others choose by maxNames.
type Metrics struct {
	campaigns, budgets names // as labels

	events       *prometheus.CounterVec // by partition
	eventBytes   prometheus.Counter
	decisions    *prometheus.CounterVec // by campaign and decision
	rewards      *prometheus.CounterVec // by campaign
	claims       *prometheus.CounterVec // by budget and decision
	budgetLimit  *prometheus.GaugeVec   // by budget and partition
	budgetLeft   *prometheus.GaugeVec   // the same
	deadLetters  *prometheus.CounterVec // by reason
	unknownZones prometheus.Counter
	erased       prometheus.Counter
	dropped      prometheus.Counter
	others       prometheus.Counter
	newUsers     prometheus.Counter
	splitUsers   prometheus.Counter
	lag          *prometheus.GaugeVec // by partition
	users        *prometheus.GaugeVec // by campaign and stage

	eventLatency  *latencies
	rewardLatency *latencies

	unfollowed prometheus.Counter

	cycles         prometheus.Counter
	cycleSeconds   prometheus.Histogram
	foldSeconds    prometheus.Histogram
	prepareSeconds prometheus.Histogram
	commitSeconds  prometheus.Histogram
	outcomes       *prometheus.CounterVec
	shared         prometheus.Counter
	fired, ticks   prometheus.Counter
	discards       prometheus.Counter

	rebalances                      prometheus.Counter
	assigned, open, refused         prometheus.Gauge
	inForce                         prometheus.Gauge
	overlayBytes                    prometheus.Gauge
	restores, restoredRecords       prometheus.Counter
	journalReplayed, journalDropped prometheus.Counter
	quarantined                     prometheus.Counter
}

// NewMetrics returns metrics that are to be registered.
func NewMetrics() *Metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "stampede_" + name, Help: help})
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "stampede_" + name, Help: help}, labels)
	}
	gauges := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "stampede_" + name, Help: help}, labels)
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "stampede_" + name, Help: help})
	}
	histogram := func(name, help string) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "stampede_" + name, Help: help, Buckets: prometheus.ExponentialBuckets(0.0005, 2, 15),
			NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: maxBuckets, NativeHistogramMinResetDuration: time.Hour,
		})
	}
	return &Metrics{
		events:       counters("events_total", "Events processed and committed.", "partition"),
		eventBytes:   counter("event_bytes_total", "Bytes of the values of the events processed."),
		decisions:    counters("decisions_total", "What became of events, for each campaign that their type concerns.", "campaign", "decision"),
		rewards:      counters("rewards_total", "Rewards issued.", "campaign"),
		outcomes:     counters("outcomes_total", "How campaigns and periods ended for users who took part, but for rewards.", "campaign", "outcome"),
		shared:       counter("shared_outcomes_total", "Records written to partners' topics."),
		claims:       counters("claims_total", "Claims that budgets have decided: granted, denied, or reopened, which is granted after it was denied, when the budget was raised.", "budget", "decision"),
		budgetLimit:  gauges("budget_limit", "What a budget issues in its period: rewards, or minor units of its currency.", "budget", "partition"),
		budgetLeft:   gauges("budget_left", "What is left of it. It is told by the processor that has the budget's partition, which decides its claims.", "budget", "partition"),
		fired:        counter("ledgers_fired_total", "Ledgers of which something was due by the clock."),
		ticks:        counter("ticks_total", "Ticks written to idle partitions because something was due."),
		deadLetters:  counters("dead_letters_total", "Records that could not be processed.", "reason"),
		unknownZones: counter("unknown_zones_total", "Time zones named by events that the tz database does not have."),
		erased:       counter("users_erased_total", "Users erased by stampede.erased."),
		dropped:      counter("erased_records_total", "Records of users erased lately, dropped without a trace."),
		others:       counter("others_records_total", "Claims, answers and recalls of other groups on the same events topic, which are theirs alone."),
		newUsers:     counter("new_users_total", "Users seen for the first time in a partition."),
		splitUsers: counter("users_in_two_partitions_total", "New users who have a ledger in another partition of this process already: "+
			"the producers do not agree on a partitioner. Only a few partitions are looked at, and in a cycle of many new users one in sixteen, so the true number can be higher."),
		lag: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "stampede_lag_records", Help: "Records that wait, as of the last fetch."}, []string{"partition"}),

		users: gauges("campaign_users", "Users of the open partitions who took part in a campaign that is not closed, who are in progress there, and who have achieved something, "+
			"as of the last census.", "campaign", "stage"),

		eventLatency:  newLatencies("stampede_event_latency_seconds", "From an event's arrival at the broker to its commit."),
		rewardLatency: newLatencies("stampede_reward_latency_seconds", "From the arrival of the event that made a reward due to the reward's commit."),
		unfollowed:    counter("rewards_without_span_total", "Rewards whose event's trace is kept, and which have no span because too many came in one cycle."),

		cycles:         counter("cycles_total", "Transactions committed."),
		cycleSeconds:   histogram("cycle_seconds", "Time from a cycle's first events to its commit: the commit interval and what comes on top."),
		foldSeconds:    histogram("fold_seconds", "Time that the engine took for a cycle's events."),
		prepareSeconds: histogram("prepare_seconds", "Time to write a cycle to the journal."),
		commitSeconds:  histogram("commit_seconds", "Time from the end of a cycle's processing to its commit."),
		discards:       counter("clients_discarded_total", "Clients thrown away, because an outcome was unknown or the group had moved on."),

		rebalances:      counter("rebalances_total", "Rebalances of the group that this worker took part in."),
		assigned:        gauge("partitions_assigned", "Partitions that the group has assigned to this worker."),
		open:            gauge("partitions_open", "Partitions that are processed. All that is assigned should be."),
		refused:         gauge("partitions_refused", "Partitions that are not processed until somebody mends what the log says."),
		inForce:         gauge("campaigns_in_force", "Campaigns that are published and not closed, in the partition that was told the most of them."),
		overlayBytes:    gauge("overlay_bytes", "Ledgers in memory: those that wait for a checkpoint, and those that were used lately."),
		restores:        counter("restores_total", "Partitions brought up to date by the changelog."),
		restoredRecords: counter("changelog_records_read_total", "Records of the changelog that were read for it."),
		journalReplayed: counter("journal_entries_replayed_total", "Journal entries that opening a partition found committed."),
		journalDropped:  counter("journal_entries_dropped_total", "Newest journal entries that opening a partition dropped in doubt."),
		quarantined:     counter("stores_quarantined_total", "Stores of partitions that could not be right and were rebuilt."),
	}
}

func (m *Metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{
		m.events, m.eventBytes, m.decisions, m.rewards, m.outcomes, m.shared, m.claims, m.budgetLimit, m.budgetLeft, m.fired, m.ticks, m.deadLetters, m.unknownZones, m.erased, m.dropped, m.others, m.newUsers, m.splitUsers, m.lag, m.users,
		m.eventLatency, m.rewardLatency, m.unfollowed, m.cycles, m.cycleSeconds, m.foldSeconds, m.prepareSeconds, m.commitSeconds, m.discards,
		m.rebalances, m.assigned, m.open, m.refused, m.inForce, m.overlayBytes, m.restores, m.restoredRecords, m.journalReplayed, m.journalDropped, m.quarantined,
	}
}

// Describe is part of prometheus.Collector.
func (m *Metrics) Describe(descs chan<- *prometheus.Desc) {
	for _, c := range m.collectors() {
		c.Describe(descs)
	}
}

// Collect is part of prometheus.Collector.
func (m *Metrics) Collect(metrics chan<- prometheus.Metric) {
	for _, c := range m.collectors() {
		c.Collect(metrics)
	}
}

// observe counts what a cycle brought, after it has committed.
func (m *Metrics) observe(partition int32, t *tally, lag int64, now time.Time) {
	label := strconv.Itoa(int(partition))
	m.events.WithLabelValues(label).Add(float64(t.records))
	m.lag.WithLabelValues(label).Set(float64(lag))
	m.eventBytes.Add(float64(t.bytes))
	for of, n := range t.decisions {
		m.decisions.WithLabelValues(m.campaigns.label(of.campaign), of.decision.String()).Add(float64(n))
	}
	for campaign, n := range t.rewards {
		m.rewards.WithLabelValues(m.campaigns.label(campaign)).Add(float64(n))
	}
	for of, n := range t.outcomes {
		m.outcomes.WithLabelValues(m.campaigns.label(of.campaign), of.kind.String()).Add(float64(n))
	}
	m.shared.Add(float64(t.shared))
	for of, n := range t.claims {
		m.claims.WithLabelValues(m.budgets.label(of.budget), of.decision).Add(float64(n))
	}
	m.fired.Add(float64(t.fired))
	for reason, n := range t.rejections {
		m.deadLetters.WithLabelValues(string(reason)).Add(float64(n))
	}
	m.unknownZones.Add(float64(t.unknownZones))
	m.erased.Add(float64(t.erased))
	m.dropped.Add(float64(t.dropped))
	m.others.Add(float64(t.others))
	m.newUsers.Add(float64(t.newUsers))
	m.splitUsers.Add(float64(t.split))
	m.eventLatency.add(t.arrivals, now)
	m.rewardLatency.add(t.dues, now)
	m.rewardLatency.exemplify(t.followed, now)
	m.unfollowed.Add(float64(t.unfollowed))
}

// observeBudgets shows the budgets whose claims a partition decides, by its clock (Unix ms): those out of which a campaign still pays. Their claims are counted
// from 0, or else the first burst of denials would be no increase of anything.
func (m *Metrics) observeBudgets(partition int32, budgets []campaign.BudgetStanding, paying map[string]bool, clock int64) {
	label := strconv.Itoa(int(partition))
	for _, b := range budgets {
		switch {
		case b.Home != partition:
		case !paying[b.ID]:
			m.budgetLimit.DeleteLabelValues(b.ID, label)
			m.budgetLeft.DeleteLabelValues(b.ID, label)
		case m.budgets.label(b.ID) == b.ID: // what is left of several together says nothing
			now := b.At(clock)
			m.budgetLimit.WithLabelValues(b.ID, label).Set(float64(b.Limit()))
			m.budgetLeft.WithLabelValues(b.ID, label).Set(float64(now.Left()))
			for _, decision := range campaign.ClaimDecisions() {
				m.claims.WithLabelValues(b.ID, decision)
			}
		}
	}
}

// observeUsers shows a census, by partition and campaign.
func (m *Metrics) observeUsers(counts map[int32]map[string]stages) {
	total := map[string]stages{}
	for _, of := range counts {
		for id, s := range of {
			label := m.campaigns.label(id)
			t := total[label]
			total[label] = stages{t.tookPart + s.tookPart, t.inProgress + s.inProgress, t.achieved + s.achieved}
		}
	}
	m.users.Reset() // campaigns that are closed
	for label, s := range total {
		m.users.WithLabelValues(label, "took_part").Set(float64(s.tookPart))
		m.users.WithLabelValues(label, "in_progress").Set(float64(s.inProgress))
		m.users.WithLabelValues(label, "achieved").Set(float64(s.achieved))
	}
}

// forget removes a partition that has gone elsewhere.
func (m *Metrics) forget(partition int32) {
	label := strconv.Itoa(int(partition))
	m.lag.DeleteLabelValues(label)
	m.budgetLimit.DeletePartialMatch(prometheus.Labels{"partition": label})
	m.budgetLeft.DeletePartialMatch(prometheus.Labels{"partition": label})
}

// StoreCollector shows a store's own measurements.
func StoreCollector(store *state.Store) prometheus.Collector { return storeCollector{store} }

type storeCollector struct{ store *state.Store }

// storeMetric is one number of a store.
type storeMetric struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	of   func(state.Metrics) float64
}

func storeMetricOf(kind prometheus.ValueType, name, help string, of func(state.Metrics) float64) storeMetric {
	return storeMetric{prometheus.NewDesc("stampede_store_"+name, help, nil, nil), kind, of}
}

var storeMetrics = []storeMetric{
	storeMetricOf(prometheus.GaugeValue, "disk_bytes", "All files of the store.", func(m state.Metrics) float64 { return float64(m.DiskBytes) }),
	storeMetricOf(prometheus.GaugeValue, "journal_bytes", "Journal entries that wait for a checkpoint.", func(m state.Metrics) float64 { return float64(m.JournalBytes) }),
	storeMetricOf(prometheus.GaugeValue, "cache_bytes", "Block cache.", func(m state.Metrics) float64 { return float64(m.CacheBytes) }),
	storeMetricOf(prometheus.GaugeValue, "memtable_bytes", "Memtables.", func(m state.Metrics) float64 { return float64(m.MemtableBytes) }),
	storeMetricOf(prometheus.GaugeValue, "wal_bytes", "Write-ahead log that is still needed.", func(m state.Metrics) float64 { return float64(m.WALBytes) }),
	storeMetricOf(prometheus.GaugeValue, "compaction_debt_bytes", "What compactions have yet to rewrite.", func(m state.Metrics) float64 { return float64(m.CompactionDebt) }),
	storeMetricOf(prometheus.GaugeValue, "read_amplification", "Files that a read may have to look into.", func(m state.Metrics) float64 { return float64(m.ReadAmp) }),
	storeMetricOf(prometheus.CounterValue, "cache_hits_total", "Reads served by the block cache.", func(m state.Metrics) float64 { return float64(m.CacheHits) }),
	storeMetricOf(prometheus.CounterValue, "cache_misses_total", "Reads that went to the disk.", func(m state.Metrics) float64 { return float64(m.CacheMisses) }),
	storeMetricOf(prometheus.CounterValue, "checkpoints_total", "Checkpoints written.", func(m state.Metrics) float64 { return float64(m.Checkpoints) }),
	storeMetricOf(prometheus.CounterValue, "checkpointed_ledgers_total", "Ledgers written by checkpoints.", func(m state.Metrics) float64 { return float64(m.CheckpointedLedgers) }),
	storeMetricOf(prometheus.CounterValue, "restored_ledgers_total", "Ledgers written by restores.", func(m state.Metrics) float64 { return float64(m.RestoredLedgers) }),
	storeMetricOf(prometheus.CounterValue, "scrubs_total", "Partitions rewritten so that nothing of erased users is on the disk.", func(m state.Metrics) float64 { return float64(m.Scrubs) }),
	storeMetricOf(prometheus.CounterValue, "write_stalls_total", "Writes that had to wait for compactions.", func(m state.Metrics) float64 { return float64(m.WriteStalls) }),
	storeMetricOf(prometheus.CounterValue, "background_errors_total", "Errors of the disk.", func(m state.Metrics) float64 { return float64(m.BackgroundErrors) }),
}

// Describe is part of prometheus.Collector.
func (c storeCollector) Describe(descs chan<- *prometheus.Desc) {
	for _, m := range storeMetrics {
		descs <- m.desc
	}
}

// Collect is part of prometheus.Collector.
func (c storeCollector) Collect(metrics chan<- prometheus.Metric) {
	measured := c.store.Metrics()
	for _, m := range storeMetrics {
		metrics <- prometheus.MustNewConstMetric(m.desc, m.kind, m.of(measured))
	}
}
