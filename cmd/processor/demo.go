package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/stampede-rewards/stampede/deploy"
	"github.com/stampede-rewards/stampede/internal/command"
	"github.com/stampede-rewards/stampede/internal/kafka"
	"github.com/stampede-rewards/stampede/internal/stream"
	"github.com/stampede-rewards/stampede/internal/workload"
	"github.com/stampede-rewards/stampede/pkg/campaign"
	"github.com/stampede-rewards/stampede/pkg/state"
)

// demo is everything in one process: a broker, a generator of events, a processor, and a reader of the rewards.
type demo struct {
	Dir       string `default:"stampede-demo" help:"Where the broker and the store keep their data (${default}). Remove it to begin anew."`
	Brokers   string `placeholder:"HOST:PORT,..." help:"Use this Kafka instead of the embedded broker."`
	Campaigns string `type:"existingdir" help:"A directory of campaign files (default: the examples, which are in the program)."`
	Rate      int    `default:"1000" help:"Events a second (${default})."`
	Users     int    `default:"20000" help:"How many users the events are of (${default})."`
	Seed      uint64 `default:"1" help:"Another seed draws other events (${default})."`
	Count     uint64 `default:"0" help:"End when so many more events are processed; 0 is at Ctrl-C (${default})."`
	Listen    string `placeholder:"HOST:PORT" help:"Where /metrics is served (default: 127.0.0.1:9180, or any free port of 127.0.0.1)."`
}

const (
	// demoPort is where the embedded broker listens, if it is free: the commands that are shown stay the same.
	demoPort   = 19092
	demoMemory = 64 << 20
	// countWait is how often it is looked whether Count events are processed.
	countWait = 20 * time.Millisecond
)

// Validate is called by kong.
func (d *demo) Validate() error {
	var errs []error
	if d.Rate < 1 || d.Users < 1 {
		errs = append(errs, errors.New("--rate and --users must be at least 1"))
	}
	if d.Listen != "" {
		errs = append(errs, command.ListenAddress("listen", d.Listen))
	}
	return errors.Join(errs...)
}

// Run is called by main.
func (d *demo) Run(ctx context.Context) (err error) {
	campaigns, err := campaign.Load(d.campaigns())
	if err != nil {
		return err
	}
	connection, closeBroker, err := d.broker()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeBroker()) }()
	connection.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))

	asking, err := connection.Client(ctx)
	if err != nil {
		return err
	}
	defer asking.Close()
	topics, err := kafka.EnsureTopics(ctx, asking, kafka.TopicsConfig{})
	if err != nil {
		return err
	}
	published, err := stream.Publish{Connection: connection, Campaigns: campaigns, Add: true}.Run(ctx) // before any event is sent
	if err != nil {
		return err
	}
	tellAdded(connection.Log, d.campaignsDir(), published)
	p, err := newProcess(stream.Config{Connection: connection, Log: connection.Log},
		state.Config{Dir: filepath.Join(d.Dir, "state"), MemoryBytes: demoMemory, Log: connection.Log}, d.Listen)
	if err != nil {
		return err
	}
	display := newDisplay(os.Stdout)
	display.begin(d.welcome(connection, campaigns, p.server.address()))

	// The processor outlives the generator and the display, so that what was produced is processed and shown.
	processing, endProcessing := context.WithCancel(context.WithoutCancel(ctx))
	var processor errgroup.Group
	failed := make(chan struct{})
	processor.Go(func() error {
		defer close(failed)
		return p.run(processing)
	})
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		select {
		case <-failed:
			return errors.New("the processor has ended")
		case <-ctx.Done():
			return nil
		}
	})
	g.Go(func() error {
		defer stop()
		if err := d.generate(ctx, connection, topics); err != nil {
			return err
		}
		for ctx.Err() == nil && p.worker.Status().Events < int64(d.Count) { //nolint:gosec // nobody waits for so many
			time.Sleep(countWait)
		}
		return nil
	})
	rewards := make(chan reward, 1)
	g.Go(func() error { return readRewards(ctx, connection, topics.Rewards.Name, rewards) })
	g.Go(func() error { display.run(ctx, p, rewards); return nil })
	err = g.Wait()
	endProcessing()
	err = errors.Join(processor.Wait(), err)
	display.end(p.worker.Status())
	return err
}

func (d *demo) campaigns() (fs.FS, string) {
	if d.Campaigns != "" {
		return os.DirFS(d.Campaigns), "."
	}
	return deploy.Examples, "campaigns"
}

// campaignsDir is what the directory is called in what is told.
func (d *demo) campaignsDir() string {
	if d.Campaigns != "" {
		return d.Campaigns
	}
	return "deploy/campaigns"
}

// broker is the Kafka that was named, or one inside this process.
func (d *demo) broker() (kafka.Connection, func() error, error) {
	if d.Brokers != "" {
		brokers, err := kafka.ParseBrokers(d.Brokers)
		return kafka.Connection{Brokers: brokers}, func() error { return nil }, err
	}
	embedded, err := kafka.StartEmbedded(kafka.EmbeddedConfig{Dir: filepath.Join(d.Dir, "broker"), Port: demoPort})
	if errors.Is(err, kafka.ErrEmbeddedInUse) {
		return kafka.Connection{}, nil, fmt.Errorf("a demo is running in %s: end it, or give this one a --dir of its own", d.Dir)
	}
	if err != nil {
		return kafka.Connection{}, nil, err
	}
	return kafka.Connection{Brokers: embedded.Brokers()}, embedded.Close, nil
}

// generate goes on with the event behind the last one in the topic.
func (d *demo) generate(ctx context.Context, c kafka.Connection, topics kafka.TopicsState) error {
	ends, err := c.Ends(ctx, topics.Events.Name)
	if err != nil {
		return err
	}
	var from uint64
	for _, end := range ends {
		from += uint64(end) //nolint:gosec // offsets are not negative
	}
	cl, err := c.Client(ctx, topics.BatchBytes())
	if err != nil {
		return err
	}
	defer cl.Close()
	p := workload.Producer{
		Generator: workload.New(workload.Config{Seed: d.Seed, Users: d.Users}),
		Client:    cl, Topic: topics.Events.Name, Rate: d.Rate, From: from, Count: d.Count,
	}
	return p.Run(ctx)
}

// readRewards reads new rewards as fulfilment would, and offers each; one that nobody takes is not shown.
func readRewards(ctx context.Context, c kafka.Connection, topic string, rewards chan<- reward) error {
	cl, err := c.Client(ctx, kgo.ConsumeTopics(topic), kgo.ConsumeStartOffset(kgo.NewOffset().AtEnd()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		return err
	}
	defer cl.Close()
	for {
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil // the demo ends
		}
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("read %s: %w", topic, err)
		}
		for iter := fetches.RecordIter(); !iter.Done(); {
			r, err := parseReward(iter.Next().Value)
			if err != nil {
				return err
			}
			select {
			case rewards <- r:
			default:
			}
		}
	}
}

// welcome says what is running and what to try.
func (d *demo) welcome(c kafka.Connection, campaigns *campaign.Set, listen string) welcome {
	brokers := strings.Join(c.Brokers, ",")
	w := welcome{Brokers: brokers, Embedded: d.Brokers == "", Data: d.Dir, Metrics: "http://" + listen + "/metrics"}
	for _, c := range campaigns.Campaigns() {
		w.Campaigns = append(w.Campaigns, c.Title)
	}
	w.Try = []string{
		"curl -s " + w.Metrics + " | grep ^stampede_",
		"go run ./cmd/producer send --brokers " + brokers + " deploy/example-events.ndjson",
		"go run ./cmd/producer generate --brokers " + brokers + " --rate 5000 --users 100000 --seed 2",
		"go run ./cmd/processor campaigns --brokers " + brokers,
		"go run ./cmd/processor publish --brokers " + brokers + " " + d.campaignsDir() + "   # after you have changed one, and raised its version",
		"go run ./cmd/processor run --brokers " + brokers + " --state " + filepath.Join(d.Dir, "second") + "   # takes over half of the partitions",
	}
	return w
}
