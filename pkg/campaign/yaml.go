package campaign

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// What one file can be. The parser recurses, and its time and memory grow with the square of some of these: a file that passes a bound
// is refused before it is parsed.
const (
	// maxFileBytes bounds a file: a campaign is a page, not a book.
	maxFileBytes = 256 << 10
	// maxNesting bounds how deep lists and mappings nest.
	maxNesting = 32
	// maxKeys bounds the keys of one mapping.
	maxKeys = 1000
	// maxPathBytes bounds what the parser keeps besides the text: for each word the keys around it.
	maxPathBytes = 16 << 20
	// maxShown bounds what is quoted of a file in a mistake, and what a near word is looked for.
	maxShown = 60
)

// reader reads one YAML file into a struct and notes every mistake with its place, instead of stopping at the first.
type reader struct {
	file     string
	mistakes Mistakes
	warnings Mistakes // what is right and surely not meant
}

// field declares one key of a mapping: what it is called, what it is for, and how its value is read.
type field struct {
	key      string
	doc      string
	required bool
	read     func(*reader, ast.Node)
}

// document parses the file and returns its only document, or nil where there is nothing to read.
func (r *reader) document(src []byte) ast.Node {
	if len(src) > maxFileBytes {
		r.add(1, 1, "the file has %d bytes, at most %d are read: one campaign a file", len(src), maxFileBytes)
		return nil
	}
	tokens := lexer.Tokenize(string(src))
	if !r.bounded(tokens) {
		return nil
	}
	f, err := parser.Parse(tokens, 0)
	if err != nil {
		r.noYAML(err)
		return nil
	}
	for _, d := range f.Docs {
		if d.Body != nil && d.Body.Type() != ast.CommentType {
			return d.Body
		}
	}
	r.add(1, 1, "the file is empty: a campaign begins with `campaign: its-id`")
	return nil
}

// noYAML notes a syntax error. An error of the parser that prints itself prints the whole file.
func (r *reader) noYAML(err error) {
	e, ok := errors.AsType[yaml.Error](err)
	if !ok {
		r.add(1, 1, "this is no YAML: %s", err)
		return
	}
	line, column := 1, 1
	if t := e.GetToken(); t != nil {
		line, column = t.Position.Line, t.Position.Column
	}
	r.add(line, column, "this is no YAML: %s", e.GetMessage())
}

// level is a list or a mapping that a token stands in.
type level struct {
	flow   bool // in brackets or braces
	column int  // of its items, where it is a block
	keys   int
	path   int // bytes of the keys around it
	key    int // and of its own key at the moment
}

// bounded goes through a file's tokens before they are parsed. It notes what is not read in any place, and says whether the rest can be
// parsed in bounded time and memory.
func (r *reader) bounded(tokens token.Tokens) bool {
	levels := []level{{flow: true}} // what stands around the document
	unread, unreadLine, path := 0, 0, 0
	content, ended := false, false
	for _, t := range tokens {
		at := t.Position
		top := &levels[len(levels)-1]
		switch t.Type {
		case token.CommentType, token.DirectiveType:
			continue
		case token.DocumentHeaderType, token.DocumentEndType:
			ended = content
			continue
		case token.AnchorType, token.AliasType, token.TagType, token.MergeKeyType:
			if at.Line != unreadLine {
				r.add(at.Line, at.Column, "anchors, aliases, tags and merge keys are not read: write the value itself")
			}
			if unread++; unread > maxNesting { // they nest, too
				return false
			}
			unreadLine = at.Line
		case token.MappingStartType, token.SequenceStartType:
			levels = append(levels, level{flow: true, path: top.path + top.key})
		case token.MappingEndType, token.SequenceEndType:
			for len(levels) > 1 && !levels[len(levels)-1].flow {
				levels = levels[:len(levels)-1]
			}
			levels = levels[:max(1, len(levels)-1)]
		case token.SequenceEntryType, token.MappingKeyType:
			levels = block(levels, at.Column)
		case token.MappingValueType:
			if key := t.Prev; key != nil {
				levels = block(levels, key.Position.Column)
				levels[len(levels)-1].key = len(key.Value)
				levels[len(levels)-1].keys++
			}
		default:
		}
		if ended {
			r.add(at.Line, at.Column, "a second document begins here: write one campaign a file")
			return false
		}
		content = true
		top = &levels[len(levels)-1]
		path += top.path + top.key
		switch {
		case len(levels)-1 > maxNesting:
			r.add(at.Line, at.Column, "lists and mappings nest deeper than %d levels here: a campaign needs no more than a few", maxNesting)
			return false
		case top.keys > maxKeys:
			r.add(at.Line, at.Column, "this mapping has more than %d keys: write fewer", maxKeys)
			return false
		case path > maxPathBytes:
			r.add(at.Line, at.Column, "too much stands below long keys: write shorter keys")
			return false
		}
	}
	return true
}

// block finds the block that an item in a column belongs to. Within brackets or braces columns mean nothing.
func block(levels []level, column int) []level {
	top := levels[len(levels)-1]
	if top.flow && len(levels) > 1 {
		return levels
	}
	for !top.flow && top.column > column {
		levels = levels[:len(levels)-1]
		top = levels[len(levels)-1]
	}
	if !top.flow && top.column == column {
		return levels
	}
	return append(levels, level{column: column, path: top.path + top.key})
}

func (r *reader) add(line, column int, format string, args ...any) {
	r.mistakes = append(r.mistakes, Mistake{r.file, line, column, fmt.Sprintf(format, args...)})
}

// wrong notes a mistake at a node.
func (r *reader) wrong(n ast.Node, format string, args ...any) {
	line, column := place(n)
	r.add(line, column, format, args...)
}

// doubt notes a warning at a node.
func (r *reader) doubt(n ast.Node, format string, args ...any) {
	line, column := place(n)
	r.warnings = append(r.warnings, Mistake{r.file, line, column, fmt.Sprintf(format, args...)})
}

// place returns where a node begins. A mapping's own token is the colon behind its first key.
func place(n ast.Node) (line, column int) {
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		n = m.Values[0].Key
	}
	p := n.GetToken().Position
	return p.Line, p.Column
}

// pairs returns a mapping's keys and values, or notes that n is none.
func (r *reader) pairs(n ast.Node, what string) ([]*ast.MappingValueNode, bool) {
	switch m := n.(type) {
	case *ast.MappingNode:
		return m.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{m}, true
	}
	r.wrong(n, "%s must be a mapping (`key: value` lines), not %s", what, describe(n))
	return nil, false
}

// fields reads a mapping by its declaration. Unknown keys are mistakes; so are required ones that are missing.
func (r *reader) fields(n ast.Node, what string, fields []field) {
	pairs, ok := r.pairs(n, what)
	if !ok {
		return
	}
	present := map[string]bool{}
	for _, pair := range pairs {
		key := keyOf(pair)
		f := findField(fields, key)
		switch {
		case f == nil:
			r.unknownKey(pair.Key, what, key, fields)
		case !r.plain(pair.Value):
		case pair.Value.Type() == ast.NullType:
			r.wrong(pair.Key, "`%s` has no value: write one or leave the line out", key)
		default:
			f.read(r, pair.Value)
		}
		present[key] = true
	}
	for _, f := range fields {
		if f.required && !present[f.key] {
			r.wrong(n, "%s has no `%s`: %s", what, f.key, f.doc)
		}
	}
}

func (r *reader) unknownKey(at ast.Node, what, key string, fields []field) {
	known := make([]string, len(fields))
	for i, f := range fields {
		known[i] = f.key
	}
	if near := nearest(key, known); near != "" {
		r.wrong(at, "%s has no key `%s`: did you mean `%s`?", what, shown(key), near)
		return
	}
	r.wrong(at, "%s has no key `%s`: it can have %s", what, shown(key), strings.Join(known, ", "))
}

// plain is false for anchors, aliases, merges and tags, which bounded has refused: a campaign reads like its sentence, and no file can
// unfold into something larger than itself.
func (*reader) plain(n ast.Node) bool {
	switch n.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode, *ast.TagNode:
		return false
	}
	return true
}

func findField(fields []field, key string) *field {
	for i := range fields {
		if fields[i].key == key {
			return &fields[i]
		}
	}
	return nil
}

func keyOf(pair *ast.MappingValueNode) string { return pair.Key.GetToken().Value }

// describe names what stands in the file, for a mistake's text.
func describe(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.NullNode:
		return "nothing"
	}
	return "`" + shown(n.GetToken().Value) + "`"
}

// shown is a text of a file for a mistake's: one line of bounded length.
func shown(s string) string {
	cut := false
	if len(s) > maxShown {
		for s = s[:maxShown]; len(s) > 0 && !utf8.ValidString(s); {
			s = s[:len(s)-1]
		}
		cut = true
	}
	s = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return ' '
		}
		return c
	}, s)
	if cut {
		s += "..."
	}
	return s
}

// scalar returns a scalar's text as it is written, without quotes.
func scalar(n ast.Node) (string, bool) {
	switch v := n.(type) {
	case *ast.StringNode:
		return v.Value, true
	case *ast.LiteralNode:
		return strings.TrimSpace(v.Value.Value), true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, true
	}
	return "", false
}

// text reads a non-empty string.
func text(to *string) func(*reader, ast.Node) {
	return func(r *reader, n ast.Node) {
		s, ok := scalar(n)
		if !ok || s == "" {
			r.wrong(n, "write a text, not %s", describe(n))
			return
		}
		*to = s
	}
}

// wholeNumber reads an integer within bounds.
func wholeNumber(to *int, least, most int) func(*reader, ast.Node) {
	return func(r *reader, n ast.Node) {
		s, _ := scalar(n)
		v, err := strconv.Atoi(s)
		if n.Type() != ast.IntegerType || err != nil || v < least || v > most {
			limit := fmt.Sprintf("a whole number from %d to %d", least, most)
			if most == math.MaxInt32 {
				limit = fmt.Sprintf("a whole number of at least %d", least)
			}
			r.wrong(n, "write %s, not %s", limit, describe(n))
			return
		}
		*to = v
	}
}

// oneOf reads one of a few words.
func oneOf(to *string, words ...string) func(*reader, ast.Node) {
	return func(r *reader, n ast.Node) {
		s, _ := scalar(n)
		if slices.Contains(words, s) {
			*to = s
			return
		}
		if near := nearest(s, words); near != "" {
			r.wrong(n, "%s is not known here: did you mean `%s`?", describe(n), near)
			return
		}
		r.wrong(n, "write one of %s, not %s", strings.Join(words, ", "), describe(n))
	}
}

// words reads a string or a list of strings.
func words(to *[]string) func(*reader, ast.Node) {
	return func(r *reader, n ast.Node) {
		list, ok := n.(*ast.SequenceNode)
		if !ok {
			var s string
			if text(&s)(r, n); s != "" {
				*to = []string{s}
			}
			return
		}
		if len(list.Values) == 0 {
			r.wrong(n, "the list is empty")
		}
		for _, v := range list.Values {
			var s string
			if r.plain(v) {
				text(&s)(r, v)
			}
			if s != "" {
				*to = append(*to, s)
			}
		}
	}
}

// duration reads an exact length of time within bounds: "48h", "90m", "2 days" (of 24 hours).
func duration(to *time.Duration, most time.Duration) func(*reader, ast.Node) {
	return func(r *reader, n ast.Node) {
		s, _ := scalar(n)
		d, err := parseDuration(s)
		switch {
		case err != nil:
			r.wrong(n, "write a length of time such as 48h or 2 days, not %s", describe(n))
		case d < 0 || d > most:
			r.wrong(n, "%s is out of range: from 0h to %s", describe(n), formatDuration(most))
		default:
			*to = d
		}
	}
}

func parseDuration(s string) (time.Duration, error) {
	number, unit, ok := strings.Cut(s, " ")
	if !ok {
		return time.ParseDuration(s)
	}
	days, err := strconv.Atoi(number)
	if err != nil || unit != "day" && unit != "days" || days > math.MaxInt32 || days < 0 {
		return 0, fmt.Errorf("no duration: %q", s)
	}
	const most = math.MaxInt64 / int64(24*time.Hour)
	return time.Duration(min(int64(days), most)) * 24 * time.Hour, nil
}

func formatDuration(d time.Duration) string {
	if d%(24*time.Hour) == 0 && d >= 72*time.Hour {
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	}
	return strings.TrimSuffix(strings.TrimSuffix(d.String(), "0s"), "0m")
}
