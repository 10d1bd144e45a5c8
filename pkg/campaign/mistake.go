package campaign

import (
	"fmt"
	"slices"
	"strings"
)

// Mistake is something wrong in a campaign file: where it is, what it is and what to write instead (rule L4).
type Mistake struct {
	File         string
	Line, Column int // from 1
	Message      string
}

// Error returns the mistake the way compilers do: "file:line:column: message".
func (m Mistake) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", m.File, m.Line, m.Column, m.Message)
}

// Mistakes are all that is wrong in a set of files, in the files' order.
type Mistakes []Mistake

// Error returns all mistakes, one a line.
func (ms Mistakes) Error() string {
	lines := make([]string, len(ms))
	for i, m := range ms {
		lines[i] = m.Error()
	}
	return strings.Join(lines, "\n")
}

// sort puts the mistakes of one file in the order of their places.
func (ms Mistakes) sort() {
	slices.SortStableFunc(ms, func(a, b Mistake) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
}

// nearest returns the candidate that a misspelt word most likely meant, or "" where none is close. An abbreviation (PST) is not a
// misspelling of another one (EST).
func nearest(word string, candidates []string) string {
	if len(word) > maxShown {
		return ""
	}
	best, bestDistance := "", len(word)/2+1
	if len(word) <= 4 && word == strings.ToUpper(word) {
		bestDistance = 1
	}
	word = strings.ToLower(word)
	for _, c := range candidates {
		if d := distance(word, strings.ToLower(c)); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

// distance is the number of single-letter edits between two words, two neighbours that changed places being one edit
// (optimal string alignment).
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
