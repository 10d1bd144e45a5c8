package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/stampede-rewards/stampede/internal/command"
	"github.com/stampede-rewards/stampede/internal/doctor"
	"github.com/stampede-rewards/stampede/internal/kafka"
	"github.com/stampede-rewards/stampede/internal/partner"
)

// diagnose looks at what a processor depends on and says what is wrong. Its flags are those of run, so that it can be given the same.
type diagnose struct {
	kafka.Flags
	Partners string       `env:"STAMPEDE_PARTNERS" type:"existingfile" placeholder:"FILE" help:"The processors' file of partners: their topics are then looked at, too (default: none)."`
	State    string       `env:"STAMPEDE_STATE" placeholder:"DIR" help:"The store's directory, which need not be there yet; a processor may work on it meanwhile (default: the disk is not looked at)."`
	Group    string       `env:"STAMPEDE_GROUP" default:"stampede" placeholder:"NAME" help:"The processors' consumer group (${default})."`
	Instance string       `env:"STAMPEDE_INSTANCE" placeholder:"NAME" help:"A processor's name in the group, where it is given one (default: none)."`
	Memory   command.Size `env:"STAMPEDE_MEMORY" default:"256MiB" placeholder:"SIZE" help:"What the store may hold in memory (${default})."`

	Sample int           `default:"10000" placeholder:"N" help:"How many of the newest events are looked at for the rules by which producers choose partitions (${default})."`
	Watch  time.Duration `default:"3s" help:"How long new events are waited for, to compare clocks (${default})."`
	Format string        `enum:"text,json" default:"text" help:"text, or json: one object a line (${default})."`
}

// Validate is called by kong.
func (d *diagnose) Validate() error {
	var errs []error
	if d.Sample < 1 || d.Sample > 10_000_000 {
		errs = append(errs, fmt.Errorf("--sample must be from 1 to 10000000, not %d", d.Sample))
	}
	if d.Watch < 0 || d.Watch > 10*time.Minute {
		errs = append(errs, fmt.Errorf("--watch must be from 0s to 10m, not %s", d.Watch))
	}
	return errors.Join(errs...)
}

// Run is called by main.
func (d *diagnose) Run(ctx context.Context) error {
	connection, err := d.Connection()
	if err != nil {
		return err
	}
	partners := &partner.Partners{}
	if d.Partners != "" {
		if partners, err = partner.Load(d.Partners); err != nil {
			return err
		}
	}
	cfg := doctor.Config{
		Connection: connection, Topics: d.Topics(), Group: d.Group, Instance: d.Instance, Principal: cmp.Or(connection.Security.Principal(), "User:NAME"),
		State: d.State, MemoryBytes: int64(d.Memory), Sample: d.Sample, Watch: d.Watch,
	}
	cfg.Topics.Names.Outcomes = partners.Topics()
	t := teller{format: d.Format}
	doctor.Examine(ctx, cfg, t.tell)
	if err := errors.Join(ctx.Err(), t.end()); err != nil {
		return err
	}
	if n := t.count[doctor.Wrong]; n > 0 {
		return fmt.Errorf("%w: %d", errWrong, n)
	}
	return nil
}

// errWrong means that something is; it has been told.
var errWrong = errors.New("findings that are wrong")

// teller writes findings as they come.
type teller struct {
	format string
	count  map[doctor.Severity]int
	area   []doctor.Finding // for people: those of one area wait for each other
	failed error
}

func (t *teller) tell(f doctor.Finding) {
	if t.count == nil {
		t.count = map[doctor.Severity]int{}
	}
	t.count[f.Severity]++
	if t.format == "json" {
		encoder := json.NewEncoder(os.Stdout)
		encoder.SetEscapeHTML(false)
		t.failed = errors.Join(t.failed, encoder.Encode(f))
		return
	}
	if len(t.area) > 0 && t.area[0].Area != f.Area {
		t.tellArea()
	}
	t.area = append(t.area, f)
}

// end writes what has waited, and the sum.
func (t *teller) end() error {
	if t.format == "text" {
		t.tellArea()
		fmt.Printf("%d wrong, %d to improve, %d right, %d not checked\n", t.count[doctor.Wrong], t.count[doctor.Advice], t.count[doctor.OK], t.count[doctor.Unchecked])
	}
	return t.failed
}

// tellArea writes for people: what is right in a line, the rest with why and what to do, and what is the same of several places once.
func (t *teller) tellArea() {
	var text strings.Builder
	places := map[doctor.Finding][]string{}
	for _, f := range t.area {
		places[anywhere(f)] = append(places[anywhere(f)], f.Place)
	}
	for i, f := range t.area {
		if i == 0 {
			fmt.Fprintln(&text, f.Area)
		}
		if places[anywhere(f)][0] != f.Place {
			continue // it stands there
		}
		fmt.Fprintf(&text, "  %-11s  %s: %s\n", f.Severity, strings.Join(places[anywhere(f)], ", "), f.What)
		for _, more := range []struct{ word, text string }{{"why", f.Why}, {"do", f.Mend}} {
			if more.text != "" {
				fmt.Fprintf(&text, "  %-11s    %s: %s\n", "", more.word, more.text)
			}
		}
	}
	t.area = nil
	_, err := os.Stdout.WriteString(text.String())
	t.failed = errors.Join(t.failed, err)
}

// anywhere is a finding without its place.
func anywhere(f doctor.Finding) doctor.Finding {
	f.Place = ""
	return f
}
