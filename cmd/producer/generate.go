package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/stampede-rewards/stampede/internal/kafka"
	"github.com/stampede-rewards/stampede/internal/workload"
)

// generate sends events drawn at random. Event number k of a seed has always the same id and content, so that a run can be
// repeated; sent twice, it counts once.
type generate struct {
	kafka.EventsFlags
	Rate  int    `default:"1000" help:"Events a second; 0 is as fast as the broker takes them (${default})."`
	Users int    `default:"10000" help:"How many users the events are of (${default})."`
	Days  int    `default:"10" help:"Events happened up to so many days ago (${default})."`
	Seed  uint64 `default:"1" help:"Another seed draws other events (${default})."`
	From  uint64 `default:"0" help:"Number of the first event: go on where an earlier run ended (${default})."`
	Count uint64 `default:"0" help:"How many events; 0 is until Ctrl-C (${default})."`
	Odd   bool   `help:"Also what producers do wrong: events sent twice, far too late, not JSON."`
}

// Validate is called by kong.
func (g *generate) Validate() error {
	if g.Users < 1 || g.Days < 1 || g.Rate < 0 {
		return fmt.Errorf("--users and --days must be at least 1 and --rate not negative")
	}
	return nil
}

// Run is called by main.
func (g *generate) Run(ctx context.Context) error {
	connection, err := g.Connection()
	if err != nil {
		return err
	}
	cl, topics, err := connect(ctx, connection, g.Topics())
	if err != nil {
		return err
	}
	defer cl.Close()
	p := workload.Producer{
		Generator: workload.New(workload.Config{Seed: g.Seed, Users: g.Users, Days: g.Days, Odd: g.Odd}),
		Client:    cl, Topic: topics.Events.Name, Rate: g.Rate, From: g.From, Count: g.Count,
	}
	begun := time.Now()
	stop := onTerminal(ctx, func() string {
		return fmt.Sprintf("%d events sent, %.0f/s", p.Sent(), float64(p.Sent())/time.Since(begun).Seconds())
	})
	err = p.Run(ctx)
	stop()
	fmt.Fprintf(os.Stderr, "%d events sent to %s, %.0f/s; --from %d goes on here\n",
		p.Sent(), topics.Events.Name, float64(p.Sent())/time.Since(begun).Seconds(), g.From+p.Sent())
	return err
}
