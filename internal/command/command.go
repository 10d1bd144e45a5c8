// Package command runs a program's subcommands: it parses what was typed, ends them at Ctrl-C or SIGTERM, and tells errors to
// people. Beside that stands what subcommands have in common: flags, the log and which repeats it leaves out, the build, and answering by HTTP until the end.
//
// # Settings
//
// A flag with an env tag is a setting: what an installation says, not a call. It can be typed, be in the environment, or stand in a YAML file
// (--config), under the flag's name; the struct's field is its only declaration. What was typed goes before the environment, that before the file,
// and the file before the default (settings.go).
//
// One file serves all commands of an installation, of both programs (file.go). A key at the top is for every command that takes it, one below a command's name
// for that command alone. So a program knows the names of the other one's settings: declared/ has them, written from the declarations. A key that no command
// takes is refused; so is a variable whose name is nearly a setting's (environment.go). Whether a value can be a setting's is said by the command that takes it.
//
// What does not go together is told by the Validate methods of the structs of flags, in terms of the flags; where a value is from is added to
// what they say. The tag `of` declares which flags are of no use without which others.
//
// Show prints what a command would work by (show.go). The tag `secret` keeps a value from being shown.
package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
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
	err := program{name, description, subcommands}.run(ctx, os.Args[1:])
	wrong, isMistakes := errors.AsType[mistakes](err)
	switch {
	case err == nil || tell != nil && tell(err):
	case isMistakes:
		fmt.Fprintln(os.Stderr, wrong)
		fmt.Fprintf(os.Stderr, "%s: mistakes in what it was given: %d\n", name, len(wrong))
	case errors.Is(err, context.Canceled):
		fmt.Fprintf(os.Stderr, "%s: interrupted\n", name)
	default:
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
	}
	return err
}

// run runs what was typed, or shows what it would work by.
func (p program) run(ctx context.Context, args []string) error {
	args, show, err := asked(args, p.trace)
	if err != nil {
		return err
	}
	what, err := p.parse(ctx, args)
	switch {
	case err != nil:
		return err
	case show:
		return what.show(os.Stdout)
	}
	return what.Run()
}
