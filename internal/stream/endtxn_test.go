package stream_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

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
	return &lyingConn{Conn: inner, liar: l, commits: map[int32]int16{}}, nil
}

type lyingConn struct {
	net.Conn
	liar *liar

	mu      sync.Mutex
	commits map[int32]int16 // version by correlation id, of an EndTxn whose answer is awaited

	frame []byte // what of an answer was not read yet
}

// Write looks at a request: the client writes each whole.
func (c *lyingConn) Write(b []byte) (int, error) {
	if len(b) > 14 && binary.BigEndian.Uint16(b[4:]) == uint16(kmsg.EndTxn) {
		request := kmsg.NewPtrEndTxnRequest()
		request.Version = int16(binary.BigEndian.Uint16(b[6:])) //nolint:gosec // Kafka's own type
		body := b[14+binary.BigEndian.Uint16(b[12:]):]
		if request.IsFlexible() {
			body = body[1:] // no tags in the header
		}
		if err := request.ReadFrom(body); err != nil {
			return 0, err
		}
		if request.Commit {
			c.mu.Lock()
			c.commits[int32(binary.BigEndian.Uint32(b[8:]))] = request.Version //nolint:gosec // the same
			c.mu.Unlock()
		}
	}
	return c.Conn.Write(b)
}

// Read gives an answer out when all of it is there.
func (c *lyingConn) Read(b []byte) (int, error) {
	if len(c.frame) == 0 {
		size := make([]byte, 4)
		if _, err := io.ReadFull(c.Conn, size); err != nil {
			return 0, err
		}
		c.frame = append(size, make([]byte, binary.BigEndian.Uint32(size))...)
		if _, err := io.ReadFull(c.Conn, c.frame[4:]); err != nil {
			return 0, err
		}
		if err := c.spoil(); err != nil {
			return 0, err
		}
	}
	n := copy(b, c.frame)
	c.frame = c.frame[n:]
	return n, nil
}

func (c *lyingConn) spoil() error {
	c.mu.Lock()
	correlation := int32(binary.BigEndian.Uint32(c.frame[4:])) //nolint:gosec // Kafka's own type
	version, ok := c.commits[correlation]
	delete(c.commits, correlation)
	c.mu.Unlock()
	if !ok {
		return nil
	}
	answer := kmsg.NewPtrEndTxnResponse()
	answer.Version = version
	header := 8
	if answer.IsFlexible() {
		header++
	}
	if err := answer.ReadFrom(c.frame[header:]); err != nil {
		return err
	}
	if answer.ErrorCode != 0 || c.liar.commits.Add(1)%c.liar.nth != 0 {
		return nil
	}
	c.liar.spoiled.Add(1)
	if c.liar.fault == cut {
		return errors.Join(io.ErrUnexpectedEOF, c.Close())
	}
	answer.ErrorCode = kerr.UnknownServerError.Code
	c.frame = answer.AppendTo(c.frame[:header:header])
	binary.BigEndian.PutUint32(c.frame, uint32(len(c.frame)-4)) //nolint:gosec // small
	return nil
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
