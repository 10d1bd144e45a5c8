package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/stampede-rewards/stampede/internal/kafka"
	"github.com/stampede-rewards/stampede/internal/stream"
	"github.com/stampede-rewards/stampede/pkg/campaign"
)

// budgets lists what budgets have granted and what is left of them, by the changelog. Nothing is disturbed by it.
type budgets struct {
	kafka.Flags
	Format string `enum:"text,json" default:"text" help:"text, or json for programs (${default})."`
}

// listedBudget is a budget in a program's eyes. Quantities are rewards, or minor units of the currency.
type listedBudget struct {
	ID       string     `json:"budget"`
	Currency string     `json:"currency,omitempty"`
	Per      string     `json:"per,omitempty"`
	Period   string     `json:"period,omitempty"`
	Limit    int64      `json:"limit"`
	Spent    int64      `json:"spent"`
	Left     int64      `json:"left"`
	Granted  int64      `json:"rewards_granted"`
	Denied   int64      `json:"claims_denied"`
	Waiting  int        `json:"claims_waiting"` // denied, and re-opened when the budget is raised
	Rate     float64    `json:"spent_an_hour"`
	RunsOut  *time.Time `json:"runs_out,omitempty"`
}

// Run is called by main.
func (f *budgets) Run(ctx context.Context) error {
	connection, topics, err := connectAll(ctx, f.Flags, f.Topics(), f.ChangelogTopic)
	if err != nil {
		return err
	}
	standings, err := stream.ListBudgets(ctx, connection, topics)
	if err != nil {
		return err
	}
	now := time.Now()
	for i := range standings {
		standings[i] = standings[i].At(now.UnixMilli())
	}
	if f.Format == "json" {
		return tellBudgets(standings, now)
	}
	if len(standings) == 0 {
		fmt.Fprintln(os.Stderr, "no campaign with a budget was published: `limits: {budget: {rewards: 1000}}` in a campaign's file is one")
		return nil
	}
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "BUDGET\tPERIOD\tGRANTED\tLEFT\tDENIED\tWAITING\tAN HOUR\tRUNS OUT") //nolint:errcheck // Flush tells it
	for i := range standings {
		b := &standings[i]
		period := b.Period
		if period == "" {
			period = "all"
		}
		fmt.Fprintf(out, "%s\t%s\t%s of %s\t%s\t%d\t%d\t%s\t%s\n", b.ID, period, b.Show(b.Spent), b.Show(b.Limit()), b.Show(b.Left()), //nolint:errcheck // the same
			b.Denied, b.Waiting, rate(b, now), runsOut(b, now))
	}
	return out.Flush()
}

// rate tells people what is granted an hour; of less than ten rewards a tenth of one is worth telling.
func rate(b *campaign.BudgetStanding, now time.Time) string {
	r := b.Rate(now.UnixMilli())
	if r > 0 && r < 10 && !b.IsMoney() {
		return strconv.FormatFloat(r, 'f', 1, 64)
	}
	return b.Show(int64(r))
}

// runsOut tells people when nothing is left, if it goes on like this.
func runsOut(b *campaign.BudgetStanding, now time.Time) string {
	at, ok := b.RunsOut(now.UnixMilli())
	switch {
	case b.Left() == 0:
		return "it has"
	case ok:
		return time.UnixMilli(at).UTC().Format("2006-01-02 15:04 UTC")
	case b.Per() != "":
		return "not in this " + b.Per()
	}
	return "never"
}

// tellBudgets is for programs.
func tellBudgets(standings []campaign.BudgetStanding, now time.Time) error {
	list := make([]listedBudget, len(standings))
	for i := range standings {
		b := &standings[i]
		list[i] = listedBudget{
			b.ID, b.Amount.Currency, b.Per(), b.Period, b.Limit(), b.Spent, b.Left(), b.Granted, b.Denied, b.Waiting, b.Rate(now.UnixMilli()), nil,
		}
		if at, ok := b.RunsOut(now.UnixMilli()); ok && b.Left() > 0 {
			runsOut := time.UnixMilli(at).UTC()
			list[i].RunsOut = &runsOut
		}
	}
	text, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return err
	}
	fmt.Println(string(text))
	return nil
}
