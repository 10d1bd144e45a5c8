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

// once sorts the mistakes of one file, and tells of two that are the same one.
func (ms Mistakes) once() Mistakes {
	ms.sort()
	return slices.Compact(ms)
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
