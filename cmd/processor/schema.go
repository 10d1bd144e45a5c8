package main

import (
	"os"

	"github.com/stampede-rewards/stampede/deploy"
	"github.com/stampede-rewards/stampede/pkg/campaign"
)

// schema prints what editors complete and check files by, and what producers and readers of records check those by.
type schema struct {
	Of string `arg:"" enum:"campaign,sponsor,scenarios,event,reward,outcome,dead-letter" help:"campaign, sponsor or scenarios: which files it is of. event, reward or outcome: which records; of a dead-letter it is of the headers."`
}

// Run is called by main.
func (s *schema) Run() error {
	files := map[string]func() []byte{"campaign": campaign.CampaignSchema, "sponsor": campaign.SponsorSchema, "scenarios": campaign.ScenariosSchema}
	var text []byte
	if of, ok := files[s.Of]; ok {
		text = of()
	} else {
		var err error
		if text, err = deploy.Records.ReadFile("schema/records/" + s.Of + ".schema.json"); err != nil {
			return err
		}
	}
	_, err := os.Stdout.Write(text)
	return err
}
