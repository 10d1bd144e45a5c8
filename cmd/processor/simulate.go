package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/stampede-rewards/stampede/internal/ndjson"
	"github.com/stampede-rewards/stampede/pkg/campaign"
)

// input is what the engine runs on without Kafka.
type input struct {
	Campaigns string `type:"existingdir" required:"" help:"The directory of campaign files."`
	Events    string `type:"existingfile" default:"-" help:"The events, one CloudEvent a line; - is stdin."`
}

// open loads the campaigns and opens the events.
func (i input) open() (*campaign.Set, io.ReadCloser, error) {
	set, err := campaign.Load(os.DirFS(i.Campaigns), ".")
	if err != nil {
		return nil, nil, err
	}
	in, err := ndjson.Open(i.Events)
	return set, in, err
}

// simulate runs the engine alone over events in a file's order: CloudEvents as NDJSON, `recordedtime` for the clock, else
// `time`; the user is `subject` (campaigns.md, section 9). Rewards go to stdout as NDJSON, a summary to stderr.
type simulate struct {
	input
	Decisions   string `help:"Where to write what became of each event in each campaign, as NDJSON."`
	DeadLetters string `help:"Where to write the lines that can't be processed, with their reasons."`
}

// Run is called by main.
func (s *simulate) Run(ctx context.Context) (err error) {
	set, in, err := s.open()
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // it was only read
	deadLetters := io.Discard
	if s.DeadLetters != "" {
		f, err := os.Create(s.DeadLetters)
		if err != nil {
			return fmt.Errorf("create dead letters: %w", err)
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		deadLetters = f
	}
	out := bufio.NewWriter(os.Stdout)
	defer func() { err = errors.Join(err, out.Flush()) }()
	simulation := newSimulation(set, out, deadLetters)
	if s.Decisions != "" {
		f, err := os.Create(s.Decisions)
		if err != nil {
			return fmt.Errorf("create decisions: %w", err)
		}
		decisions := bufio.NewWriter(f)
		defer func() { err = errors.Join(err, decisions.Flush(), f.Close()) }()
		simulation.tell(writeDecisions(decisions))
	}
	if err := simulation.run(ctx, in); err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, simulation.summary())
	return nil
}

// writeDecisions writes one object for each decision. What can't be written is told when the file is closed.
func writeDecisions(to io.Writer) func(*campaign.Event, *campaign.Result) {
	encoder := json.NewEncoder(to)
	return func(ev *campaign.Event, r *campaign.Result) {
		for _, d := range r.Decisions {
			_ = encoder.Encode(decision{ev.User, ev.Source, ev.ID, d.Campaign.ID, d.Decision.String(), d.Detail})
		}
	}
}

// decision is what became of an event in a campaign.
type decision struct {
	User     string `json:"user"`
	Source   string `json:"source"`
	ID       string `json:"id"`
	Campaign string `json:"campaign"`
	Decision string `json:"decision"`
	Detail   string `json:"detail,omitempty"`
}

// simulation is the engine with a ledger a user. Memory grows with the users, not with the file.
type simulation struct {
	engine      *campaign.Engine
	ledgers     map[string]*campaign.Ledger
	out         io.Writer
	deadLetters io.Writer

	decoder campaign.Decoder
	event   campaign.Event
	clock   int64

	// decided, where it is set, is told of every event that was applied.
	decided func(ev *campaign.Event, r *campaign.Result)

	events, rewards, rejected int
}

func newSimulation(set *campaign.Set, out, deadLetters io.Writer) *simulation {
	return &simulation{engine: campaign.NewEngine(set, 0), ledgers: map[string]*campaign.Ledger{}, out: out, deadLetters: deadLetters}
}

func (s *simulation) run(ctx context.Context, in io.Reader) error {
	lines := ndjson.NewReader(in, campaign.DefaultEventBytes)
	for {
		line, n, cut, err := lines.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("read events: %w", err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.line(n, line, cut); err != nil {
			return err
		}
	}
	return nil
}

// tell lets somebody see what became of every event.
func (s *simulation) tell(decided func(*campaign.Event, *campaign.Result)) {
	s.engine.TellDetails()
	s.decided = decided
}

func (s *simulation) summary() string {
	return fmt.Sprintf("%d events of %d users: %d rewards, %d dead letters", s.events, len(s.ledgers), s.rewards, s.rejected)
}

// envelope is what a file says in the place of a Kafka record's key and timestamp.
type envelope struct {
	Subject      string `json:"subject"`
	Time         string `json:"time"`
	RecordedTime string `json:"recordedtime"`
}

// clock is when the event was recorded, else when it happened; 0 if neither can be read.
func (e envelope) clock() int64 {
	for _, s := range []string{e.RecordedTime, e.Time} {
		if t, err := time.Parse(time.RFC3339, s); err == nil {
			return t.UnixMilli()
		}
	}
	return 0
}

func (s *simulation) line(n int, line []byte, cut bool) error {
	s.events++
	if cut {
		return s.reject(n, line, &campaign.Rejection{
			Reason: campaign.ReasonTooLarge, Detail: fmt.Sprintf("the line is longer than %d bytes; this is its beginning", campaign.DefaultEventBytes),
		})
	}
	var e envelope
	if json.Unmarshal(line, &e) != nil {
		e = envelope{Subject: "unknown"} // the decoder tells what is wrong with the line
	}
	s.clock = max(s.clock, e.clock()) // E2: it never runs backwards
	rejection := s.decoder.Decode(&campaign.Record{Key: []byte(e.Subject), Value: line, Clock: s.clock}, &s.event)
	if rejection != nil {
		return s.reject(n, line, rejection)
	}
	l := s.ledgers[s.event.User]
	if l == nil {
		l = &campaign.Ledger{}
		s.ledgers[string([]byte(s.event.User))] = l
	}
	result := s.engine.Apply(l, &s.event, s.clock)
	if result.Rejection != nil {
		return s.reject(n, line, result.Rejection)
	}
	if s.decided != nil {
		s.decided(&s.event, result)
	}
	for i := range result.Rewards {
		s.rewards++
		if _, err := s.out.Write(append(result.Rewards[i].AppendJSON(nil), '\n')); err != nil {
			return fmt.Errorf("write reward: %w", err)
		}
	}
	return nil
}

// deadLetter is a line that can't be processed: its bytes, its place and the reason (E6).
type deadLetter struct {
	Line   int             `json:"line"`
	Reason campaign.Reason `json:"reason"`
	Detail string          `json:"detail"`
	Value  []byte          `json:"value"` // base64: it need not be text
}

func (s *simulation) reject(n int, line []byte, why *campaign.Rejection) error {
	s.rejected++
	if err := json.NewEncoder(s.deadLetters).Encode(deadLetter{n, why.Reason, why.Detail, line}); err != nil {
		return fmt.Errorf("write dead letter: %w", err)
	}
	return nil
}
