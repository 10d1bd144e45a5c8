package campaign

import "strings"

// slipOf says whether a word is another one but for capitals and one slip: a letter too much, one missing, another one, or two neighbours that
// changed places. Among keys that can be anything, what is only near is another key: a reward can have a `count` and no `amount`.
func slipOf(word, meant string) bool {
	a, b := strings.ToLower(word), strings.ToLower(meant)
	for a != "" && b != "" && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for a != "" && b != "" && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	changed := len(a) == 2 && len(b) == 2 && a[0] == b[1] && a[1] == b[0]
	return changed || len(a) <= 1 && len(b) <= 1
}
