// Command processor runs campaigns. Each subcommand is a file of its own; main only wires.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/stampede-rewards/stampede/pkg/campaign"
)

// commands are the subcommands: flags, help and environment are declared here and nowhere else.
type commands struct {
	Demo     demo     `cmd:"" help:"Show everything at once: a broker, events, a processor and the rewards, with nothing else installed."`
	Run      run      `cmd:"" help:"Work on the events of a Kafka until told to stop."`
	Check    check    `cmd:"" help:"Read campaign files and report every mistake with its place."`
	Test     test     `cmd:"" help:"Run scenarios: what users do, and which rewards that must give."`
	Explain  explain  `cmd:"" help:"Tell where a user stands in every campaign, and what became of each event."`
	Simulate simulate `cmd:"" help:"Run campaigns over a file of events, without Kafka."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if code := runCommand(ctx); code != 0 {
		os.Exit(code)
	}
}

func runCommand(ctx context.Context) int {
	var c commands
	k := kong.Parse(&c,
		kong.Name("processor"),
		kong.Description("Stampede: exactly-once rewards on Kafka."),
		kong.UsageOnError(),
		kong.BindTo(ctx, (*context.Context)(nil)))
	err := k.Run()
	var mistakes campaign.Mistakes
	switch {
	case err == nil:
		return 0
	case errors.As(err, &mistakes):
		fmt.Fprintln(os.Stderr, mistakes)
		fmt.Fprintf(os.Stderr, "%d mistakes\n", len(mistakes))
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(os.Stderr, "processor: interrupted")
	default:
		fmt.Fprintln(os.Stderr, "processor:", err)
	}
	return 1
}
