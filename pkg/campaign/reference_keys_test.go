package campaign

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

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
	for _, s := range []struct {
		what string
		text []byte
	}{{"a campaign", CampaignSchema()}, {"a sponsor's file", SponsorSchema()}, {"", ScenariosSchema()}} { // a file of scenarios has `scenarios`
		var document map[string]any
		if err := json.Unmarshal(s.text, &document); err != nil {
			t.Fatal(err)
		}
		document["title"] = s.what
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

// declarations finds the mappings of a schema, and notes each key's default.
func declarations(v any, to map[string]string) {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			declarations(item, to)
		}
	case map[string]any:
		keys, _ := v["properties"].(map[string]any)
		what, titled := v["title"].(string)
		if kind, ok := strings.CutSuffix(what, " goal"); ok {
			_, what, _ = strings.Cut(kind, " ")
		}
		required, _ := v["required"].([]any)
		for key, of := range keys {
			if !titled || what == "" {
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
