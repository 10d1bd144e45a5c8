//go:build synctests

package sim

import (
	"encoding/json"
	"errors"
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

const (
	root   = "../.."
	client = "github.com/twmb/franz-go"
)

// TestMutantsAreOnes holds each mutant to the code as it is: what it replaces is there, and what comes of it is a program. Of the cheap ones the latter is
// seen when CI runs them.
func TestMutantsAreOnes(t *testing.T) {
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			overlay, err := m.overlay(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			if m.client != nil {
				if _, err := m.clientSource(); err != nil {
					t.Error(err)
				}
			}
			if m.cheap || testing.Short() {
				return
			}
			if out, err := exec.Command("go", "build", "-overlay", overlay, "./"+filepath.Join(root, filepath.Dir(m.file))).CombinedOutput(); err != nil { //nolint:gosec // our own words
				t.Errorf("it is no program: adapt it to the code: %v\n%s", err, out)
			}
		})
	}
}

// source is the broken file.
func (m mutant) source() (path, broken string, err error) {
	if path, err = filepath.Abs(filepath.Join(root, m.file)); err != nil {
		return "", "", err
	}
	if broken, err = m.replace(edit{path, m.old, m.new}); err != nil {
		return "", "", err
	}
	if m.imports != "" {
		broken = strings.Replace(broken, "import (\n", "import (\n\t\""+m.imports+"\"\n", 1)
	}
	return path, broken, nil
}

// overlay writes the broken file, and what puts it in the original's place: a file for the flag -overlay of go build.
func (m mutant) overlay(dir string) (file string, err error) {
	original, source, err := m.source()
	if err != nil {
		return "", err
	}
	broken, file := filepath.Join(dir, "broken.go"), filepath.Join(dir, "overlay.json")
	replaced, err := json.Marshal(map[string]map[string]string{"Replace": {original: broken}})
	if err != nil {
		return "", err
	}
	return file, errors.Join(os.WriteFile(broken, []byte(source), 0o600), os.WriteFile(file, replaced, 0o600))
}

// clientDir is where the client's source is.
func clientDir() (string, error) {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", client).Output()
	if err != nil {
		return "", fmt.Errorf("where the client is: %w", err)
	}
	return strings.TrimSpace(string(dir)), nil
}

// clientSource is the client's broken file.
func (m mutant) clientSource() (string, error) {
	dir, err := clientDir()
	if err != nil {
		return "", err
	}
	return m.replace(edit{filepath.Join(dir, m.client.file), m.client.old, m.client.new})
}

// brokenClient copies the client with its broken file, and returns the build's flag that puts it in its place.
func (m mutant) brokenClient(dir string) (flag string, err error) {
	from, err := clientDir()
	if err != nil {
		return "", err
	}
	source, err := m.clientSource()
	if err != nil {
		return "", err
	}
	to, file := filepath.Join(dir, "client"), filepath.Join(dir, "client", m.client.file)
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		return "", err
	}
	if err := errors.Join(os.Remove(file), os.WriteFile(file, []byte(source), 0o600)); err != nil { // its copy can't be written to
		return "", err
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			return "", err
		}
		if name == "go.mod" {
			text = fmt.Appendf(text, "\nreplace %s => %s\n", client, to)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return "", err
		}
	}
	return "-modfile=" + filepath.Join(dir, "go.mod"), nil
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
	overlay, err := m.overlay(dir)
	if err != nil {
		return caught, err
	}
	build := []string{"test", "-c", "-vet=off", "-tags", "synctests", "-overlay", overlay}
	if m.client != nil {
		flag, err := m.brokenClient(dir)
		if err != nil {
			return caught, err
		}
		build = append(build, flag)
	}
	binary, results := filepath.Join(dir, "sim.test"), filepath.Join(dir, "results.json")
	if out, err := exec.Command("go", append(build, "-o", binary, ".")...).CombinedOutput(); err != nil { //nolint:gosec // our own words
		return caught, fmt.Errorf("build: %w\n%s", err, out)
	}
	out, runErr := exec.Command(binary, "-test.run=^TestSimulation$", "-first", "-seeds", fmt.Sprint(*mutantBudget), "-report", results).CombinedOutput() //nolint:gosec // the same
	told, err := os.ReadFile(results)
	if err != nil {
		return caught, fmt.Errorf("%w: %w\n%s", err, runErr, out)
	}
	return caught, json.Unmarshal(told, &caught)
}
