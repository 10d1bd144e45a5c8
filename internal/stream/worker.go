package stream

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.opentelemetry.io/otel/trace"

	"github.com/stampede-rewards/stampede/internal/kafka"
	"github.com/stampede-rewards/stampede/internal/partner"
	"github.com/stampede-rewards/stampede/pkg/state"
)

// Config says what a worker works on and how.
type Config struct {
	Connection kafka.Connection
	Topics     kafka.TopicsConfig
	Store      *state.Store // required; the worker writes to it, its owner closes it
	Group      string       // the consumer group, default "stampede"
	// Instance names this member of the group for ever, so that a restart moves no partition. Default the store's id.
	Instance string

	// Partners are whom outcomes can be shared with; default nobody. Their topics are made.
	Partners *partner.Partners

	CommitInterval     time.Duration        // default 50 ms: how often what has come is committed
	CycleBytes         int64                // default a 64th of the store's memory, at most 16 MiB: a cycle ends when it has as many bytes of values
	CycleRecords       int                  // default one for each KiB of CycleBytes: or as many records; each may have a ledger written
	CycleFired         int                  // default 5000: as many ledgers of a partition are fired in a cycle, and the rest in the next ones
	OverlayBytes       int64                // default the store's share: for ledgers in memory, in all partitions together
	CheckpointInterval time.Duration        // default 5 s
	Compression        kgo.CompressionCodec // default none: hashes and ids are hardly made smaller, and Snappy was 6 % of a backlog's CPU
	ScrubInterval      time.Duration        // default 10 min: how often the bytes of erased users are taken off the disk
	CensusInterval     time.Duration        // default 15 s: how often users are counted at most

	Metrics       *Metrics             // default none that anybody reads
	ClientMetrics *kafka.ClientMetrics // the same
	Traces        trace.TracerProvider // default none: where spans go
	Log           *slog.Logger         // default none
}

func (c Config) withDefaults() Config {
	if c.Group == "" {
		c.Group = "stampede"
	}
	if c.Instance == "" {
		c.Instance = c.Store.ID()
	}
	c.Topics.Names.Outcomes = c.Partners.Topics()
	c.Topics = Uses(c.Topics)
	c.Topics.Principal = c.Connection.Security.Principal()
	if c.CommitInterval == 0 {
		c.CommitInterval = 50 * time.Millisecond
	}
	if c.CycleBytes == 0 {
		c.CycleBytes = min(c.Store.MemoryBytes()/cycleShare, maxCycleBytes)
	}
	if c.CycleRecords == 0 {
		c.CycleRecords = int(c.CycleBytes >> 10)
	}
	if c.CycleFired == 0 {
		c.CycleFired = 5000
	}
	if c.OverlayBytes == 0 {
		c.OverlayBytes = c.Store.OverlayBytes()
	}
	if c.CheckpointInterval == 0 {
		c.CheckpointInterval = 5 * time.Second
	}
	if c.ScrubInterval == 0 {
		c.ScrubInterval = 10 * time.Minute
	}
	if c.CensusInterval == 0 {
		c.CensusInterval = 15 * time.Second
	}
	if c.Metrics == nil {
		c.Metrics = NewMetrics()
	}
	if c.ClientMetrics == nil {
		c.ClientMetrics = &kafka.ClientMetrics{}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

const (
	// cycleShare is of how much of the store's memory a part a cycle's values may take, and maxCycleBytes how much at most.
	cycleShare    = 64
	maxCycleBytes = 16 << 20

	// discardWaitMin and discardWaitMax bound the wait between a client that was discarded and the next one. The wait doubles
	// from one to the other until a cycle commits.
	discardWaitMin = 50 * time.Millisecond
	discardWaitMax = 5 * time.Second
	// replacedTimeout bounds the question whether another process has this one's name. It is asked again after the next discard.
	replacedTimeout = 2 * time.Second
	// takenTimes is how often in a row another member must have taken this worker's name before it is another process's, and takenWithin
	// how soon one time must follow the other. Once or twice it may have been a client of this very worker: a request to join that was under
	// way when the client was thrown away, and arrived late. Such a one is gone after that; two processes throw each other out for ever.
	takenTimes  = 3
	takenWithin = 3 * sessionTimeout
	// leaveTimeout bounds how long a graceful stop asks the group to hand over at once; after that the session's timeout does it.
	leaveTimeout = 5 * time.Second
)

// Worker is one consumer-group member and one transactional producer over one store. Run it once.
type Worker struct {
	cfg     Config
	status  *status
	settled bool // the topics were found right once; of Run's goroutine
}

// NewWorker returns a worker that is to be Run.
func NewWorker(cfg Config) *Worker {
	cfg = cfg.withDefaults()
	return &Worker{cfg: cfg, status: newStatus(cfg.Metrics)}
}

// transactional is the worker's transactional id. It outlives the process: whoever comes next with the same id makes the
// broker abort what was left open.
func (w *Worker) transactional() string { return TransactionalID(w.cfg.Group, w.cfg.Instance) }

// fatal is an error that a new client would meet again: the process is to end and to say it.
type fatal struct{ error }

func (f fatal) Unwrap() error { return f.error }

// Run works until ctx ends, and then ends in order: the running cycle is committed, the store is brought up to date and the
// group is left. The error is of the kind that needs somebody: a broken store, a wrong topic. Whatever a new client can mend, Run mends.
func (w *Worker) Run(ctx context.Context) error {
	if !exactlyOnce {
		w.cfg.Log.Warn("this processor was built to be measured: it gives rewards at least once")
	}
	var besides sync.WaitGroup
	defer besides.Wait()
	working, stop := context.WithCancel(ctx)
	defer stop()
	besides.Go(func() { w.scrubEvery(working) })
	besides.Go(func() { w.countEvery(working) })
	return w.live(ctx)
}

// live lives through clients, one after the other.
func (w *Worker) live(ctx context.Context) error {
	wait := discardWaitMin
	var taken int
	var takenAt time.Time
	for {
		committed, err := w.runSession(ctx)
		if errors.Is(err, errTaken) {
			if time.Since(takenAt) > takenWithin {
				taken = 0
			}
			if taken++; taken == takenTimes {
				return w.replacedError()
			}
			takenAt = time.Now()
		}
		switch f := (fatal{}); {
		case err == nil:
			return nil
		case errors.As(err, &f) && (ctx.Err() == nil || !errors.Is(err, context.Canceled)):
			return f.error
		case ctx.Err() != nil:
			w.cfg.Log.Info("stopped while connecting", "error", err)
			return nil //nolint:nilerr // the request to stop is what ended it
		}
		if committed {
			wait = discardWaitMin
		}
		w.cfg.Metrics.discards.Inc()
		level := slog.LevelWarn
		if errors.As(err, new(*kafka.DeniedError)) { // somebody has to do something
			level = slog.LevelError
		}
		w.cfg.Log.Log(ctx, level, "the client is discarded, and a new one asks the broker", "error", err, "wait", wait)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		wait = min(2*wait, discardWaitMax)
	}
}

// runSession lives through one client. It says whether the client committed anything.
func (w *Worker) runSession(ctx context.Context) (committed bool, err error) {
	asks, topics, err := w.settle(ctx)
	if err != nil {
		return false, err
	}
	defer asks.Close()
	incarnation, err := newIncarnation()
	if err != nil {
		return false, fatal{err}
	}
	s, err := newSession(ctx, w, asks, topics, incarnation)
	if err != nil {
		return false, err
	}
	defer func() { w.status.sessionEnded() }()
	if err := s.run(ctx); err != nil {
		s.discard()
		if w.replaced(ctx, asks, s.member) {
			err = fmt.Errorf("%w: %w", errTaken, err)
		}
		return s.sequence > 0, err
	}
	s.close()
	w.leave(ctx, asks)
	return s.sequence > 0, nil
}

// errTaken means that the group knows another member by this worker's name.
var errTaken = errors.New("the group has another member of this name")

// replaced asks whether the group has another member of this worker's name than the one that was discarded: then another process may
// run with it, and each new client of one makes the other's useless, for ever. The answer may be unknown, which is no.
func (w *Worker) replaced(ctx context.Context, asks *kgo.Client, member string) bool {
	if member == "" {
		return false
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), replacedTimeout)
	defer cancel()
	groups, err := kadm.NewClient(asks).DescribeGroups(ctx, w.cfg.Group)
	if err != nil {
		return false
	}
	for _, m := range groups[w.cfg.Group].Members {
		if m.InstanceID != nil && *m.InstanceID == w.cfg.Instance {
			return m.MemberID != member
		}
	}
	return false
}

func (w *Worker) replacedError() error {
	return fmt.Errorf("two processors run with the same instance id %q in group %s, and the other one came later: "+
		"give each a store of its own (a copied store has the same id)", w.cfg.Instance, w.cfg.Group)
}

// settle brings Kafka into the state that a session begins from: the topics are there and right, and no transaction of an earlier
// life of this worker is open, so that the group's offsets are stable. The client that has seen to it asks what the session asks besides its cycles.
func (w *Worker) settle(ctx context.Context) (asks *kgo.Client, topics kafka.TopicsState, err error) {
	asks, err = w.cfg.Connection.Client(ctx, kgo.TransactionalID(w.transactional()), kgo.TransactionTimeout(transactionTimeout))
	if err != nil {
		return nil, topics, w.atFirst(err)
	}
	if topics, err = w.prepare(ctx, asks); err != nil {
		asks.Close()
		return nil, topics, err
	}
	if !w.settled {
		w.cfg.Log.Info("connected", "brokers", w.cfg.Connection.Brokers, "events", topics.Events.Name, "partitions", topics.Events.Partitions)
		w.settled = true
	}
	return asks, topics, nil
}

// prepare sees to topics, transactions and the group. InitProducerID is what ends a transaction: the broker aborts it.
func (w *Worker) prepare(ctx context.Context, cl *kgo.Client) (kafka.TopicsState, error) {
	topics, err := kafka.EnsureTopics(ctx, cl, w.cfg.Topics)
	if err != nil {
		return kafka.TopicsState{}, w.atFirst(err)
	}
	if topics.Events.Partitions > state.MaxPartition+1 {
		return kafka.TopicsState{}, fatal{fmt.Errorf("topic %s has %d partitions, the store holds at most %d", topics.Events.Name, topics.Events.Partitions, state.MaxPartition+1)}
	}
	if _, _, err := cl.ProducerID(ctx); err != nil {
		err = w.cfg.Connection.Denied(err, kafka.OnTransactionalID(w.transactional()))
		if errors.As(err, new(*kafka.DeniedError)) {
			return kafka.TopicsState{}, w.atFirst(err)
		}
		return kafka.TopicsState{}, fmt.Errorf("begin as transactional id %s: %w", w.transactional(), err)
	}
	if err := w.mayJoin(ctx, cl); err != nil {
		return kafka.TopicsState{}, w.atFirst(err)
	}
	return topics, nil
}

// mayJoin says whether Kafka does not allow the group to be joined. What else goes wrong with the question goes wrong with the joining, too.
func (w *Worker) mayJoin(ctx context.Context, cl *kgo.Client) error {
	groups, err := kadm.NewClient(cl).DescribeGroups(ctx, w.cfg.Group)
	if allowed := groups[w.cfg.Group].AuthorizedOperations; allowed != nil && !slices.Contains(allowed, kmsg.ACLOperationRead) {
		err = kerr.GroupAuthorizationFailed
	}
	if err = w.cfg.Connection.Denied(err, kafka.OnGroup(w.cfg.Group)); errors.As(err, new(*kafka.DeniedError)) {
		return err
	}
	return nil
}

// atFirst makes an error fatal as long as nothing has ever worked: an address or a setting is wrong, and somebody waits to
// be told. Later the broker may be about to come back.
func (w *Worker) atFirst(err error) error {
	if w.settled {
		return err
	}
	return fatal{err}
}

// newIncarnation names a client's life. It is random and not counted: a store put back from a copy would count again.
func newIncarnation() (uint64, error) {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		return 0, fmt.Errorf("draw an incarnation: %w", err)
	}
	return binary.BigEndian.Uint64(b[:]), nil
}

// leave tells the group that this member is gone: a static member's client never does, and its partitions would wait for the
// session's timeout. A failure costs that wait and nothing else.
func (w *Worker) leave(ctx context.Context, asks *kgo.Client) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
	defer cancel()
	left, err := kadm.NewClient(asks).LeaveGroup(ctx, kadm.LeaveGroup(w.cfg.Group).InstanceIDs(w.cfg.Instance).Reason("processor stops"))
	if err == nil {
		err = left.Error()
	}
	if err != nil {
		w.cfg.Log.Warn("the group is left by timeout", "error", err)
		return
	}
	w.cfg.Log.Info("left the group", "group", w.cfg.Group)
}
