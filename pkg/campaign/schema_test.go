package campaign

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"
)

func compiledSchema(t *testing.T, text []byte) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", document); err != nil {
		t.Fatal(err)
	}
	return c.MustCompile("schema.json")
}

// validate checks a file as an editor does.
func validate(t *testing.T, s *jsonschema.Schema, src string) error {
	t.Helper()
	text, err := yaml.YAMLToJSON([]byte(src))
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return s.Validate(v)
}

func TestSchemaFilesAreWhatTheLoaderReads(t *testing.T) {
	for name, got := range map[string][]byte{"campaign": CampaignSchema(), "sponsor": SponsorSchema(), "scenarios": ScenariosSchema()} {
		file := "../../deploy/schema/" + name + ".schema.json"
		if *rewrite {
			if err := os.WriteFile(file, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", file, diff)
		}
	}
}

// Editors find the schema by a file's first line: a path from the file.
func TestExamplesNameTheirSchemas(t *testing.T) {
	files := 0
	err := filepath.WalkDir("../../deploy/campaigns", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		src, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		files++
		kind := "campaign"
		switch {
		case ScenarioFile(name):
			kind = "scenarios"
		case openFile(name, src).kind == orderFile:
			kind = "sponsor"
		}
		first, _, _ := strings.Cut(string(src), "\n")
		path, ok := strings.CutPrefix(first, "# yaml-language-server: $schema=")
		want := filepath.Join("../../deploy/schema", kind+".schema.json")
		if got := filepath.Join(filepath.Dir(name), path); !ok || got != want {
			t.Errorf("the first line of %s names no %s: %s", name, want, first)
		}
		return nil
	})
	if err != nil || files < 12 {
		t.Errorf("%d files, %v", files, err)
	}
}

func TestSchemaTakesWhatIsRight(t *testing.T) {
	campaigns, sponsors, scenarios := compiledSchema(t, CampaignSchema()), compiledSchema(t, SponsorSchema()), compiledSchema(t, ScenariosSchema())
	const head = "campaign: c\nversion: 1\nstarts: 2026-01-01\n"
	files := []string{
		head + "repeat: |\n  always\nday_starts: 04:00\nlateness: 0\ngoal: {event: 5}\nreward: {kind: 7, any: [thing]}\non_change: restart\n",
		head + "goal: {sum: [\"1.5\", 2], of: a, value: event.data.x}\nreward: [{kind: a}, {kind: b}]\n",
	}
	for _, src := range files {
		if _, mistakes := Parse("c.yaml", []byte(src)); mistakes != nil {
			t.Errorf("%s\n%v", src, mistakes)
		}
	}
	for _, pattern := range []string{"../../deploy/campaigns/*.yaml", "../../deploy/campaigns/*/*.yaml"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			src, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, string(src))
		}
	}
	reference, err := os.ReadFile("../../CAMPAIGNS.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range strings.Split(string(reference), "```yaml\n")[1:] {
		example, _, _ := strings.Cut(block, "```")
		switch first, _, _ := strings.Cut(example, ":"); first {
		case "campaign", "sponsor", "scenarios":
			files = append(files, example)
		case "goal":
			files = append(files, head+"reward: {kind: points}\n"+example)
		}
	}
	if len(files) < 30 {
		t.Errorf("only %d files", len(files))
	}
	for _, src := range files {
		s := campaigns
		switch {
		case openFile("", []byte(src)).kind == orderFile:
			s = sponsors
		case isScenarios(src):
			s = scenarios
		}
		if err := validate(t, s, src); err != nil {
			t.Errorf("%s\n%v", src, err)
		}
	}
}

func isScenarios(src string) bool { return hasKey(src, "scenarios") }

// The commands' transcripts have campaigns of all sorts: what the loader takes, the schema takes.
func TestSchemaTakesWhatTheLoaderTakes(t *testing.T) {
	campaigns, scenarios := compiledSchema(t, CampaignSchema()), compiledSchema(t, ScenariosSchema())
	archives, err := filepath.Glob("../../cmd/*/testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	mistakes, err := filepath.Glob("testdata/mistakes/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	taken := 0
	for _, name := range append(archives, mistakes...) {
		archive, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range archive.Files {
			file, text := f.Name, string(f.Data)
			if plain, ok := strings.CutSuffix(file, theRest); ok {
				file, text = plain, withTheRest(text)
			}
			s, wrong := campaigns, Mistakes(nil)
			switch f := openFile(file, []byte(text)); {
			case !strings.HasSuffix(file, ".yaml") || f.kind == orderFile:
				continue
			case isScenarios(text):
				s = scenarios
				_, wrong = ParseScenarios(file, []byte(text))
			case f.kind == dishFile:
				_, wrong = f.dish()
			default:
				_, wrong = Parse(file, []byte(text))
			}
			if wrong != nil {
				continue
			}
			taken++
			if err := validate(t, s, text); err != nil {
				t.Errorf("%s: %s\n%s\n%v", name, f.Name, text, err)
			}
		}
	}
	if taken < 80 {
		t.Errorf("only %d files", taken)
	}
}

// What the schema refuses the loader refuses, too: examples are changed at random.
func TestSchemaIsNeverStricterThanTheLoader(t *testing.T) {
	const head = "campaign: c\nversion: 1\nstarts: 2026-01-01\nreward: {kind: points}\n"
	campaigns, sponsors, scenarios := compiledSchema(t, CampaignSchema()), compiledSchema(t, SponsorSchema()), compiledSchema(t, ScenariosSchema())
	reference, err := os.ReadFile("../../CAMPAIGNS.md")
	if err != nil {
		t.Fatal(err)
	}
	menu := map[string]*dish{}
	var examples []string
	for _, block := range strings.Split(string(reference), "```yaml\n")[1:] {
		example, _, _ := strings.Cut(block, "```")
		if strings.HasPrefix(example, "goal:") {
			example = head + example
		}
		if f := openFile("d.yaml", []byte(example)); f.kind == dishFile {
			d, _ := f.dish()
			menu[d.id] = d
		}
		examples = append(examples, example)
	}
	read := func(src []byte) (s *jsonschema.Schema, mistakes Mistakes) {
		switch f := openFile("c.yaml", src); {
		case f.kind == orderFile:
			l := loading{files: map[string]string{}, menu: menu}
			l.parseOrder("s.yaml", src)
			return sponsors, l.mistakes
		case isScenarios(string(src)):
			_, mistakes = ParseScenarios("c.test.yaml", src)
			return scenarios, mistakes
		case f.kind == dishFile:
			_, mistakes = f.dish()
		default:
			_, mistakes = Parse("c.yaml", src)
		}
		return campaigns, mistakes
	}
	value := rapid.Map(rapid.SampledFrom([]string{
		`0`, `1`, `5`, `-1`, `2.5`, `""`, `"5"`, `a`, `day`, `"${days}"`, `5 days`, `72h`, `25.00 USD`, `2026-01-01`, `2026-03-01 20:00`, `"04:00"`, `UTC`,
		`mon`, `once`, `counted`, `"true"`, `event.data.x == 1`, `true`, `false`, `null`, `[]`, `[1, 2]`, `[a, b]`, `{}`, `{of: a}`, `{event: a}`,
		`[{event: a}]`, `{kind: points}`,
	}), func(text string) (v any) {
		if err := yaml.Unmarshal([]byte(text), &v); err != nil {
			panic(err)
		}
		return v
	})
	refused := 0
	rapid.Check(t, func(rt *rapid.T) {
		var tree any
		if err := yaml.Unmarshal([]byte(rapid.SampledFrom(examples).Draw(rt, "example")), &tree); err != nil {
			rt.Fatal(err)
		}
		for range rapid.IntRange(1, 2).Draw(rt, "changes") {
			tree = changed(rt, tree, value)
		}
		if _, ok := tree.(map[string]any); !ok {
			return
		}
		src, err := yaml.Marshal(tree)
		if err != nil {
			rt.Fatal(err)
		}
		s, mistakes := read(src)
		if err := validate(t, s, string(src)); err != nil {
			if refused++; len(mistakes) == 0 {
				rt.Fatalf("the loader takes what the schema refuses:\n%s\n%v", src, err)
			}
		}
	})
	if refused == 0 {
		t.Error("no change was one that the schema sees")
	}
}

// changed changes one thing in a tree: a value becomes another, or a key goes, is misspelt or is new.
func changed(t *rapid.T, tree any, value *rapid.Generator[any]) any {
	deeper := rapid.IntRange(0, 3).Draw(t, "deeper") > 0
	switch v := tree.(type) {
	case map[string]any:
		if len(v) == 0 {
			break
		}
		key := rapid.SampledFrom(slices.Sorted(maps.Keys(v))).Draw(t, "key")
		if deeper {
			v[key] = changed(t, v[key], value)
			return v
		}
		switch rapid.IntRange(0, 3).Draw(t, "change") {
		case 0:
			delete(v, key)
		case 1:
			v[key+"s"] = v[key]
			delete(v, key)
		case 2:
			v["another"] = value.Draw(t, "value")
		default:
			v[key] = value.Draw(t, "value")
		}
		return v
	case []any:
		if len(v) == 0 || !deeper {
			break
		}
		i := rapid.IntRange(0, len(v)-1).Draw(t, "item")
		v[i] = changed(t, v[i], value)
		return v
	}
	return value.Draw(t, "value")
}

func TestSchemaRefusesWhatTheLoaderRefuses(t *testing.T) {
	const (
		right   = "campaign: c\nversion: 1\nstarts: 2026-01-01\nrepeat: once\ngoal: {count: 3, of: a}\nreward: {kind: points}\n"
		dish    = "campaign: d\nversion: 1\nstarts: 2026-01-01\nparameters: {n: {type: whole, default: 3}, k: {type: text, default: where}}\ngoal: {count: \"${n}\", of: a}\nreward: {kind: \"${k}\"}\n"
		sponsor = "sponsor: acme\nversion: 1\ncovers: user.employer == \"acme\"\ncampaigns: [{use: d, set: {n: 4}}]\n"
	)
	campaigns, sponsors := compiledSchema(t, CampaignSchema()), compiledSchema(t, SponsorSchema())
	goal := "{count: 3, of: a}"
	for _, c := range []struct{ name, file, old, broken string }{
		{"unknown key", right, "repeat", "repaet"},
		{"no reward", right, "reward: {kind: points}\n", ""},
		{"reward without kind", right, "{kind: points}", "{amount: 5.00 USD}"},
		{"version is a text", right, "version: 1", "version: one"},
		{"version 0", right, "version: 1", "version: 0"},
		{"misspelt kind", right, goal, "{cuont: 3, of: a}"},
		{"misspelt kind of a part", right, goal, "{all: [{evnet: a}]}"},
		{"two kinds", right, goal, "{count: 3, event: a, of: a}"},
		{"no word of repeat", right, "once", "sometimes"},
		{"goal without of", right, goal, "{count: 3}"},
		{"per is no unit", right, goal, "{count: 3, of: a, per: fortnight}"},
		{"net is no yes", right, goal, "{sum: 3, of: a, value: event.data.x, net: maybe}"},
		{"no weekday", right, goal, "{streak: 3, of: a, on: [mon, tueday]}"},
		{"no steps", right, goal, "{sequence: []}"},
		{"no value", right, "starts: 2026-01-01", "starts:"},
		{"parameter of no type", dish, "type: whole", "type: hole"},
		{"parameter in a key", dish, "of: a", `of: a, "${k}": event.hour > 5`},
		{"order without use", sponsor, "use: d, ", ""},
		{"sponsor without covers", sponsor, "covers: user.employer == \"acme\"\n", ""},
		{"set is a list", sponsor, "{n: 4}", "[4]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := campaigns
			if openFile("", []byte(c.file)).kind == orderFile {
				s = sponsors
			}
			if err := validate(t, s, c.file); err != nil {
				t.Fatal(err)
			}
			broken := strings.Replace(c.file, c.old, c.broken, 1)
			if broken == c.file || validate(t, s, broken) == nil {
				t.Errorf("the schema takes\n%s", broken)
			}
			files := fstest.MapFS{"d.yaml": {Data: []byte(dish)}, "s.yaml": {Data: []byte(sponsor)}, "c.yaml": {Data: []byte(right)}}
			for name, f := range files {
				if string(f.Data) == c.file {
					files[name] = &fstest.MapFile{Data: []byte(broken)}
				}
			}
			var mistakes Mistakes
			if _, err := Load(files, "."); !errors.As(err, &mistakes) {
				t.Errorf("the loader takes\n%s", broken)
			}
		})
	}
}
