//go:build synctests

package sim

import (
	"context"
	"errors"
	"maps"
	"net"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/stampede-rewards/stampede/internal/kafka/wiretap"
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

// noRouteAfter is how long a connection takes that can't be made. Without it time would stand still where the client tries without a pause
// (TestTheClientTriesWithoutAPause).
const noRouteAfter = 100 * time.Millisecond

// healLook is how often who waits for a dark network looks whether the world has become calm.
const healLook = 100 * time.Millisecond

// A cut connection, and one that can't be made, are told as the operating system tells them: the client retries those and few others.
var (
	errCut     = &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}
	errNoRoute = &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.EHOSTUNREACH)}
)

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
	if n.pass(node) != nil {
		time.Sleep(noRouteAfter)
		return nil, errNoRoute
	}
	inner, err := n.life.world.virtual.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c := newConn(n, node, inner)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.gone {
		return nil, errors.Join(errNoRoute, inner.Close())
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
		time.Sleep(min(until.Sub(now), healLook))
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

// conn is a connection to a broker.
type conn struct {
	*wiretap.Tap
	network *network
	node    int32
}

func newConn(n *network, node int32, inner net.Conn) *conn {
	c := &conn{network: n, node: node}
	c.Tap = &wiretap.Tap{Conn: inner, Asked: c.asked, Answered: c.answered}
	return c
}

// asked lets faults strike at a request that is about to be sent.
func (c *conn) asked(r wiretap.Request, frame []byte) error {
	if err := c.network.pass(c.node); err != nil {
		return err
	}
	l := c.network.life
	l.disk.wait()
	l.requested(r, frame)
	if f := l.process.strike(func(f *Fault) bool { return f.strikesBefore() && f.Request == r.Key }); f != nil {
		return c.before(f)
	}
	return nil
}

// before lets a fault strike before a request is sent. An error means that it is not sent.
func (c *conn) before(f *Fault) error {
	l := c.network.life
	if f.Kind == Remove || f.Kind == Evict {
		l.world.lives.Go(func() { l.world.removeMember(l.process) })
	}
	switch f.Kind {
	case CrashBefore, Remove:
		l.crash(f)
	case Evict:
		time.Sleep(f.For)
		return c.network.pass(c.node)
	default:
	}
	return errCut
}

// answered lets faults strike at an answer that has come: the broker has done what was asked.
func (c *conn) answered(r wiretap.Request, frame []byte) ([]byte, error) {
	l := c.network.life
	f := l.process.strike(func(f *Fault) bool { return f.strikesAfter() && f.Request == r.Key })
	if f != nil {
		switch f.Kind {
		case CrashAfter:
			l.crash(f)
			return nil, errCut
		case Lose:
			return nil, errCut
		case Late:
			time.Sleep(f.For)
		default: // Unknown
			answer, err := wiretap.ReadAnswer(r, frame)
			if err != nil {
				return nil, err
			}
			answer.(*kmsg.EndTxnResponse).ErrorCode = kerr.UnknownServerError.Code
			frame = wiretap.Replace(frame, answer)
		}
	}
	if err := c.network.pass(c.node); err != nil {
		return nil, err
	}
	l.answered(r, frame)
	return frame, nil
}

// Close forgets the connection.
func (c *conn) Close() error {
	c.network.mu.Lock()
	delete(c.network.conns, c)
	c.network.mu.Unlock()
	return c.Conn.Close()
}
