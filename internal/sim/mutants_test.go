//go:build synctests

package sim

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var (
	mutantNames  = flag.String("mutants", "", "run these mutants: their names with commas between, or all, or cheap")
	mutantBudget = flag.Int("budget", 3000, "how many seeds a mutant is given")
)

// mutant is a program with one thing broken.
type mutant struct {
	name    string
	file    string // from the module's root
	old     string // occurs once
	new     string
	imports string // what new needs beside, if anything: an import that is not there yet
	cheap   bool   // caught within a few seeds: CI runs it
}

const root = "../.."

// TestMutantsAreOnes holds each mutant to the code as it is.
func TestMutantsAreOnes(t *testing.T) {
	for _, m := range mutants {
		if _, err := m.source(); err != nil {
			t.Error(err)
		}
	}
}

// source is the broken file.
func (m mutant) source() (string, error) {
	source, err := os.ReadFile(filepath.Join(root, m.file))
	if err != nil {
		return "", err
	}
	if n := strings.Count(string(source), m.old); n != 1 {
		return "", fmt.Errorf("mutant %q: what it replaces occurs %d times in %s: adapt it to the code", m.name, n, m.file)
	}
	broken := strings.Replace(string(source), m.old, m.new, 1)
	if m.imports != "" {
		broken = strings.Replace(broken, "import (\n", "import (\n\t\""+m.imports+"\"\n", 1)
	}
	return broken, nil
}

// TestMutants breaks the program in one place after the other, and wants the simulation to see it.
func TestMutants(t *testing.T) {
	if *mutantNames == "" {
		t.Skip("run by make mutants")
	}
	var chosen []mutant
	for _, m := range mutants {
		if *mutantNames == "all" || *mutantNames == "cheap" && m.cheap || slices.Contains(strings.Split(*mutantNames, ","), m.name) {
			chosen = append(chosen, m)
		}
	}
	if len(chosen) == 0 {
		t.Fatalf("there is no mutant %q", *mutantNames)
	}
	var table strings.Builder
	fmt.Fprintf(&table, "| what is broken | caught by | seeds |\n| --- | --- | --- |\n")
	for _, m := range chosen {
		caught, err := m.run(t.TempDir())
		switch {
		case err != nil:
			t.Errorf("mutant %q: %v", m.name, err)
		case len(caught.Failed) == 0:
			t.Errorf("mutant %q was not caught within %d seeds", m.name, caught.Run)
			fmt.Fprintf(&table, "| %s | nothing | %d |\n", m.name, caught.Run)
		default:
			v := caught.Failed[0].Violations[0]
			t.Logf("%s: caught by %s after %d seeds (seed %d): %.300s", m.name, v.Invariant, caught.Run, caught.Failed[0].Seed, v.Detail)
			fmt.Fprintf(&table, "| %s | `%s` | %d |\n", m.name, v.Invariant, caught.Run)
		}
	}
	t.Logf("\n%s", &table)
}

// run builds the mutant and simulates it until it is caught.
func (m mutant) run(dir string) (caught report, err error) {
	source, err := m.source()
	if err != nil {
		return caught, err
	}
	original, err := filepath.Abs(filepath.Join(root, m.file))
	if err != nil {
		return caught, err
	}
	broken, overlay := filepath.Join(dir, "broken.go"), filepath.Join(dir, "overlay.json")
	replaced, err := json.Marshal(map[string]map[string]string{"Replace": {original: broken}})
	if err != nil {
		return caught, err
	}
	if err := os.WriteFile(broken, []byte(source), 0o600); err != nil {
		return caught, err
	}
	if err := os.WriteFile(overlay, replaced, 0o600); err != nil {
		return caught, err
	}
	binary, results := filepath.Join(dir, "sim.test"), filepath.Join(dir, "results.json")
	if out, err := exec.Command("go", "test", "-c", "-vet=off", "-tags", "synctests", "-overlay", overlay, "-o", binary, ".").CombinedOutput(); err != nil { //nolint:gosec // our own words
		return caught, fmt.Errorf("build: %w\n%s", err, out)
	}
	out, runErr := exec.Command(binary, "-test.run=^TestSimulation$", "-first", "-seeds", fmt.Sprint(*mutantBudget), "-report", results).CombinedOutput() //nolint:gosec // the same
	told, err := os.ReadFile(results)
	if err != nil {
		return caught, fmt.Errorf("%w: %w\n%s", err, runErr, out)
	}
	return caught, json.Unmarshal(told, &caught)
}
