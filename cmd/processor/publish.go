package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/stampede-rewards/stampede/internal/kafka"
	"github.com/stampede-rewards/stampede/internal/partner"
	"github.com/stampede-rewards/stampede/internal/stream"
	"github.com/stampede-rewards/stampede/pkg/campaign"
)

// publish makes what is in force what a directory says (L1): new campaigns, higher versions, withdrawals.
type publish struct {
	kafka.Flags
	Dir         string `arg:"" type:"existingdir" help:"The directory of campaign files."`
	Partners    string `env:"STAMPEDE_PARTNERS" type:"existingfile" placeholder:"FILE" help:"The processors' file of partners, of which only the names are read: a campaign that is shared with another one is refused (default: none)."`
	DryRun      bool   `help:"Only say what would be done."`
	Again       bool   `help:"Tell every partition what is unchanged, too: for a consumer group that begins anew when the topic's retention has removed what was published."`
	WithdrawAll bool   `help:"The directory is meant to have no campaign: withdraw every one that is in force."`
}

// Validate is called by kong.
func (p *publish) Validate() error {
	if p.Again && p.WithdrawAll {
		return errors.New("--again is of no use with --withdraw-all: a directory without campaigns has nothing that is told again")
	}
	return nil
}

// errRefused means that a dry run found what a publish would refuse; it has been told.
var errRefused = errors.New("nothing would be published: mend what is told above")

// Run is called by main.
func (p *publish) Run(ctx context.Context) error {
	campaigns, err := loadCampaigns(p.Dir)
	switch {
	case errors.Is(err, campaign.ErrNoCampaign) && p.WithdrawAll:
		if campaigns, err = campaign.NewSet(nil); err != nil {
			return err
		}
	case err != nil:
		return err
	case p.WithdrawAll:
		return fmt.Errorf("%s has campaigns, and --withdraw-all is for a directory without one: leave it out to publish them", p.Dir)
	}
	connection, err := p.Connection()
	if err != nil {
		return err
	}
	var partners []string
	if p.Partners != "" {
		if partners, err = partner.Names(p.Partners); err != nil {
			return err
		}
	}
	done, err := stream.Publish{
		Connection: connection, Topics: p.Topics(), Campaigns: campaigns, Partners: partners, DryRun: p.DryRun, Again: p.Again,
	}.Run(ctx)
	if err != nil {
		return err
	}
	for _, c := range done.Changes {
		if p.DryRun && c.Written {
			fmt.Printf("would be: %s\n", c)
			continue
		}
		fmt.Println(c)
	}
	for _, why := range done.Refused {
		fmt.Fprintln(os.Stderr, why)
	}
	if len(done.Refused) > 0 {
		return errRefused
	}
	return nil
}
