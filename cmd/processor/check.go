package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stampede-rewards/stampede/pkg/campaign"
)

// check reads a directory of campaigns, and of scenarios, and tells what is wrong (rule L4), or what is there.
type check struct {
	Campaigns string `arg:"" type:"path" help:"The directory of campaign files, or one of its files: then only what is wrong with that one is told."`
	Format    string `enum:"text,json" default:"text" help:"text, or json for editors and CI (${default})."`
}

// Run is called by main.
func (c *check) Run() error {
	endAtOnce()
	dir, file, err := c.where()
	if err != nil {
		return err
	}
	found, err := look(dir)
	if err != nil {
		return err
	}
	all := len(found.mistakes)
	if file != "" {
		elsewhere := func(m campaign.Mistake) bool { return m.File != file }
		found.mistakes, found.warnings = slices.DeleteFunc(found.mistakes, elsewhere), slices.DeleteFunc(found.warnings, elsewhere)
	}
	found.mistakes, found.warnings = placedIn(dir, found.mistakes), placedIn(dir, found.warnings)
	if c.Format == "json" {
		err = found.tellJSON()
	} else {
		err = errors.Join(listMistakes(os.Stderr, "warning: ", found.warnings), listMistakes(os.Stderr, "", found.mistakes))
	}
	switch {
	case err != nil:
		return err
	case len(found.mistakes) > 0:
		return fmt.Errorf("%w: %d", errMistakes, len(found.mistakes))
	case c.Format == "json":
	case file != "" && all > 0:
		fmt.Printf("%s has no mistakes of its own, but files beside it have: %d\n", relative(c.Campaigns), all)
	case file != "":
		fmt.Printf("%s has no mistakes\n", relative(c.Campaigns))
	case found.set != nil:
		for _, c := range found.set.Campaigns() {
			fmt.Printf("%s version %d: %s\n", c.ID, c.Version, c.Title)
		}
	}
	return nil
}

// where is the directory that is read, because files have to agree with each other, and the file that was asked for, if one was.
func (c *check) where() (dir, file string, err error) {
	info, err := os.Stat(c.Campaigns)
	if err != nil {
		return "", "", err
	}
	if info.IsDir() {
		return c.Campaigns, "", nil
	}
	dir, file = filepath.Split(c.Campaigns)
	if !campaign.File(file) {
		return "", "", fmt.Errorf("%s is no file of campaigns or scenarios: they end in .yaml or .yml; give one, or their directory", relative(c.Campaigns))
	}
	return dir, file, nil
}

// findings are what there is in a directory. Their files are called as they are in it.
type findings struct {
	set                *campaign.Set // nil where nothing can be in force
	mistakes, warnings campaign.Mistakes
}

// look reads a directory of campaigns, and the scenarios beside them.
func look(dir string) (*findings, error) {
	files := os.DirFS(dir)
	found := &findings{}
	var err error
	found.set, found.warnings, err = campaign.Check(files, ".")
	wrong, isMistakes := errors.AsType[campaign.Mistakes](err)
	switch {
	case isMistakes:
		found.mistakes = wrong
	case errors.Is(err, campaign.ErrOnlyDishes): // a menu is worth a check by itself
		found.warnings = append(found.warnings, ofDirectory("nothing is in force by these files: every campaign has `parameters`, and no sponsor's file orders one"))
	case errors.Is(err, campaign.ErrNoCampaign):
		found.mistakes = append(found.mistakes, ofDirectory("there is no campaign here: a campaign is a file that ends in .yaml or .yml"))
	case err != nil:
		return nil, err
	}
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if why := skipped(files, e); why != "" {
			found.warnings = append(found.warnings, campaign.Mistake{File: e.Name(), Line: 1, Column: 1, Message: why})
		}
		if !e.IsDir() && campaign.ScenarioFile(e.Name()) {
			if err := found.scenarios(files, e.Name()); err != nil {
				return nil, err
			}
		}
	}
	return found, nil
}

// ofDirectory is a mistake that stands in no file.
func ofDirectory(message string) campaign.Mistake {
	return campaign.Mistake{File: ".", Line: 1, Column: 1, Message: message}
}

// skipped says why something is not read that an author may think is read; empty for what nobody does. Names that begin with a dot are
// nobody's campaigns: Kubernetes has such.
func skipped(files fs.FS, e fs.DirEntry) string {
	switch small := strings.ToLower(e.Name()); {
	case strings.HasPrefix(e.Name(), "."):
	case e.IsDir():
		within, err := fs.ReadDir(files, e.Name())
		if err == nil && slices.ContainsFunc(within, func(e fs.DirEntry) bool { return !e.IsDir() && campaign.File(e.Name()) }) {
			return "the files of a subdirectory are not read: check it by itself, or move them up"
		}
	case !campaign.File(e.Name()) && campaign.File(small):
		return "this file is not read: write its ending in small letters, `" + path.Ext(small) + "`"
	}
	return ""
}

// scenarios reads a file of scenarios.
func (f *findings) scenarios(files fs.FS, name string) error {
	src, err := campaign.ReadFile(files, name)
	if err != nil {
		return err
	}
	scenarios, wrong := campaign.ParseScenarios(name, src)
	f.mistakes = append(f.mistakes, wrong...)
	if f.set == nil {
		return nil // which campaigns there are to be is not known
	}
	for i := range scenarios {
		f.mistakes = append(f.mistakes, scenarios[i].Unknown(f.set)...)
	}
	return nil
}

// tellJSON writes mistakes and warnings as a list of objects.
func (f *findings) tellJSON() error {
	type place struct {
		File     string `json:"file"`
		Line     int    `json:"line"`
		Column   int    `json:"column"`
		Severity string `json:"severity"` // error or warning
		Message  string `json:"message"`
	}
	list := []place{}
	for _, m := range f.mistakes {
		list = append(list, place{m.File, m.Line, m.Column, "error", m.Message})
	}
	for _, w := range f.warnings {
		list = append(list, place{w.File, w.Line, w.Column, "warning", w.Message})
	}
	text, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return err
	}
	fmt.Println(string(text))
	return nil
}
