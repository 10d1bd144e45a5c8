package stream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stampede-rewards/stampede/internal/kafka"
)

// headerReplayOf names a dead letter: on the event that was sent again because of it, and on the record beside it that says so. Its value is the
// letter's offset, on the event with topic and partition in front.
const headerReplayOf = "stampede_replay_of"

const (
	// replayBatch is how many letters are sent again in one transaction.
	replayBatch = 200
	// replayTimeout bounds a transaction of them.
	replayTimeout = 30 * time.Second
)

// Letter is a dead letter, put together where it came in parts.
type Letter struct {
	Topic     string // of the record that could not be processed, as the next two are
	Partition int32
	Offset    int64
	Time      time.Time
	Reason    string // E6
	Detail    string
	Record    *kgo.Record // its key, value and headers as they were
	Replayed  time.Time   // when it was sent again; zero if it was not

	partition int32 // of the letter
	offset    int64 // of its first part
	written   time.Time
}

// Place is where the record stands that could not be processed, for example events/3@17.
func (l *Letter) Place() string { return fmt.Sprintf("%s/%d@%d", l.Topic, l.Partition, l.Offset) }

// Letters are the dead letters of an installation.
type Letters struct {
	Connection kafka.Connection
	Topics     kafka.TopicsState
}

// Read visits the letters in their order, partition by partition, until visit returns an error.
func (ls Letters) Read(ctx context.Context, visit func(*Letter) error) error {
	ends, err := ls.Connection.StableEnds(ctx, ls.Topics.DeadLetters.Name)
	if err != nil {
		return err
	}
	for n := range ls.Topics.DeadLetters.Partitions {
		replayed, err := ls.replayed(ctx, n, ends[n])
		if err != nil {
			return err
		}
		var parts []*kgo.Record
		err = ls.Connection.ReadCommitted(ctx, []kafka.Span{{Topic: ls.Topics.DeadLetters.Name, Partition: n, End: ends[n]}}, func(r *kgo.Record) (bool, error) {
			if Header(r, headerReason) == "" {
				return true, nil // it says that a letter was sent again
			}
			parts = append(parts, r)
			if part := Header(r, headerPart); part != "" && !lastPart(part) {
				return true, nil
			}
			l, err := letterOf(parts)
			parts = nil
			if err != nil {
				return false, err
			}
			l.Replayed = replayed[l.offset]
			return true, visit(l)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// lastPart says whether a part, such as 2/5, is the last one.
func lastPart(part string) bool {
	var n, of int
	_, err := fmt.Sscanf(part, "%d/%d", &n, &of)
	return err != nil || n >= of
}

// replayed reads which letters of a partition were sent again, by the offset of their first part, and when.
func (ls Letters) replayed(ctx context.Context, n int32, end int64) (map[int64]time.Time, error) {
	replayed := map[int64]time.Time{}
	err := ls.Connection.ReadCommitted(ctx, []kafka.Span{{Topic: ls.Topics.DeadLetters.Name, Partition: n, End: end}}, func(r *kgo.Record) (bool, error) {
		if of := Header(r, headerReplayOf); of != "" && Header(r, headerReason) == "" {
			offset, err := strconv.ParseInt(of, 10, 64)
			if err != nil {
				return false, fmt.Errorf("%s/%d@%d: %s is %q, which is no offset", r.Topic, r.Partition, r.Offset, headerReplayOf, of)
			}
			replayed[offset] = r.Timestamp
		}
		return true, nil
	})
	return replayed, err
}

func letterOf(parts []*kgo.Record) (*Letter, error) {
	first := parts[0]
	whole, err := WholeRecord(parts)
	if err != nil {
		return nil, err
	}
	l := &Letter{
		Topic: Header(first, headerTopic), Reason: Header(first, headerReason), Detail: Header(first, headerDetail), Record: whole,
		partition: first.Partition, offset: first.Offset, written: parts[len(parts)-1].Timestamp,
	}
	partition, err1 := strconv.ParseInt(Header(first, headerPartition), 10, 32)
	offset, err2 := strconv.ParseInt(Header(first, headerOffset), 10, 64)
	at, err3 := strconv.ParseInt(Header(first, headerTimestamp), 10, 64)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, fmt.Errorf("dead letter %s/%d@%d does not name its record: %w", first.Topic, first.Partition, first.Offset, err)
	}
	l.Partition, l.Offset, l.Time = int32(partition), offset, time.UnixMilli(at).UTC()
	return l, nil
}

// Replay sends the events of the letters that are wanted again, each into the partition from which it came, with its id as it was. What was
// replayed before is passed over: the event and the note that it was sent are one transaction, and there is one replay at a time, of which a
// second one ends the first. done is told of each letter when its transaction is committed.
func (ls Letters) Replay(ctx context.Context, wanted func(*Letter) bool, done func(*Letter)) error {
	id := "stampede-replay-" + ls.Topics.Events.Name
	cl, err := ls.Connection.Client(ctx,
		kgo.TransactionalID(id),
		kgo.TransactionTimeout(replayTimeout),
		kgo.RecordDeliveryTimeout(replayTimeout),
		kgo.ConcurrentTransactionsBackoff(concurrentTransactionsWait),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		ls.Topics.BatchBytes())
	if err != nil {
		return err
	}
	defer cl.Close()
	if _, _, err := cl.ProducerID(ctx); err != nil { // before the letters are read: what another one sends from now on is refused
		return fmt.Errorf("begin to replay: %w", ls.Connection.Denied(err, kafka.OnTransactionalID(id)))
	}
	var batch []*Letter
	send := func() error {
		if len(batch) == 0 {
			return nil
		}
		if err := ls.resend(ctx, cl, batch); err != nil {
			return err
		}
		for _, l := range batch {
			done(l)
		}
		batch = nil
		return nil
	}
	if err := ls.Read(ctx, func(l *Letter) error {
		if !l.Replayed.IsZero() || !wanted(l) {
			return nil
		}
		if l.Topic != ls.Topics.Events.Name || l.Partition >= ls.Topics.Events.Partitions {
			return fmt.Errorf("the dead letter of %s can't be replayed: topic %s has %d partitions", l.Place(), ls.Topics.Events.Name, ls.Topics.Events.Partitions)
		}
		if batch = append(batch, l); len(batch) < replayBatch {
			return nil
		}
		return send()
	}); err != nil {
		return err
	}
	return send()
}

// resend is one transaction.
func (ls Letters) resend(ctx context.Context, cl *kgo.Client, batch []*Letter) error {
	if err := cl.BeginTransaction(); err != nil {
		return fmt.Errorf("begin to replay: %w", err)
	}
	var produced kgo.FirstErrPromise
	for _, l := range batch {
		of := strconv.FormatInt(l.offset, 10)
		name := fmt.Sprintf("%s/%d@%s", ls.Topics.DeadLetters.Name, l.partition, of)
		cl.Produce(ctx, &kgo.Record{
			Topic: l.Topic, Partition: l.Partition, Key: l.Record.Key, Value: l.Record.Value,
			Headers: append(append([]kgo.RecordHeader(nil), l.Record.Headers...), kgo.RecordHeader{Key: headerReplayOf, Value: []byte(name)}),
		}, produced.Promise())
		cl.Produce(ctx, &kgo.Record{
			Topic: ls.Topics.DeadLetters.Name, Partition: l.partition, Key: l.Record.Key, Headers: []kgo.RecordHeader{{Key: headerReplayOf, Value: []byte(of)}},
		}, produced.Promise())
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), replayTimeout)
	defer cancel()
	if err := errors.Join(cl.Flush(ctx), produced.Err()); err != nil {
		return fmt.Errorf("replay: nothing of these %d letters was sent: %w", len(batch), errors.Join(err, cl.EndTransaction(ending, kgo.TryAbort)))
	}
	if err := cl.EndTransaction(ending, kgo.TryCommit); err != nil {
		return fmt.Errorf("replay: whether these %d letters were sent again is not known; `processor dead-letters list` says it, and to replay again is safe: %w", len(batch), err)
	}
	return nil
}
