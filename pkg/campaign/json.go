package campaign

import (
	"encoding/binary"
	"fmt"
	"iter"
	"math"
	"math/bits"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// Kind is what a JSON value is.
type Kind uint8

// The kinds of JSON values. Absent is a value that is not there.
const (
	Absent Kind = iota
	Null
	Bool
	Number
	String
	Array
	Object
)

// maxDepth bounds how deep a JSON text may nest.
const maxDepth = 64

// document is a parsed JSON text: a flat list of nodes in the order of the text, used again from text to text, so that
// parsing allocates nothing once it has grown. Nodes number at most one for each byte of the text.
type document struct {
	src       []byte
	nodes     []node
	unescaped []byte // the texts of strings with escapes, one behind the other
	at        int
}

// node is one value, or an object's member name (a string in front of its value).
type node struct {
	kind       Kind
	escaped    bool // a string: start and end lie in unescaped
	start, end int32
	after      int32 // the node behind this value and all that is in it
}

// maxJSONBytes is what a node's positions can address.
const maxJSONBytes = math.MaxInt32 / 2

// parse reads src, which must be one JSON value (RFC 8259) and stay as it is while values of the document are in use. It
// is stricter than encoding/json: text that is not UTF-8, nesting beyond maxDepth and numbers beyond a float64 are refused.
func (d *document) parse(src []byte) error {
	d.src, d.nodes, d.unescaped, d.at = src, d.nodes[:0], d.unescaped[:0], 0
	if len(src) > maxJSONBytes {
		return fmt.Errorf("a JSON text of %d bytes: at most %d can be read", len(src), maxJSONBytes)
	}
	err := d.value(0)
	if err == nil {
		d.space()
		if d.at < len(d.src) {
			err = d.wrong("something stands behind the value")
		}
	}
	if err != nil {
		d.nodes = d.nodes[:0]
	}
	return err
}

func (d *document) root() Value {
	if len(d.nodes) == 0 {
		return Value{}
	}
	return Value{d, 0}
}

func (d *document) wrong(what string) error { return fmt.Errorf("no JSON at byte %d: %s", d.at, what) }

func (d *document) space() {
	for d.at < len(d.src) {
		switch d.src[d.at] {
		case ' ', '\t', '\n', '\r':
			d.at++
		default:
			return
		}
	}
}

func (d *document) value(depth int) error {
	d.space()
	if d.at >= len(d.src) {
		return d.wrong("the text ends where a value should be")
	}
	switch c := d.src[d.at]; {
	case c == '{':
		return d.container(Object, '}', depth)
	case c == '[':
		return d.container(Array, ']', depth)
	case c == '"':
		return d.string()
	case c == '-' || c >= '0' && c <= '9':
		return d.number()
	}
	for _, word := range [...]struct {
		text string
		kind Kind
	}{{"true", Bool}, {"false", Bool}, {"null", Null}} {
		if len(d.src)-d.at >= len(word.text) && string(d.src[d.at:d.at+len(word.text)]) == word.text {
			d.add(word.kind, d.at, d.at+len(word.text), false)
			d.at += len(word.text)
			return nil
		}
	}
	return d.wrong("this begins no value")
}

func (d *document) add(kind Kind, start, end int, escaped bool) {
	d.nodes = append(d.nodes, node{kind, escaped, int32(start), int32(end), int32(len(d.nodes) + 1)})
}

// container reads an object or an array.
func (d *document) container(kind Kind, closing byte, depth int) error {
	if depth == maxDepth {
		return d.wrong(fmt.Sprintf("it nests deeper than %d levels", maxDepth))
	}
	self := len(d.nodes)
	d.add(kind, d.at, d.at, false)
	d.at++
	d.space()
	for first := true; ; first = false {
		if d.at >= len(d.src) {
			return d.wrong("the text ends inside an object or array")
		}
		if d.src[d.at] == closing && first {
			break
		}
		if kind == Object {
			if d.src[d.at] != '"' {
				return d.wrong("a member's name should begin here")
			}
			if err := d.string(); err != nil {
				return err
			}
			d.space()
			if d.at >= len(d.src) || d.src[d.at] != ':' {
				return d.wrong("a colon should follow a member's name")
			}
			d.at++
		}
		if err := d.value(depth + 1); err != nil {
			return err
		}
		d.space()
		if d.at < len(d.src) && d.src[d.at] == closing {
			break
		}
		if d.at >= len(d.src) || d.src[d.at] != ',' {
			return d.wrong("a comma or the end should follow a value")
		}
		d.at++
		d.space()
	}
	d.at++
	d.nodes[self].end, d.nodes[self].after = int32(d.at), int32(len(d.nodes))
	return nil
}

// string reads a string. One without escapes is a piece of src; another is written to unescaped.
func (d *document) string() error {
	d.at++
	start := d.at
	for d.at += plain(d.src[d.at:]); d.at < len(d.src); {
		switch c := d.src[d.at]; {
		case c == '"':
			d.add(String, start, d.at, false)
			d.at++
			return nil
		case c == '\\':
			return d.escapedString(start)
		case c < 0x20:
			return d.wrong("a control character in a string")
		case c < utf8.RuneSelf:
			d.at++
		default:
			if err := d.rune(); err != nil {
				return err
			}
		}
	}
	return d.wrong("the text ends inside a string")
}

// plain is how many bytes at the front of a string stand for themselves: ASCII, and neither a quote, a backslash nor a control character. It looks at
// eight bytes at a time, which takes a fifth off the reading of an event of 300 bytes.
func plain(b []byte) int {
	const (
		ones  = 0x0101010101010101
		highs = 0x80 * ones
	)
	n := 0
	for ; n+8 <= len(b); n += 8 {
		x := binary.LittleEndian.Uint64(b[n:])
		quote, backslash := x^'"'*ones, x^'\\'*ones
		// A byte is zero, or below 0x20, where subtracting reaches its highest bit and it was not set before. What is borrowed spoils only the bytes above
		// the first such one.
		if special := ((quote-ones)&^quote | (backslash-ones)&^backslash | (x-' '*ones)&^x | x) & highs; special != 0 {
			return n + bits.TrailingZeros64(special)/8
		}
	}
	for n < len(b) && b[n] >= ' ' && b[n] < utf8.RuneSelf && b[n] != '"' && b[n] != '\\' {
		n++
	}
	return n
}

// rune passes over one character that is not ASCII.
func (d *document) rune() error {
	r, size := utf8.DecodeRune(d.src[d.at:])
	if r == utf8.RuneError && size == 1 {
		return d.wrong("the text is not UTF-8")
	}
	d.at += size
	return nil
}

func (d *document) escapedString(start int) error {
	from := len(d.unescaped)
	d.unescaped = append(d.unescaped, d.src[start:d.at]...)
	for d.at < len(d.src) {
		switch c := d.src[d.at]; {
		case c == '"':
			d.add(String, from, len(d.unescaped), true)
			d.at++
			return nil
		case c == '\\':
			if err := d.escape(); err != nil {
				return err
			}
		case c < 0x20:
			return d.wrong("a control character in a string")
		default:
			begin := d.at
			if err := d.rune(); err != nil {
				return err
			}
			d.unescaped = append(d.unescaped, d.src[begin:d.at]...)
		}
	}
	return d.wrong("the text ends inside a string")
}

// escape reads what follows a backslash. Half of a surrogate pair becomes U+FFFD, as in encoding/json.
func (d *document) escape() error {
	if d.at+1 >= len(d.src) {
		return d.wrong("the text ends inside an escape")
	}
	c := d.src[d.at+1]
	if c == 'u' {
		r, ok := d.hex(d.at + 2)
		if !ok {
			return d.wrong("four hexadecimal digits should follow \\u")
		}
		d.at += 6
		if utf16.IsSurrogate(r) {
			second, ok := rune(0), false
			if d.at+1 < len(d.src) && d.src[d.at] == '\\' && d.src[d.at+1] == 'u' {
				second, ok = d.hex(d.at + 2)
			}
			if pair := utf16.DecodeRune(r, second); ok && pair != utf8.RuneError {
				r = pair
				d.at += 6
			} else {
				r = utf8.RuneError
			}
		}
		d.unescaped = utf8.AppendRune(d.unescaped, r)
		return nil
	}
	switch c {
	case '"', '\\', '/':
	case 'b':
		c = '\b'
	case 'f':
		c = '\f'
	case 'n':
		c = '\n'
	case 'r':
		c = '\r'
	case 't':
		c = '\t'
	default:
		return d.wrong("there is no such escape")
	}
	d.unescaped = append(d.unescaped, c)
	d.at += 2
	return nil
}

// hex reads four hexadecimal digits.
func (d *document) hex(at int) (rune, bool) {
	if at+4 > len(d.src) {
		return 0, false
	}
	var r rune
	for _, c := range d.src[at : at+4] {
		if c >= 'A' && c <= 'F' {
			c |= 0x20
		}
		v := hexValues[c]
		if v >= notHex {
			return 0, false
		}
		r = r<<4 | rune(v)
	}
	return r, true
}

// number reads a number by the grammar. Only one with an exponent or very many digits can be too large for a float64.
func (d *document) number() error {
	start := d.at
	if d.src[d.at] == '-' {
		d.at++
	}
	whole := d.digits()
	if whole == 0 || whole > 1 && d.src[d.at-whole] == '0' {
		return d.wrong("this is no number")
	}
	exponent := false
	if d.at < len(d.src) && d.src[d.at] == '.' {
		d.at++
		if d.digits() == 0 {
			return d.wrong("digits should follow a decimal point")
		}
	}
	if d.at < len(d.src) && d.src[d.at]|0x20 == 'e' {
		exponent = true
		d.at++
		if d.at < len(d.src) && (d.src[d.at] == '+' || d.src[d.at] == '-') {
			d.at++
		}
		if d.digits() == 0 {
			return d.wrong("digits should follow an exponent's e")
		}
	}
	const surely = 300 // digits in front of the point that always fit
	if exponent || whole > surely {
		if _, err := strconv.ParseFloat(alias(d.src[start:d.at]), 64); err != nil {
			return d.wrong("the number is too large")
		}
	}
	d.add(Number, start, d.at, false)
	return nil
}

func (d *document) digits() int {
	start := d.at
	for d.at < len(d.src) && d.src[d.at] >= '0' && d.src[d.at] <= '9' {
		d.at++
	}
	return d.at - start
}

// alias returns bytes as a string without a copy. The string is as short-lived as the bytes: whatever is kept of an event
// has to be cloned.
func alias(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// Value is a handle on one value of a JSON document, valid until the document's next parse. The zero Value is absent.
type Value struct {
	d  *document
	at int32
}

func (v Value) node() node { return v.d.nodes[v.at] }

// Kind returns what the value is.
func (v Value) Kind() Kind {
	if v.d == nil {
		return Absent
	}
	return v.node().kind
}

// Text returns a string's text, or "" for what is no string. It lives as long as the document.
func (v Value) Text() string {
	if v.Kind() != String {
		return ""
	}
	n := v.node()
	if n.escaped {
		return alias(v.d.unescaped[n.start:n.end])
	}
	return alias(v.d.src[n.start:n.end])
}

// Number returns a number, or 0 for what is none.
func (v Value) Number() float64 {
	if v.Kind() != Number {
		return 0
	}
	f, err := strconv.ParseFloat(alias(v.Raw()), 64)
	if err != nil {
		panic("BUG: a number that was checked: " + err.Error())
	}
	return f
}

// Bool returns whether the value is true.
func (v Value) Bool() bool { return v.Kind() == Bool && v.d.src[v.node().start] == 't' }

// Raw returns the value's own JSON text, or nil for what is absent.
func (v Value) Raw() []byte {
	if v.d == nil {
		return nil
	}
	n := v.node()
	if n.kind != String {
		return v.d.src[n.start:n.end]
	}
	if n.escaped {
		return appendJSONString(nil, v.Text())
	}
	return v.d.src[n.start-1 : n.end+1]
}

// Get returns an object's member, the last one of that name, as encoding/json would. It is absent where there is none or
// where v is no object.
func (v Value) Get(name string) Value {
	found := Value{}
	if v.Kind() != Object {
		return found
	}
	for at := v.at + 1; at < v.node().after; at = v.d.nodes[at+1].after {
		if (Value{v.d, at}).Text() == name {
			found = Value{v.d, at + 1}
		}
	}
	return found
}

// all ranges over an object's members in the text's order, those too that another of the same name follows.
func (v Value) all() iter.Seq2[string, Value] {
	return func(yield func(string, Value) bool) {
		if v.Kind() != Object {
			return
		}
		for at := v.at + 1; at < v.node().after; at = v.d.nodes[at+1].after {
			if !yield((Value{v.d, at}).Text(), Value{v.d, at + 1}) {
				return
			}
		}
	}
}

// fewMembers is up to how many members are looked through for another of the same name; beyond, an index is made, so that
// an object of a whole event's size does not cost the square of it.
const fewMembers = 16

// Members ranges over an object's members in the text's order; of several with one name only the last.
func (v Value) Members() iter.Seq2[string, Value] {
	return func(yield func(string, Value) bool) {
		if v.Kind() != Object {
			return
		}
		n := 0
		for at := v.at + 1; at < v.node().after; at = v.d.nodes[at+1].after {
			n++
		}
		var last map[string]int32
		if n > fewMembers {
			last = make(map[string]int32, n)
			for at := v.at + 1; at < v.node().after; at = v.d.nodes[at+1].after {
				last[(Value{v.d, at}).Text()] = at + 1
			}
		}
		for at := v.at + 1; at < v.node().after; at = v.d.nodes[at+1].after {
			name, member := (Value{v.d, at}).Text(), Value{v.d, at + 1}
			shadowed := last != nil && last[name] != member.at || last == nil && v.Get(name) != member
			if !shadowed && !yield(name, member) {
				return
			}
		}
	}
}

// Len returns how many elements an array has, or members an object.
func (v Value) Len() int {
	n := 0
	switch v.Kind() {
	case Array:
		for at := v.at + 1; at < v.node().after; at = v.d.nodes[at].after {
			n++
		}
	case Object:
		for range v.Members() {
			n++
		}
	case Absent, Null, Bool, Number, String:
	}
	return n
}

// Elements ranges over an array's elements.
func (v Value) Elements() iter.Seq[Value] {
	return func(yield func(Value) bool) {
		if v.Kind() != Array {
			return
		}
		for at := v.at + 1; at < v.node().after; at = v.d.nodes[at].after {
			if !yield(Value{v.d, at}) {
				return
			}
		}
	}
}

// Any returns the value as encoding/json would decode it: nil, bool, float64, string, []any or map[string]any. Its texts
// are copies.
func (v Value) Any() any {
	switch v.Kind() {
	case Bool:
		return v.Bool()
	case Number:
		return v.Number()
	case String:
		return string([]byte(v.Text()))
	case Array:
		list := []any{}
		for e := range v.Elements() {
			list = append(list, e.Any())
		}
		return list
	case Object:
		members := map[string]any{}
		for name, member := range v.Members() {
			members[string([]byte(name))] = member.Any()
		}
		return members
	case Absent, Null:
	}
	return nil
}
