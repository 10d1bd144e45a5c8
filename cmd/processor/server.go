package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/pprof"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stampede-rewards/stampede/internal/command"
	"github.com/stampede-rewards/stampede/internal/stream"
)

const (
	defaultListen = "127.0.0.1:9180"
	// readTimeout and writeTimeout bound how long a client of the server can keep a connection busy.
	readTimeout  = 5 * time.Second
	writeTimeout = 30 * time.Second
	// closeTimeout bounds the wait for running answers at the end.
	closeTimeout = 2 * time.Second
)

// server answers /metrics, /healthz, /readyz, and /debug/pprof for whoever asks where time and memory go.
type server struct {
	listener net.Listener
	http     http.Server
}

// newServer takes the port. Without an address it is the default one, or any that is free if another process has it.
func newServer(listen string, metrics prometheus.Gatherer, status func() stream.Status) (*server, error) {
	address := listen
	if address == "" {
		address = defaultListen
	}
	listener, err := net.Listen("tcp", address)
	if listen == "" && errors.Is(err, syscall.EADDRINUSE) {
		listener, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		return nil, fmt.Errorf("serve metrics: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", command.MetricsHandler(metrics))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "alive\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		s := status()
		code, text := http.StatusOK, fmt.Sprintf("%d of %d assigned partitions are processed\n", s.Open, s.Assigned)
		if !s.Ready() {
			code = http.StatusServiceUnavailable
		}
		for _, why := range s.Refused {
			text += why.Error() + "\n"
		}
		answer(w, code, text)
	})
	mux.HandleFunc("GET /debug/pprof/", pprof.Index) // with the profiles that have a name
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return &server{listener: listener, http: http.Server{
		Handler: mux, ReadTimeout: readTimeout, ReadHeaderTimeout: readTimeout, WriteTimeout: writeTimeout,
	}}, nil
}

// address is where the server listens.
func (s *server) address() string { return s.listener.Addr().String() }

// run answers until ctx ends.
func (s *server) run(ctx context.Context) error {
	if err := command.Serve(ctx, &s.http, s.listener, closeTimeout); err != nil {
		return fmt.Errorf("serve metrics: %w", err)
	}
	return nil
}

// answer writes a text. Whoever asked may be gone: that concerns nobody else.
func answer(w http.ResponseWriter, code int, text string) {
	w.WriteHeader(code)
	_, _ = io.WriteString(w, text)
}
