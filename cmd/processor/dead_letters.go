package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/stampede-rewards/stampede/internal/kafka"
	"github.com/stampede-rewards/stampede/internal/stream"
)

// deadLetters looks at the records that could not be processed, and sends them again.
type deadLetters struct {
	List   lettersList   `cmd:"" help:"List the records that could not be processed, and why."`
	Show   lettersShow   `cmd:"" help:"Show one of them whole."`
	Replay lettersReplay `cmd:"" help:"Send them again, each once: when what was wrong is mended."`
}

// letterFlags choose letters.
type letterFlags struct {
	kafka.Flags
	Reason []string  `placeholder:"REASON,..." help:"Only those with one of these reasons, such as future or bad_control."`
	User   string    `placeholder:"USER" help:"Only those of a user."`
	Since  time.Time `placeholder:"TIME" help:"Only those that arrived at or after this RFC 3339 time."`
	Until  time.Time `placeholder:"TIME" help:"Only those that arrived before this RFC 3339 time."`
}

// Validate is called by kong.
func (f *letterFlags) Validate() error {
	if !f.Since.IsZero() && !f.Until.IsZero() && !f.Since.Before(f.Until) {
		return errors.New("--since must be before --until: no dead letter is of both")
	}
	return nil
}

func (f *letterFlags) wants(l *stream.Letter) bool {
	return (len(f.Reason) == 0 || slices.Contains(f.Reason, l.Reason)) && (f.User == "" || string(l.Record.Key) == f.User) &&
		!l.Time.Before(f.Since) && (f.Until.IsZero() || l.Time.Before(f.Until))
}

// letters connects. writes are the topics that are to be written to.
func letters(ctx context.Context, f kafka.Flags, writes ...string) (stream.Letters, error) {
	cfg := f.Topics()
	cfg.Writes = writes
	connection, topics, err := connectAll(ctx, f, cfg, f.DeadLettersTopic)
	return stream.Letters{Connection: connection, Topics: topics}, err
}

// letter is one in a program's eyes.
type letter struct {
	Place    string            `json:"place"` // of the record that could not be processed
	Time     time.Time         `json:"time"`
	Reason   string            `json:"reason"`
	Detail   string            `json:"detail"`
	Key      string            `json:"key,omitempty"`
	Value    string            `json:"value,omitempty"`
	Encoding string            `json:"encoding,omitempty"` // base64, where the value is no UTF-8
	Headers  map[string]string `json:"headers,omitempty"`
	Replayed *time.Time        `json:"replayed,omitempty"`
}

func letterFrom(l *stream.Letter, whole bool) letter {
	out := letter{Place: l.Place(), Time: l.Time, Reason: l.Reason, Detail: l.Detail, Key: string(l.Record.Key)}
	if !l.Replayed.IsZero() {
		at := l.Replayed.UTC()
		out.Replayed = &at
	}
	if !whole {
		return out
	}
	out.Value = string(l.Record.Value)
	if !utf8.Valid(l.Record.Value) {
		out.Value, out.Encoding = base64.StdEncoding.EncodeToString(l.Record.Value), "base64"
	}
	for _, h := range l.Record.Headers {
		if out.Headers == nil {
			out.Headers = map[string]string{}
		}
		out.Headers[h.Key] = string(h.Value)
	}
	return out
}

// lettersList lists.
type lettersList struct {
	letterFlags
	Format string `enum:"text,json" default:"text" help:"text, or json: one object a line (${default})."`
}

// Run is called by main.
func (c *lettersList) Run(ctx context.Context) error {
	ls, err := letters(ctx, c.Flags)
	if err != nil {
		return err
	}
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	encoder := json.NewEncoder(os.Stdout)
	n := 0
	err = ls.Read(ctx, func(l *stream.Letter) error {
		if !c.wants(l) {
			return nil
		}
		n++
		if c.Format == "json" {
			return encoder.Encode(letterFrom(l, false))
		}
		if n == 1 {
			fmt.Fprintln(out, "PLACE\tARRIVED\tREASON\tUSER\tREPLAYED\tDETAIL") //nolint:errcheck // Flush tells it
		}
		replayed := "no"
		if !l.Replayed.IsZero() {
			replayed = l.Replayed.UTC().Format("2006-01-02 15:04 UTC")
		}
		_, err := fmt.Fprintf(out, "%s\t%s\t%s\t%.40q\t%s\t%.100s\n", l.Place(), l.Time.Format("2006-01-02 15:04 UTC"), l.Reason, l.Record.Key, replayed, l.Detail)
		return err
	})
	if err := errors.Join(err, out.Flush()); err != nil {
		return err
	}
	if n == 0 && c.Format == "text" {
		fmt.Fprintln(os.Stderr, "there is no such dead letter")
	}
	return nil
}

// lettersShow shows one.
type lettersShow struct {
	kafka.Flags
	Place string `arg:"" placeholder:"PLACE" help:"The place as list says it, such as events/3@17."`
}

var errShown = errors.New("shown")

// Run is called by main.
func (c *lettersShow) Run(ctx context.Context) error {
	ls, err := letters(ctx, c.Flags)
	if err != nil {
		return err
	}
	err = ls.Read(ctx, func(l *stream.Letter) error {
		if l.Place() != c.Place {
			return nil
		}
		text, err := json.MarshalIndent(letterFrom(l, true), "", "  ")
		if err != nil {
			return err
		}
		fmt.Println(string(text))
		return errShown
	})
	switch {
	case errors.Is(err, errShown):
		return nil
	case err != nil:
		return err
	}
	return fmt.Errorf("there is no dead letter of %s: `processor dead-letters list` lists them", c.Place)
}

// lettersReplay sends them again.
type lettersReplay struct {
	letterFlags
	All    bool `help:"All of them. Without it, say which by a reason, a user or a time."`
	DryRun bool `help:"Only say what would be sent."`
}

// Validate is called by kong.
func (c *lettersReplay) Validate() error {
	some := len(c.Reason) > 0 || c.User != "" || !c.Since.IsZero() || !c.Until.IsZero()
	errs := []error{c.letterFlags.Validate()}
	if c.All && some {
		errs = append(errs, errors.New("--all is for all dead letters, and --reason, --user, --since and --until for some: leave out one or the other"))
	}
	if !c.All && !some {
		errs = append(errs, errors.New("say which dead letters are to be sent again: --reason, --user, --since, --until, or --all"))
	}
	return errors.Join(errs...)
}

// Run is called by main.
func (c *lettersReplay) Run(ctx context.Context) error {
	var writes []string
	if !c.DryRun {
		writes = []string{c.EventsTopic, c.DeadLettersTopic}
	}
	ls, err := letters(ctx, c.Flags, writes...)
	if err != nil {
		return err
	}
	n := 0
	tell := func(l *stream.Letter) {
		n++
		fmt.Printf("%s: %s\n", l.Place(), l.Reason)
	}
	did := "sent again to"
	if c.DryRun {
		did = "would be sent again to"
		err = ls.Read(ctx, func(l *stream.Letter) error {
			if l.Replayed.IsZero() && c.wants(l) {
				tell(l)
			}
			return nil
		})
	} else {
		err = ls.Replay(ctx, c.wants, tell)
	}
	fmt.Fprintf(os.Stderr, "%d events %s %s\n", n, did, ls.Topics.Events.Name)
	return err
}
