// Command bench measures what Stampede costs: events per CPU-second, latency, restarts, memory. It builds the processor, runs it as a process of its
// own against a broker that is another process, and writes a table, the same as JSON, and a CPU profile for each row.
//
// A row of the table is one file here; rows.go lists them with what is asked of each. What all of them do is rig.go: brokers, processors, what
// those use. job.go is the work: ten campaigns and the events of their users.
//
// What is counted is CPU-seconds of the processor process alone, from its first instruction to its last: other work on the machine changes them
// little, and the wall clock much. Ratios are taken between runs that follow each other. A row runs several times; its figure is the median, with the
// smallest and the largest beside it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stampede-rewards/stampede/internal/command"
)

type commands struct {
	Run     runRows     `cmd:"" default:"withargs" help:"Run rows, and write what they came to."`
	Compare compare     `cmd:"" help:"Run rows with the programs of another revision and of this one, in turn, for benchstat."`
	List    list        `cmd:"" help:"List the rows."`
	Broker  serveBroker `cmd:"" hidden:"" help:"Be the broker in memory, for a row."`
}

func main() {
	command.Main("bench", "What Stampede costs.", &commands{}, nil)
}

// runRows runs what was asked for.
type runRows struct {
	Row     []string `placeholder:"NAME,..." help:"Only these rows (default: all)."`
	Times   int      `default:"3" help:"How often each is run; the figure is the median (${default})."`
	Small   int      `default:"1" placeholder:"N" help:"Take only the N-th part of the users and events: to try a row out, and no figure to tell anybody (${default})."`
	Brokers string   `placeholder:"HOST:PORT,..." help:"A real Kafka for the rows that want one; without it they are left out, and said to be."`
	Profile bool     `default:"true" negatable:"" help:"Run each row once more for its CPU profile (${default})."`
	Out     string   `default:"bench-results" type:"path" placeholder:"DIR" help:"Where the table and the profiles go (${default})."`
}

// Validate is called by kong.
func (r *runRows) Validate() error { return validRows(r.Row, r.Times, r.Small) }

func validRows(names []string, times, small int) error {
	var errs []error
	if times < 1 || small < 1 {
		errs = append(errs, errors.New("--times and --small must be at least 1"))
	}
	for _, name := range names {
		if !slices.ContainsFunc(rows, func(row row) bool { return row.name == name }) {
			errs = append(errs, fmt.Errorf("there is no row %q: `bench list` shows them", name))
		}
	}
	return errors.Join(errs...)
}

// Run is called by main.
func (r *runRows) Run(ctx context.Context) (err error) {
	if err := os.MkdirAll(r.Out, 0o755); err != nil {
		return err
	}
	scratch, err := os.MkdirTemp("", "stampede-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	if err := build(ctx, ".", scratch); err != nil {
		return err
	}
	report, err := newReport(ctx, r, scratch)
	if err != nil {
		return err
	}
	for i := range rows {
		row := &rows[i]
		if len(r.Row) > 0 && !slices.Contains(r.Row, row.name) {
			continue
		}
		if row.real && r.Brokers == "" {
			fmt.Fprintf(os.Stderr, "%s: left out, it wants --brokers\n", row.name)
			report.leftOut(row, "no real Kafka was named")
			continue
		}
		rig := &rig{programs: scratch, scratch: scratch, small: r.Small, brokers: strings.Split(r.Brokers, ",")}
		if err := r.measure(ctx, row, rig, report); err != nil {
			return fmt.Errorf("%s: %w", row.name, err)
		}
		if err := report.write(r.Out); err != nil { // after each row: a long run may be ended before its last
			return err
		}
	}
	return nil
}

// measure runs a row as often as it is to be run, and once more for its profile, of which no figure is taken.
func (r *runRows) measure(ctx context.Context, row *row, rig *rig, report *report) error {
	for n := range r.Times {
		fmt.Fprintf(os.Stderr, "%s, %d of %d: %s\n", row.name, n+1, r.Times, row.what)
		before, err := measurePace()
		if err != nil {
			return err
		}
		figures, err := row.run(ctx, rig)
		if err != nil {
			return err
		}
		after, err := measurePace()
		if err != nil {
			return err
		}
		figures[pace.name] = (before + after) / 2
		fmt.Fprintf(os.Stderr, "%s, %d of %d: %s\n", row.name, n+1, r.Times, row.show(figures))
		report.add(row, figures)
	}
	if !r.Profile || row.noProfile {
		return nil
	}
	rig.profile = filepath.Join(r.Out, row.name+".pprof")
	_, err := row.run(ctx, rig)
	return err
}

// list prints the rows.
type list struct{}

// Run is called by main.
func (list) Run() error {
	for _, row := range rows {
		fmt.Printf("%-18s %s\n", row.name, row.what)
	}
	return nil
}
