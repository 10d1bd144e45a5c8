package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// report is what rows came to.
type report struct {
	Machine string    `json:"machine"`
	Go      string    `json:"go"`
	Build   string    `json:"build"`
	Kafka   string    `json:"kafka"`
	At      time.Time `json:"at"`
	Small   int       `json:"small,omitempty"` // the N-th part was taken: no figures to tell anybody
	Rows    []result  `json:"rows"`
}

type result struct {
	Name    string                 `json:"name"`
	What    string                 `json:"what"`
	LeftOut string                 `json:"left_out,omitempty"` // why
	Runs    map[string]([]float64) `json:"runs,omitempty"`     // by figure, in the order of the runs
	row     *row
}

// newReport is of the programs that were built, with the revision that they say they are of.
func newReport(ctx context.Context, r *runRows, programs string) (*report, error) {
	build, err := exec.CommandContext(ctx, filepath.Join(programs, "processor"), "--version").Output() //nolint:gosec // what we have built
	if err != nil {
		return nil, fmt.Errorf("ask the processor what it is: %w", err)
	}
	rep := &report{Machine: thisMachine(), Go: runtime.Version(), Build: strings.TrimSpace(string(build)), Kafka: "the embedded broker", At: time.Now().UTC().Truncate(time.Second)}
	if r.Small > 1 {
		rep.Small = r.Small
	}
	if r.Brokers != "" {
		rep.Kafka += ", and a real one for rows that say so"
	}
	return rep, nil
}

func (r *report) add(row *row, v values) {
	i := slices.IndexFunc(r.Rows, func(have result) bool { return have.Name == row.name })
	if i < 0 {
		i = len(r.Rows)
		r.Rows = append(r.Rows, result{Name: row.name, What: row.what, Runs: map[string][]float64{}, row: row})
	}
	for _, f := range row.told() {
		r.Rows[i].Runs[f.name] = append(r.Rows[i].Runs[f.name], v[f.name])
	}
}

func (r *report) leftOut(row *row, why string) {
	r.Rows = append(r.Rows, result{Name: row.name, What: row.what, LeftOut: why, row: row})
}

// write writes the table and the same as JSON into a directory.
func (r *report) write(dir string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "bench.json"), append(text, '\n'), 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "bench.md"), []byte(r.table()), 0o600)
}

// table is the report as people read it.
func (r *report) table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s, %s, %s, %s.\n", r.Machine, r.Go, r.Build, r.Kafka, r.At.Format(time.DateOnly))
	if r.Small > 1 {
		fmt.Fprintf(&b, "**Only a %d-th of each job was run: these figures are for trying out.**\n", r.Small)
	}
	b.WriteString("\n| row | what | figure | median | from - to | runs | floor | goal |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for _, res := range r.Rows {
		if res.LeftOut != "" {
			fmt.Fprintf(&b, "| %s | %s | left out: %s | | | | | |\n", res.Name, res.What, res.LeftOut)
			continue
		}
		name, what := res.Name, res.What
		for _, f := range res.row.told() {
			runs := slices.Sorted(slices.Values(res.Runs[f.name]))
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s - %s | %d | %s | %s |\n", name, what, f.name,
				f.show(median(runs)), f.show(runs[0]), f.show(runs[len(runs)-1]), len(runs), f.asked(f.floor), f.asked(f.goal))
			name, what = "", ""
		}
	}
	return b.String()
}

// asked writes a floor or a goal, and nothing where there is none.
func (f *figure) asked(v float64) string {
	if v == 0 {
		return ""
	}
	return f.show(v)
}

// median is that of sorted values.
func median(sorted []float64) float64 {
	n := len(sorted)
	if n%2 == 1 {
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}
