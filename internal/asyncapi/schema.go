package asyncapi

import (
	"errors"
	"fmt"
	"slices"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// schema is a JSON Schema of the document.
type schema struct {
	lib  *library
	name string // of who has it: "reward.payload"
	tree any    // with its references

	newest, draft7 *jsonschema.Schema
}

// maxReferences bounds how many references lead from one to the next: more are a circle.
const maxReferences = 20

func (lib *library) schema(name string, tree any) (*schema, error) {
	s := &schema{lib: lib, name: name, tree: tree}
	if tree == nil {
		s.tree = true // everything
	}
	whole, err := lib.inlined(lib.main, s.tree, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	for draft, to := range map[*jsonschema.Draft]**jsonschema.Schema{jsonschema.Draft2020: &s.newest, jsonschema.Draft7: &s.draft7} {
		c := jsonschema.NewCompiler()
		c.DefaultDraft(draft)
		c.AssertFormat()
		if err := c.AddResource("mem:schema", whole); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if *to, err = c.Compile("mem:schema"); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return s, nil
}

// The keywords of schemas that mean the same in all drafts that are read, by what their value is. A schema has no others, so a misspelt one does not go
// unnoticed.
var (
	plainKeywords  = []string{"title", "description", "type", "const", "enum", "required", "pattern", "format", "minLength", "maxLength", "minimum", "minItems", "maxItems", "minProperties"}
	schemaKeywords = []string{"items", "not", "if", "then", "additionalProperties", "propertyNames"}
	listKeywords   = []string{"allOf", "anyOf"}
)

// inlined is a schema with what its references refer to in their place. Draft 7 ignores what stands beside a reference, so nothing may.
func (lib *library) inlined(file string, v any, depth int) (any, error) {
	object, ok := v.(map[string]any)
	if _, all := v.(bool); all {
		return v, nil
	}
	if !ok {
		return nil, fmt.Errorf("%v is no schema", v)
	}
	if ref, ok := object["$ref"].(string); ok {
		if len(object) > 1 {
			return nil, fmt.Errorf("something stands beside the reference to %s: write both into an `allOf`", ref)
		}
		if depth == maxReferences {
			return nil, fmt.Errorf("the references go in a circle at %s", ref)
		}
		file, _, target, err := lib.resolve(file, ref)
		if err != nil {
			return nil, err
		}
		return lib.inlined(file, target, depth+1)
	}
	whole := map[string]any{}
	var errs []error
	within := func(v any) any {
		part, err := lib.inlined(file, v, depth)
		errs = append(errs, err)
		return part
	}
	for keyword, value := range object {
		members, isObject := value.(map[string]any)
		elements, isList := value.([]any)
		switch {
		case keyword == "$schema": // the compiler is told
		case slices.Contains(plainKeywords, keyword):
			whole[keyword] = value
		case slices.Contains(schemaKeywords, keyword):
			whole[keyword] = within(value)
		case slices.Contains(listKeywords, keyword) && isList:
			parts := make([]any, len(elements))
			for i, element := range elements {
				parts[i] = within(element)
			}
			whole[keyword] = parts
		case keyword == "properties" && isObject:
			properties := map[string]any{}
			for name, property := range members {
				properties[name] = within(property)
			}
			whole[keyword] = properties
		default:
			errs = append(errs, fmt.Errorf("%s: the keyword `%s` is none that all drafts read alike", file, keyword))
		}
	}
	return whole, errors.Join(errs...)
}

// errDrafts means that a schema is not for all tools.
var errDrafts = errors.New("JSON Schema 2020-12 and draft 7 disagree")

// check holds a value against the schema.
func (s *schema) check(v any) error {
	newest, draft7 := s.newest.Validate(v), s.draft7.Validate(v)
	if (newest == nil) != (draft7 == nil) {
		return fmt.Errorf("%s: %w: %w, %w", s.name, errDrafts, newest, draft7)
	}
	if newest != nil {
		return fmt.Errorf("%s: %w", s.name, newest)
	}
	return nil
}
