package main

import (
	"fmt"
	"os"

	"github.com/stampede-rewards/stampede/pkg/campaign"
)

// check reads a directory of campaigns and tells what is wrong (rule L4), or what is there.
type check struct {
	Campaigns string `arg:"" type:"existingdir" help:"The directory of campaign files."`
}

// Run is called by main.
func (c *check) Run() error {
	set, err := campaign.Load(os.DirFS(c.Campaigns), ".")
	if err != nil {
		return err
	}
	for _, c := range set.Campaigns() {
		fmt.Printf("%s version %d: %s\n", c.ID, c.Version, c.Title)
	}
	return nil
}
