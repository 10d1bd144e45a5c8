package main

import (
	"os"

	"github.com/stampede-rewards/stampede/pkg/campaign"
)

// schema prints what editors complete and check files by.
type schema struct {
	Of string `arg:"" enum:"campaign,sponsor" help:"campaign or sponsor."`
}

// Run is called by main.
func (s *schema) Run() error {
	text := campaign.CampaignSchema()
	if s.Of == "sponsor" {
		text = campaign.SponsorSchema()
	}
	_, err := os.Stdout.Write(text)
	return err
}
