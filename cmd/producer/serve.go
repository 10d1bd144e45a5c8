package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/stampede-rewards/stampede/internal/command"
	"github.com/stampede-rewards/stampede/internal/gateway"
	"github.com/stampede-rewards/stampede/internal/kafka"
	"github.com/stampede-rewards/stampede/internal/tracing"
)

// serve is the gateway: events by HTTP.
type serve struct {
	kafka.EventsFlags
	Listen      string `env:"STAMPEDE_GATEWAY_LISTEN" default:"127.0.0.1:8080" placeholder:"HOST:PORT" help:"Where events are taken (${default})."`
	AdminListen string `env:"STAMPEDE_GATEWAY_ADMIN_LISTEN" default:"127.0.0.1:9181" placeholder:"HOST:PORT" help:"Where /metrics is served, and once more /healthz and /readyz, never with TLS (${default})."`

	Keys     string `env:"STAMPEDE_GATEWAY_KEYS" type:"existingfile" placeholder:"FILE" help:"Who may send events: a YAML file, read again when it changes. Without it anybody may, and only this machine is listened to."`
	TLSCert  string `env:"STAMPEDE_GATEWAY_TLS_CERT" type:"existingfile" placeholder:"FILE" help:"The certificate to serve HTTPS with, in PEM."`
	TLSKey   string `env:"STAMPEDE_GATEWAY_TLS_KEY" type:"existingfile" placeholder:"FILE" help:"Its private key."`
	ClientCA string `env:"STAMPEDE_GATEWAY_CLIENT_CA" type:"existingfile" placeholder:"FILE" help:"The authority of client certificates, which the file of keys may name."`

	Spool      string       `env:"STAMPEDE_GATEWAY_SPOOL" placeholder:"DIR" help:"Keep events on this disk until Kafka has them: they are taken also while Kafka is away. Every gateway has its own."`
	SpoolBytes command.Size `env:"STAMPEDE_GATEWAY_SPOOL_BYTES" of:"spool" default:"1GiB" placeholder:"SIZE" help:"What the spool may take of the disk (${default})."`

	Acknowledged  time.Duration `env:"STAMPEDE_GATEWAY_ACKNOWLEDGED" default:"10s" help:"How long Kafka may take to acknowledge an event, where there is no spool (${default})."`
	MaxBody       command.Size  `env:"STAMPEDE_GATEWAY_MAX_BODY" default:"4MiB" placeholder:"SIZE" help:"The largest body (${default})."`
	MaxEvent      command.Size  `env:"STAMPEDE_GATEWAY_MAX_EVENT" default:"1MiB" placeholder:"SIZE" help:"The largest event (${default})."`
	MaxBatch      int           `env:"STAMPEDE_GATEWAY_MAX_BATCH" default:"1000" help:"How many events a batch may have (${default})."`
	MaxInFlight   command.Size  `env:"STAMPEDE_GATEWAY_MAX_IN_FLIGHT" default:"128MiB" placeholder:"SIZE" help:"What all bodies together may take of the memory (${default})."`
	Connections   int           `env:"STAMPEDE_GATEWAY_CONNECTIONS" default:"10000" help:"How many connections are open at the same time; others wait (${default})."`
	HeaderTimeout time.Duration `env:"STAMPEDE_GATEWAY_HEADER_TIMEOUT" default:"5s" help:"How long a client may take to send its headers (${default})."`
	BodyTimeout   time.Duration `env:"STAMPEDE_GATEWAY_BODY_TIMEOUT" default:"30s" help:"How long a client may take to send a request (${default})."`
	command.Logging
	Traces tracing.Flags `embed:""`
}

// Validate is called by kong.
func (s *serve) Validate() error {
	var errs []error
	if (s.TLSCert == "") != (s.TLSKey == "") {
		errs = append(errs, errors.New("--tls-cert and --tls-key belong together"))
	}
	if s.ClientCA != "" && (s.TLSCert == "" || s.Keys == "") {
		errs = append(errs, errors.New("--client-ca needs --tls-cert and --tls-key, and --keys, which says what each certificate may send"))
	}
	errs = append(errs, command.ListenAddress("listen", s.Listen), command.ListenAddress("admin-listen", s.AdminListen))
	host, port, err := net.SplitHostPort(s.Listen)
	if ip := net.ParseIP(host); err == nil && s.Keys == "" && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		errs = append(errs, fmt.Errorf("--listen %s is reached from other machines, and without --keys anybody could send events, control events too: give --keys FILE (`producer key` makes a key)", s.Listen))
	}
	if s.Listen == s.AdminListen && port != "0" {
		errs = append(errs, fmt.Errorf("--listen and --admin-listen are both %s: give each a port of its own", s.Listen))
	}
	if s.MaxEvent < 1 || s.MaxBody < s.MaxEvent || s.MaxInFlight < s.MaxBody {
		errs = append(errs, errors.New("--max-event must be at least 1, --max-body at least --max-event, and --max-in-flight at least --max-body"))
	}
	if s.MaxBatch < 1 || s.Connections < 1 {
		errs = append(errs, errors.New("--max-batch and --connections must be at least 1"))
	}
	if s.Acknowledged <= 0 || s.HeaderTimeout <= 0 || s.BodyTimeout <= 0 {
		errs = append(errs, errors.New("--acknowledged, --header-timeout and --body-timeout must be above 0"))
	}
	if s.HeaderTimeout > s.BodyTimeout {
		errs = append(errs, fmt.Errorf("--header-timeout is %s, and --body-timeout, which is for the whole request, %s: make it at least as long", s.HeaderTimeout, s.BodyTimeout))
	}
	if s.Spool != "" && s.SpoolBytes < s.MaxBody {
		errs = append(errs, fmt.Errorf("--spool-bytes is %s, and the largest body (--max-body) has %s: a spool must have room for one", s.SpoolBytes, s.MaxBody))
	}
	return errors.Join(append(errs, s.Traces.Validate())...)
}

// Run is called by main.
func (s *serve) Run(ctx context.Context) error {
	log := s.Logger()
	connection, err := s.Connection()
	if err != nil {
		return err
	}
	connection.Log = log
	traces, err := s.Traces.Start("stampede-gateway", command.ThisBuild().Version, log)
	if err != nil {
		return err
	}
	defer traces.Close()
	connection.Log = log
	if provider := traces.Provider(); provider != nil {
		connection.Hooks = append(connection.Hooks, gateway.TraceProducing(provider))
	}
	cfg := gateway.Config{
		MaxBody: int64(s.MaxBody), MaxEvent: int(s.MaxEvent), MaxBatch: s.MaxBatch, MaxInFlight: int64(s.MaxInFlight), Connections: s.Connections,
		HeaderTimeout: s.HeaderTimeout, BodyTimeout: s.BodyTimeout, Traces: traces.Provider(), Log: log,
	}
	if cfg.TLS, err = s.tls(); err != nil {
		return err
	}
	if s.Keys != "" {
		if cfg.Keys, err = gateway.OpenKeys(s.Keys, s.MaxBatch, log); err != nil {
			return err
		}
	}
	if s.Spool != "" {
		return s.spooled(ctx, cfg, connection, traces, log)
	}
	cl, sink, err := s.kafka(ctx, connection)
	if err != nil {
		return err
	}
	defer cl.Close()
	return s.serve(ctx, cfg, sink, nil, traces, log)
}

// spooled serves from the disk, and brings the events to Kafka in the background, from the moment at which it is reached.
func (s *serve) spooled(ctx context.Context, cfg gateway.Config, connection kafka.Connection, traces *tracing.Tracing, log *slog.Logger) (err error) {
	spool, err := gateway.OpenSpool(s.Spool, int64(s.SpoolBytes), log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, spool.Close()) }()
	tasks, ctx := errgroup.WithContext(ctx)
	tasks.Go(func() error {
		for {
			cl, sink, err := s.kafka(ctx, connection)
			if err == nil {
				defer cl.Close()
				return spool.Forward(ctx, sink, log)
			}
			log.Warn("Kafka is not reached: events stay in the spool", "error", err, "events", spool.Waiting())
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(connectWait):
			}
		}
	})
	tasks.Go(func() error { return s.serve(ctx, cfg, spool, spool, traces, log) })
	return tasks.Wait()
}

const (
	// connectWait is the pause between two attempts to reach Kafka.
	connectWait = time.Second
	// linger is how long the client collects events for a request to Kafka: what a single event waits longer than it would have to.
	linger = 2 * time.Millisecond
)

// kafka connects to Kafka.
func (s *serve) kafka(ctx context.Context, connection kafka.Connection) (*kgo.Client, *gateway.Kafka, error) {
	asking, err := connection.Client(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer asking.Close()
	wanted := s.Topics()
	wanted.Principal = connection.Security.Principal()
	topics, err := kafka.EnsureEvents(ctx, asking, wanted)
	if err != nil {
		return nil, nil, err
	}
	cl, err := connection.Client(ctx, topics.BatchBytes(), kgo.ProducerLinger(linger), kgo.MaxBufferedRecords(2*gateway.BufferedEvents))
	if err != nil {
		return nil, nil, err
	}
	return cl, gateway.NewKafka(cl, topics.Events.Name, s.Acknowledged), nil
}

func (s *serve) serve(ctx context.Context, cfg gateway.Config, sink gateway.Sink, spool *gateway.Spool, traces *tracing.Tracing, log *slog.Logger) error {
	metrics := gateway.NewMetrics(spool)
	registry := prometheus.NewRegistry()
	registry.MustRegister(metrics, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), command.ThisBuild().Collector())
	registry.MustRegister(traces.Collectors()...)
	listener, err := net.Listen("tcp", s.Listen)
	if err != nil {
		return fmt.Errorf("take events: %w", err)
	}
	admin, err := net.Listen("tcp", s.AdminListen)
	if err != nil {
		return errors.Join(fmt.Errorf("serve metrics: %w", err), listener.Close())
	}
	log.Info("gateway starts", "build", command.ThisBuild().String(), "listen", listener.Addr().String(), "admin", admin.Addr().String(), "tls", cfg.TLS != nil, "keys", s.Keys, "spool", s.Spool)
	tasks, ctx := errgroup.WithContext(ctx)
	tasks.Go(func() error { return gateway.NewServer(cfg, sink, metrics).Run(ctx, listener) })
	tasks.Go(func() error { return gateway.Serve(ctx, gateway.Admin(registry, sink), admin) })
	if err := tasks.Wait(); err != nil {
		return err
	}
	log.Info("gateway has stopped in order")
	return nil
}

// tls is how to serve HTTPS; nil where it is HTTP.
func (s *serve) tls() (*tls.Config, error) {
	if s.TLSCert == "" {
		return nil, nil
	}
	certificate, err := tls.LoadX509KeyPair(s.TLSCert, s.TLSKey)
	if err != nil {
		return nil, fmt.Errorf("--tls-cert and --tls-key: %w", err)
	}
	cfg := &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	if s.ClientCA == "" {
		return cfg, nil
	}
	text, err := os.ReadFile(s.ClientCA)
	if err != nil {
		return nil, fmt.Errorf("--client-ca: %w", err)
	}
	cfg.ClientCAs = x509.NewCertPool()
	if !cfg.ClientCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("--client-ca: %s has no certificate in PEM", s.ClientCA)
	}
	cfg.ClientAuth = tls.VerifyClientCertIfGiven // a client may show an API key instead
	return cfg, nil
}
