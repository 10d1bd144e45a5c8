package campaign

import (
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/stampede-rewards/stampede/internal/spelling"
)

// meant are the fields of a mapping, and each key in it that is none of them as a field of its own: it tells that it is unknown, and where it is
// near to one that is not there, it is read as that. So what stands behind a misspelt key is looked at, and the key that was meant is not missing.
func (r *reader) meant(n ast.Node, what string, fields []field) []field {
	pairs := pairsOf(n) // none where the fields are described
	there := map[string]bool{}
	for _, pair := range pairs {
		there[keyOf(pair)] = true
	}
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.key
	}
	all := slices.Clone(fields)
	for _, pair := range pairs {
		key := keyOf(pair)
		if findField(fields, key) != nil || !r.plain(pair.Key) {
			continue
		}
		tell := func() { r.unknownHere(pair.Key, what, key, fields) }
		near := spelling.Nearest(key, names)
		if near == "" || there[near] || belowGoal(key, fields) {
			all = append(all, field{key: key, read: func(*reader, ast.Node) { tell() }})
			continue
		}
		there[near] = true // of two that are near, the first is read
		f := findField(all, near)
		f.required = false
		read := f.read
		all = append(all, field{key, "`" + near + "` for it, and behind it " + f.doc, true, func(r *reader, n ast.Node) { tell(); read(r, n) }})
	}
	return all
}

// unknownHere notes a key that is unknown. At the top of a file, one of a goal's is not taken for a misspelt one.
func (r *reader) unknownHere(at ast.Node, what, key string, fields []field) {
	if belowGoal(key, fields) {
		r.wrong(at, "`%s` belongs to the goal: indent it below `goal:`", key)
		return
	}
	r.unknownKey(at, what, key, fields)
}

// belowGoal says whether a key stands beside the goal that it belongs to.
func belowGoal(key string, fields []field) bool {
	return findField(fields, "goal") != nil && (slices.Contains(goalKeys, key) || slices.Contains([]string{"net", "without", "from"}, key))
}

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
