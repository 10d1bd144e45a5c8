// Command producer puts events into Kafka: from files, or drawn at random for a load. Each subcommand is a file of its own;
// main only wires.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

// commands are the subcommands: flags, help and environment are declared here and nowhere else.
type commands struct {
	Send     send     `cmd:"" help:"Send the events of files or stdin, one CloudEvent a line."`
	Generate generate `cmd:"" help:"Send events drawn at random, as users of the example campaigns produce them."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if code := run(ctx); code != 0 {
		os.Exit(code)
	}
}

func run(ctx context.Context) int {
	var c commands
	k := kong.Parse(&c,
		kong.Name("producer"),
		kong.Description("Stampede: events into Kafka, keyed by user."),
		kong.UsageOnError(),
		kong.BindTo(ctx, (*context.Context)(nil)))
	err := k.Run()
	switch {
	case err == nil:
		return 0
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(os.Stderr, "producer: interrupted")
	default:
		fmt.Fprintln(os.Stderr, "producer:", err)
	}
	return 1
}
