package main

import (
	"os"

	"github.com/stampede-rewards/stampede/pkg/campaign"
)

// schema prints what editors complete and check files by.
type schema struct {
	Of string `arg:"" enum:"campaign,sponsor,scenarios" help:"campaign, sponsor or scenarios: which files it is of."`
}

// Run is called by main.
func (s *schema) Run() error {
	of := map[string]func() []byte{"campaign": campaign.CampaignSchema, "sponsor": campaign.SponsorSchema, "scenarios": campaign.ScenariosSchema}
	_, err := os.Stdout.Write(of[s.Of]())
	return err
}
