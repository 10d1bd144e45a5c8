package campaign

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
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
	for name, got := range map[string][]byte{"campaign": CampaignSchema(), "sponsor": SponsorSchema()} {
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

func TestSchemaTakesWhatIsRight(t *testing.T) {
	campaigns, sponsors := compiledSchema(t, CampaignSchema()), compiledSchema(t, SponsorSchema())
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
			if ScenarioFile(name) {
				continue
			}
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
		case "campaign", "sponsor":
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
		if isOrder([]byte(src)) {
			s = sponsors
		}
		if err := validate(t, s, src); err != nil {
			t.Errorf("%s\n%v", src, err)
		}
	}
}

func TestSchemaRefusesWhatTheLoaderRefuses(t *testing.T) {
	const (
		right   = "campaign: c\nversion: 1\nstarts: 2026-01-01\nrepeat: once\ngoal: {count: 3, of: a}\nreward: {kind: points}\n"
		dish    = "campaign: d\nversion: 1\nstarts: 2026-01-01\nparameters: {n: {type: whole, default: 3}}\ngoal: {count: \"${n}\", of: a}\nreward: {kind: points}\n"
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
		{"order without use", sponsor, "use: d, ", ""},
		{"sponsor without covers", sponsor, "covers: user.employer == \"acme\"\n", ""},
		{"set is a list", sponsor, "{n: 4}", "[4]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := campaigns
			if isOrder([]byte(c.file)) {
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
