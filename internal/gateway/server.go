package gateway

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/net/netutil"

	"github.com/stampede-rewards/stampede/internal/command"
)

// Config is what a client of the gateway may cost. Zero values are the defaults.
type Config struct {
	MaxBody       int64         // bytes of a request's body: 4 MiB
	MaxEvent      int           // bytes of an event: 1 MiB, and no more than the topic takes
	MaxBatch      int           // events of a batch: 1000
	MaxInFlight   int64         // bytes of all bodies that are in memory: 128 MiB
	Connections   int           // open at the same time; more wait to be accepted: 10000
	HeaderTimeout time.Duration // from a connection's first byte to the end of the headers: 5 s
	BodyTimeout   time.Duration // to the end of the body: 30 s
	IdleTimeout   time.Duration // between two requests of a connection: 1 min
	MaxHeader     int           // bytes of a request's headers: 32 KiB

	Keys   *Keys                // who may send events; nil is anybody
	TLS    *tls.Config          // nil is none
	Traces trace.TracerProvider // nil is none
	Log    *slog.Logger
}

func (c Config) withDefaults() Config {
	set := func(to *int, otherwise int) {
		if *to == 0 {
			*to = otherwise
		}
	}
	setTime := func(to *time.Duration, otherwise time.Duration) {
		if *to == 0 {
			*to = otherwise
		}
	}
	if c.MaxBody == 0 {
		c.MaxBody = 4 << 20
	}
	if c.MaxInFlight == 0 {
		c.MaxInFlight = 128 << 20
	}
	set(&c.MaxEvent, 1<<20)
	set(&c.MaxBatch, DefaultBatch)
	set(&c.Connections, 10_000)
	set(&c.MaxHeader, 32<<10)
	setTime(&c.HeaderTimeout, 5*time.Second)
	setTime(&c.BodyTimeout, 30*time.Second)
	setTime(&c.IdleTimeout, time.Minute)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// DefaultBatch is how many events a batch may have where the configuration says nothing else.
const DefaultBatch = 1000

// closeTimeout bounds the wait for running answers at the end.
const closeTimeout = 5 * time.Second

// Server is the gateway.
type Server struct {
	cfg      Config
	sink     Sink
	metrics  *Metrics
	reader   reader
	tracer   trace.Tracer // nil is none
	inFlight atomic.Int64 // bytes of bodies in memory
}

// NewServer gives what clients send to a sink.
func NewServer(cfg Config, sink Sink, metrics *Metrics) *Server {
	cfg = cfg.withDefaults()
	s := &Server{cfg: cfg, sink: sink, metrics: metrics, reader: reader{maxEvent: cfg.MaxEvent, maxBatch: cfg.MaxBatch, now: time.Now}}
	if cfg.Traces != nil {
		s.tracer = cfg.Traces.Tracer("stampede/gateway")
	}
	return s
}

// Handler answers everything that the gateway answers, but for metrics.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/events", s.events)
	mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(OpenAPI) // whoever asked may be gone
	})
	probes(mux, s.sink)
	return mux
}

// probes answer an orchestrator.
func probes(mux *http.ServeMux, sink Sink) {
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "alive\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := sink.Ready(); err != nil {
			say(w, http.StatusServiceUnavailable, err.Error()+"\n")
			return
		}
		say(w, http.StatusOK, "ready\n")
	})
}

// Admin answers /metrics, for a port of its own, and an orchestrator, which then needs neither a certificate nor the clients' port.
func Admin(metrics prometheus.Gatherer, sink Sink) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", command.MetricsHandler(metrics))
	probes(mux, sink)
	return mux
}

// Run serves clients of a listener until ctx ends, and then ends what they have begun.
func (s *Server) Run(ctx context.Context, listener net.Listener) error {
	listener = netutil.LimitListener(listener, s.cfg.Connections)
	if s.cfg.TLS != nil {
		listener = tls.NewListener(listener, s.cfg.TLS)
	}
	server := http.Server{
		Handler: s.Handler(), ReadHeaderTimeout: s.cfg.HeaderTimeout, ReadTimeout: s.cfg.BodyTimeout, IdleTimeout: s.cfg.IdleTimeout,
		MaxHeaderBytes: s.cfg.MaxHeader, ErrorLog: slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelDebug),
	}
	if s.cfg.Keys != nil {
		go s.cfg.Keys.watch(ctx)
	}
	return serve(ctx, &server, listener)
}

// Serve answers with a handler on a listener until ctx ends.
func Serve(ctx context.Context, handler http.Handler, listener net.Listener) error {
	return serve(ctx, &http.Server{Handler: handler, ReadTimeout: 5 * time.Second, WriteTimeout: 30 * time.Second}, listener)
}

func serve(ctx context.Context, server *http.Server, listener net.Listener) error {
	if err := command.Serve(ctx, server, listener, closeTimeout); err != nil {
		return fmt.Errorf("serve %s: %w", listener.Addr(), err)
	}
	return nil
}

// events is POST /v1/events.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	ctx, span := s.trace(r)
	defer span.End()
	key, problem := s.cfg.Keys.who(r)
	if problem != nil {
		s.refuse(w, span, "nobody", problem)
		return
	}
	body, problem := s.body(r)
	defer s.inFlight.Add(-int64(cap(body)))
	if problem != nil {
		s.refuse(w, span, key.Name, problem)
		return
	}
	items, batch, problem := s.reader.read(r, body, key)
	if problem != nil {
		s.refuse(w, span, key.Name, problem)
		return
	}
	carry(ctx, span, items)
	s.take(ctx, key, items)
	for i := range items {
		s.metrics.event(key.Name, items[i].problem)
	}
	s.metrics.request(time.Since(began), span.SpanContext())
	if batch {
		answered(span, answerBatch(w, items))
		return
	}
	if items[0].problem != nil {
		answered(span, items[0].problem.Status)
		items[0].problem.write(w)
		return
	}
	answered(span, http.StatusAccepted)
	w.WriteHeader(http.StatusAccepted)
}

func (s *Server) refuse(w http.ResponseWriter, span trace.Span, key string, problem *Problem) {
	s.metrics.event(key, problem)
	answered(span, problem.Status)
	problem.write(w)
}

// body reads a request's body, as long as there is memory for it. The bytes are counted by the caller's return.
func (s *Server) body(r *http.Request) ([]byte, *Problem) {
	if r.ContentLength > s.cfg.MaxBody {
		return nil, tooLarge.problem("the body has %d bytes, at most %d are read", r.ContentLength, s.cfg.MaxBody)
	}
	body := bytes.Buffer{}
	counted := 0
	count := func() *Problem {
		grown := body.Cap() - counted
		counted = body.Cap()
		if s.inFlight.Add(int64(grown)) <= s.cfg.MaxInFlight {
			return nil
		}
		p := unavailable.problem("%v", ErrBusy)
		p.retry = time.Second
		return p
	}
	if r.ContentLength > 0 {
		body.Grow(int(min(r.ContentLength, readAtOnce)) + bytes.MinRead)
	}
	for in := io.LimitReader(r.Body, s.cfg.MaxBody+1); ; {
		if problem := count(); problem != nil {
			return body.Bytes(), problem
		}
		n, err := io.CopyN(&body, in, readAtOnce)
		if problem := count(); problem != nil {
			return body.Bytes(), problem
		}
		switch {
		case int64(body.Len()) > s.cfg.MaxBody:
			return body.Bytes(), tooLarge.problem("the body has more than %d bytes", s.cfg.MaxBody)
		case err == nil && n > 0:
		case errors.Is(err, io.EOF):
			return body.Bytes(), nil
		default:
			return body.Bytes(), badRequest.problem("the body ended before its end: %v", err)
		}
	}
}

// readAtOnce is how much of a body is read at once: memory is taken for what has come, not for what was announced.
const readAtOnce = 16 << 10

// take gives the events that are right to the sink.
func (s *Server) take(ctx context.Context, key *Key, items []item) {
	var events []Event
	var places []int
	for i := range items {
		if items[i].problem == nil {
			events, places = append(events, items[i].event), append(places, i)
		}
	}
	if len(events) == 0 {
		return
	}
	if wait := key.take(len(events), time.Now()); wait > 0 {
		for _, i := range places {
			items[i].problem = rateLimited.problem("the key %s may send %g events a second", key.Name, key.Rate)
			items[i].problem.retry = wait
		}
		return
	}
	for i, err := range s.sink.Take(ctx, events) {
		if err == nil {
			continue
		}
		items[places[i]].problem = refused(err)
		if items[places[i]].problem.Status >= http.StatusInternalServerError {
			s.cfg.Log.Warn("an event is not taken", "key", key.Name, "id", items[places[i]].id, "error", err)
		}
	}
}
