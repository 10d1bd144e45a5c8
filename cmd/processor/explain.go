package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/stampede-rewards/stampede/pkg/campaign"
)

// explain runs the engine over a file of events and tells, for one user, what became of each event and where the user stands
// now.
type explain struct {
	User string `required:"" help:"The user's id, an event's subject."`
	input
}

// Run is called by main.
func (x *explain) Run(ctx context.Context) error {
	set, in, err := x.open()
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // it was only read

	told := map[string][]string{} // by campaign
	s := newSimulation(set, io.Discard, io.Discard)
	s.tell(func(ev *campaign.Event, r *campaign.Result) {
		if ev.User != x.User {
			return
		}
		for _, d := range r.Decisions {
			line := fmt.Sprintf("%s %s (%s): %s", time.Unix(0, ev.Time).UTC().Format("2006-01-02 15:04 UTC"), ev.Type, ev.ID, d.Decision.Reason())
			if d.Detail != "" {
				line += ": " + d.Detail
			}
			told[d.Campaign.ID] = append(told[d.Campaign.ID], line)
		}
		for _, reward := range r.Rewards {
			told[reward.Campaign.ID] = append(told[reward.Campaign.ID], fmt.Sprintf("reward %s, cycle %s, tier %s", reward.ID, reward.Cycle, reward.Tier))
		}
	})
	if err := s.run(ctx, in); err != nil {
		return err
	}
	l := s.ledgers[x.User]
	if l == nil {
		return fmt.Errorf("no event of user %s is in the file", x.User)
	}
	for _, standing := range s.engine.Explain(l, s.clock) {
		fmt.Printf("%s: %s\n", standing.Campaign.ID, standing.Campaign.Title)
		for _, sentence := range standing.Sentences {
			fmt.Println("  " + sentence)
		}
		for _, line := range told[standing.Campaign.ID] {
			fmt.Println("    " + line)
		}
	}
	return nil
}
