package campaign

import (
	"os"
	"strings"
	"testing"
)

// TestReference runs every example of CAMPAIGNS.md, and wants every decision in its table.
func TestReference(t *testing.T) {
	src, err := os.ReadFile("../../CAMPAIGNS.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(src)
	var campaigns []*Campaign
	menu := map[string]*dish{}
	examples := 0
	for _, block := range strings.Split(text, "```yaml\n")[1:] {
		example, _, _ := strings.Cut(block, "```")
		examples++
		switch first, _, _ := strings.Cut(example, ":"); first {
		case "sponsor":
			l := loading{files: map[string]string{}, menu: menu}
			l.parseOrder("CAMPAIGNS.md", []byte(example))
			ordered, mistakes := l.campaigns, l.mistakes
			if mistakes != nil || len(ordered) != 1 || !strings.HasSuffix(ordered[0].ID, ".days-in-a-row") || ordered[0].Title != "Log your data 7 days in a row" {
				t.Errorf("%s\n%v", example, mistakes)
			}
		case "scenarios":
			set, err := NewSet(campaigns)
			if err != nil {
				t.Fatal(err)
			}
			scenarios, mistakes := ParseScenarios("CAMPAIGNS.md", []byte(example))
			if mistakes != nil {
				t.Fatal(mistakes)
			}
			for _, s := range scenarios {
				for _, f := range s.Run(set) {
					t.Errorf("%s: %s\n%s", s.Name, f.Text, strings.Join(f.Why, "\n"))
				}
			}
		case "campaign":
			if f := openFile("CAMPAIGNS.md", []byte(example)); f.kind == dishFile {
				d, mistakes := f.dish()
				if mistakes != nil {
					t.Fatalf("%s\n%v", example, mistakes)
				}
				menu[d.id] = d
				continue
			}
			c, mistakes := Parse("CAMPAIGNS.md", []byte(example))
			if mistakes != nil {
				t.Errorf("%s\n%v", example, mistakes)
				continue
			}
			campaigns = append(campaigns, c)
		case "goal":
			if _, mistakes := Parse("CAMPAIGNS.md", []byte("campaign: c\nversion: 1\nstarts: 2026-01-01\nreward: {kind: points}\n"+example)); mistakes != nil {
				t.Errorf("%s\n%v", example, mistakes)
			}
		default:
			t.Errorf("an example that is neither a campaign, a goal nor scenarios:\n%s", example)
		}
	}
	if examples < 19 {
		t.Errorf("%d examples were found", examples)
	}
	for _, d := range Decisions() {
		if !strings.Contains(text, "`"+d.String()+"`") {
			t.Errorf("the decision %s is not explained", d)
		}
	}
	for _, name := range kindNames() {
		if !strings.Contains(text, "goal: {"+name+": ") {
			t.Errorf("the goal %s has no example", name)
		}
	}
}
