package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/stampede-rewards/stampede/pkg/campaign"
)

// check reads a directory of campaigns, and of scenarios, and tells what is wrong (rule L4), or what is there.
type check struct {
	Campaigns string `arg:"" type:"existingdir" help:"The directory of campaign files."`
	Format    string `enum:"text,json" default:"text" help:"text, or json for editors and CI (${default})."`
}

// Run is called by main.
func (c *check) Run() error {
	set, warnings, err := campaign.Check(os.DirFS(c.Campaigns), ".")
	var mistakes campaign.Mistakes
	if err != nil && !errors.As(err, &mistakes) {
		return err
	}
	inScenarios, err := c.scenarios()
	if err != nil {
		return err
	}
	mistakes, warnings = placedIn(c.Campaigns, append(mistakes, inScenarios...)), placedIn(c.Campaigns, warnings)
	if c.Format == "json" {
		return c.tellJSON(mistakes, warnings)
	}
	if err := errors.Join(listMistakes(os.Stderr, "warning: ", warnings), listMistakes(os.Stderr, "", mistakes)); err != nil {
		return err
	}
	if len(mistakes) > 0 {
		return fmt.Errorf("%w: %d", errMistakes, len(mistakes))
	}
	for _, c := range set.Campaigns() {
		fmt.Printf("%s version %d: %s\n", c.ID, c.Version, c.Title)
	}
	return nil
}

// scenarios reads the files of scenarios beside the campaigns.
func (c *check) scenarios() (mistakes campaign.Mistakes, err error) {
	entries, err := os.ReadDir(c.Campaigns)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if e.IsDir() || !campaign.ScenarioFile(e.Name()) {
			continue
		}
		src, err := campaign.ReadFile(os.DirFS(c.Campaigns), e.Name())
		if err != nil {
			return nil, err
		}
		_, wrong := campaign.ParseScenarios(e.Name(), src)
		mistakes = append(mistakes, wrong...)
	}
	return mistakes, nil
}

// tellJSON writes mistakes and warnings as a list of objects.
func (c *check) tellJSON(mistakes, warnings campaign.Mistakes) error {
	type place struct {
		File     string `json:"file"`
		Line     int    `json:"line"`
		Column   int    `json:"column"`
		Severity string `json:"severity"` // error or warning
		Message  string `json:"message"`
	}
	list := []place{}
	for _, m := range mistakes {
		list = append(list, place{m.File, m.Line, m.Column, "error", m.Message})
	}
	for _, w := range warnings {
		list = append(list, place{w.File, w.Line, w.Column, "warning", w.Message})
	}
	text, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return err
	}
	fmt.Println(string(text))
	if len(mistakes) > 0 {
		return fmt.Errorf("%w: %d", errMistakes, len(mistakes))
	}
	return nil
}
