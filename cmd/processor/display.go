package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/docker/go-units"
	"golang.org/x/term"

	"github.com/stampede-rewards/stampede/internal/stream"
	"github.com/stampede-rewards/stampede/pkg/campaign"
)

// showInterval is how often the demo's status is shown, and at most how often a reward is.
const showInterval = time.Second

// display shows the demo: to a terminal in words, with a status line that stays at the bottom; to a pipe as one JSON object a
// line.
type display struct {
	out      io.Writer
	terminal bool
}

func newDisplay(out *os.File) *display {
	return &display{out: out, terminal: term.IsTerminal(int(out.Fd()))} //nolint:gosec // a descriptor is an int
}

// welcome is what the demo says first.
type welcome struct {
	Brokers   string   `json:"brokers"`
	Embedded  bool     `json:"embedded"`
	Data      string   `json:"data"`
	Metrics   string   `json:"metrics"`
	Campaigns []string `json:"campaigns"`
	Try       []string `json:"try"`
}

// reward is what fulfilment reads of a reward.
type reward struct {
	User          string    `json:"user"`
	Campaign      string    `json:"campaign"`
	Cycle         string    `json:"cycle"`
	Kind          string    `json:"kind"`
	Amount        *amount   `json:"amount,omitempty"`
	IssuedAt      time.Time `json:"issued_at"`
	EvidenceCount uint64    `json:"evidence_count"`
}

type amount struct {
	Units    int64  `json:"units"`
	Currency string `json:"currency"`
}

func parseReward(value []byte) (reward, error) {
	var event struct {
		Data reward `json:"data"`
	}
	if err := json.Unmarshal(value, &event); err != nil {
		return reward{}, fmt.Errorf("a reward can't be read: %w", err)
	}
	return event.Data, nil
}

// progress is the status line.
type progress struct {
	Events          int64   `json:"events"`
	EventsPerSecond float64 `json:"events_per_second"`
	Rewards         int64   `json:"rewards"`
	DeadLetters     int64   `json:"dead_letters"`
	Lag             int64   `json:"lag"`
	P50             float64 `json:"latency_p50_ms"` // of the last interval
	P99             float64 `json:"latency_p99_ms"`
	StoreBytes      uint64  `json:"store_bytes"`
	Partitions      int     `json:"partitions"` // open
}

func (d *display) begin(w welcome) {
	if !d.terminal {
		d.object("demo", w)
		return
	}
	what := "Kafka at " + w.Brokers
	if w.Embedded {
		what = "an embedded broker at " + w.Brokers
	}
	d.printf("Stampede on %s; the data are in %s, remove it to begin anew.\n\nCampaigns:\n", what, w.Data)
	for _, title := range w.Campaigns {
		d.printf("  %s\n", title)
	}
	d.printf("\nTry, in another terminal:\n")
	for _, command := range w.Try {
		d.printf("  %s\n", command)
	}
	d.printf("\nCtrl-C ends it; started again, it goes on where it was.\n\n")
}

// run shows what happens until ctx ends.
func (d *display) run(ctx context.Context, p *process, rewards <-chan reward) {
	before := p.worker.Status()
	at := time.Now()
	ticks := time.NewTicker(showInterval)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
		select {
		case r := <-rewards:
			d.reward(r)
		default:
		}
		now, status := time.Now(), p.worker.Status()
		d.progress(progress{
			Events: status.Events, EventsPerSecond: float64(status.Events-before.Events) / now.Sub(at).Seconds(),
			Rewards: status.Rewards, DeadLetters: status.Rejected, Lag: status.Lag,
			P50:        milliseconds(status.Latency.Since(before.Latency, 0.5)),
			P99:        milliseconds(status.Latency.Since(before.Latency, 0.99)),
			StoreBytes: p.store.Metrics().DiskBytes, Partitions: status.Open,
		})
		before, at = status, now
	}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func (d *display) reward(r reward) {
	if !d.terminal {
		d.object("reward", r)
		return
	}
	what := strings.ReplaceAll(r.Kind, "_", " ")
	if r.Amount != nil {
		what += " of " + campaign.Amount{Units: r.Amount.Units, Currency: r.Amount.Currency}.String()
	}
	again := ""
	if r.Cycle != "1" {
		again = " (number " + r.Cycle + ")"
	}
	events := "one event"
	if r.EvidenceCount != 1 {
		events = fmt.Sprintf("%d events", r.EvidenceCount)
	}
	d.printf("\r\033[K%s  %s gets a %s: %s%s, by %s\n", r.IssuedAt.Local().Format(time.TimeOnly), r.User, what, r.Campaign, again, events)
}

func (d *display) progress(p progress) {
	if !d.terminal {
		d.object("status", p)
		return
	}
	d.printf("\r\033[K%d events (%.0f/s)  %d rewards  %d dead letters  lag %d  latency p50 %.0f ms p99 %.0f ms  store %s",
		p.Events, p.EventsPerSecond, p.Rewards, p.DeadLetters, p.Lag, p.P50, p.P99, units.BytesSize(float64(p.StoreBytes)))
}

func (d *display) end(s stream.Status) {
	if !d.terminal {
		d.object("end", progress{Events: s.Events, Rewards: s.Rewards, DeadLetters: s.Rejected, Lag: s.Lag})
		return
	}
	d.printf("\r\033[KEnded in order: %d events became %d rewards. Started again, it goes on from here.\n", s.Events, s.Rewards)
}

// object writes {"KIND": VALUE}.
func (d *display) object(kind string, value any) {
	line, err := json.Marshal(map[string]any{kind: value})
	if err != nil {
		line = []byte(err.Error())
	}
	d.printf("%s\n", line)
}

// printf shows as much as can be shown: that nobody can read it ends no demo.
func (d *display) printf(format string, values ...any) {
	_, _ = fmt.Fprintf(d.out, format, values...)
}
