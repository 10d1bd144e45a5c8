// Command producer puts events into Kafka: from files, by HTTP, or drawn at random for a load. Each subcommand is a file of its own;
// main only wires.
package main

import (
	"github.com/alecthomas/kong"

	"github.com/stampede-rewards/stampede/internal/command"
)

// commands are the subcommands: flags, help and environment are declared here and nowhere else.
type commands struct {
	Version kong.VersionFlag `help:"Print what this program was built from, and exit."`
	command.File

	Send     send         `cmd:"" help:"Send the events of files or stdin, one CloudEvent a line."`
	Generate generate     `cmd:"" help:"Send events drawn at random, as users of the example campaigns produce them."`
	Serve    serve        `cmd:"" help:"Take events by HTTP, as CloudEvents, and put them into Kafka."`
	Ready    ready        `cmd:"" section:"serve" help:"Ask a gateway of this machine whether it takes events; exit code 0 if so."`
	Config   command.Show `cmd:"" passthrough:"" set:"of=serve" help:"Print what a command would work by, and where each setting is from; secrets are not shown."`
	Key      key          `cmd:"" help:"Make an API key for the gateway: the key on stderr, its line for the file of keys on stdout."`
}

func main() {
	command.Main("producer", "Stampede: events into Kafka, keyed by user.", &commands{}, nil)
}
