package main

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
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

// Run is called by main. The report is written whatever is wrong: a CI must not find the one of the run before.
func (t *test) Run() error {
	endAtOnce()
	r := testRun{test: t, report: junit{Name: "stampede"}, loaded: map[string]*loaded{}}
	files, err := t.files()
	if err != nil {
		r.report.wrong(strings.Join(t.Paths, ", "), err.Error(), "")
	}
	for _, file := range files {
		err = errors.Join(err, r.file(file))
	}
	if t.JUnit != "" {
		err = errors.Join(err, r.report.write(t.JUnit))
	}
	if err != nil {
		return err
	}
	fmt.Println(r.summary())
	switch {
	case r.mistakes > 0:
		return fmt.Errorf("%w: %d", errMistakes, r.mistakes)
	case r.report.Failures > 0:
		return errScenarios
	}
	return nil
}

// testRun is a run over files. What can't be read stops the scenarios that need it, and no others.
type testRun struct {
	*test
	report           junit
	loaded           map[string]*loaded // by directory
	mistakes, notRun int                // notRun are files
}

// loaded is a directory of campaigns; nothing is in force where it has mistakes, which have been told.
type loaded struct {
	set *campaign.Set
}

// file runs the scenarios of a file. What is returned is no matter of what stands in it.
func (r *testRun) file(file string) error {
	name := relative(file)
	src, err := campaign.ReadFile(os.DirFS(filepath.Dir(file)), filepath.Base(file))
	if err != nil {
		r.report.wrong(name, err.Error(), "")
		return err
	}
	scenarios, wrong := campaign.ParseScenarios(name, src)
	if len(wrong) > 0 {
		return r.wrong(wrong)
	}
	dir := r.Campaigns
	if dir == "" {
		dir = filepath.Dir(file)
	}
	d, err := r.load(dir)
	if err != nil {
		return err
	}
	if d.set == nil {
		r.notRun++
		why := "not run: the campaigns in " + relative(dir) + " can't be loaded"
		fmt.Fprintf(os.Stderr, "%s: %s\n", name, why)
		r.report.wrong(name, why, "")
		return nil
	}
	for i := range scenarios {
		wrong = append(wrong, scenarios[i].Unknown(d.set)...)
	}
	if len(wrong) > 0 {
		return r.wrong(wrong)
	}
	for i := range scenarios {
		began := time.Now()
		failures := scenarios[i].Run(d.set)
		r.report.add(&scenarios[i], failures, time.Since(began))
		r.tell(&scenarios[i], failures)
	}
	return nil
}

// load reads a directory of campaigns once.
func (r *testRun) load(dir string) (*loaded, error) {
	if d := r.loaded[dir]; d != nil {
		return d, nil
	}
	d := &loaded{}
	r.loaded[dir] = d
	var err error
	d.set, err = loadCampaigns(dir)
	if mistakes, wrong := errors.AsType[campaign.Mistakes](err); wrong {
		return d, r.wrong(mistakes)
	}
	if err != nil {
		r.mistakes++
		fmt.Fprintln(os.Stderr, err)
		r.report.wrong(relative(dir), err.Error(), "")
	}
	return d, nil
}

// wrong tells mistakes, and reports those of each file.
func (r *testRun) wrong(mistakes campaign.Mistakes) error {
	r.mistakes += len(mistakes)
	byFile := map[string]campaign.Mistakes{}
	for _, m := range mistakes {
		byFile[m.File] = append(byFile[m.File], m)
	}
	for _, file := range slices.Sorted(maps.Keys(byFile)) {
		var text strings.Builder
		if err := listMistakes(&text, "", byFile[file]); err != nil {
			return err
		}
		fmt.Fprint(os.Stderr, text.String())
		r.report.wrong(file, byFile[file][0].Message, text.String())
	}
	return nil
}

func (r *testRun) summary() string {
	noun := "scenarios"
	if r.report.scenarios == 1 {
		noun = "scenario"
	}
	text := fmt.Sprintf("%d %s, %d failed", r.report.scenarios, noun, r.report.Failures)
	if r.notRun > 0 {
		text += fmt.Sprintf("; files that were not run: %d", r.notRun)
	}
	return text
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

// told is a failure with why, and with what is lacking, indented.
func told(f campaign.ScenarioFailure) string {
	lines := []string{fmt.Sprintf("  %s:%d: %s", f.File, f.Line, f.Text)}
	if len(f.Why) > 0 {
		lines = append(lines, "    what happened:")
	}
	for _, line := range f.Why {
		lines = append(lines, "      "+line)
	}
	if len(f.Stands) > 0 {
		lines = append(lines, fmt.Sprintf("    where %s stands in %s at the end:", f.User, f.Campaign))
	}
	for _, sentence := range f.Stands {
		lines = append(lines, "      "+sentence)
	}
	return strings.Join(lines, "\n") + "\n"
}

// junit is a report in the format that CI systems read.
type junit struct {
	XMLName  xml.Name    `xml:"testsuite"`
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Errors   int         `xml:"errors,attr"` // files that can't be run
	Cases    []junitCase `xml:"testcase"`

	scenarios int
}

type junitCase struct {
	Class   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	Seconds float64       `xml:"time,attr"`
	Failure *junitFailure `xml:"failure,omitempty"`
	Error   *junitFailure `xml:"error,omitempty"`
}

type junitFailure struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

func (j *junit) add(s *campaign.Scenario, failures []campaign.ScenarioFailure, took time.Duration) {
	j.Tests++
	j.scenarios++
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

// wrong reports a file that can't be run as a test of its own.
func (j *junit) wrong(file, message, text string) {
	j.Tests++
	j.Errors++
	j.Cases = append(j.Cases, junitCase{Class: file, Name: file, Error: &junitFailure{Message: message, Text: text}})
}

func (j *junit) write(file string) error {
	text, err := xml.MarshalIndent(j, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append([]byte(xml.Header), append(text, '\n')...), 0o644) //nolint:gosec // a report is for everybody
}
