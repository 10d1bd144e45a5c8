package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"github.com/stampede-rewards/stampede/internal/kafka"
	"github.com/stampede-rewards/stampede/internal/stream"
)

// inForce lists the campaigns that are in force, by the registry, and counts users by the changelog. Nothing is disturbed by it.
type inForce struct {
	kafka.Flags
	Format string `enum:"text,json" default:"text" help:"text, or json for programs (${default})."`
}

// listed is a campaign in a program's eyes.
type listed struct {
	ID         string    `json:"campaign"`
	Version    int       `json:"version"`
	Since      time.Time `json:"since"`
	Withdrawn  bool      `json:"withdrawn,omitempty"` // what happened before may still arrive
	InProgress int       `json:"users_in_progress"`
	Title      string    `json:"title"`
	Sponsor    string    `json:"sponsor,omitempty"`
}

// Run is called by main.
func (f *inForce) Run(ctx context.Context) error {
	connection, topics, err := connectAll(ctx, f.Flags, f.Topics(), f.ChangelogTopic, f.CampaignsTopic)
	if err != nil {
		return err
	}
	campaigns, err := stream.ListCampaigns(ctx, connection, topics, time.Now().UnixMilli())
	if err != nil {
		return err
	}
	list := make([]listed, len(campaigns))
	for i, c := range campaigns {
		list[i] = listed{c.ID, c.Version, time.UnixMilli(c.Since).UTC(), c.Withdrawn, c.InProgress, c.Title, c.Sponsor}
	}
	if f.Format == "json" {
		text, err := json.MarshalIndent(list, "", "  ")
		if err != nil {
			return err
		}
		fmt.Println(string(text))
		return nil
	}
	if len(list) == 0 {
		fmt.Fprintln(os.Stderr, "no campaign is in force: `processor publish DIR` puts those of a directory in force")
		return nil
	}
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "CAMPAIGN\tVERSION\tSINCE\tUSERS IN PROGRESS\tTITLE") //nolint:errcheck // Flush tells it
	for _, c := range list {
		title := c.Title
		if c.Withdrawn {
			title += " (withdrawn; what happened before may still arrive)"
		}
		fmt.Fprintf(out, "%s\t%d\t%s\t%d\t%s\n", c.ID, c.Version, c.Since.Format("2006-01-02 15:04 UTC"), c.InProgress, title) //nolint:errcheck // the same
	}
	return out.Flush()
}
