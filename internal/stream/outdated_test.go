package stream_test

import (
	"context"
	"net"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/stampede-rewards/stampede/internal/kafka/wiretap"
	"github.com/stampede-rewards/stampede/internal/stream"
)

// A worker that was not heard of for long is told an old offset late, and others have gone on since. What that offset would mean is no reason to
// refuse the partition: the worker asks again.
func TestNoPartitionIsRefusedForAnOldAnswer(t *testing.T) {
	b := newBench(t)
	b.produce(500)
	b.end(b.work("a"))
	b.produce(500)
	var told atomic.Int64
	w := b.start(b.dir("a"), func(cfg *stream.Config) {
		cfg.Connection.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			inner, err := new(net.Dialer).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &wiretap.Tap{
				Conn:  inner,
				Asked: func(wiretap.Request, []byte) error { return nil },
				Answered: func(r wiretap.Request, frame []byte) ([]byte, error) {
					if r.Key != kmsg.OffsetFetch || told.Add(1) > 1 {
						return frame, nil
					}
					return beforeAnyCommit(r, frame)
				},
			}, nil
		}
	})
	b.processed()
	if told.Load() < 2 || w.Status().Open != 6 {
		t.Errorf("offsets were told %d times, %d partitions are open", told.Load(), w.Status().Open)
	}
	b.end(w)
	b.judge(b.dir("a"))
}

// beforeAnyCommit is an answer to OffsetFetch as it was when nothing was committed.
func beforeAnyCommit(r wiretap.Request, frame []byte) ([]byte, error) {
	read, err := wiretap.ReadAnswer(r, frame)
	if err != nil {
		return nil, err
	}
	answer := read.(*kmsg.OffsetFetchResponse)
	for g := range answer.Groups {
		for t := range answer.Groups[g].Topics {
			for p := range answer.Groups[g].Topics[t].Partitions {
				partition := &answer.Groups[g].Topics[t].Partitions[p]
				partition.Offset, partition.Metadata = -1, nil
			}
		}
	}
	return wiretap.Replace(frame, answer), nil
}
