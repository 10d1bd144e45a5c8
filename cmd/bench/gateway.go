package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/google/uuid"
)

// clients is how many clients send to a gateway at the same time, each a request after the other.
const clients = 32

// gatewayLoad is how events come to a gateway.
type gatewayLoad struct {
	batch  int // events a request
	events int // as fast as they are taken
	rate   int // then so many a second, by a schedule
}

// throughGateway is a gateway on one core, without a spool: each answer has waited for Kafka.
func throughGateway(load gatewayLoad) func(context.Context, *rig) (values, error) {
	return func(ctx context.Context, r *rig) (v values, err error) {
		s, err := r.site(ctx, job{users: steadyUsers, events: 1}, false)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, s.close()) }()
		p, err := s.startGateway(ctx)
		if err != nil {
			return nil, err
		}
		bodies := load.bodies(s.job)
		requests := max(clients, load.events/r.small/load.batch)
		if err := sendAll(ctx, p.url(), bodies, requests, nil); err != nil {
			return nil, errors.Join(err, p.kill())
		}
		u, err := p.usage(ctx)
		if err != nil {
			return nil, errors.Join(err, p.kill())
		}
		latencies := hdrhistogram.New(1, longest.Microseconds(), 3)
		lasting := steadyFor / time.Duration(r.small)
		due := schedule{begun: time.Now(), gap: time.Second * time.Duration(load.batch) / time.Duration(load.rate)}
		if err := sendAll(ctx, p.url(), bodies, int(lasting/due.gap), &measuredSchedule{schedule: due, latencies: latencies}); err != nil {
			return nil, errors.Join(err, p.kill())
		}
		return values{
			"events per CPU-second": float64(requests*load.batch) / u.cpu,
			"p99 at half of that":   float64(latencies.ValueAtQuantile(99)) / 1000,
		}, p.stop()
	}
}

func (p *process) url() string { return "http://" + p.listen + "/v1/events" }

// body is a request's, with its type.
type body struct {
	contentType string
	text        []byte
}

// bodies are some requests, which are sent again and again: a gateway does not know what it has sent.
func (l gatewayLoad) bodies(j job) []body {
	const some = 200
	g := j.generator(3)
	all := make([]body, some)
	for i := range all {
		events := make([][]byte, l.batch)
		for k := range events {
			events[k] = g.event(time.Now(), uuid.Nil).Value
		}
		all[i] = body{"application/cloudevents+json", events[0]}
		if l.batch > 1 {
			all[i] = body{"application/cloudevents-batch+json", slices.Concat([]byte{'['}, bytes.Join(events, []byte{','}), []byte{']'})}
		}
	}
	return all
}

// schedule is when requests are due.
type schedule struct {
	begun time.Time
	gap   time.Duration
}

// measuredSchedule notes how long each request took from when it was due.
type measuredSchedule struct {
	schedule
	latencies *hdrhistogram.Histogram // microseconds
	mu        sync.Mutex
}

// sendAll sends requests by several clients: as fast as they are answered, or by a schedule.
func sendAll(ctx context.Context, url string, bodies []body, requests int, by *measuredSchedule) error {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
	defer client.CloseIdleConnections()
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var next atomic.Int64
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			for {
				n := int(next.Add(1)) - 1
				if n >= requests || ctx.Err() != nil {
					return
				}
				if err := sendOne(ctx, client, url, &bodies[n%len(bodies)], n, by); err != nil {
					fail(err)
				}
			}
		})
	}
	all.Wait()
	return context.Cause(ctx)
}

func sendOne(ctx context.Context, client *http.Client, url string, b *body, n int, by *measuredSchedule) error {
	var due time.Time
	if by != nil {
		due = by.begun.Add(time.Duration(n) * by.gap)
		time.Sleep(time.Until(due))
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(b.text))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", b.contentType)
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close() //nolint:errcheck // it was only read
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusAccepted {
		return fmt.Errorf("the gateway answers %s: %.500s", answer.Status, text)
	}
	if by == nil {
		return nil
	}
	by.mu.Lock()
	defer by.mu.Unlock()
	return by.latencies.RecordValue(time.Since(due).Microseconds())
}

// slowClients is a gateway to which clients connect that send a byte now and then and never a whole request.
func slowClients(connections int) func(context.Context, *rig) (values, error) {
	return func(ctx context.Context, r *rig) (v values, err error) {
		s, err := r.site(ctx, job{users: 1, events: 1}, false)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, s.close()) }()
		p, err := s.startGateway(ctx, "--connections", strconv.Itoa(connections), "--header-timeout", "30s", "--body-timeout", "30s")
		if err != nil {
			return nil, err
		}
		var open []net.Conn
		defer func() {
			for _, c := range open {
				_ = c.Close() // the gateway may have closed it before
			}
		}()
		for range connections / r.small {
			c, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.listen)
			if err != nil {
				return nil, errors.Join(err, p.kill())
			}
			open = append(open, c)
			if _, err := io.WriteString(c, "POST /v1/events HTTP/1.1\r\nHost: gateway\r\nX-Slow: "); err != nil {
				return nil, errors.Join(err, p.kill())
			}
		}
		most := 0.0
		for range 10 {
			for _, c := range open {
				if _, err := io.WriteString(c, "x"); err != nil {
					return nil, errors.Join(fmt.Errorf("the gateway has closed a connection: %w", err), p.kill())
				}
			}
			u, err := p.usage(ctx)
			if err != nil {
				return nil, errors.Join(err, p.kill())
			}
			most = max(most, u.resident)
			time.Sleep(time.Second / 2)
		}
		return values{"resident memory": most / (1 << 20)}, p.stop()
	}
}
