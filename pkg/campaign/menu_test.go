package campaign

import "testing"

// Within braces YAML wants a reference in quotes, and where a number belongs none: they go with it, whichever they are.
func TestAReferenceToANumberStandsInAnyQuotes(t *testing.T) {
	for _, written := range []string{"${days}", `"${days}"`, `'${days}'`} {
		f := openFile("c.yaml", []byte("campaign: c\nversion: 1\nstarts: 2026-01-01\nparameters: {days: {type: whole, default: 5}}\ngoal: {of: hit, streak: "+written+"}\nreward: {kind: points}\n"))
		if _, mistakes := f.dish(); mistakes != nil {
			t.Errorf("%s: %v", written, mistakes)
		}
	}
}
