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
	client  *edit  // of franz-go, where it guards against the same
	cheap   bool   // caught within a few seeds: CI runs it
}

// edit replaces a text that occurs once in a file.
type edit struct{ file, old, new string }

const root = "../.."

// TestMutantsAreOnes holds each mutant to the code as it is.
func TestMutantsAreOnes(t *testing.T) {
	for _, m := range mutants {
		if _, err := m.sources(); err != nil {
			t.Error(err)
		}
	}
}

// sources are the broken files, by the path of what they replace.
func (m mutant) sources() (map[string]string, error) {
	path, err := filepath.Abs(filepath.Join(root, m.file))
	if err != nil {
		return nil, err
	}
	broken, err := m.replace(edit{path, m.old, m.new})
	if err != nil {
		return nil, err
	}
	if m.imports != "" {
		broken = strings.Replace(broken, "import (\n", "import (\n\t\""+m.imports+"\"\n", 1)
	}
	sources := map[string]string{path: broken}
	if m.client == nil {
		return sources, nil
	}
	dir, err := exec.Command("go", "list", "-f", "{{.Dir}}", "github.com/twmb/franz-go/pkg/kgo").Output()
	if err != nil {
		return nil, fmt.Errorf("mutant %q: where the client is: %w", m.name, err)
	}
	path = filepath.Join(strings.TrimSpace(string(dir)), m.client.file)
	sources[path], err = m.replace(edit{path, m.client.old, m.client.new})
	return sources, err
}

func (m mutant) replace(e edit) (string, error) {
	source, err := os.ReadFile(e.file)
	if err != nil {
		return "", err
	}
	if n := strings.Count(string(source), e.old); n != 1 {
		return "", fmt.Errorf("mutant %q: what it replaces occurs %d times in %s: adapt it to the code", m.name, n, e.file)
	}
	return strings.Replace(string(source), e.old, e.new, 1), nil
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
	sources, err := m.sources()
	if err != nil {
		return caught, err
	}
	replace := map[string]string{}
	for path, source := range sources {
		replace[path] = filepath.Join(dir, filepath.Base(path))
		if err := os.WriteFile(replace[path], []byte(source), 0o600); err != nil {
			return caught, err
		}
	}
	replaced, err := json.Marshal(map[string]map[string]string{"Replace": replace})
	if err != nil {
		return caught, err
	}
	overlay := filepath.Join(dir, "overlay.json")
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
