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

	"github.com/stampede-rewards/stampede/internal/spelling"
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
	// maxShown bounds what is quoted of a file in a mistake.
	maxShown = 60
	// maxMessage bounds a mistake's text.
	maxMessage = 2000
)

// reader reads one YAML file into a struct and notes every mistake with its place, instead of stopping at the first.
type reader struct {
	file     string
	text     []string        // its lines
	letters  [][]rune        // the same, for whoever looks for a place
	twice    map[[2]int]bool // the places of keys that stand there twice
	mistakes Mistakes
	warnings Mistakes // what is right and surely not meant

	conditions []conditionAt // what warnings need to know: the conditions, where the goal's leaves stand, and how often conditions were tried
	leaves     []ast.Node
	trials     int

	schema     schema // what is described instead of read; nil where a file is read
	references bool   // a value can be a parameter's, in a schema
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
		r.add(1, 1, "the file is larger than %d KiB: write one campaign a file", maxFileBytes>>10)
		return nil
	}
	text := strings.TrimPrefix(string(src), byteOrderMark)
	r.text, r.twice = strings.Split(text, "\n"), map[[2]int]bool{}
	if !r.readable() {
		return nil
	}
	for i, line := range r.text {
		r.text[i] = strings.TrimSuffix(line, "\r")
		r.letters = append(r.letters, []rune(r.text[i]))
	}
	tokens := lexer.Tokenize(strings.Join(r.text, "\n")) // it counts some lines twice that end with both
	if !r.bounded(tokens) {
		return nil
	}
	f, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey()) // which pairs tells, with all other mistakes
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

// byteOrderMark is what some editors begin a file with.
const byteOrderMark = "\ufeff"

// readable notes the first thing in the file that is no text.
func (r *reader) readable() bool {
	for i, line := range r.text {
		column := 0
		for at, c := range line {
			column++
			switch {
			case c == utf8.RuneError && !utf8.ValidString(line[at:min(len(line), at+utf8.UTFMax)]) && !strings.HasPrefix(line[at:], "\ufffd"):
				r.add(i+1, column, "the file is not UTF-8: save it as UTF-8, this letter is in another encoding")
				return false
			case unicode.IsControl(c) && c != '\t' && (c != '\r' || at != len(line)-1):
				r.add(i+1, column, "a character that can't be seen stands here (U+%04X): delete it", c)
				return false
			}
		}
	}
	return true
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
	message := e.GetMessage()
	for _, known := range syntax {
		if strings.Contains(message, known.parser) {
			message = known.author
			break
		}
	}
	r.add(line, column, "this is no YAML: %s", message)
}

// syntax is what the parser says, in an author's words.
var syntax = []struct{ parser, author string }{
	{"unexpected key name", "write a key, a colon, a space and a value, for example `title: Log your data`"},
	{"non-map value is specified", "write a key, a colon, a space and a value, for example `title: Log your data`"},
	{"mapping value is not allowed", "a second `: ` stands in this value, or the line below is indented too far: put a text with a colon in quotes"},
	{"map key-value is pre-defined", "the value has ended before this: put the whole text in quotes, or begin a new line where the other keys begin"},
	{"could not find end character of", "the quotes are not closed"},
	{"',' or '}' must be specified", "a `,` or the closing `}` is missing before this; an expression within braces stands in quotes"},
	{"',' or ']' must be specified", "a `,` or the closing `]` is missing before this; an expression within brackets stands in quotes"},
	{"could not find flow map content", "within braces a comma begins the next key: put a text or an expression with a comma in quotes"},
	{"could not find flow mapping end token", "the closing `}` is missing"},
	{"sequence end token ']' not found", "the closing `]` is missing"},
	{"found character '\t'", "a tab can't indent: write spaces"},
	{"found a tab character", "a tab can't indent: write spaces"},
	{"found invalid token", "this character begins no value: put the text in quotes"},
	{"is a reserved character", "this character begins no value: put the text in quotes"},
	{"value is not allowed in this context", "this belongs to no line above: begin it where the keys above begin, or put a text with brackets in quotes"},
	{"invalid key for this map", "a key is a word: put a text with brackets in quotes"},
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
				at = key.Position
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

// add notes a mistake. The parser has a value that is missing somewhere behind its key: that can be behind the line's end.
func (r *reader) add(line, column int, format string, args ...any) {
	if line >= 1 && line <= len(r.letters) {
		column = min(column, len(r.letters[line-1])+1)
	}
	r.mistakes = append(r.mistakes, Mistake{r.file, line, column, printable(fmt.Sprintf(format, args...), maxMessage)})
}

// wrong notes a mistake at a node.
func (r *reader) wrong(n ast.Node, format string, args ...any) {
	line, column := place(n)
	r.add(line, column, format, args...)
}

// doubt notes a warning at a node.
func (r *reader) doubt(n ast.Node, format string, args ...any) {
	line, column := place(n)
	r.warnings = append(r.warnings, Mistake{r.file, line, column, printable(fmt.Sprintf(format, args...), maxMessage)})
}

// place returns where a node begins. A mapping's own token is the colon behind its first key.
func place(n ast.Node) (line, column int) {
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		n = m.Values[0].Key
	}
	if n == nil { // it is described, not read
		return 0, 0
	}
	p := n.GetToken().Position
	return p.Line, p.Column
}

// pairsOf returns a mapping's keys and values as they stand there; nil where n is none.
func pairsOf(n ast.Node) []*ast.MappingValueNode {
	switch m := n.(type) {
	case *ast.MappingNode:
		return append([]*ast.MappingValueNode{}, m.Values...)
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{m}
	}
	return nil
}

// pairs returns a mapping's keys and values, or notes that n is none. Of a key that stands there twice the first is returned.
func (r *reader) pairs(n ast.Node, what string) ([]*ast.MappingValueNode, bool) {
	all := pairsOf(n)
	if all == nil {
		r.wrong(n, "%s must be a mapping (`key: value` lines), not %s", what, describe(n))
		return nil, false
	}
	lines := make(map[string]int, len(all))
	return slices.DeleteFunc(all, func(pair *ast.MappingValueNode) bool {
		key := keyOf(pair)
		line, column := place(pair.Key)
		switch pair.Key.(type) {
		case *ast.MappingKeyNode:
			r.add(line, column, "write the key, a colon and the value, without `?`")
			return true
		case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode, *ast.TagNode:
			return true // bounded has told them
		}
		if first := lines[key]; first > 0 {
			if at := [2]int{line, column}; !r.twice[at] { // a goal's are read twice
				r.twice[at] = true
				r.add(line, column, "`%s` stands here a second time, the first is in line %d: keep one of them", shown(key), first)
			}
			return true
		}
		lines[key] = line
		return false
	}), true
}

// fields reads a mapping by its declaration. Unknown keys are mistakes; so are required ones that are missing.
func (r *reader) fields(n ast.Node, what string, fields []field) {
	if r.noteFields(what, fields, false) {
		return
	}
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
		default:
			f.readValue(r, pair)
		}
		present[key] = true
	}
	for _, f := range fields {
		if f.required && !present[f.key] {
			r.wrong(n, "%s has no `%s`: %s", what, f.key, f.doc)
		}
	}
}

// readValue reads what stands behind the field's key, if anything does.
func (f *field) readValue(r *reader, pair *ast.MappingValueNode) {
	switch {
	case pair.Value.Type() != ast.NullType:
		f.read(r, pair.Value)
	case f.required:
		r.wrong(pair.Key, "`%s` has no value: write %s", f.key, f.doc)
	default:
		r.wrong(pair.Key, "`%s` has no value: write one or leave the line out", f.key)
	}
}

// goalKeys belong to a goal. Beside it they stand where an author has not indented them.
var goalKeys = []string{"of", "where", "value", "per", "within", "period", "at_least", "forgive", "on"}

func (r *reader) unknownKey(at ast.Node, what, key string, fields []field) {
	known := make([]string, len(fields))
	for i, f := range fields {
		known[i] = f.key
	}
	if near := spelling.Nearest(key, known); near != "" {
		r.wrong(at, "%s has no key `%s`: did you mean `%s`?", what, shown(key), near)
		return
	}
	if slices.Contains(known, "goal") && slices.Contains(goalKeys, key) {
		r.wrong(at, "`%s` belongs to the goal: indent it below `goal:`", key)
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

// shown is a text of a file for a mistake's.
func shown(s string) string { return printable(s, maxShown) }

// printable is a text on one line and of bounded length.
func printable(s string, most int) string {
	cut := false
	if len(s) > most {
		for s = s[:most]; len(s) > 0 && !utf8.ValidString(s); {
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

// someOf lists words of a file for a mistake's text.
func someOf(words []string) string {
	const most = 20
	shownWords := make([]string, 0, most+1)
	for _, w := range words[:min(most, len(words))] {
		shownWords = append(shownWords, shown(w))
	}
	if len(words) > most {
		shownWords = append(shownWords, "...")
	}
	return strings.Join(shownWords, ", ")
}

// inside returns the place in the file of a place in a scalar's text: whatever quotes, escapes, indentation and folded lines stand in
// between. It goes through both at once; what is no space has the same order in both.
func (r *reader) inside(n ast.Node, line, column int) (int, int) {
	text, _ := scalar(n)
	lines := strings.SplitAfter(text, "\n")
	offset := utf8.RuneCountInString(strings.Join(lines[:min(line-1, len(lines))], "")) + column - 1
	at := n.GetToken().Position
	f := finger{lines: r.letters, line: at.Line, column: at.Column}
	switch n.GetToken().Type {
	case token.SingleQuoteType, token.DoubleQuoteType:
		f.quote = f.next()
	case token.LiteralType, token.FoldedType:
		f.line, f.column = at.Line+1, 1 // below the indicator
	default:
	}
	line, column = at.Line, at.Column-1
	for i, c := range []rune(text) {
		if space := unicode.IsSpace(c); !space {
			line, column = f.find(c)
		}
		if i == offset {
			break
		}
	}
	if offset >= utf8.RuneCountInString(text) {
		column++
	}
	return line, max(1, column)
}

// finger goes through a file's text.
type finger struct {
	lines        [][]rune
	line, column int  // from 1
	quote        rune // what a text stands in; 0 where in none
}

// next takes one letter. At the end of the file it is 0.
func (f *finger) next() rune {
	for f.line <= len(f.lines) {
		if letters := f.lines[f.line-1]; f.column <= len(letters) {
			f.column++
			return letters[f.column-2]
		}
		f.line, f.column = f.line+1, 1
	}
	return 0
}

// find takes letters up to one that stands for c, and returns its place.
func (f *finger) find(c rune) (line, column int) {
	for {
		got := f.next()
		line, column = min(f.line, len(f.lines)), f.column-1
		switch {
		case got == 0:
			return line, column
		case got == '\\' && f.quote == '"':
			switch escaped := f.next(); escaped {
			case c:
				return line, column
			case 'x', 'u', 'U':
				for range map[rune]int{'x': 2, 'u': 4, 'U': 8}[escaped] {
					f.next()
				}
				return line, column
			}
		case got == c:
			if got == '\'' && f.quote == '\'' {
				f.next() // it is doubled
			}
			return line, column
		}
	}
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
		if r.noteDefault(anyText, *to) {
			return
		}
		s, ok := scalar(n)
		switch {
		case !ok:
			r.wrong(n, "write a text, not %s", describe(n))
		case s == "":
			r.wrong(n, "this text is empty: write one, or leave the key out")
		default:
			*to = s
		}
	}
}

// wholeNumber reads an integer within bounds.
func wholeNumber(to *int, least, most int) func(*reader, ast.Node) {
	return func(r *reader, n ast.Node) {
		if r.note(r.orReference(schema{"type": "integer", "minimum": least, "maximum": most})) {
			if *to >= least {
				r.note(schema{"default": *to})
			}
			return
		}
		s, _ := scalar(n)
		v, err := strconv.Atoi(s)
		if n.Type() != ast.IntegerType || err != nil || v < least || v > most {
			limit := fmt.Sprintf("a whole number from %d to %d", least, most)
			if most == math.MaxInt32 && (err != nil || v <= most) {
				limit = fmt.Sprintf("a whole number of at least %d", least)
			}
			if n.Type() == ast.StringType && err == nil {
				limit += " without quotes"
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
		if r.noteDefault(r.orReference(schema{"type": "boolean"}), *to) {
			return
		}
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
		if r.noteDefault(r.wordsSchema(words), *to) {
			return
		}
		s, _ := scalar(n)
		if slices.Contains(words, s) {
			*to = s
			return
		}
		if near := spelling.Nearest(s, words); near != "" {
			r.wrong(n, "%s is not known here: did you mean `%s`?", describe(n), near)
			return
		}
		r.wrong(n, "write one of %s, not %s", strings.Join(words, ", "), describe(n))
	}
}

// words reads a string or a list of strings.
func words(to *[]string) func(*reader, ast.Node) {
	return func(r *reader, n ast.Node) {
		if r.note(oneOrList(anyText)) {
			return
		}
		list, ok := n.(*ast.SequenceNode)
		if !ok {
			var s string
			if text(&s)(r, n); s != "" {
				*to = []string{s}
			}
			return
		}
		if len(list.Values) == 0 {
			r.wrong(n, "the list is empty: write at least one")
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
		if r.noteDefault(anyText, formatDuration(*to)) {
			return
		}
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
