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
	set, err := loadCampaigns(i.Campaigns)
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
	Until       string `placeholder:"TIME" help:"Let time pass after the last event to this RFC 3339 time, so that periods and campaigns close."`
	Outcomes    string `placeholder:"FILE" help:"Where to write how campaigns ended for users: achieved, failed or withdrawn, as NDJSON."`
	Decisions   string `placeholder:"FILE" help:"Where to write what became of each event in each campaign, as NDJSON."`
	DeadLetters string `placeholder:"FILE" help:"Where to write the lines that can't be processed, with their reasons."`
}

// parseUntil reads --until: the clock at which a simulation ends, Unix ms; 0, where it is not given, is the last event's.
func parseUntil(until string) (int64, error) {
	if until == "" {
		return 0, nil
	}
	t, err := time.Parse(time.RFC3339, until)
	if err != nil {
		return 0, fmt.Errorf("--until is %q: write an RFC 3339 time, for example 2026-04-01T00:00:00Z", until)
	}
	return t.UnixMilli(), nil
}

// Run is called by main.
func (s *simulate) Run(ctx context.Context) (err error) {
	until, err := parseUntil(s.Until)
	if err != nil {
		return err
	}
	set, in, err := s.open()
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // it was only read
	simulation := newSimulation(set)
	out := bufio.NewWriter(os.Stdout)
	defer func() { err = errors.Join(err, out.Flush()) }()
	simulation.rewards.to = out
	for _, f := range []struct {
		what, name string
		to         *io.Writer
	}{
		{"outcomes", s.Outcomes, &simulation.outcomes.to},
		{"decisions", s.Decisions, &simulation.decisions},
		{"dead letters", s.DeadLetters, &simulation.deadLetters},
	} {
		if f.name == "" {
			continue
		}
		file, err := os.Create(f.name)
		if err != nil {
			return fmt.Errorf("create %s: %w", f.what, err)
		}
		buffered := bufio.NewWriter(file)
		defer func() { err = errors.Join(err, buffered.Flush(), file.Close()) }()
		*f.to = buffered
	}
	if s.Decisions != "" {
		simulation.tell(simulation.writeDecisions)
	}
	if err := simulation.run(ctx, in); err != nil {
		return err
	}
	if err := simulation.advance(until); err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, simulation.summary())
	return nil
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

// simulation is the engine over a file. Memory grows with the users, not with the file.
type simulation struct {
	engine *campaign.Engine
	replay *campaign.Replay

	rewards, outcomes      lines
	decisions, deadLetters io.Writer

	decoder campaign.Decoder
	event   campaign.Event

	// decided, where it is set, is told of every event that was applied, and of what time brought, where ev is nil.
	decided func(user string, ev *campaign.Event, r *campaign.Result) error

	events, rejected int
	dropped          int // of erased users
}

// lines is a file of objects, one a line.
type lines struct {
	to io.Writer
	n  int
}

func (l *lines) write(object []byte) error {
	l.n++
	_, err := l.to.Write(append(object, '\n'))
	return err
}

func newSimulation(set *campaign.Set) *simulation {
	engine := campaign.NewEngine(set, 0)
	replay := campaign.NewReplay(engine)
	replay.DecideAtOnce()
	return &simulation{
		engine: engine, replay: replay,
		rewards: lines{to: io.Discard}, outcomes: lines{to: io.Discard}, decisions: io.Discard, deadLetters: io.Discard,
	}
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
func (s *simulation) tell(decided func(string, *campaign.Event, *campaign.Result) error) {
	s.engine.TellDetails()
	s.decided = decided
}

func (s *simulation) summary() string {
	erased := ""
	if s.dropped > 0 {
		erased = fmt.Sprintf(", %d events of erased users dropped", s.dropped)
	}
	return fmt.Sprintf("%d events of %d users: %d rewards, %d dead letters%s", s.events, s.replay.Users(), s.rewards.n, s.rejected, erased)
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

// advance lets time pass.
func (s *simulation) advance(clock int64) error {
	return s.replay.Advance(clock, func(user string, _ int64, result *campaign.Result) error {
		return s.took(user, nil, result)
	})
}

func (s *simulation) line(n int, line []byte, cut bool) error {
	s.events++
	if cut { // of whom it is cannot be told
		return s.reject(n, line, &campaign.Rejection{
			Reason: campaign.ReasonTooLarge, Detail: fmt.Sprintf("the line is longer than %d bytes; this is its beginning", campaign.DefaultEventBytes),
		})
	}
	var e envelope
	if json.Unmarshal(line, &e) != nil {
		e = envelope{Subject: "unknown"} // the decoder tells what is wrong with the line
	}
	if err := s.advance(e.clock()); err != nil {
		return err
	}
	rejection := s.decoder.Decode(&campaign.Record{Key: []byte(e.Subject), Value: line, Clock: s.replay.Clock()}, &s.event)
	if dropped := s.replay.Drop(&s.event, rejection); dropped != nil {
		s.dropped++
		return s.took(s.event.User, &s.event, dropped)
	}
	if rejection != nil {
		return s.reject(n, line, rejection)
	}
	result := s.replay.Apply(&s.event)
	if result.Rejection != nil {
		return s.reject(n, line, result.Rejection)
	}
	return s.took(s.event.User, &s.event, result)
}

// took writes what an event, or the passing of time, has led to.
func (s *simulation) took(user string, ev *campaign.Event, result *campaign.Result) error {
	if s.decided != nil {
		if err := s.decided(user, ev, result); err != nil {
			return fmt.Errorf("write decision: %w", err)
		}
	}
	for i := range result.Rewards {
		if err := s.rewards.write(result.Rewards[i].AppendJSON(nil)); err != nil {
			return fmt.Errorf("write reward: %w", err)
		}
	}
	for i := range result.Outcomes {
		if err := s.outcomes.write(result.Outcomes[i].AppendJSON(nil)); err != nil {
			return fmt.Errorf("write outcome: %w", err)
		}
	}
	return nil
}

// writeDecisions writes one object for each decision.
func (s *simulation) writeDecisions(_ string, ev *campaign.Event, r *campaign.Result) error {
	encoder := json.NewEncoder(s.decisions)
	for _, d := range r.Decisions {
		if err := encoder.Encode(decision{ev.User, ev.Source, ev.ID, d.Campaign.ID, d.Decision.String(), d.Detail}); err != nil {
			return err
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
