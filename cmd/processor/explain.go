package main

import (
	"context"
	"fmt"
	"time"

	"github.com/stampede-rewards/stampede/pkg/campaign"
)

// explain runs the engine over a file of events and tells, for one user, what became of each event and where the user stands
// now.
type explain struct {
	User  string `required:"" help:"The user's id, an event's subject."`
	Until string `placeholder:"TIME" help:"As of this RFC 3339 time instead of the last event's."`
	input
}

// Run is called by main.
func (x *explain) Run(ctx context.Context) error {
	until, err := parseUntil(x.Until)
	if err != nil {
		return err
	}
	set, in, err := x.open()
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // it was only read

	told := map[string][]string{} // by campaign
	tell := func(c *campaign.Campaign, format string, args ...any) {
		told[c.ID] = append(told[c.ID], fmt.Sprintf(format, args...))
	}
	s := newSimulation(set)
	s.tell(func(user string, ev *campaign.Event, r *campaign.Result) error {
		if user != x.User {
			return nil
		}
		for _, d := range r.Decisions {
			detail := ""
			if d.Detail != "" {
				detail = ": " + d.Detail
			}
			tell(d.Campaign, "%s %s (%s): %s%s", time.Unix(0, ev.Time).UTC().Format("2006-01-02 15:04 UTC"), ev.Type, ev.ID, d.Decision.Reason(), detail)
		}
		for _, reward := range r.Rewards {
			tell(reward.Campaign, "reward %s, cycle %s, tier %s", reward.ID, reward.Cycle, reward.Tier)
		}
		for _, o := range r.Outcomes {
			if o.Kind != campaign.Achieved {
				tell(o.Campaign, "%s: %s, cycle %s", o.Date, o.Kind, o.Cycle)
			}
		}
		return nil
	})
	if err := s.run(ctx, in); err != nil {
		return err
	}
	if err := s.advance(until); err != nil {
		return err
	}
	l := s.replay.Ledger(x.User)
	if l == nil {
		return fmt.Errorf("no event of user %s is in the file, or none behind the user's erasure (C4)", x.User)
	}
	for _, standing := range s.engine.Explain(l, s.replay.Clock()) {
		fmt.Printf("%s: %s\n", standing.Campaign.ID, standing.Campaign.Title)
		for _, sentence := range standing.Sentences {
			fmt.Println("  " + sentence)
		}
		if b := standing.Campaign.Budget; b != nil {
			fmt.Printf("  Whether its budget `%s` had room is judged by the events of this file alone.\n", b.ID)
		}
		for _, line := range told[standing.Campaign.ID] {
			fmt.Println("    " + line)
		}
	}
	return nil
}
