package campaign

import (
	"bytes"
	"encoding/json"
	"maps"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// The JSON Schemas of campaign files, sponsors' files and files of scenarios are made by the functions that read them: a reader with a schema is
// told what it could read, without a file, so that no key is declared twice. A default is what stands in a variable before it is read. A schema is never stricter than the loader. It is laxer where it can't say what is
// asked for: dates, amounts and CEL are texts to it.

// schema is a JSON Schema.
type schema map[string]any

const (
	dialect = "https://json-schema.org/draft/2020-12/schema"
	goalRef = "#/$defs/goal"
)

// anyText is what text takes: a number is a text, too.
var anyText = schema{"type": []string{"string", "number", "boolean"}, "minLength": 1}

// parameterRef is `${name}`, which can stand for any value in a dish.
const parameterRef = `\$\{`

// CampaignSchema is the JSON Schema of campaign files.
func CampaignSchema() []byte {
	r := &reader{references: true}
	root := r.describing(func() { newCampaign().read(r, nil) })
	var goals []schema
	for _, k := range kinds {
		goals = append(goals, r.describing(func() { k.read(r, nil, &goalReader{goal: &goal{}}) }))
	}
	root["$defs"] = schema{"goal": schema{"anyOf": goals}}
	return root.document("A campaign of Stampede")
}

// SponsorSchema is the JSON Schema of sponsors' files.
func SponsorSchema() []byte {
	r := &reader{}
	return r.describing(func() { new(order).read(r, nil) }).document("A sponsor's file of Stampede")
}

// ScenariosSchema is the JSON Schema of files of scenarios.
func ScenariosSchema() []byte {
	r := &reader{}
	return r.describing(func() { readScenarios(r, nil) }).document("Scenarios of Stampede")
}

func (s schema) document(title string) []byte {
	s["$schema"], s["title"] = dialect, title
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(s); err != nil {
		panic(err) // it is made of texts, numbers, lists and maps
	}
	return b.Bytes()
}

// describing returns what read would read.
func (r *reader) describing(read func()) schema {
	outer := r.schema
	defer func() { r.schema = outer }()
	r.schema = schema{}
	read()
	return r.schema
}

// note adds to the schema what is read here. It is false where a file is read and no schema made.
func (r *reader) note(s schema) bool {
	if r.schema == nil {
		return false
	}
	maps.Copy(r.schema, s)
	return true
}

// noteDefault notes what is read, and what holds where nothing is written; an empty text is no default.
func (r *reader) noteDefault(s schema, value any) bool {
	if value != "" {
		r.note(schema{"default": value})
	}
	return r.note(s)
}

// noteMapping notes a mapping whose keys are the author's.
func (r *reader) noteMapping(read func(*reader, ast.Node)) bool {
	return r.schema != nil && r.note(schema{"type": "object", "additionalProperties": r.describing(func() { read(r, nil) })})
}

// orReference is a value in whose place a dish can have a reference.
func (r *reader) orReference(s schema) schema {
	if !r.references {
		return s
	}
	return schema{"anyOf": []schema{s, {"type": "string", "pattern": parameterRef}}}
}

// oneOrList is a value or a list of such.
func oneOrList(one schema) schema {
	return schema{"anyOf": []schema{one, {"type": "array", "items": one, "minItems": 1}}}
}

// wordsSchema is one of a few words. A block of text (`|`) ends with a line break, which the loader takes off.
func (r *reader) wordsSchema(words []string) schema {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = regexp.QuoteMeta(w)
	}
	pattern := `^\s*(` + strings.Join(quoted, "|") + `)\s*$`
	if r.references {
		pattern += "|" + parameterRef
	}
	return schema{"anyOf": []schema{{"enum": words}, {"type": "string", "pattern": pattern}}}
}

// noteFields notes a mapping by its declaration; open is one that can have any other key.
func (r *reader) noteFields(what string, fields []field, open bool) bool {
	if r.schema == nil {
		return false
	}
	properties, required := schema{}, []string{}
	for _, f := range fields {
		s := r.describing(func() { f.read(r, nil) })
		s["description"] = f.doc
		if f.required {
			delete(s, "default")
		}
		properties[f.key] = s
		if f.required {
			required = append(required, f.key)
		}
	}
	s := schema{"title": what, "type": "object", "properties": properties, "additionalProperties": open}
	if len(required) > 0 {
		s["required"] = required
	}
	return r.note(s)
}

// described reads what is kept for later, and describes it for a schema.
func described(describe func(*reader), read func(*reader, ast.Node)) func(*reader, ast.Node) {
	return func(r *reader, n ast.Node) {
		if r.schema != nil {
			describe(r)
			return
		}
		read(r, n)
	}
}
