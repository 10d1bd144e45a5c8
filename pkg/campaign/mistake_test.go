package campaign

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"text/template"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

// A golden case is a directory of an archive in testdata/mistakes: campaign files, and `mistakes`, which is what `processor check` prints
// of them. After a file's name can stand what the archive leaves out:
//
//	c.yaml, and the rest      the keys that every campaign needs and that are not there follow below
//	c.yaml, with escapes      the file is a text/template: {{"\t"}} is a tab, {{repeat 40 "["}} forty brackets
type goldenCase struct {
	archive, name string
	files         fstest.MapFS
	want          string
}

const (
	theRest     = ", and the rest"
	withEscapes = ", with escapes"
)

// goldenCases reads an archive's cases in their order.
func goldenCases(t testing.TB, archive *txtar.Archive, name string) []*goldenCase {
	t.Helper()
	var cases []*goldenCase
	for _, f := range archive.Files {
		dir, file, ok := strings.Cut(f.Name, "/")
		if !ok {
			t.Fatalf("%s: %s is in no case", name, f.Name)
		}
		i := slices.IndexFunc(cases, func(c *goldenCase) bool { return c.name == dir })
		if i < 0 {
			i = len(cases)
			cases = append(cases, &goldenCase{archive: name, name: dir, files: fstest.MapFS{}})
		}
		if file == "mistakes" {
			cases[i].want = string(f.Data)
			continue
		}
		text := string(f.Data)
		if plain, ok := strings.CutSuffix(file, withEscapes); ok {
			file, text = plain, unescaped(t, text)
		}
		if plain, ok := strings.CutSuffix(file, theRest); ok {
			file, text = plain, withTheRest(text)
		}
		cases[i].files[file] = &fstest.MapFile{Data: []byte(text)}
	}
	return cases
}

func unescaped(t testing.TB, text string) string {
	t.Helper()
	parsed, err := template.New("").Funcs(template.FuncMap{"repeat": func(n int, s string) string { return strings.Repeat(s, n) }}).Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := parsed.Execute(&b, nil); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func withTheRest(text string) string {
	for _, line := range []string{"campaign: c", "version: 1", "starts: 2026-01-01", "goal: {event: hit}", "reward: {kind: points}"} {
		key, _, _ := strings.Cut(line, ":")
		if !hasKey(text, key) {
			text += line + "\n"
		}
	}
	return text
}

// hasKey says whether a file that stands in no braces has a key at its top.
func hasKey(text, key string) bool { return strings.Contains("\n"+text, "\n"+key+":") }

// told is what `processor check` prints.
func (c *goldenCase) told() string {
	_, warnings, err := Check(c.files, ".")
	var b strings.Builder
	tell := func(mistakes Mistakes, severity string) {
		if err := mistakes.List(&b, severity, c.files.Open); err != nil {
			fmt.Fprintln(&b, err)
		}
	}
	tell(warnings, "warning: ")
	var mistakes Mistakes
	switch {
	case errors.As(err, &mistakes):
		tell(mistakes, "")
	case err != nil:
		fmt.Fprintln(&b, err)
	}
	return b.String()
}

// L4: what each mistake is told as. Read the archives: an author must understand from these lines alone what to do.
func TestL4EveryMistakeHasItsPlaceAndItsCure(t *testing.T) {
	archives, err := filepath.Glob("testdata/mistakes/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, name := range archives {
		archive, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var told []txtar.File
		for _, c := range goldenCases(t, archive, name) {
			total++
			got := c.told()
			if got == "" {
				t.Errorf("%s: %s: there is no mistake", name, c.name)
			}
			if diff := cmp.Diff(c.want, got); diff != "" && !*rewrite {
				t.Errorf("%s: %s (-want +got):\n%s", name, c.name, diff)
			}
			for _, f := range archive.Files {
				if dir, file, _ := strings.Cut(f.Name, "/"); dir == c.name && file != "mistakes" {
					told = append(told, f)
				}
			}
			told = append(told, txtar.File{Name: c.name + "/mistakes", Data: []byte(got)})
		}
		if *rewrite {
			if err := os.WriteFile(name, txtar.Format(&txtar.Archive{Comment: archive.Comment, Files: told}), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	if total < 70 {
		t.Errorf("only %d cases", total)
	}
}
