//go:build synctests

package sim

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// network is the network as one life of a process sees it: it knows which request each answer is to, and faults strike at either.
type network struct {
	life *life

	mu    sync.Mutex
	conns map[*conn]struct{}
	gone  bool                // the process is dead: nothing passes any more
	cut   map[int32]time.Time // until then; -1 is every broker
	dark  map[int32]time.Time
	stop  time.Time // the process is paused until then
}

// newNetwork is where the life before has left it: a cut does not end with a process.
func newNetwork(l, before *life) *network {
	n := &network{life: l, conns: map[*conn]struct{}{}, cut: map[int32]time.Time{}, dark: map[int32]time.Time{}}
	if before != nil {
		before.network.mu.Lock()
		defer before.network.mu.Unlock()
		maps.Copy(n.cut, before.network.cut)
		maps.Copy(n.dark, before.network.dark)
	}
	return n
}

var errCut = errors.New("the network is cut")

// dial is the dialer of everything that the process connects with.
func (n *network) dial(ctx context.Context, network, address string) (net.Conn, error) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	p, err := strconv.Atoi(port)
	if err != nil {
		return nil, err
	}
	node := int32(p - firstPort) //nolint:gosec // few
	if err := n.pass(node); err != nil {
		return nil, err
	}
	inner, err := n.life.world.virtual.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: inner, network: n, node: node, asked: map[int32]request{}}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.gone {
		return nil, errors.Join(errCut, inner.Close())
	}
	n.conns[c] = struct{}{}
	return c, nil
}

// pass waits while the process is paused or the way to a broker is dark, and fails when it is cut.
func (n *network) pass(node int32) error {
	for {
		n.mu.Lock()
		now := time.Now()
		gone := n.gone || now.Before(n.cut[-1]) || now.Before(n.cut[node])
		until := n.stop
		for _, dark := range []time.Time{n.dark[-1], n.dark[node]} {
			if dark.After(until) {
				until = dark
			}
		}
		n.mu.Unlock()
		if gone {
			return errCut
		}
		if !now.Before(until) {
			return nil
		}
		time.Sleep(until.Sub(now))
	}
}

// sever ends all connections to a broker, or to all.
func (n *network) sever(node int32) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.conns {
		if node < 0 || c.node == node {
			c.Conn.Close() //nolint:errcheck // a pipe
			delete(n.conns, c)
		}
	}
}

// strike begins a fault of the network.
func (n *network) strike(f *Fault) {
	n.mu.Lock()
	until := time.Now().Add(f.For)
	switch f.Kind {
	case Cut:
		n.cut[f.Node] = until
	case BlackHole:
		n.dark[f.Node] = until
	case Pause:
		n.stop = until
	default:
	}
	n.mu.Unlock()
	if f.Kind == Cut {
		n.sever(f.Node)
	}
}

// die ends everything for good.
func (n *network) die() {
	n.mu.Lock()
	n.gone = true
	n.mu.Unlock()
	n.sever(-1)
}

// request is one whose answer is awaited.
type request struct {
	key     kmsg.Key
	version int16
}

// conn is a connection to a broker. The client writes each request whole.
type conn struct {
	net.Conn
	network *network
	node    int32

	mu    sync.Mutex
	asked map[int32]request // by correlation id

	frame []byte // what of an answer was not read yet
}

// Write passes a request on.
func (c *conn) Write(b []byte) (int, error) {
	if err := c.network.pass(c.node); err != nil {
		return 0, err
	}
	l := c.network.life
	l.disk.wait()
	key, version := kmsg.Key(binary.BigEndian.Uint16(b[4:])), int16(binary.BigEndian.Uint16(b[6:])) //nolint:gosec // Kafka's own types
	l.requested(key, version, b)
	if f := l.process.strike(func(f *Fault) bool { return (f.Kind == CrashBefore || f.Kind == Drop) && f.Request == key }); f != nil {
		if f.Kind == CrashBefore {
			l.crash(f)
		}
		return 0, errors.Join(errCut, c.Close())
	}
	c.mu.Lock()
	c.asked[int32(binary.BigEndian.Uint32(b[8:]))] = request{key, version} //nolint:gosec // the same
	c.mu.Unlock()
	return c.Conn.Write(b)
}

// Read gives an answer out when all of it is there.
func (c *conn) Read(b []byte) (int, error) {
	if len(c.frame) == 0 {
		size := make([]byte, 4)
		if _, err := io.ReadFull(c.Conn, size); err != nil {
			return 0, err
		}
		c.frame = append(size, make([]byte, binary.BigEndian.Uint32(size))...)
		if _, err := io.ReadFull(c.Conn, c.frame[4:]); err != nil {
			return 0, err
		}
		if err := c.answered(); err != nil {
			return 0, errors.Join(err, c.Close())
		}
	}
	n := copy(b, c.frame)
	c.frame = c.frame[n:]
	return n, nil
}

// answered lets faults strike at an answer that has come: the broker has done what was asked.
func (c *conn) answered() error {
	c.mu.Lock()
	correlation := int32(binary.BigEndian.Uint32(c.frame[4:])) //nolint:gosec // Kafka's own type
	r, ok := c.asked[correlation]
	delete(c.asked, correlation)
	c.mu.Unlock()
	if !ok {
		return nil
	}
	l := c.network.life
	f := l.process.strike(func(f *Fault) bool {
		return (f.Kind == CrashAfter || f.Kind == Lose || f.Kind == Unknown || f.Kind == Late) && f.Request == r.key
	})
	switch {
	case f == nil:
	case f.Kind == CrashAfter:
		l.crash(f)
		return errCut
	case f.Kind == Lose:
		return errCut
	case f.Kind == Late:
		time.Sleep(f.For)
	case f.Kind == Unknown:
		if err := c.saysNothing(r); err != nil {
			return err
		}
	}
	if err := c.network.pass(c.node); err != nil {
		return err
	}
	l.answered(r, c.frame)
	return nil
}

// saysNothing replaces the answer to an EndTxn by UNKNOWN_SERVER_ERROR.
func (c *conn) saysNothing(r request) error {
	answer := kmsg.NewPtrEndTxnResponse()
	answer.Version = r.version
	header := answerHeader(answer)
	if err := answer.ReadFrom(c.frame[header:]); err != nil {
		return err
	}
	answer.ErrorCode = kerr.UnknownServerError.Code
	c.frame = answer.AppendTo(c.frame[:header:header])
	binary.BigEndian.PutUint32(c.frame, uint32(len(c.frame)-4)) //nolint:gosec // small
	return nil
}

// answerHeader is how many bytes come before an answer: its size, its correlation id, and no tags.
func answerHeader(answer kmsg.Response) int {
	if answer.IsFlexible() {
		return 9
	}
	return 8
}

// Close forgets the connection.
func (c *conn) Close() error {
	c.network.mu.Lock()
	delete(c.network.conns, c)
	c.network.mu.Unlock()
	return c.Conn.Close()
}
