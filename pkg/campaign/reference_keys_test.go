package campaign

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
)

// TestReferenceHasEveryKeyWithItsDefault holds the tables of CAMPAIGNS.md against the declarations, as the schemas tell them: a key that is
// missing or that there is not any more, and a default that is another one.
func TestReferenceHasEveryKeyWithItsDefault(t *testing.T) {
	src, err := os.ReadFile("../../CAMPAIGNS.md")
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]string{} // "key of what" to its default
	what, ofGoals := "", false
	for line := range strings.Lines(string(src)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		header, isHeader := strings.CutPrefix(cells[0], "key of ")
		switch {
		case !strings.HasPrefix(line, "|"):
			what, ofGoals = "", false
		case isHeader:
			what = header
		case cells[0] == "key" && cells[1] == "of":
			ofGoals = true
		case !strings.HasPrefix(cells[0], "`"):
		case what != "":
			for key := range strings.SplitSeq(cells[0], ", ") {
				told[key+" of "+what] = cells[1]
			}
		case ofGoals:
			for key := range strings.SplitSeq(cells[0], ", ") {
				for owner := range strings.SplitSeq(cells[1], ", ") {
					if owner == "the goal itself" {
						owner = key
					}
					told[key+" of "+owner] = cells[2]
				}
			}
		}
	}
	declared := map[string]string{}
	for _, document := range schemas(t) {
		declarations(document, declared)
	}
	for key, value := range declared {
		if value == "" && told[key] != "" && told[key] != "required" {
			declared[key] = told[key] // that nothing is written has a meaning, which is told in words
		}
	}
	if diff := cmp.Diff(declared, told); diff != "" {
		t.Errorf("the tables of CAMPAIGNS.md (-declared +told):\n%s", diff)
	}
	if len(told) < 90 {
		t.Errorf("%d keys were found", len(told))
	}
}

// schemas are those of campaigns, sponsors' files and files of scenarios, in this order.
func schemas(t *testing.T) (documents []map[string]any) {
	t.Helper()
	for _, s := range []struct {
		what string
		text []byte
	}{{"a campaign", CampaignSchema()}, {"a sponsor's file", SponsorSchema()}, {"", ScenariosSchema()}} { // a file of scenarios has `scenarios`
		var document map[string]any
		if err := json.Unmarshal(s.text, &document); err != nil {
			t.Fatal(err)
		}
		document["title"] = s.what
		documents = append(documents, document)
	}
	return documents
}

// TestReferenceHasAnExampleOfEveryKey wants each key in one of the examples, all of which TestReference runs.
func TestReferenceHasAnExampleOfEveryKey(t *testing.T) {
	src, err := os.ReadFile("../../CAMPAIGNS.md")
	if err != nil {
		t.Fatal(err)
	}
	documents := schemas(t)
	declared := map[string]string{}
	for _, document := range documents {
		declarations(document, declared)
	}
	shown := examples{goal: documents[0]["$defs"].(map[string]any)["goal"], keys: map[string]bool{}}
	for _, block := range strings.Split(string(src), "```yaml\n")[1:] {
		text, _, _ := strings.Cut(block, "```")
		var example map[string]any
		if err := yaml.Unmarshal([]byte(text), &example); err != nil {
			t.Fatalf("%s\n%v", text, err)
		}
		document := documents[0]
		switch first, _, _ := strings.Cut(text, ":"); first {
		case "sponsor":
			document = documents[1]
		case "scenarios":
			document = documents[2]
		}
		shown.look(document, example)
	}
	for _, key := range slices.Sorted(maps.Keys(declared)) {
		if !shown.keys[key] {
			t.Errorf("%s has no example", key)
		}
	}
}

// examples goes through examples along their schema, and notes the keys that it meets.
type examples struct {
	goal any // to which every reference of a schema leads
	keys map[string]bool
}

func (e *examples) look(of, value any) {
	s, _ := of.(map[string]any)
	if s["$ref"] != nil {
		s, _ = e.goal.(map[string]any)
	}
	for _, one := range list(s["anyOf"]) {
		if fits(one, value) {
			e.look(one, value)
		}
	}
	for _, item := range list(value) {
		e.look(s["items"], item)
	}
	known, _ := s["properties"].(map[string]any)
	mapping, _ := value.(map[string]any)
	for key, v := range mapping {
		if of, ok := known[key]; ok {
			e.keys["`"+key+"` of "+owner(s)] = true
			e.look(of, v)
			continue
		}
		e.look(s["additionalProperties"], v)
	}
}

// fits says whether a value can be one of a schema's, as far as its keys tell.
func fits(of, value any) bool {
	s, _ := of.(map[string]any)
	mapping, _ := value.(map[string]any)
	for _, key := range list(s["required"]) {
		if _, has := mapping[key.(string)]; !has {
			return false
		}
	}
	return true
}

func list(v any) []any {
	l, _ := v.([]any)
	return l
}

// owner is what a mapping's keys are of, in the reference's words.
func owner(mapping map[string]any) string {
	what, _ := mapping["title"].(string)
	if kind, ok := strings.CutSuffix(what, " goal"); ok {
		_, what, _ = strings.Cut(kind, " ")
	}
	return what
}

// declarations finds the mappings of a schema, and notes each key's default.
func declarations(v any, to map[string]string) {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			declarations(item, to)
		}
	case map[string]any:
		keys, _ := v["properties"].(map[string]any)
		what := owner(v)
		required, _ := v["required"].([]any)
		for key, of := range keys {
			if what == "" {
				continue
			}
			value, has := of.(map[string]any)["default"]
			switch {
			case slices.Contains(required, any(key)):
				to["`"+key+"` of "+what] = "required"
			case has:
				to["`"+key+"` of "+what] = inWords(value)
			default:
				to["`"+key+"` of "+what] = ""
			}
		}
		for _, item := range v {
			declarations(item, to)
		}
	}
}

// inWords is a default as CAMPAIGNS.md writes it.
func inWords(value any) string {
	if list, ok := value.([]any); ok {
		words := make([]string, len(list))
		for i := range list {
			words[i] = inWords(list[i])
		}
		return strings.Join(words, ", ")
	}
	return fmt.Sprintf("`%v`", value)
}
