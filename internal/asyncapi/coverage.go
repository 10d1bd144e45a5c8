package asyncapi

import (
	"fmt"
	"maps"
	"slices"
)

// Coverage is what records have shown of what is described: each message, each property, that one which may be absent was absent, each word of an enum. What
// two messages share by reference is one thing.
type Coverage map[string]bool

// NewCoverage wants everything of channels.
func NewCoverage(channels ...*Channel) Coverage {
	c := Coverage{}
	for _, ch := range channels {
		for _, m := range ch.Messages {
			c["message "+m.Name] = false
			c.walk(m.headers, nil, false)
			c.walk(m.payload, nil, false)
		}
	}
	return c
}

// Meet takes note of a record that is a message.
func (c Coverage) Meet(m *Message, r *Record) error {
	payload, err := m.payloadOf(r)
	if err != nil {
		return err
	}
	c["message "+m.Name] = true
	c.walk(m.headers, texts(r.Headers), true)
	c.walk(m.payload, payload, true)
	return nil
}

// Unseen is what no record has shown.
func (c Coverage) Unseen() (unseen []string) {
	for _, what := range slices.Sorted(maps.Keys(c)) {
		if !c[what] {
			unseen = append(unseen, what)
		}
	}
	return unseen
}

func (c Coverage) walk(s *schema, value any, has bool) {
	c.node(s.lib, s.lib.main, s.name, s.tree, value, has, nil)
}

// node walks through a schema and a value side by side. Conditions (`if`, `not`, `anyOf`) are not followed: they say what may not be. must are members that
// are required by what the schema is a part of.
func (c Coverage) node(lib *library, file, at string, tree, value any, has bool, must []any) {
	object, ok := tree.(map[string]any)
	if !ok {
		return
	}
	note := func(what string, met bool) { c[what] = c[what] || met }
	if ref, ok := object["$ref"].(string); ok {
		file, at, target, err := lib.resolve(file, ref)
		if err != nil {
			panic("BUG: a reference that was resolved: " + err.Error())
		}
		c.node(lib, file, at, target, value, has, must)
		return
	}
	all, _ := object["allOf"].([]any)
	required := append(slices.Clone(must), lib.required(file, object)...)
	for _, part := range all {
		c.node(lib, file, at, part, value, has, required)
	}
	words, _ := object["enum"].([]any)
	for _, word := range words {
		note(fmt.Sprintf("%s = %v", at, word), has && value == word)
	}
	properties, _ := object["properties"].(map[string]any)
	members, isObject := value.(map[string]any)
	for name, property := range properties {
		place := at + "/" + name
		member, there := members[name]
		note(place, there)
		if !slices.Contains(required, any(name)) {
			note(place+" absent", has && isObject && !there)
		}
		c.node(lib, file, place, property, member, there, nil)
	}
	if items, ok := object["items"]; ok {
		elements, _ := value.([]any)
		note(at+"/*", len(elements) > 0)
		c.node(lib, file, at+"/*", items, nil, false, nil)
		for _, element := range elements {
			c.node(lib, file, at+"/*", items, element, true, nil)
		}
	}
}

// required are the members that a schema requires, by all its parts.
func (lib *library) required(file string, tree any) (required []any) {
	object, ok := tree.(map[string]any)
	if !ok {
		return nil
	}
	if ref, ok := object["$ref"].(string); ok {
		file, _, target, err := lib.resolve(file, ref)
		if err != nil {
			panic("BUG: a reference that was resolved: " + err.Error())
		}
		return lib.required(file, target)
	}
	own, _ := object["required"].([]any)
	required = slices.Clone(own)
	all, _ := object["allOf"].([]any)
	for _, part := range all {
		required = append(required, lib.required(file, part)...)
	}
	return required
}
