// Package spelling finds the word that somebody meant who wrote one that is unknown.
package spelling

import "strings"

// maxWord bounds the words that a near one is looked for, in bytes: the time grows with their square.
const maxWord = 60

// Nearest returns the candidate that a misspelt word most likely meant, or "" where none is close. An abbreviation (PST) is not a
// misspelling of another one (EST).
func Nearest(word string, candidates []string) string {
	if len(word) > maxWord {
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
