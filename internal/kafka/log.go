package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	// readStall bounds how long a read waits for the next record: longer than any transaction of ours can stay open.
	readStall = time.Minute
	// readIdle is how long nothing comes before a read asks whether there is anything to come.
	readIdle = 2 * time.Second
	// readBytes bounds a fetch.
	readBytes = 4 << 20
)

// Span is a stretch of a partition's log.
type Span struct {
	Topic     string
	Partition int32
	From      int64 // 0 is wherever the log begins now
	End       int64 // not included
}

// Ends returns the offsets behind the last records of a topic's partitions, committed or not.
func (c Connection) Ends(ctx context.Context, topic string) (map[int32]int64, error) {
	spans, err := c.Spans(ctx, topic)
	return endsOf(spans), err
}

// StableEnds returns the offsets behind which transactions are still open, or the ends where none is.
func (c Connection) StableEnds(ctx context.Context, topic string) (map[int32]int64, error) {
	spans, err := c.stable(ctx, topic)
	return endsOf(spans), err
}

func endsOf(spans []Span) map[int32]int64 {
	ends := make(map[int32]int64, len(spans))
	for _, s := range spans {
		ends[s.Partition] = s.End
	}
	return ends
}

// Spans are the logs of topics as they are now, in order: each partition's from where it begins to its end, committed or not.
func (c Connection) Spans(ctx context.Context, topics ...string) ([]Span, error) {
	return c.spans(ctx, topics, (*kadm.Client).ListEndOffsets)
}

func (c Connection) stable(ctx context.Context, topics ...string) ([]Span, error) {
	return c.spans(ctx, topics, (*kadm.Client).ListCommittedOffsets)
}

// Undecided are the stretches of topics that begin with an open transaction. Where a topic is written to meanwhile, one may be named that is open no
// more, and none is left out.
func (c Connection) Undecided(ctx context.Context, topics ...string) (undecided []Span, err error) {
	stable, err := c.stable(ctx, topics...)
	if err != nil {
		return nil, err
	}
	decided := map[place]int64{}
	for _, s := range stable {
		decided[place{s.Topic, s.Partition}] = s.End
	}
	whole, err := c.Spans(ctx, topics...)
	if err != nil {
		return nil, err
	}
	for _, s := range whole {
		if s.From = decided[place{s.Topic, s.Partition}]; s.From < s.End {
			undecided = append(undecided, s)
		}
	}
	return undecided, nil
}

func (c Connection) spans(ctx context.Context, topics []string, list func(*kadm.Client, context.Context, ...string) (kadm.ListedOffsets, error)) (spans []Span, err error) {
	cl, done, err := c.Asker()
	if err != nil {
		return nil, err
	}
	defer done()
	listed, err := list(kadm.NewClient(cl), ctx, topics...)
	about := topics[0] // unless the error is another's
	listed.Each(func(o kadm.ListedOffset) {
		if err == nil && o.Err != nil {
			err, about = o.Err, o.Topic
		}
	})
	if err != nil {
		return nil, fmt.Errorf("list offsets of %s: %w", about, c.Denied(err, OnTopic(about, Read))) // whoever asks is going to read it
	}
	for _, topic := range topics {
		for _, n := range slices.Sorted(maps.Keys(listed[topic])) {
			spans = append(spans, Span{Topic: topic, Partition: n, End: listed[topic][n].Offset})
		}
	}
	return spans, nil
}

// Asker is the client that asks, or else one for a single question, and what to call when it is answered.
func (c Connection) Asker() (cl *kgo.Client, done func(), err error) {
	if c.Asks != nil {
		return c.Asks, func() {}, nil
	}
	if cl, err = kgo.NewClient(c.Options()...); err != nil {
		return nil, nil, fmt.Errorf("kafka client: %w", err)
	}
	return cl, cl.Close, nil
}

// hasMore asks the broker whether its log has anything from an offset to the span's end, decided or not. That a reader hears nothing does not
// say so: the broker may be slow, or a leader may move.
func (c Connection) hasMore(ctx context.Context, cl *kgo.Client, span Span, at int64) (bool, error) {
	details, err := kadm.NewClient(cl).ListTopics(ctx, span.Topic)
	if err == nil {
		err = details.Error()
	}
	if err != nil {
		return false, err
	}
	topic := details[span.Topic]
	request := kmsg.NewPtrFetchRequest()
	request.MaxBytes, request.MinBytes, request.MaxWaitMillis = 1, 0, 0 // one batch comes in any case
	partition := kmsg.NewFetchRequestTopicPartition()
	partition.Partition, partition.FetchOffset, partition.PartitionMaxBytes = span.Partition, at, 1
	asked := kmsg.NewFetchRequestTopic()
	asked.Topic, asked.TopicID, asked.Partitions = span.Topic, topic.ID, []kmsg.FetchRequestTopicPartition{partition}
	request.Topics = []kmsg.FetchRequestTopic{asked}
	answer, err := request.RequestWith(ctx, cl.Broker(int(topic.Partitions[span.Partition].Leader)))
	if err != nil {
		return false, err
	}
	if err := kerr.ErrorForCode(answer.ErrorCode); err != nil {
		return false, err
	}
	if len(answer.Topics) != 1 || len(answer.Topics[0].Partitions) != 1 {
		return false, fmt.Errorf("fetch %s/%d: the answer is of something else", span.Topic, span.Partition)
	}
	got := answer.Topics[0].Partitions[0]
	if got.ErrorCode == kerr.OffsetOutOfRange.Code && at == 0 && got.LogStartOffset > 0 {
		return got.LogStartOffset < span.End, nil // the log begins later by now
	}
	if err := kerr.ErrorForCode(got.ErrorCode); err != nil {
		return false, err
	}
	var batch kmsg.RecordBatch
	if len(got.RecordBatches) == 0 {
		return false, nil
	}
	if err := batch.ReadFrom(got.RecordBatches); err != nil {
		return false, fmt.Errorf("fetch %s/%d at offset %d: %w", span.Topic, span.Partition, at, err)
	}
	return batch.FirstOffset < span.End, nil
}

// ReadTopic visits the committed records that a topic has by now, each partition's in order; of several partitions they come as they come.
func (c Connection) ReadTopic(ctx context.Context, topic string, visit func(*kgo.Record) error) error {
	spans, err := c.Spans(ctx, topic)
	if err != nil {
		return err
	}
	return c.ReadCommitted(ctx, spans, func(r *kgo.Record) (bool, error) { return true, visit(r) })
}

// ReadCommitted visits the committed records of spans, each span's in order, until visit wants no more or all ends are reached; of several spans
// they come as they come. It waits out open transactions. The error wraps kerr.OffsetOutOfRange if a log does not have From.
func (c Connection) ReadCommitted(ctx context.Context, spans []Span, visit func(*kgo.Record) (more bool, err error)) error {
	rest := map[place]*reading{}
	starts := map[string]map[int32]kgo.Offset{}
	for _, span := range spans {
		if span.From >= span.End {
			continue
		}
		rest[place{span.Topic, span.Partition}] = &reading{span, span.From}
		if starts[span.Topic] == nil {
			starts[span.Topic] = map[int32]kgo.Offset{}
		}
		starts[span.Topic][span.Partition] = kgo.NewOffset().At(span.From)
		if span.From == 0 {
			starts[span.Topic][span.Partition] = kgo.NewOffset().AtStart()
		}
	}
	if len(rest) == 0 {
		return nil
	}
	cl, err := kgo.NewClient(append(c.Options(),
		kgo.ConsumePartitions(starts),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // the end can lie behind a transaction's marker
		kgo.FetchMaxBytes(readBytes),
		kgo.FetchMaxPartitionBytes(readBytes),
	)...)
	if err != nil {
		return fmt.Errorf("kafka client: %w", err)
	}
	defer cl.Close()
	heard := time.Now()
	for len(rest) > 0 {
		waiting, cancel := context.WithTimeout(ctx, readIdle)
		fetches := cl.PollFetches(waiting)
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		for _, f := range fetches.Errors() {
			if !errors.Is(f.Err, context.DeadlineExceeded) {
				return fmt.Errorf("read %s/%d: %w", f.Topic, f.Partition, c.Denied(f.Err, OnTopic(f.Topic, Read)))
			}
			for at, r := range rest {
				over, err := c.isOver(ctx, cl, r, time.Since(heard) > readStall)
				if err != nil {
					return err
				}
				if over {
					delete(rest, at)
				}
			}
		}
		more := true
		fetches.EachPartition(func(f kgo.FetchTopicPartition) {
			in := place{f.Topic, f.Partition}
			r := rest[in]
			if r == nil || len(f.Records) == 0 || !more || err != nil {
				return // what was read to its end may go on
			}
			more, err = r.visit(f.Records, visit)
			heard = time.Now()
			if r.at >= r.End {
				delete(rest, in)
				cl.PauseFetchPartitions(map[string][]int32{f.Topic: {f.Partition}})
			}
		})
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// place is a partition of a topic.
type place struct {
	topic     string
	partition int32
}

// reading is a span that is being read.
type reading struct {
	Span
	at int64 // the offset that comes next
}

// visit visits what was fetched of the span, until nothing more is wanted.
func (r *reading) visit(fetched []*kgo.Record, visit func(*kgo.Record) (more bool, err error)) (more bool, err error) {
	for _, rec := range fetched {
		r.at = rec.Offset + 1
		if rec.Offset >= r.End {
			return true, nil
		}
		if rec.Attrs.IsControl() {
			continue
		}
		if more, err := visit(rec); err != nil || !more {
			return false, err
		}
	}
	return true, nil
}

// isOver says whether a span of which nothing comes has come to its end before its end: compaction can have removed what stood at the last offsets.
// The error is that of a read that has stalled.
func (c Connection) isOver(ctx context.Context, cl *kgo.Client, r *reading, stalled bool) (bool, error) {
	more, err := c.hasMore(ctx, cl, r.Span, r.at)
	switch {
	case err == nil && !more:
		return true, nil
	case !stalled:
		return false, nil
	case err != nil:
		return false, fmt.Errorf("read %s/%d: nothing came for %s at offset %d of %d: %w", r.Topic, r.Partition, readStall, r.at, r.End, err)
	default:
		return false, fmt.Errorf("read %s/%d: nothing came for %s at offset %d of %d: a transaction is hanging (kafka-transactions.sh find-hanging)",
			r.Topic, r.Partition, readStall, r.at, r.End)
	}
}
