package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// readStall bounds how long a read waits for the next record: longer than any transaction of ours can stay open.
	readStall = time.Minute
	// readIdle is how long nothing comes before a read asks whether there is anything to come.
	readIdle = 2 * time.Second
	// readBytes bounds a fetch.
	readBytes = 16 << 20
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
	return c.offsets(ctx, topic, (*kadm.Client).ListEndOffsets)
}

// StableEnds returns the offsets behind which transactions are still open, or the ends where none is.
func (c Connection) StableEnds(ctx context.Context, topic string) (map[int32]int64, error) {
	return c.offsets(ctx, topic, (*kadm.Client).ListCommittedOffsets)
}

func (c Connection) offsets(ctx context.Context, topic string, list func(*kadm.Client, context.Context, ...string) (kadm.ListedOffsets, error)) (map[int32]int64, error) {
	cl, err := kgo.NewClient(c.Options()...)
	if err != nil {
		return nil, fmt.Errorf("kafka client: %w", err)
	}
	defer cl.Close()
	listed, err := list(kadm.NewClient(cl), ctx, topic)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("list offsets of %s: %w", topic, err)
	}
	offsets := map[int32]int64{}
	listed.Each(func(o kadm.ListedOffset) { offsets[o.Partition] = o.Offset })
	return offsets, nil
}

// ReadCommitted visits the committed records of a span in order, until visit wants no more or the end is reached. It waits out
// open transactions. The error wraps kerr.OffsetOutOfRange if the log does not have From.
func (c Connection) ReadCommitted(ctx context.Context, span Span, visit func(*kgo.Record) (more bool, err error)) error {
	start := kgo.NewOffset().At(span.From)
	if span.From == 0 {
		start = kgo.NewOffset().AtStart()
	}
	cl, err := kgo.NewClient(append(c.Options(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{span.Topic: {span.Partition: start}}),
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
	for at := span.From; at < span.End; {
		waiting, cancel := context.WithTimeout(ctx, readIdle)
		fetches := cl.PollFetches(waiting)
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		for _, f := range fetches.Errors() {
			if !errors.Is(f.Err, context.DeadlineExceeded) {
				return fmt.Errorf("read %s/%d: %w", span.Topic, span.Partition, f.Err)
			}
			// Compaction can have removed what stood at the last offsets: nothing is to come if nothing is undecided.
			stable, err := c.StableEnds(ctx, span.Topic)
			if err != nil || stable[span.Partition] >= span.End {
				return err
			}
			if time.Since(heard) > readStall {
				return fmt.Errorf("read %s/%d: nothing came for %s at offset %d of %d: a transaction is hanging (kafka-transactions.sh find-hanging)",
					span.Topic, span.Partition, readStall, at, span.End)
			}
		}
		for iter := fetches.RecordIter(); !iter.Done(); {
			r := iter.Next()
			at, heard = r.Offset+1, time.Now()
			if r.Offset >= span.End {
				return nil
			}
			if r.Attrs.IsControl() {
				continue
			}
			if more, err := visit(r); err != nil || !more {
				return err
			}
		}
	}
	return nil
}
