package stream

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/stampede-rewards/stampede/pkg/state"
)

// roomShare is of how much of the overlays' memory a part is made free when it is used up: looking for whom to drop costs more than dropping.
const roomShare = 8

// errUndecided means that the broker has not said what became of a transaction (S5).
var errUndecided = errors.New("the transaction's outcome is not known")

// cycle collects events until a commit is due, or until a bound, and commits what they lead to. It returns when the cycle is decided, so
// that the next one may begin (S1). The caller allows rebalances afterwards.
func (s *session) cycle(ctx context.Context) error {
	var deadline time.Time // none until there are records
	var records int
	var bytes int64
	for {
		until, err := s.pollUntil(deadline)
		if err != nil {
			return fatal{err}
		}
		fetches := s.poll(ctx, until, s.cfg.CycleRecords-records)
		if err := s.afterPoll(fetches); err != nil {
			return err
		}
		folding := time.Now()
		n, size, err := s.apply(fetches)
		if err != nil {
			return fatal{err}
		}
		records, bytes = records+n, bytes+size
		if records == 0 {
			return s.idle()
		}
		if deadline.IsZero() {
			deadline = s.commitDue(time.Now())
			s.phases = phases{began: folding}
		}
		s.phases.folding += time.Since(folding)
		if s.enough(ctx, deadline, records, bytes) || s.holds() {
			break
		}
	}
	if err := s.commit(ctx); err != nil {
		return err
	}
	s.cfg.Metrics.cycleSeconds.Observe(time.Since(s.phases.began).Seconds())
	s.cfg.Metrics.foldSeconds.Observe(s.phases.folding.Seconds())
	return s.checkpointDue()
}

// leastShare is of the commit interval the part for which a cycle collects at least. What the client has in hand when a cycle begins came while the last one
// was collecting; the fetch behind it brings what came since.
const leastShare = 4

// commitDue is when a cycle that has its first records is to be committed: an interval after the last commit began. So the interval is the rhythm, however long
// commits take, and who comes when nothing has come for a while waits for a part of it only. While records wait in the log a cycle collects for the whole
// interval: then it matters how much it brings, and not how soon.
func (s *session) commitDue(now time.Time) time.Time {
	for _, p := range s.partitions {
		if p.lag() > 0 {
			return now.Add(s.cfg.CommitInterval)
		}
	}
	due, least := s.phases.collected.Add(s.cfg.CommitInterval), now.Add(s.cfg.CommitInterval/leastShare)
	if due.Before(least) {
		return least
	}
	return due
}

// enough says whether the cycle is to end: by a bound, or because somebody waits for it.
func (s *session) enough(ctx context.Context, deadline time.Time, records int, bytes int64) bool {
	select {
	case <-s.rebalance:
		s.cfg.Log.Debug("the cycle ends early, the group waits for it")
		return true
	default:
	}
	return records >= s.cfg.CycleRecords || bytes >= s.cfg.CycleBytes || ctx.Err() != nil || !time.Now().Before(deadline)
}

// holds says whether a record waits for what is due before it to be committed.
func (s *session) holds() bool {
	for _, p := range s.partitions {
		if p.held {
			return true
		}
	}
	return false
}

// afterPoll sees to what is not records: partitions that are open now, errors.
func (s *session) afterPoll(fetches kgo.Fetches) error {
	for _, f := range fetches.Errors() {
		if err := s.fetchError(f); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed != nil {
		return s.failed
	}
	return s.takeIn()
}

// apply takes the records through the engine, the partitions in parallel.
func (s *session) apply(fetches kgo.Fetches) (records int, bytes int64, err error) {
	var fetched []kgo.FetchPartition
	fetches.EachPartition(func(f kgo.FetchTopicPartition) {
		if len(f.Records) == 0 {
			return
		}
		if s.partitions[f.Partition] == nil {
			err = fmt.Errorf("BUG: records of events/%d, which is not open", f.Partition)
			return
		}
		records += len(f.Records)
		for _, r := range f.Records {
			bytes += int64(len(r.Value))
		}
		fetched = append(fetched, f.FetchPartition)
	})
	if err != nil {
		return records, bytes, err
	}
	return records, bytes, s.cores.each(len(fetched), func(i int) error {
		f := &fetched[i]
		return s.partitions[f.Partition].apply(f.Records, f.HighWatermark)
	})
}

// commit makes the cycle's work durable and visible, all of it or nothing.
func (s *session) commit(ctx context.Context) error {
	began := time.Now()
	touched := make([]*partition, 0, len(s.partitions))
	for _, n := range s.numbers() {
		if p := s.partitions[n]; p.touched() {
			touched = append(touched, p)
		}
	}
	s.sequence++
	transaction := state.TransactionID{Worker: s.transactional(), Incarnation: s.incarnation, Sequence: s.sequence}

	if err := s.prepare(transaction, touched); err != nil {
		return fatal{err}
	}
	s.phases.collected, s.phases.journalled = began, time.Now()
	s.cfg.Metrics.prepareSeconds.Observe(s.phases.journalled.Sub(began).Seconds())

	ends, err := s.transact(ctx, transaction, touched)
	if err != nil {
		return err
	}
	s.pollAgain(touched)
	now := time.Now()
	s.phases.committed = now
	s.trace(touched)
	for i, p := range touched {
		p.committed(ends[i].Offset+1, now)
		s.cfg.Metrics.observe(p.number, &p.tally, p.lag(), now)
		if p.tally.budgets {
			s.observeBudgets(p)
		}
		s.status.committed(p.number, p.position.Input, p.lag(), p.inForce.Running(p.position.Clock), &p.tally)
		p.tally.reset()
	}
	s.cfg.Metrics.cycles.Inc()
	s.cfg.Metrics.commitSeconds.Observe(now.Sub(began).Seconds())
	return nil
}

// pollAgain puts the client back to the records that were held, because more was due before them than a cycle fires. The client believes
// that it has committed what it has polled; no rebalance can come between, as it waits for the cycle.
func (s *session) pollAgain(touched []*partition) {
	offsets := map[int32]kgo.EpochOffset{}
	for _, p := range touched {
		if p.held {
			p.held = false
			offsets[p.number] = kgo.EpochOffset{Epoch: -1, Offset: p.next.Input}
		}
	}
	if len(offsets) > 0 {
		s.client.Client().SetOffsets(map[string]map[int32]kgo.EpochOffset{s.topics.Events.Name: offsets})
	}
}

// prepare writes the cycle to the journal: design, "Exactly once", step 1.
func (s *session) prepare(transaction state.TransactionID, touched []*partition) error {
	entries := make([]state.Prepared, len(touched))
	err := s.cores.each(len(touched), func(i int) error {
		entries[i] = touched[i].prepare(transaction)
		return nil
	})
	if err != nil {
		return err
	}
	if !exactlyOnce {
		return nil
	}
	if err := s.cfg.Store.Prepare(entries); err != nil {
		return fmt.Errorf("prepare %s: %w", transaction, err)
	}
	return nil
}

// transact is step 2: one Kafka transaction. It returns the position record of each partition, with the offset it got. Every
// error means that the outcome is not known.
func (s *session) transact(ctx context.Context, transaction state.TransactionID, touched []*partition) (ends []*kgo.Record, err error) {
	// What ends a transaction must not end with the request to stop; only a group that waits too long ends it.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	s.ending.Store(&cancel)
	defer s.ending.Store(nil)

	// The client's own bound counts from a record's timestamp, and an outcome's is days ago.
	producing, enough := context.WithTimeout(ctx, transactionTimeout)
	defer enough()
	if err := s.client.Begin(); err != nil {
		return nil, fmt.Errorf("begin %s: %w", transaction, err)
	}
	var failed atomic.Pointer[error] // a record's, the first
	promise := func(_ *kgo.Record, err error) {
		if err != nil {
			first := err // not err itself, which would be allocated for each record
			failed.CompareAndSwap(nil, &first)
		}
	}
	produce := func(r *kgo.Record) { s.client.Produce(producing, r, promise) }
	for _, p := range touched {
		for _, r := range p.outputs {
			produce(r)
		}
		ledgers := s.records.ledgers(p.number, p.prepared)
		for i := range ledgers {
			produce(&ledgers[i])
		}
		end := s.records.position(p.number, PositionRecord{p.next.Input, p.next.Step, p.next.Clock, s.topics.Events.ID})
		ends = append(ends, end)
		produce(end) // last (S4)
	}
	if err := s.client.Client().Flush(producing); err != nil {
		return nil, fmt.Errorf("produce %s: %w (%w)", transaction, err, s.givenUp(ctx))
	}
	if err := failed.Load(); err != nil {
		return nil, fmt.Errorf("produce %s: %w", transaction, *err)
	}
	s.phases.produced = time.Now()
	committed, err := s.client.End(kgo.PreTxnCommitFnContext(ctx, s.nameTransaction(transaction)), kgo.TryCommit)
	if err != nil {
		return nil, fmt.Errorf("end %s: %w: %w", transaction, errUndecided, errors.Join(err, s.givenUp(ctx)))
	}
	if !committed {
		return nil, fmt.Errorf("end %s: %w: the client says that it was not committed", transaction, errUndecided)
	}
	return ends, nil
}

func (s *session) givenUp(ctx context.Context) error {
	if ctx.Err() != nil {
		return errEndGivenUp
	}
	return nil
}

// nameTransaction puts the transaction's id beside the offsets that it commits (S3), and holds the client's idea of the
// offsets against ours.
func (s *session) nameTransaction(transaction state.TransactionID) func(*kmsg.TxnOffsetCommitRequest) error {
	return func(request *kmsg.TxnOffsetCommitRequest) error {
		offsets := 0
		for i := range request.Topics {
			for j := range request.Topics[i].Partitions {
				c := &request.Topics[i].Partitions[j]
				p := s.partitions[c.Partition]
				if p == nil || !p.touched() || c.Offset != p.next.Input && !p.held {
					return fmt.Errorf("BUG: the client would commit events/%d@%d, which is not what was prepared", c.Partition, c.Offset)
				}
				metadata := Commit{transaction, p.next.Step, p.next.Clock}.String()
				c.Offset, c.Metadata = p.next.Input, &metadata
				offsets++
			}
		}
		for _, p := range s.partitions {
			if p.touched() {
				offsets--
			}
		}
		if offsets != 0 {
			return errors.New("BUG: the client would not commit every offset that was prepared")
		}
		return nil
	}
}

// pollUntil is how long to wait for records: until the cycle's deadline, or, where there is none yet, until there is something to do
// without a record, a checkpoint or a tick. Zero is for ever.
func (s *session) pollUntil(deadline time.Time) (time.Time, error) {
	if !deadline.IsZero() {
		return deadline, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	next, err := s.nextTick()
	if checkpoint := s.nextCheckpoint(); next.IsZero() || !checkpoint.IsZero() && checkpoint.Before(next) {
		next = checkpoint
	}
	return next, err
}

// idle does what there is to do without a record.
func (s *session) idle() error {
	if err := s.tick(); err != nil {
		return fatal{err}
	}
	return s.checkpointDue()
}

// nextCheckpoint is when a partition's turn comes, zero if none waits for it. s.mu is held.
func (s *session) nextCheckpoint() (next time.Time) {
	for _, p := range s.partitions {
		if pointOf(p.position) != p.checkpointed && (next.IsZero() || p.checkpointAt.Before(next)) {
			next = p.checkpointAt
		}
	}
	return next
}

// checkpointDue is step 3, for the partitions whose turn it is, or for all when what waits for a checkpoint has used up half of the overlays' memory.
// The other half is for ledgers that may be used again.
func (s *session) checkpointDue() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var waiting int64
	for _, p := range s.partitions {
		waiting += p.overlay.dirtyBytes + p.untoldBytes
	}
	full := waiting > s.cfg.OverlayBytes/2
	now := time.Now()
	small := s.smallCheckpoint()
	for _, n := range s.numbers() {
		p := s.partitions[n]
		if !full && p != small && now.Before(p.checkpointAt) {
			continue
		}
		if err := p.checkpoint(); err != nil {
			return fatal{err}
		}
		p.checkpointAt = now.Add(s.cfg.CheckpointInterval)
	}
	s.status.stored(s.makeRoom())
	return nil
}

// checkpointLedgers is how many ledgers wait for a checkpoint, in a partition that is caught up, before it has one out of turn.
const checkpointLedgers = 1000

// smallCheckpoint is the partition that has a checkpoint out of turn, nil where none has: of those that are caught up the one of which most waits, one after
// each cycle. The next cycle waits for a checkpoint, and 20,000 ledgers take a tenth of a second, which everybody sees who waits for a reward. A partition
// that has to catch up has large ones: many of its ledgers have changed more than once by then.
func (s *session) smallCheckpoint() (small *partition) {
	most := checkpointLedgers - 1
	for _, p := range s.partitions {
		if n := len(p.overlay.dirty); n > most && p.lag() < int64(s.cfg.CycleRecords) {
			small, most = p, n
		}
	}
	return small
}

// makeRoom sees to it that the overlays take no more than their memory, and returns what they take. Each gives up a like share of what it has.
func (s *session) makeRoom() (overlay int64) {
	for _, p := range s.partitions {
		overlay += p.overlay.bytes + p.untoldBytes
	}
	most := s.cfg.OverlayBytes
	if overlay <= most {
		return overlay
	}
	left := float64(most-most/roomShare) / float64(overlay)
	overlay = 0
	for _, p := range s.partitions {
		p.overlay.shrink(int64(left * float64(p.overlay.bytes)))
		overlay += p.overlay.bytes + p.untoldBytes
	}
	return overlay
}
