package asyncapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// version is that of AsyncAPI, kafkaBinding that of its binding for Kafka.
const (
	version      = "3.0.0"
	kafkaBinding = "0.5.0"
)

// Document is the description of the topics.
type Document struct {
	Servers    map[string]Server
	Channels   map[string]*Channel
	Operations map[string]Operation
}

// Server is a Kafka and how to be let in.
type Server struct {
	Protocol string
	Security []string // types of AsyncAPI's security schemes, one of which is needed
}

// Channel is a topic, or the topics of all partners.
type Channel struct {
	Address  string              // the topic's name, with {partner} where there are many
	Topic    string              // of Kafka's binding; empty where there are many
	Settings Settings            // with which Stampede makes the topic
	Messages map[string]*Message // what is in it
}

// Settings are a topic's.
type Settings struct {
	Partitions    int
	CleanupPolicy []string // cleanup.policy
	RetentionMS   int64    // retention.ms
	TimestampType string   // message.timestamp.type; empty where it does not matter
}

// Operation is what somebody does with a topic.
type Operation struct {
	Action   string // send or receive
	Role     string // who does it
	Channel  string
	Consumer map[string]string // settings of a consumer that it needs
}

// reference is a place in the document, or in a file beside it.
type reference struct {
	Ref string `json:"$ref"`
}

// document is the file's form.
type document struct {
	AsyncAPI string `json:"asyncapi"`
	ID       string `json:"id"`
	Info     struct {
		Title       string `json:"title"`
		Version     string `json:"version"`
		Description string `json:"description"`
		License     struct {
			Name string `json:"name"`
			URL  string `json:"url"`
		} `json:"license"`
	} `json:"info"`
	DefaultContentType string `json:"defaultContentType"`
	Servers            map[string]struct {
		Host        string      `json:"host"`
		Protocol    string      `json:"protocol"`
		Description string      `json:"description"`
		Security    []reference `json:"security"`
	} `json:"servers"`
	Channels   map[string]channel   `json:"channels"`
	Operations map[string]operation `json:"operations"`
	Components struct {
		SecuritySchemes map[string]struct {
			Type        string `json:"type"`
			Description string `json:"description"`
			Flows       any    `json:"flows"`
		} `json:"securitySchemes"`
		Schemas  map[string]any     `json:"schemas"`
		Messages map[string]message `json:"messages"`
	} `json:"components"`
}

type channel struct {
	Address     string `json:"address"`
	Title       string `json:"title"`
	Description string `json:"description"`
	Parameters  map[string]struct {
		Description string   `json:"description"`
		Examples    []string `json:"examples"`
	} `json:"parameters"`
	Messages map[string]reference `json:"messages"`
	Bindings struct {
		Kafka struct {
			Topic              string `json:"topic"`
			Partitions         int    `json:"partitions"`
			TopicConfiguration struct {
				CleanupPolicy []string `json:"cleanup.policy"`
				RetentionMS   int64    `json:"retention.ms"`
				TimestampType string   `json:"message.timestamp.type"`
			} `json:"topicConfiguration"`
			BindingVersion string `json:"bindingVersion"`
		} `json:"kafka"`
	} `json:"bindings"`
}

type operation struct {
	Action      string    `json:"action"`
	Title       string    `json:"title"`
	Description string    `json:"description"`
	Channel     reference `json:"channel"`
	Tags        []struct {
		Name string `json:"name"`
	} `json:"tags"`
	Messages []reference       `json:"messages"`
	Consumer map[string]string `json:"x-kafka-consumer"`
}

type message struct {
	Name        string `json:"name"`
	Title       string `json:"title"`
	Description string `json:"description"`
	ContentType string `json:"contentType"`
	Headers     any    `json:"headers"`
	Payload     any    `json:"payload"`
	Bindings    struct {
		Kafka struct {
			Key            any    `json:"key"`
			BindingVersion string `json:"bindingVersion"`
		} `json:"kafka"`
	} `json:"bindings"`
	Examples []struct {
		Name    string            `json:"name"`
		Summary string            `json:"summary"`
		Headers map[string]string `json:"headers"`
		Payload any               `json:"payload"`
	} `json:"examples"`
}

// library is the document and the files that it refers to.
type library struct {
	fsys  fs.FS
	main  string         // the document's file
	files map[string]any // as JSON, by name
}

// Read reads a document and the files that it refers to. The error lists all that is wrong.
func Read(fsys fs.FS, name string) (*Document, error) {
	lib := &library{fsys: fsys, main: name, files: map[string]any{}}
	tree, err := lib.file(name)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(tree)
	if err != nil {
		return nil, err
	}
	var d document
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	decoder.UseNumber()
	if err := decoder.Decode(&d); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	made, errs := d.make(lib)
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return made, nil
}

// make puts together what the document says, each part with those that it refers to.
func (d *document) make(lib *library) (made *Document, errs []error) {
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	made = &Document{Servers: map[string]Server{}, Channels: map[string]*Channel{}, Operations: map[string]Operation{}}
	if d.AsyncAPI != version || d.Info.Title == "" || d.Info.Version == "" {
		wrong("it is no AsyncAPI %s with a title and a version", version)
	}
	used := map[string]bool{} // components
	component := func(from, kind string, r reference) string {
		name, ok := strings.CutPrefix(r.Ref, "#/components/"+kind+"/")
		if !ok {
			wrong("%s refers to %q, which is no #/components/%s/NAME", from, r.Ref, kind)
		}
		used[kind+"/"+name] = true
		return name
	}
	for name, s := range d.Servers {
		server := Server{Protocol: s.Protocol}
		for _, r := range s.Security {
			scheme, ok := d.Components.SecuritySchemes[component("server "+name, "securitySchemes", r)]
			if !ok {
				wrong("server %s refers to %s, which is not there", name, r.Ref)
			}
			server.Security = append(server.Security, scheme.Type)
		}
		made.Servers[name] = server
	}
	for name, c := range d.Channels {
		kafka := c.Bindings.Kafka
		if kafka.BindingVersion != kafkaBinding {
			wrong("channel %s has no binding for Kafka in version %s", name, kafkaBinding)
		}
		for parameter := range c.Parameters {
			if !strings.Contains(c.Address, "{"+parameter+"}") {
				wrong("channel %s has no parameter %s in its address", name, parameter)
			}
		}
		if strings.Count(c.Address, "{") != len(c.Parameters) {
			wrong("channel %s does not say what the parameters in %s are", name, c.Address)
		}
		made.Channels[name] = &Channel{
			Address: c.Address, Topic: kafka.Topic,
			Settings: Settings{kafka.Partitions, kafka.TopicConfiguration.CleanupPolicy, kafka.TopicConfiguration.RetentionMS, kafka.TopicConfiguration.TimestampType},
			Messages: map[string]*Message{},
		}
		for key, r := range c.Messages {
			of := component("channel "+name, "messages", r)
			m, ok := d.Components.Messages[of]
			if !ok {
				wrong("channel %s refers to %s, which is not there", name, r.Ref)
				continue
			}
			if of != key {
				wrong("channel %s calls the message %s %s: one name for one thing", name, of, key)
			}
			read, err := m.read(lib, of)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			made.Channels[name].Messages[key] = read
		}
	}
	if len(errs) == 0 { // else they would be told of what is missing because of another mistake
		errs = d.operations(made)
	}
	for name := range d.Components.Schemas {
		if !lib.referred("#/components/schemas/" + name) {
			wrong("nothing refers to the schema %s", name)
		}
	}
	for _, name := range slices.Concat(prefixed("messages/", d.Components.Messages), prefixed("securitySchemes/", d.Components.SecuritySchemes)) {
		if !used[name] {
			wrong("nothing refers to %s", name)
		}
	}
	return made, errs
}

func prefixed[V any](with string, m map[string]V) (names []string) {
	for _, name := range slices.Sorted(maps.Keys(m)) {
		names = append(names, with+name)
	}
	return names
}

// operations are what is done with the channels. Each has one, and each message of it.
func (d *document) operations(made *Document) (errs []error) {
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	idle := maps.Clone(made.Channels)
	for name, o := range d.Operations {
		of, ok := strings.CutPrefix(o.Channel.Ref, "#/channels/")
		if !ok || made.Channels[of] == nil {
			wrong("operation %s refers to %q, which is no channel", name, o.Channel.Ref)
			continue
		}
		delete(idle, of)
		if o.Action != "send" && o.Action != "receive" || len(o.Tags) != 1 {
			wrong("operation %s must send or receive, and name one role in `tags`", name)
			continue
		}
		made.Operations[name] = Operation{o.Action, o.Tags[0].Name, of, o.Consumer}
		var refs []string
		for _, r := range o.Messages {
			refs = append(refs, r.Ref)
		}
		slices.Sort(refs)
		if want := prefixed("#/channels/"+of+"/messages/", made.Channels[of].Messages); !slices.Equal(refs, want) {
			wrong("operation %s has the messages %q, its channel %q", name, refs, want)
		}
	}
	for name := range idle {
		wrong("nothing is done with the channel %s", name)
	}
	return errs
}

// file reads one file as JSON.
func (lib *library) file(name string) (any, error) {
	if tree, ok := lib.files[name]; ok {
		return tree, nil
	}
	text, err := fs.ReadFile(lib.fsys, name)
	if err != nil {
		return nil, err
	}
	if path.Ext(name) != ".json" {
		if text, err = yaml.YAMLToJSON(text); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	tree, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	lib.files[name] = tree
	return tree, nil
}

// resolve finds what a reference of a file refers to: its file, the place in it for people, and what stands there.
func (lib *library) resolve(from, ref string) (file, place string, target any, err error) {
	name, pointer, _ := strings.Cut(ref, "#")
	file = from
	if name != "" {
		file = path.Join(path.Dir(from), name)
	}
	if target, err = lib.file(file); err != nil {
		return "", "", nil, err
	}
	place = file
	if pointer != "" {
		place += "#" + pointer
	}
	for token := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		if token == "" {
			continue
		}
		object, _ := target.(map[string]any)
		next, ok := object[strings.NewReplacer("~1", "/", "~0", "~").Replace(token)]
		if !ok {
			return "", "", nil, fmt.Errorf("%s refers to %s, where nothing is", from, ref)
		}
		target = next
	}
	return file, place, target, nil
}

// referred says whether any file has a reference.
func (lib *library) referred(ref string) bool {
	var has func(any) bool
	has = func(v any) bool {
		switch v := v.(type) {
		case map[string]any:
			if v["$ref"] == ref {
				return true
			}
			for _, member := range v {
				if has(member) {
					return true
				}
			}
		case []any:
			return slices.ContainsFunc(v, has)
		}
		return false
	}
	return has(lib.files[lib.main])
}
