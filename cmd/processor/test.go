package main

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/stampede-rewards/stampede/pkg/campaign"
)

// test runs the scenarios that authors write beside their campaigns.
type test struct {
	Paths     []string `arg:"" type:"path" help:"Files of scenarios (.test.yaml), or directories of them."`
	Campaigns string   `type:"existingdir" help:"The directory of campaign files (default: the one that a scenario stands in)."`
	JUnit     string   `name:"junit" placeholder:"FILE" help:"Also write the results in JUnit's format, for CI."`
	Verbose   bool     `short:"v" help:"List the scenarios that hold, too."`
}

// errScenarios means that a scenario failed; what failed has been told.
var errScenarios = errors.New("scenarios failed")

// Run is called by main.
func (t *test) Run() error {
	files, err := t.files()
	if err != nil {
		return err
	}
	var mistakes campaign.Mistakes
	report := junit{Name: "stampede"}
	failed := 0
	sets := map[string]*campaign.Set{} // by directory
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		scenarios, wrong := campaign.ParseScenarios(relative(file), src)
		if wrong != nil {
			mistakes = append(mistakes, wrong...)
			continue
		}
		dir := t.Campaigns
		if dir == "" {
			dir = filepath.Dir(file)
		}
		set := sets[dir]
		if set == nil {
			if set, err = loadCampaigns(dir); err != nil {
				return err
			}
			sets[dir] = set
		}
		for i := range scenarios {
			began := time.Now()
			failures := scenarios[i].Run(set)
			report.add(&scenarios[i], failures, time.Since(began))
			t.tell(&scenarios[i], failures)
			if len(failures) > 0 {
				failed++
			}
		}
	}
	if len(mistakes) > 0 {
		return mistakes
	}
	if t.JUnit != "" {
		if err := report.write(t.JUnit); err != nil {
			return err
		}
	}
	noun := "scenarios"
	if report.Tests == 1 {
		noun = "scenario"
	}
	fmt.Printf("%d %s, %d failed\n", report.Tests, noun, failed)
	if failed > 0 {
		return errScenarios
	}
	return nil
}

func (t *test) files() (files []string, err error) {
	for _, path := range t.Paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			files = append(files, path)
			continue
		}
		if err := filepath.WalkDir(path, func(file string, _ fs.DirEntry, err error) error {
			if err == nil && campaign.ScenarioFile(file) {
				files = append(files, file)
			}
			return err
		}); err != nil {
			return nil, err
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("no scenarios in %s: they are files that end in .test.yaml", strings.Join(t.Paths, ", "))
	}
	return files, nil
}

func (t *test) tell(s *campaign.Scenario, failures []campaign.ScenarioFailure) {
	if len(failures) == 0 {
		if t.Verbose {
			fmt.Printf("ok    %s\n", s.Name)
		}
		return
	}
	fmt.Printf("FAIL  %s\n", s.Name)
	for _, f := range failures {
		fmt.Print(told(f))
	}
}

// told is a failure with why, indented.
func told(f campaign.ScenarioFailure) string {
	lines := []string{fmt.Sprintf("  %s:%d: %s", f.File, f.Line, f.Text)}
	if len(f.Why) > 0 {
		lines = append(lines, "    what happened:")
	}
	for _, line := range f.Why {
		lines = append(lines, "      "+line)
	}
	return strings.Join(lines, "\n") + "\n"
}

// junit is a report in the format that CI systems read.
type junit struct {
	XMLName  xml.Name    `xml:"testsuite"`
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Class   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	Seconds float64       `xml:"time,attr"`
	Failure *junitFailure `xml:"failure,omitempty"`
}

type junitFailure struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

func (j *junit) add(s *campaign.Scenario, failures []campaign.ScenarioFailure, took time.Duration) {
	j.Tests++
	c := junitCase{Class: s.File, Name: s.Name, Seconds: took.Seconds()}
	if len(failures) > 0 {
		j.Failures++
		c.Failure = &junitFailure{Message: failures[0].Text}
		for _, f := range failures {
			c.Failure.Text += told(f)
		}
	}
	j.Cases = append(j.Cases, c)
}

func (j *junit) write(file string) error {
	text, err := xml.MarshalIndent(j, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append([]byte(xml.Header), append(text, '\n')...), 0o644) //nolint:gosec // a report is for everybody
}
