package endtoend

import (
	"bytes"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// link is the network between one process and the broker: a TCP proxy that a test cuts, slows down and holds up.
type link struct {
	listener net.Listener
	target   string

	mu      sync.Mutex
	weather weather
	changed chan struct{} // closed when the weather changes
	wires   map[*wire]bool
}

// weather is what the network does. The zero value is a network that works.
type weather struct {
	cut   bool          // no connection lives, and none is made
	delay time.Duration // of each direction
	// What is sent in a direction does not arrive, and nobody is told. It arrives when the weather changes, unless the connection is
	// gone by then.
	holdRequests, holdAnswers bool
}

// newLink takes an address, which a broker can then advertise. It leads nowhere before it is given a target.
func newLink(t *testing.T) *link {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &link{listener: listener, changed: make(chan struct{}), wires: map[*wire]bool{}}
	t.Cleanup(func() {
		listener.Close()
		l.set(weather{cut: true})
	})
	return l
}

func (l *link) address() string { return l.listener.Addr().String() }

// lead begins to take connections, and leads them to the target.
func (l *link) lead(target string) {
	l.target = target
	go func() {
		for {
			client, err := l.listener.Accept()
			if err != nil {
				return // the test is over
			}
			go l.connect(client)
		}
	}()
}

// set changes the weather.
func (l *link) set(w weather) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.weather = w
	close(l.changed)
	l.changed = make(chan struct{})
	if w.cut {
		l.breakAll()
	}
}

// reset breaks every connection, as a router does that has forgotten them. New ones are made at once.
func (l *link) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.breakAll()
}

// breakAll is called with l.mu held.
func (l *link) breakAll() {
	for w := range l.wires {
		w.end()
	}
	clear(l.wires)
}

func (l *link) now() (weather, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.weather, l.changed
}

// wire is one connection.
type wire struct {
	client, broker net.Conn
	once           sync.Once
	gone           chan struct{}
}

func (w *wire) end() {
	w.once.Do(func() {
		close(w.gone)
		w.client.Close()
		w.broker.Close()
	})
}

func (l *link) connect(client net.Conn) {
	if now, _ := l.now(); now.cut {
		client.Close()
		return
	}
	broker, err := net.DialTimeout("tcp", l.target, time.Second)
	if err != nil { // the broker is away
		client.Close()
		return
	}
	w := &wire{client: client, broker: broker, gone: make(chan struct{})}
	l.mu.Lock()
	l.wires[w] = true
	cut := l.weather.cut
	l.mu.Unlock()
	if cut {
		w.end()
	}
	go l.carry(w, w.broker, w.client, func(now weather) bool { return now.holdRequests })
	l.carry(w, w.client, w.broker, func(now weather) bool { return now.holdAnswers })
	l.mu.Lock()
	delete(l.wires, w)
	l.mu.Unlock()
}

// carry moves bytes in one direction until the connection ends. What is delayed does not hold back what comes after it.
func (l *link) carry(w *wire, to, from net.Conn, held func(weather) bool) {
	type piece struct {
		bytes []byte
		due   time.Time
	}
	const piecesUnderWay = 1 << 10
	underWay := make(chan piece, piecesUnderWay)
	go func() {
		defer close(underWay)
		for {
			buffer := make([]byte, 32<<10)
			n, err := from.Read(buffer)
			now, _ := l.now()
			select {
			case underWay <- piece{buffer[:n], time.Now().Add(now.delay)}:
			case <-w.gone:
				return
			}
			if err != nil {
				return
			}
		}
	}()
	defer w.end()
	for p := range underWay {
		select {
		case <-w.gone:
			return
		case <-time.After(time.Until(p.due)):
		}
		for now, changed := l.now(); held(now); now, changed = l.now() {
			select {
			case <-w.gone:
				return
			case <-changed:
			}
		}
		if _, err := to.Write(p.bytes); err != nil {
			return
		}
	}
}

// A link does what its weather says, in each direction.
func TestLink(t *testing.T) {
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer echo.Close()
	heard := make(chan string, 10)
	go func() {
		for {
			c, err := echo.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				buffer := make([]byte, 4)
				for {
					if _, err := io.ReadFull(c, buffer); err != nil {
						return
					}
					heard <- string(buffer)
					if _, err := c.Write(bytes.ToUpper(buffer)); err != nil {
						return
					}
				}
			}()
		}
	}()
	l := newLink(t)
	l.lead(echo.Addr().String())
	dial := func() net.Conn {
		c, err := net.Dial("tcp", l.address())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	const patience, moment = 10 * time.Second, 50 * time.Millisecond
	say := func(c net.Conn, word string) {
		if _, err := c.Write([]byte(word)); err != nil {
			t.Error(err)
		}
	}
	answered := func(c net.Conn, within time.Duration) string {
		buffer := make([]byte, 4)
		if err := c.SetReadDeadline(time.Now().Add(within)); err != nil {
			t.Error(err)
		}
		if _, err := io.ReadFull(c, buffer); err != nil {
			return ""
		}
		return string(buffer)
	}

	c := dial()
	say(c, "fine")
	if got := answered(c, patience); got != "FINE" {
		t.Errorf("a network that works answers %q", got)
	}
	<-heard
	l.set(weather{holdRequests: true})
	say(c, "held")
	if got := answered(c, moment); got != "" || len(heard) != 0 {
		t.Errorf("a held request was heard %d times and answered with %q", len(heard), got)
	}
	l.set(weather{holdAnswers: true})
	if got := <-heard; got != "held" {
		t.Errorf("%q was heard, wanted what was held", got)
	}
	if got := answered(c, moment); got != "" {
		t.Errorf("a held answer arrives: %q", got)
	}
	l.set(weather{})
	if got := answered(c, patience); got != "HELD" {
		t.Errorf("after the hold %q arrives", got)
	}
	l.set(weather{delay: moment})
	began := time.Now()
	say(c, "slow")
	if got := answered(c, patience); got != "SLOW" || time.Since(began) < 2*moment {
		t.Errorf("%q after %s, wanted both directions delayed by %s", got, time.Since(began), moment)
	}
	l.set(weather{cut: true})
	if got := answered(c, patience); got != "" {
		t.Errorf("a cut network answers %q", got)
	}
	l.set(weather{})
	c = dial()
	say(c, "back")
	if got := answered(c, patience); got != "BACK" {
		t.Errorf("after a cut a new connection answers %q", got)
	}
	l.reset()
	if got := answered(c, patience); got != "" {
		t.Errorf("a connection that was reset answers %q", got)
	}
}
