package campaign

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// maxFileBytes bounds one campaign file: a campaign is a page, not a book.
const maxFileBytes = 256 << 10

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
	if !utf8.Valid(src) {
		r.add(1, 1, "the file is not UTF-8: save it as UTF-8")
		return nil
	}
	f, err := parser.ParseBytes(src, 0)
	if err != nil {
		line, column, message := 1, 1, err.Error()
		if e, ok := errors.AsType[yaml.Error](err); ok {
			message = e.GetMessage()
			if t := e.GetToken(); t != nil {
				line, column = t.Position.Line, t.Position.Column
			}
		}
		r.add(line, column, "this is no YAML: %s", message)
		return nil
	}
	var bodies []ast.Node
	for _, d := range f.Docs {
		if d.Body != nil && d.Body.Type() != ast.CommentType {
			bodies = append(bodies, d.Body)
		}
	}
	switch len(bodies) {
	case 0:
		r.add(1, 1, "the file is empty: a campaign begins with `campaign: its-id`")
		return nil
	case 1:
		return bodies[0]
	}
	r.wrong(bodies[1], "a second document begins here: write one campaign a file")
	return nil
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
		r.wrong(at, "%s has no key `%s`: did you mean `%s`?", what, key, near)
		return
	}
	r.wrong(at, "%s has no key `%s`: it can have %s", what, key, strings.Join(known, ", "))
}

// plain refuses anchors, aliases, merges and tags: a campaign reads like its sentence, and no file can unfold into
// something larger than itself.
func (r *reader) plain(n ast.Node) bool {
	switch n.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode, *ast.TagNode:
		r.wrong(n, "anchors, aliases and tags are not read: write the value itself")
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
	s := n.GetToken().Value
	if len(s) > 40 {
		s = s[:40] + "..."
	}
	return "`" + s + "`"
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

// yesOrNo reads true or false.
func yesOrNo(to *bool) func(*reader, ast.Node) {
	return func(r *reader, n ast.Node) {
		b, ok := n.(*ast.BoolNode)
		if !ok {
			r.wrong(n, "write true or false, not %s", describe(n))
			return
		}
		*to = b.Value
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
