// Command producer puts events into Kafka: from files, or drawn at random for a load. Each subcommand is a file of its own;
// main only wires.
package main

import "github.com/stampede-rewards/stampede/internal/command"

// commands are the subcommands: flags, help and environment are declared here and nowhere else.
type commands struct {
	Send     send     `cmd:"" help:"Send the events of files or stdin, one CloudEvent a line."`
	Generate generate `cmd:"" help:"Send events drawn at random, as users of the example campaigns produce them."`
}

func main() {
	command.Main("producer", "Stampede: events into Kafka, keyed by user.", &commands{}, nil)
}
