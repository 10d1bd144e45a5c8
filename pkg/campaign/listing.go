package campaign

import (
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

const (
	// maxListed bounds the mistakes that are listed of one file: whoever has mended so many checks again.
	maxListed = 50
	// maxExcerptLetters bounds what is shown of a line, so that the place is still on the screen.
	maxExcerptLetters = 120
)

// List writes mistakes as compilers do: the place and what is wrong there, the line, and a caret below the place. open opens the files that
// they name; of one that can't be read, or has no such line, the place alone is told. severity stands before the message: "warning: ", or nothing.
func (ms Mistakes) List(w io.Writer, severity string, open func(name string) (fs.File, error)) error {
	byFile := slices.Clone(ms)
	slices.SortStableFunc(byFile, func(a, b Mistake) int { return strings.Compare(a.File, b.File) })
	for len(byFile) > 0 {
		file := byFile[0].File
		n := slices.IndexFunc(byFile, func(m Mistake) bool { return m.File != file })
		if n < 0 {
			n = len(byFile)
		}
		lines := linesOf(file, open)
		for _, m := range byFile[:min(n, maxListed)] {
			if _, err := fmt.Fprintf(w, "%s:%d:%d: %s%s\n%s", harmless(m.File), m.Line, m.Column, severity, harmless(m.Message), excerptOf(lines, m)); err != nil {
				return err
			}
		}
		if n > maxListed {
			if _, err := fmt.Fprintf(w, "%s: %s%d more of them, which are not shown: mend these first\n", harmless(file), severity, n-maxListed); err != nil {
				return err
			}
		}
		byFile = byFile[n:]
	}
	return nil
}

// linesOf reads as much of a file as the loader does; none where it can't be read.
func linesOf(file string, open func(name string) (fs.File, error)) []string {
	f, err := open(file)
	if err != nil {
		return nil
	}
	src, err := readOpen(f)
	if err != nil {
		return nil // a directory, for one
	}
	return strings.Split(string(src), "\n")
}

// excerptOf is a mistake's line with a caret below its place. Of a long line it is what stands around the place.
func excerptOf(lines []string, m Mistake) string {
	if m.Line > len(lines) {
		return ""
	}
	line := strings.TrimRight(lines[m.Line-1], "\r")
	if strings.TrimSpace(line) == "" {
		return ""
	}
	letters := []rune(line)
	at := min(m.Column-1, len(letters))
	before, behind := "", ""
	if at > maxExcerptLetters {
		cut := at - maxExcerptLetters/2
		letters, at, before = letters[cut:], at-cut, "..."
	}
	if len(letters) > maxExcerptLetters {
		letters, behind = letters[:maxExcerptLetters], "..."
	}
	return "    " + before + harmless(string(letters)) + behind + "\n" +
		"    " + blank(before+harmless(string(letters[:at]))) + "^\n"
}

// harmless is a text whose every letter can be seen: what could move a terminal's cursor, or turn the order of letters, is a question mark.
func harmless(s string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) && c != '\t' || unicode.Is(unicode.Bidi_Control, c) || c == '\ufeff' {
			return '?'
		}
		return c
	}, s)
}

// blank is as wide on a terminal as a text.
func blank(s string) string {
	var b strings.Builder
	for _, c := range s {
		switch {
		case c == '\t':
			b.WriteByte('\t')
		case unicode.In(c, unicode.Mn, unicode.Me, unicode.Cf): // it belongs to the letter before it
		default:
			b.WriteByte(' ')
			if kind := width.LookupRune(c).Kind(); kind == width.EastAsianWide || kind == width.EastAsianFullwidth {
				b.WriteByte(' ')
			}
		}
	}
	return b.String()
}
