// Package command runs a program's subcommands: it parses what was typed, ends them at Ctrl-C or SIGTERM, and tells errors to
// people. Beside that stands what subcommands have in common: flags, the log, the build, and answering by HTTP until the end.
package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

// Main runs the subcommand that was typed and exits with 1 if it failed. subcommands is a pointer to a struct as kong declares
// them; their Run may take a context. tell, which may be nil, writes an error that the program shows in a way of its own, or says no.
func Main(name, description string, subcommands any, tell func(error) bool) {
	if run(name, description, subcommands, tell) != nil {
		os.Exit(1)
	}
}

func run(name, description string, subcommands any, tell func(error) bool) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := kong.Parse(subcommands,
		kong.Name(name),
		kong.Description(description),
		kong.UsageOnError(),
		kong.Vars{"version": name + " " + ThisBuild().String()},
		kong.BindTo(ctx, (*context.Context)(nil))).Run()
	switch {
	case err == nil || tell != nil && tell(err):
	case errors.Is(err, context.Canceled):
		fmt.Fprintf(os.Stderr, "%s: interrupted\n", name)
	default:
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
	}
	return err
}
