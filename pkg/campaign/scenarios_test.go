package campaign

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestVectors runs the vectors of the language as an author would: each is a scenario that begins with its number. V17 is about budgets
// and many partitions, which a scenario does not have.
func TestVectors(t *testing.T) {
	const dir = "testdata/vectors"
	set, err := Load(os.DirFS(dir), ".")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "vectors.test.yaml")
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	scenarios, mistakes := ParseScenarios(file, src)
	if mistakes != nil {
		t.Fatal(mistakes)
	}
	shown := map[string]bool{}
	for _, s := range scenarios {
		number, _, numbered := strings.Cut(s.Name, ": ")
		if !numbered {
			t.Errorf("%s:%d: %q has no number", file, s.Line, s.Name)
		}
		shown[number] = true
		t.Run(number, func(t *testing.T) {
			for _, f := range s.Run(set) {
				t.Errorf("%s:%d: %s\n%s", f.File, f.Line, f.Text, strings.Join(f.Why, "\n"))
			}
		})
	}
	for number := range strings.FieldsSeq("V1 V2 V3 V4 V5 V6 V7 V8 V9 V10 V12 V14 V15 V18 V19 V20 V21 V23") {
		if !shown[number] {
			t.Errorf("%s is no scenario", number)
		}
	}
}

// TestEveryExampleIsSeenToPay wants a scenario beside every campaign of deploy that sees a reward of it.
func TestEveryExampleIsSeenToPay(t *testing.T) {
	for _, dir := range []string{"../../deploy/campaigns", "../../deploy/campaigns/healthy-habits"} {
		set, err := Load(os.DirFS(dir), ".")
		if err != nil {
			t.Fatal(err)
		}
		files, err := filepath.Glob(dir + "/*.test.yaml")
		if err != nil {
			t.Fatal(err)
		}
		pays := map[string]bool{}
		for _, file := range files {
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			scenarios, mistakes := ParseScenarios(file, src)
			if mistakes != nil {
				t.Fatal(mistakes)
			}
			for _, s := range scenarios {
				if failures := s.Run(set); len(failures) > 0 {
					t.Errorf("%s: %s: %s", file, s.Name, failures[0].Text)
				}
				for _, reward := range s.rewards {
					pays[reward.campaign] = true
				}
			}
		}
		for _, c := range set.Campaigns() {
			if !pays[c.ID] {
				t.Errorf("%s: no scenario sees %s pay", dir, c.ID)
			}
		}
	}
}
