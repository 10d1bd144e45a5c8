// Package wiretap listens to a connection between a client and a broker, for tests in which requests and answers go wrong. A Tap knows which
// request an answer is to. What is done to either is its owner's: a request can be kept from being sent, and an answer, which tells what the broker
// has done, can be kept back or replaced.
package wiretap

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Request is a request whose answer is awaited.
type Request struct {
	Key     kmsg.Key
	Version int16
}

// Tap is a connection to a broker. The client writes each request whole.
type Tap struct {
	net.Conn
	// Asked is shown each request before it is sent. With an error it is not sent, and the connection ends.
	Asked func(r Request, frame []byte) error
	// Answered is shown an answer when all of it has come, and says what the client gets. With an error the connection ends before it.
	Answered func(r Request, frame []byte) ([]byte, error)

	mu    sync.Mutex
	asked map[int32]Request // by correlation id

	frame []byte // what of an answer was not read yet
}

// Kafka's frames begin with their size. A request goes on with key, version, correlation id and the client's id; an answer with the correlation
// id. In versions that are flexible both have tags then, of which there are none.
const (
	sizeBytes     = 4
	keyAt         = sizeBytes
	versionAt     = keyAt + 2
	correlationAt = versionAt + 2
	clientAt      = correlationAt + 4
	answerBytes   = sizeBytes + 4
	noTags        = 1
)

// Write passes a request on.
func (t *Tap) Write(b []byte) (int, error) {
	r := Request{kmsg.Key(binary.BigEndian.Uint16(b[keyAt:])), int16(binary.BigEndian.Uint16(b[versionAt:]))} //nolint:gosec // Kafka's own types
	if err := t.Asked(r, b); err != nil {
		return 0, errors.Join(err, t.Close())
	}
	t.mu.Lock()
	if t.asked == nil {
		t.asked = map[int32]Request{}
	}
	t.asked[int32(binary.BigEndian.Uint32(b[correlationAt:]))] = r //nolint:gosec // the same
	t.mu.Unlock()
	return t.Conn.Write(b)
}

// Read gives an answer out when all of it is there.
func (t *Tap) Read(b []byte) (int, error) {
	if len(t.frame) == 0 {
		if err := t.next(); err != nil {
			return 0, err
		}
	}
	n := copy(b, t.frame)
	t.frame = t.frame[n:]
	return n, nil
}

// next reads an answer and shows it.
func (t *Tap) next() error {
	size := make([]byte, sizeBytes)
	if _, err := io.ReadFull(t.Conn, size); err != nil {
		return err
	}
	frame := append(size, make([]byte, binary.BigEndian.Uint32(size))...)
	if _, err := io.ReadFull(t.Conn, frame[sizeBytes:]); err != nil {
		return err
	}
	correlation := int32(binary.BigEndian.Uint32(frame[sizeBytes:])) //nolint:gosec // Kafka's own type
	t.mu.Lock()
	r, ok := t.asked[correlation]
	delete(t.asked, correlation)
	t.mu.Unlock()
	if ok {
		var err error
		if frame, err = t.Answered(r, frame); err != nil {
			return errors.Join(err, t.Close())
		}
	}
	t.frame = frame
	return nil
}

// ReadRequest reads a request's frame.
func ReadRequest(r Request, frame []byte, into kmsg.Request) error {
	into.SetVersion(r.Version)
	body := frame[clientAt+2+binary.BigEndian.Uint16(frame[clientAt:]):]
	if into.IsFlexible() {
		body = body[noTags:]
	}
	return into.ReadFrom(body)
}

// ReadAnswer reads an answer's frame.
func ReadAnswer(r Request, frame []byte) (kmsg.Response, error) {
	answer := r.Key.Response()
	answer.SetVersion(r.Version)
	return answer, answer.ReadFrom(frame[headerOf(answer):])
}

// Replace is the frame of another answer to the same request.
func Replace(frame []byte, answer kmsg.Response) []byte {
	header := headerOf(answer)
	frame = answer.AppendTo(frame[:header:header])
	binary.BigEndian.PutUint32(frame, uint32(len(frame)-sizeBytes)) //nolint:gosec // small
	return frame
}

func headerOf(answer kmsg.Response) int {
	if answer.IsFlexible() {
		return answerBytes + noTags
	}
	return answerBytes
}
