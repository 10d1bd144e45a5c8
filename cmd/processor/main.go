// Command processor runs campaigns. Each subcommand is a file of its own; main only wires.
package main

import (
	"github.com/alecthomas/kong"

	"github.com/stampede-rewards/stampede/internal/command"
)

// commands are the subcommands: flags, help and environment are declared here and nowhere else.
type commands struct {
	Version kong.VersionFlag `help:"Print what this program was built from, and exit."`
	command.File

	Demo     demo         `cmd:"" help:"Show everything at once: a broker, events, a processor and the rewards, with nothing else installed."`
	Run      run          `cmd:"" help:"Work on the events of a Kafka until told to stop."`
	Doctor   diagnose     `cmd:"" section:"run" help:"Look at the brokers, topics, permissions, clocks, producers, disk and limits, and say what is wrong and how to mend it."`
	Ready    ready        `cmd:"" section:"run" help:"Ask a processor of this machine whether it works on all that it is assigned; exit code 0 if so."`
	Publish  publish      `cmd:"" help:"Put the campaigns of a directory in force, and withdraw those that it has not."`
	InForce  inForce      `cmd:"" name:"campaigns" help:"List the campaigns that are in force, and how many users are under way in each."`
	Budgets  budgets      `cmd:"" help:"Show what each budget has granted and denied, what is left, and when it runs out at that rate."`
	Export   export       `cmd:"" help:"Print everything that is known of a user, and the user's records, as JSON."`
	Erase    erase        `cmd:"" help:"Have a user erased, or report what Kafka still has of one."`
	Push     push         `cmd:"" help:"Deliver a partner's outcomes by HTTP, or to Parquet files."`
	Report   report       `cmd:"" help:"Count a partner's outcomes, and hide what is about few users."`
	Check    check        `cmd:"" help:"Read campaign files and report every mistake with its place."`
	Test     test         `cmd:"" help:"Run scenarios: what users do, and which rewards that must give."`
	Explain  explain      `cmd:"" help:"Tell where a user stands in every campaign, and what became of each event."`
	Schema   schema       `cmd:"" help:"Print the JSON Schema of campaign files or of sponsors' files, for editors."`
	Letters  deadLetters  `cmd:"" name:"dead-letters" help:"Look at the records that could not be processed, and send them again."`
	Config   command.Show `cmd:"" passthrough:"" set:"of=run" help:"Print what a command would work by, and where each setting is from; secrets are not shown."`
	Simulate simulate     `cmd:"" help:"Run campaigns over a file of events, without Kafka."`
}

func main() {
	command.Main("processor", "Stampede: exactly-once rewards on Kafka.", &commands{}, tellMistakes)
}
