package stream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/trace"

	"github.com/stampede-rewards/stampede/internal/kafka"
	"github.com/stampede-rewards/stampede/pkg/campaign"
)

const (
	// transactionTimeout is how long the broker lets a transaction of a dead worker block its readers.
	transactionTimeout = 10 * time.Second
	// sessionTimeout is how long a dead worker keeps its partitions; a restart within it moves nothing.
	sessionTimeout = 10 * time.Second
	// heartbeatInterval is how soon a worker learns of a rebalance, and so how long the others wait for it.
	heartbeatInterval = 500 * time.Millisecond
	// rebalanceTimeout bounds how long a rebalance waits for a worker to end its cycle.
	rebalanceTimeout = 15 * time.Second
	// concurrentTransactionsWait is the wait before asking again while the markers of the last transaction are being written.
	concurrentTransactionsWait = 2 * time.Millisecond
	// minRestores is how many partitions at least can be restored at the same time: one whose changelog can't be read must not hold up the others.
	minRestores = 4
	// fetchShare is of how much of a cycle's bytes a part a fetch brings: it is compressed, and waits unpacked while a cycle is committed.
	fetchShare    = 4
	minFetchBytes = 1 << 20
	// fetchWait bounds how long a broker holds a fetch when nothing comes: a partition that is resumed meanwhile waits for it to end.
	fetchWait = 250 * time.Millisecond
)

// session is one client's life.
type session struct {
	*Worker
	topics      kafka.TopicsState
	records     records
	client      *transactor
	opener      *opener
	ticker      *ticker
	incarnation uint64
	sequence    uint64       // of the newest transaction
	tracer      trace.Tracer // nil is none
	phases      phases       // of the newest cycle that had records
	cores       cores

	life     context.Context // ends with the session; opens run in it
	end      context.CancelFunc
	watching sync.WaitGroup // see unassigned.go

	mu         sync.Mutex // guards what follows between the loop and the group's callbacks
	partitions map[int32]*partition
	opening    map[int32]*opening
	opened     []*opening // done, to be taken in by the loop
	member     string     // the group's id of this client, empty before it has joined
	revoked    bool       // the client holds that it must abort: see rebalance.go
	failed     error      // the first reason to give up this client
	closing    bool

	wakeMu  sync.Mutex
	woken   bool
	endPoll context.CancelFunc

	rebalance chan struct{} // a callback waits for the cycle to end
	ending    atomic.Pointer[context.CancelFunc]
	cycles    atomic.Int64 // that are decided, with nothing of theirs to wait for
}

func newSession(ctx context.Context, w *Worker, asks *kgo.Client, topics kafka.TopicsState, incarnation uint64) (*session, error) {
	s := &session{
		Worker: w, topics: topics, incarnation: incarnation,
		records:    records{topics, w.cfg.Partners},
		partitions: map[int32]*partition{},
		opening:    map[int32]*opening{},
		rebalance:  make(chan struct{}, 1),
	}
	if w.cfg.Traces != nil {
		s.tracer = w.cfg.Traces.Tracer("stampede/processor")
	}
	s.life, s.end = context.WithCancel(context.WithoutCancel(ctx))
	asking := w.cfg.Connection
	asking.Asks = asks
	s.opener = &opener{
		connection: asking, store: w.cfg.Store, topics: topics, group: w.cfg.Group,
		partners: w.cfg.Partners.Names(),
		metrics:  w.cfg.Metrics, log: w.cfg.Log,
		restores: make(chan struct{}, max(minRestores, min(runtime.GOMAXPROCS(0), w.cfg.Store.Restores()))),
	}
	options := append(w.cfg.Connection.Options(),
		kgo.ConsumerGroup(w.cfg.Group),
		kgo.InstanceID(w.cfg.Instance),
		kgo.ConsumeTopics(topics.Events.Name),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), // an offset that is gone is lost events: never continue in silence
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(),                                                  // a transaction's marker is no event, but the position passes it: else a partition would lag for ever
		kgo.FetchMaxBytes(int32(max(w.cfg.CycleBytes/fetchShare, minFetchBytes))), //nolint:gosec // a share of what is at most maxCycleBytes
		kgo.FetchMaxWait(fetchWait),
		kgo.SessionTimeout(sessionTimeout),
		kgo.HeartbeatInterval(heartbeatInterval),
		kgo.RebalanceTimeout(rebalanceTimeout),
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(s.onAssigned),
		kgo.OnOffsetsFetched(s.onOffsetsFetched),
		kgo.OnPartitionsRevoked(s.onRevoked),
		kgo.OnPartitionsLost(s.onLost),
		kgo.OnPartitionsCallbackBlocked(s.onBlocked),

		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.MaxBufferedRecords(producedRecords(w.cfg.CycleRecords)),
		kgo.ProducerBatchCompression(w.cfg.Compression),
		topics.BatchBytes(),
		kgo.WithHooks(w.cfg.ClientMetrics.Hook()),
	)
	client, err := newTransactor(w.transactional(), options...)
	if err != nil {
		s.end()
		return nil, fatal{fmt.Errorf("kafka client: %w", err)}
	}
	s.client = client
	if s.ticker, err = newTicker(s); err != nil {
		s.end()
		client.Close()
		return nil, fatal{err}
	}
	s.cores = newCores()
	s.watching.Add(1)
	go s.watchUnassigned()
	return s, nil
}

// producedRecords bounds what a cycle can wait to produce: for each event at most its ledger and a dead letter or rewards, which are few.
func producedRecords(cycleRecords int) int { return max(4*cycleRecords, 50_000) }

// run works until ctx ends (nil) or the client is no good any more.
func (s *session) run(ctx context.Context) error {
	for {
		if err := s.failure(); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the request to stop
		}
		err := s.cycle(ctx)
		s.client.AllowRebalance()
		s.cycles.Add(1)
		if err != nil {
			return err
		}
	}
}

// fail gives the client up, for the first reason.
func (s *session) fail(err error) {
	s.mu.Lock()
	if s.failed == nil {
		s.failed = err
	}
	s.mu.Unlock()
	s.wake()
}

func (s *session) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

// wake ends the poll that waits, or the next one: there is something other than records to see to.
func (s *session) wake() {
	s.wakeMu.Lock()
	defer s.wakeMu.Unlock()
	s.woken = true
	if s.endPoll != nil {
		s.endPoll()
	}
}

// poll waits for records until the deadline, if there is one, or until it is woken.
func (s *session) poll(ctx context.Context, deadline time.Time, limit int) kgo.Fetches {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if !deadline.IsZero() {
		var cancelDeadline context.CancelFunc
		ctx, cancelDeadline = context.WithDeadline(ctx, deadline)
		defer cancelDeadline()
	}
	s.wakeMu.Lock()
	s.endPoll = cancel
	if s.woken {
		cancel()
	}
	s.wakeMu.Unlock()
	fetches := s.client.PollRecords(ctx, limit)
	s.wakeMu.Lock()
	s.endPoll, s.woken = nil, false
	s.wakeMu.Unlock()
	return fetches
}

// fetchError says what an error of a poll means: nil for one that is none.
func (s *session) fetchError(f kgo.FetchError) error {
	group := (*kgo.ErrGroupSession)(nil)
	switch {
	case errors.Is(f.Err, context.Canceled), errors.Is(f.Err, context.DeadlineExceeded):
		return nil
	case errors.Is(f.Err, kerr.FencedInstanceID):
		return fmt.Errorf("%w: %w", errTaken, f.Err)
	case errors.Is(f.Err, kerr.OffsetOutOfRange):
		return fatal{fmt.Errorf("events at the committed offset of %s/%d are gone, the topic's retention removed them before they were processed: "+
			"find out which were lost, then commit a new offset for group %s by kafka-consumer-groups.sh --reset-offsets", f.Topic, f.Partition, s.cfg.Group)}
	case errors.As(f.Err, &group) && errors.Is(f.Err, kerr.GroupAuthorizationFailed):
		return s.cfg.Connection.Denied(f.Err, kafka.OnGroup(s.cfg.Group))
	case errors.As(f.Err, &group):
		return fmt.Errorf("group %s: %w", s.cfg.Group, f.Err)
	default:
		return fmt.Errorf("poll %s/%d: %w", f.Topic, f.Partition, f.Err)
	}
}

// discard throws the client away, and with it all that was not committed. Nothing is asked of the broker.
func (s *session) discard() {
	s.shut()
	s.client.CloseAllowingRebalance()
}

// close ends in order: what the cycles brought goes to the keys, so that the next start has no journal to replay.
func (s *session) close() {
	s.shut()
	for _, n := range slices.Sorted(maps.Keys(s.partitions)) {
		if err := s.partitions[n].checkpoint(); err != nil {
			s.cfg.Log.Error("the last checkpoint is missing, the journal has what it would have written", "error", err)
		}
	}
	s.client.CloseAllowingRebalance()
}

// shut ends the opens and makes the callbacks that closing leads to do nothing.
func (s *session) shut() {
	s.mu.Lock()
	s.closing = true
	opening := slices.Collect(maps.Values(s.opening))
	s.mu.Unlock()
	s.end()
	s.cores.stop()
	s.watching.Wait()
	s.ticker.client.Close()
	for _, o := range opening {
		<-o.done
	}
}

func (s *session) newPartition(o *opening) *partition {
	p := &partition{
		number: o.number, position: o.position, next: o.position, checkpointed: pointOf(o.position), heard: time.Now(),
		inForce:  o.inForce,
		engine:   campaign.NewEngine(o.inForce.Set(), s.cfg.Topics.LedgerBytes),
		store:    s.cfg.Store,
		records:  s.records,
		overlay:  newOverlay(),
		untold:   map[string][]byte{},
		toldAt:   map[string]int{},
		tally:    newTally(),
		maxFired: s.cfg.CycleFired,
		// Checkpoints of the partitions are spread over the interval.
		checkpointAt: time.Now().Add(s.cfg.CheckpointInterval * time.Duration(o.number%8+1) / 8),
	}
	p.engine.UseErased(o.erased)
	for n := range s.partitions {
		if n != o.number && len(p.neighbours) < maxNeighbours {
			p.neighbours = append(p.neighbours, n)
		}
	}
	s.observeBudgets(p) // before anything is decided: so that claims are counted from 0
	return p
}

func (s *session) observeBudgets(p *partition) {
	s.cfg.Metrics.observeBudgets(p.number, p.inForce.Budgets(), p.inForce.Paying(p.position.Clock), p.position.Clock)
}
