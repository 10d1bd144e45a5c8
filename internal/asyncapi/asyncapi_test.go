package asyncapi

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// deployed is the project's own document with its schemas, with one text in place of another.
func deployed(t *testing.T, file, old, broken string) fs.FS {
	t.Helper()
	files := fstest.MapFS{}
	for _, name := range []string{"asyncapi.yaml", "schema/records/event.schema.json", "schema/records/reward.schema.json", "schema/records/outcome.schema.json", "schema/records/dead-letter.schema.json"} {
		text, err := os.ReadFile("../../deploy/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if name == file {
			if !strings.Contains(string(text), old) {
				t.Fatalf("%s has no %s", name, old)
			}
			text = []byte(strings.Replace(string(text), old, broken, 1))
		}
		files[name] = &fstest.MapFile{Data: text}
	}
	return files
}

func TestMistakesInADocumentAreFound(t *testing.T) {
	const document = "asyncapi.yaml"
	for _, c := range []struct{ name, file, old, broken, want string }{
		{"another version", document, "asyncapi: 3.0.0", "asyncapi: 2.6.0", "it is no AsyncAPI 3.0.0"},
		{"a misspelt key", document, "    address: rewards\n", "    addresss: rewards\n", `unknown field "addresss"`},
		{"no channel", document, "channel: {$ref: '#/channels/rewards'}", "channel: {$ref: '#/channels/reward'}", `operation receiveRewards refers to "#/channels/reward", which is no channel`},
		{"nothing is done with a channel", document, "channel: {$ref: '#/channels/rewards'}", "channel: {$ref: '#/channels/events'}", "nothing is done with the channel rewards"},
		{"an operation that forgets a message", document, "      - $ref: '#/channels/events/messages/profile'\n", "", "operation sendEvents has the messages"},
		{"no message", document, "reward: {$ref: '#/components/messages/reward'}", "reward: {$ref: '#/components/messages/rewards'}", "channel rewards refers to #/components/messages/rewards, which is not there"},
		{"another message's name", document, "profile: {$ref: '#/components/messages/profile'}", "profile: {$ref: '#/components/messages/erased'}", "channel events calls the message erased profile"},
		{"a message of no channel", document, "  messages:\n    event:\n", "  messages:\n    spare: {name: spare}\n    event:\n", "nothing refers to messages/spare"},
		{"a schema of nobody", document, "  schemas:\n", "  schemas:\n    spare: {type: string}\n", "nothing refers to the schema spare"},
		{"no login", document, "- $ref: '#/components/securitySchemes/plain'", "- $ref: '#/components/securitySchemes/none'", "server secured refers to #/components/securitySchemes/none"},
		{"no such action", document, "action: send\n", "action: sends\n", "operation sendEvents must send or receive"},
		{"a parameter that is not said", document, "address: outcomes.{partner}\n", "address: outcomes.{partners}\n", "channel outcomes has no parameter partner"},
		{"no file", document, "schema/records/reward.schema.json", "schema/records/rewards.schema.json", "rewards.schema.json: file does not exist"},
		{"no place in a file", document, "event.schema.json#/properties/id", "event.schema.json#/properties/ids", "event.schema.json#/properties/ids, where nothing is"},
		{"a circle", document, "    user:\n", "    user:\n      $ref: '#/components/schemas/circle'\n    circle: {$ref: '#/components/schemas/user'}\n    other:\n", "the references go in a circle"},
		{"beside a reference", document, "payload: {$ref: schema/records/reward.schema.json}", "payload: {$ref: schema/records/reward.schema.json, type: object}", "something stands beside the reference"},
		{"a misspelt keyword", "schema/records/reward.schema.json", `"maxItems"`, `"maxItem"`, "the keyword `maxItem` is none"},
		{"an example that is wrong", document, "kind: gift_card", "kind: 5", "message reward, example gift card"},
		{"no example's header", document, "headers: {stampede_key: k1}", "headers: {stampede_keys: k1}", "message outcome, example achieved"},
		{"a schema that is none", "schema/records/outcome.schema.json", `"minLength": 1`, `"minLength": "1"`, "outcome.payload"},
	} {
		if _, err := Read(deployed(t, c.file, c.old, c.broken), "asyncapi.yaml"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, wanted %s", c.name, err, c.want)
		}
	}
}

func TestRecordsAreTriedOnEachMessage(t *testing.T) {
	d, err := Read(deployed(t, "", "", ""), "asyncapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	pseudonym := []byte(strings.Repeat("0a", 32))
	right := `{"campaign":"c","outcome":"failed","cycle":"1","tier":"1","date":"2026-03-01"}`
	headers := map[string]string{"stampede_key": "k1"}
	c := d.Channels["outcomes"]
	for _, r := range []Record{
		{[]byte("ann"), []byte(right), headers},
		{nil, []byte(right), headers},
		{pseudonym, []byte(strings.Replace(right, "2026-03-01", "2026-02-30", 1)), headers},
		{pseudonym, []byte(right + "{}"), headers},
		{pseudonym, nil, headers},
		{pseudonym, []byte(right), nil},
		{pseudonym, []byte(right), map[string]string{"stampede_key": "k1", "x": ""}},
	} {
		if names, err := c.Match(&r); err == nil {
			t.Errorf("%s %s %v is %q", r.Key, r.Value, r.Headers, names)
		}
	}
	r := &Record{pseudonym, []byte(right), headers}
	if names, err := c.Match(r); err != nil || len(names) != 1 || names[0] != "outcome" {
		t.Fatalf("%q, %v", names, err)
	}
	seen := NewCoverage(c)
	if err := seen.Meet(c.Messages["outcome"], r); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"asyncapi.yaml#/components/schemas/outcomeHeaders/stampede_other_pseudonym", "schema/records/outcome.schema.json/outcome = achieved",
		"schema/records/outcome.schema.json/outcome = withdrawn", "schema/records/outcome.schema.json/sponsor",
	}
	if diff := cmp.Diff(want, seen.Unseen()); diff != "" {
		t.Errorf("one outcome has not shown:\n%s", diff)
	}
}

// A schema that drafts read differently is found out when a value comes on which they differ.
func TestDraftsMustAgree(t *testing.T) {
	lib := &library{files: map[string]any{}}
	s, err := lib.schema("s", map[string]any{"type": "array", "items": true})
	if err != nil {
		t.Fatal(err)
	}
	never, err := lib.schema("s", false)
	if err != nil {
		t.Fatal(err)
	}
	s.draft7 = never.draft7
	if err := s.check([]any{}); !errors.Is(err, errDrafts) {
		t.Errorf("the drafts disagree, and it says %v", err)
	}
}
