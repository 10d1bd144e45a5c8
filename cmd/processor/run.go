package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/stampede-rewards/stampede/internal/command"
	"github.com/stampede-rewards/stampede/internal/kafka"
	"github.com/stampede-rewards/stampede/internal/partner"
	"github.com/stampede-rewards/stampede/internal/stream"
	"github.com/stampede-rewards/stampede/internal/tracing"
	"github.com/stampede-rewards/stampede/pkg/state"
)

// run works on a Kafka until it is told to stop.
type run struct {
	kafka.Flags
	Campaigns string `env:"STAMPEDE_CAMPAIGNS" type:"existingdir" placeholder:"DIR" help:"A directory of campaign files, of which new ones and higher versions are published at start. What is in force beside them stays: publish withdraws (default: none; processors work by what was published)."`
	Partners  string `env:"STAMPEDE_PARTNERS" type:"existingfile" placeholder:"FILE" help:"The partners whom campaigns can be shared with, and their keys (default: none)."`
	State     string `env:"STAMPEDE_STATE" required:"" placeholder:"DIR" help:"The store of this process, made if it is missing. Every process has its own."`
	Group     string `env:"STAMPEDE_GROUP" default:"stampede" placeholder:"NAME" help:"The consumer group; processes of one group share the work (${default})."`
	Instance  string `env:"STAMPEDE_INSTANCE" placeholder:"NAME" help:"This process's name in the group, the same after every restart (default: the store's id)."`

	CommitInterval     time.Duration `env:"STAMPEDE_COMMIT_INTERVAL" default:"50ms" help:"How often what has come is committed: shorter is quicker, longer is cheaper (${default})."`
	CheckpointInterval time.Duration `env:"STAMPEDE_CHECKPOINT_INTERVAL" default:"5s" help:"How often ledgers go from the journal to their keys (${default})."`
	Compression        string        `env:"STAMPEDE_COMPRESSION" enum:"none,snappy,lz4,zstd" default:"none" help:"How what is written to Kafka is compressed: none, snappy, lz4 or zstd. Most of it is the changelog: snappy makes that a quarter smaller, and takes 6 % more CPU (${default})."`
	Memory             command.Size  `env:"STAMPEDE_MEMORY" default:"256MiB" placeholder:"SIZE" help:"What the process takes in memory, about; at least 16MiB for the store, but Go and the client take 128MiB (${default})."`
	Sync               bool          `env:"STAMPEDE_SYNC" help:"Wait for the disk with every transaction. Without it a power cut can cost a restart that reads the changelog, and nothing else."`

	Listen string `env:"STAMPEDE_LISTEN" placeholder:"HOST:PORT" help:"Where /metrics, /healthz and /readyz are served (default: 127.0.0.1:9180, or any free port of 127.0.0.1)."`
	command.Logging
	Traces tracing.Flags `embed:""`
}

// Validate is called by kong.
func (r *run) Validate() error {
	var errs []error
	if r.CommitInterval < time.Millisecond || r.CommitInterval > time.Second {
		errs = append(errs, fmt.Errorf("--commit-interval must be from 1ms to 1s, not %s", r.CommitInterval))
	}
	if r.CheckpointInterval < 100*time.Millisecond || r.CheckpointInterval > time.Minute {
		errs = append(errs, fmt.Errorf("--checkpoint-interval must be from 100ms to 1m, not %s", r.CheckpointInterval))
	}
	if r.Memory < 16<<20 {
		errs = append(errs, errors.New("--memory must be at least 16MiB"))
	}
	if r.Group == "" {
		errs = append(errs, errors.New("--group must have a name: processes of one group share the work"))
	}
	if r.Listen != "" {
		errs = append(errs, command.ListenAddress("listen", r.Listen))
	}
	return errors.Join(append(errs, r.Traces.Validate())...)
}

// Run is called by main.
func (r *run) Run(ctx context.Context) error {
	log := r.Logger()
	connection, err := r.Connection()
	if err != nil {
		return err
	}
	connection.Log = log
	var partners *partner.Partners
	if r.Partners != "" {
		if partners, err = partner.Load(r.Partners); err != nil {
			return err
		}
	}
	if r.Campaigns != "" {
		if err := r.publish(ctx, connection, partners, log); err != nil {
			return err
		}
	}
	traces, err := r.Traces.Start("stampede-processor", command.ThisBuild().Version, log)
	if err != nil {
		return err
	}
	defer traces.Close()
	p, err := newProcess(stream.Config{
		Connection: connection, Topics: r.Topics(), Group: r.Group, Instance: r.Instance, Partners: partners,
		CommitInterval: r.CommitInterval, CheckpointInterval: r.CheckpointInterval, Compression: codecs[r.Compression], Traces: traces.Provider(), Log: log,
	}, state.Config{Dir: r.State, MemoryBytes: int64(r.Memory), Sync: r.Sync, Log: log}, r.Listen, traces.Collectors()...)
	if err != nil {
		return err
	}
	boundHeap(int64(r.Memory))
	log.Info("processor starts", "build", command.ThisBuild().String(), "brokers", connection.Brokers, "state", r.State, "group", r.Group, "listen", p.server.address())
	err = p.run(ctx)
	if err == nil {
		log.Info("processor has stopped in order")
	}
	return err
}

// codecs are what --compression may be.
var codecs = map[string]kgo.CompressionCodec{
	"none":   kgo.NoCompression(),
	"snappy": kgo.SnappyCompression(),
	"lz4":    kgo.Lz4Compression(),
	"zstd":   kgo.ZstdCompression(),
}

// gcPercent is how much the heap may grow between two collections where there is memory: most of it is ledgers that stay. With the default of 100,
// collecting was a tenth of a backlog's CPU.
const gcPercent = 400

// boundHeap has the garbage collector keep the process within its memory. Who sets Go's own variables knows better.
func boundHeap(memory int64) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(state.HeapBytes(memory))
	}
}

// publish adds what the directory has and is not in force yet. What can't be added is told and stops nothing: a processor that starts with
// yesterday's files is to work by what was published since.
func (r *run) publish(ctx context.Context, connection kafka.Connection, partners *partner.Partners, log *slog.Logger) error {
	campaigns, err := loadCampaigns(r.Campaigns)
	if err != nil {
		return err
	}
	done, err := stream.Publish{Connection: connection, Topics: r.Topics(), Campaigns: campaigns, Partners: partners.Names(), Add: true}.Run(ctx)
	if err != nil {
		return fmt.Errorf("publish the campaigns in %s: %w", r.Campaigns, err)
	}
	tellAdded(log, r.Campaigns, done)
	return nil
}

// tellAdded logs what a publish at start did, and what it left.
func tellAdded(log *slog.Logger, dir string, done *stream.Publication) {
	for _, c := range done.Changes {
		if c.Written {
			log.Info("campaign "+c.Did, "campaign", c.ID, "version", c.Version)
		}
	}
	for _, why := range done.Refused {
		log.Warn("a campaign file is not in force: what was published before stays", "directory", dir, "why", why)
	}
	for _, c := range done.Left {
		log.Warn("a campaign is in force and not in the directory: it stays; `processor publish` withdraws it", "directory", dir, "campaign", c.ID, "version", c.Version)
	}
}

// process is a worker with its store and its HTTP server.
type process struct {
	store  *state.Store
	worker *stream.Worker
	server *server
}

// newProcess opens the store and the port; more is what else its metrics are. What it returns is to be run, which closes both.
func newProcess(cfg stream.Config, store state.Config, listen string, more ...prometheus.Collector) (*process, error) {
	var err error
	p := &process{}
	if p.store, err = state.Open(store); err != nil {
		return nil, err
	}
	registry := prometheus.NewRegistry()
	cfg.Store, cfg.Metrics, cfg.ClientMetrics = p.store, stream.NewMetrics(), &kafka.ClientMetrics{}
	p.worker = stream.NewWorker(cfg)
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		cfg.Metrics, stream.StoreCollector(p.store), diskFree(store.Dir), command.ThisBuild().Collector())
	registry.MustRegister(more...)
	if p.server, err = newServer(listen, prometheus.Gatherers{registry, cfg.ClientMetrics}, p.worker.Status); err != nil {
		return nil, errors.Join(err, p.store.Close())
	}
	return p, nil
}

// run works until ctx ends, and then ends in order.
func (p *process) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	working, done := context.WithCancel(context.WithoutCancel(ctx))
	g.Go(func() error {
		defer done() // /readyz is answered as long as anything is worked on
		return p.worker.Run(ctx)
	})
	g.Go(func() error { return p.server.run(working) })
	err := g.Wait()
	if closed := p.store.Close(); !errors.Is(err, state.ErrBroken) { // else it has been said why the store can't be closed
		err = errors.Join(err, closed)
	}
	return err
}
