package stream_test

import (
	"context"
	"io"
	"net"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/stampede-rewards/stampede/internal/kafka/wiretap"
	"github.com/stampede-rewards/stampede/internal/stream"
)

// The broker commits a transaction, and the worker is not told: the connection breaks before the answer, or the answer is an
// error that says nothing. Whoever then commits again duplicates, and whoever then aborts loses.

// fault is what becomes of the answer to an EndTxn that was applied.
type fault int

const (
	cut fault = iota // the connection ends before the answer
	unknownServerError
)

// liar spoils every nth answer to an EndTxn that commits.
type liar struct {
	fault   fault
	nth     int64
	commits atomic.Int64
	spoiled atomic.Int64
}

func (l *liar) dial(ctx context.Context, network, address string) (net.Conn, error) {
	inner, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	commits := false // the EndTxn whose answer is awaited; there is one at a time
	return &wiretap.Tap{
		Conn: inner,
		Asked: func(r wiretap.Request, frame []byte) error {
			if r.Key != kmsg.EndTxn {
				return nil
			}
			request := kmsg.NewPtrEndTxnRequest()
			err := wiretap.ReadRequest(r, frame, request)
			commits = request.Commit
			return err
		},
		Answered: func(r wiretap.Request, frame []byte) ([]byte, error) {
			if r.Key != kmsg.EndTxn || !commits {
				return frame, nil
			}
			return l.spoil(r, frame)
		},
	}, nil
}

func (l *liar) spoil(r wiretap.Request, frame []byte) ([]byte, error) {
	read, err := wiretap.ReadAnswer(r, frame)
	if err != nil {
		return nil, err
	}
	answer := read.(*kmsg.EndTxnResponse)
	if answer.ErrorCode != 0 || l.commits.Add(1)%l.nth != 0 {
		return frame, nil
	}
	l.spoiled.Add(1)
	if l.fault == cut {
		return nil, io.ErrUnexpectedEOF
	}
	answer.ErrorCode = kerr.UnknownServerError.Code
	return wiretap.Replace(frame, answer), nil
}

func TestAnOutcomeThatIsNotToldIsFoundOut(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault fault
	}{{"the answer is cut off", cut}, {"the answer is UNKNOWN_SERVER_ERROR", unknownServerError}} {
		t.Run(c.name, func(t *testing.T) {
			b := newRealBench(t)
			observer, err := b.judged().Observe()
			if err != nil {
				t.Fatal(err)
			}
			l := &liar{fault: c.fault, nth: 4}
			w := b.start(b.dir("a"), func(cfg *stream.Config) { cfg.Connection.Dial = l.dial })
			const wanted = 8
			b.eventually("the answers were spoiled", func() bool {
				b.produce(50)
				return l.spoiled.Load() >= wanted
			})
			b.processed()
			b.end(w)
			if v := b.judge(b.dir("a")); v.Rewards == 0 {
				t.Errorf("too little happened to prove anything: %s", v)
			}
			if err := observer.Stop(); err != nil {
				t.Error(err)
			}
			discarded := w.metric("stampede_clients_discarded_total")
			t.Logf("%d of %d commits were not told, %d clients were discarded", l.spoiled.Load(), l.commits.Load(), discarded)
			// The client itself asks again where the connection broke; an error it passes on.
			if c.fault == unknownServerError && discarded < wanted {
				t.Errorf("%d clients were discarded for %d answers that say nothing", discarded, l.spoiled.Load())
			}
		})
	}
}
