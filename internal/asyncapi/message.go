package asyncapi

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Message is one form that a topic's records have.
type Message struct {
	Name     string
	Examples []Example

	contentType           string
	key, headers, payload *schema
}

// Example is one of the document's.
type Example struct {
	Name    string
	Headers map[string]string
	Payload any // as encoding/json has it, with json.Number
}

// Record is one record of a topic, without Kafka's types. A key or value that is nil is none.
type Record struct {
	Key, Value []byte
	Headers    map[string]string
}

func (m *message) read(lib *library, name string) (*Message, error) {
	if m.Name == "" || m.Title == "" || m.ContentType == "" || m.Bindings.Kafka.BindingVersion != kafkaBinding || len(m.Examples) == 0 {
		return nil, fmt.Errorf("message %s must have a name, a title, a content type, a binding for Kafka in version %s, and an example", name, kafkaBinding)
	}
	read := &Message{Name: name, contentType: m.ContentType}
	var errs [3]error
	read.key, errs[0] = lib.schema(name+".key", m.Bindings.Kafka.Key)
	read.headers, errs[1] = lib.schema(name+".headers", m.Headers)
	read.payload, errs[2] = lib.schema(name+".payload", m.Payload)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	for _, e := range m.Examples {
		read.Examples = append(read.Examples, Example{e.Name, e.Headers, e.Payload})
		var wrong error
		if e.Headers != nil {
			wrong = read.headers.check(texts(e.Headers))
		}
		if err := errors.Join(wrong, read.payload.check(e.Payload)); err != nil {
			return nil, fmt.Errorf("message %s, example %s: %w", name, e.Name, err)
		}
	}
	return read, nil
}

// Match is the messages that a record can be, by name. The error says why it is none of them.
func (c *Channel) Match(r *Record) (messages []string, err error) {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(c.Messages)) {
		if err := c.Messages[name].check(r); err != nil {
			errs = append(errs, err)
			continue
		}
		messages = append(messages, name)
	}
	if len(messages) == 0 {
		return nil, errors.Join(errs...)
	}
	return messages, nil
}

// check holds a record against the message.
func (m *Message) check(r *Record) error {
	payload, err := m.payloadOf(r)
	if err != nil {
		return fmt.Errorf("%s.payload: %w", m.Name, err)
	}
	return errors.Join(m.key.check(text(r.Key)), m.headers.check(texts(r.Headers)), m.payload.check(payload))
}

// payloadOf reads a record's value as the message's content type says. What is `application/json` there may be of another type by a header.
func (m *Message) payloadOf(r *Record) (any, error) {
	media := m.contentType
	if told, ok := r.Headers["content-type"]; ok && media == "application/json" {
		media = told
	}
	media, _, _ = strings.Cut(media, ";")
	if media = strings.TrimSpace(media); !strings.HasSuffix(media, "/json") && !strings.HasSuffix(media, "+json") || len(r.Value) == 0 {
		return text(r.Value), nil
	}
	return jsonschema.UnmarshalJSON(bytes.NewReader(r.Value))
}

// text is bytes for a schema.
func text(b []byte) any {
	if b == nil {
		return nil
	}
	return string(b)
}

// texts is headers for a schema.
func texts(headers map[string]string) map[string]any {
	object := map[string]any{}
	for name, value := range headers {
		object[name] = value
	}
	return object
}
