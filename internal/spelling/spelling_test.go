package spelling

import "testing"

func TestNearest(t *testing.T) {
	for _, c := range []struct{ word, want string }{
		{"versionn", "version"},
		{"Title", "title"},
		{"titel", "title"}, // two neighbours that changed places
		{"reward", ""},
		{"EST", "EST"},
		{"PST", ""}, // an abbreviation is no misspelling of another one
		{"", ""},
	} {
		if got := Nearest(c.word, []string{"version", "title", "EST"}); got != c.want {
			t.Errorf("Nearest(%q) is %q, wanted %q", c.word, got, c.want)
		}
	}
}
