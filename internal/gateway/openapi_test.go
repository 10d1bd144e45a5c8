package gateway

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/stampede-rewards/stampede/deploy"
	"github.com/stampede-rewards/stampede/pkg/campaign"
)

// description is the OpenAPI document, and what answers have shown of it.
type description struct {
	Paths map[string]map[string]struct {
		Parameters []struct{ Name string }
		Responses  map[string]struct {
			Content map[string]any
			Headers map[string]struct {
				Required bool
			}
		}
	}
	Components struct {
		Schemas struct {
			CloudEvent map[string]any
			Problem    struct {
				OneOf []struct {
					Properties struct {
						Status struct{ Const int }
						Type   struct{ Enum []string }
					}
				}
			}
		}
	}

	compiler *jsonschema.Compiler
	seen     map[string]bool // what is described, and whether it was met
}

func readDescription(t *testing.T) *description {
	t.Helper()
	d := &description{compiler: jsonschema.NewCompiler(), seen: map[string]bool{}}
	if err := json.Unmarshal(OpenAPI, d); err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(OpenAPI))
	if err != nil {
		t.Fatal(err)
	}
	if err := d.compiler.AddResource("openapi.json", document); err != nil {
		t.Fatal(err)
	}
	for path, methods := range d.Paths {
		for method, operation := range methods {
			for status, response := range operation.Responses {
				at := fmt.Sprint(strings.ToUpper(method), " ", path, " ", status)
				d.seen[at] = false
				for _, part := range slices.Concat(slices.Collect(maps.Keys(response.Content)), slices.Collect(maps.Keys(response.Headers))) {
					d.seen[at+" "+part] = false
				}
			}
		}
	}
	for _, of := range d.Components.Schemas.Problem.OneOf {
		for _, kind := range of.Properties.Type.Enum {
			d.seen[fmt.Sprint(kind, " ", of.Properties.Status.Const)] = false
		}
	}
	return d
}

// unsaid are headers of HTTP itself.
var unsaid = []string{"Content-Type", "Content-Length", "Date", "Connection"}

// differs holds an answer against the document: its status, its headers, its content type and its body.
func (d *description) differs(method, path string, answer reply, body []byte) (wrong []error) {
	at := fmt.Sprint(method, " ", path, " ", answer.StatusCode)
	response, ok := d.Paths[path][strings.ToLower(method)].Responses[fmt.Sprint(answer.StatusCode)]
	if !ok {
		return []error{errors.New("it has no such status")}
	}
	d.seen[at] = true
	said := slices.Clone(unsaid)
	for name, header := range response.Headers {
		said = append(said, http.CanonicalHeaderKey(name))
		value := answer.Header.Get(name)
		if value == "" {
			if header.Required {
				wrong = append(wrong, fmt.Errorf("the header %s is missing", name))
			}
			continue
		}
		d.seen[at+" "+name] = true
		var told any = value
		if n, err := jsonschema.UnmarshalJSON(strings.NewReader(value)); err == nil {
			told = n
		}
		if err := d.validate(told, "paths", path, strings.ToLower(method), "responses", fmt.Sprint(answer.StatusCode), "headers", name, "schema"); err != nil {
			wrong = append(wrong, err)
		}
	}
	for name := range answer.Header {
		if !slices.Contains(said, name) {
			wrong = append(wrong, fmt.Errorf("it has no header %s", name))
		}
	}
	if len(body) == 0 {
		return wrong
	}
	kind, _, _ := strings.Cut(answer.Header.Get("Content-Type"), ";")
	if _, ok := response.Content[kind]; !ok {
		return append(wrong, fmt.Errorf("it has no content of type %q", kind))
	}
	d.seen[at+" "+kind] = true
	var document any = string(body)
	if kind != "text/plain" {
		var err error
		if document, err = jsonschema.UnmarshalJSON(bytes.NewReader(body)); err != nil {
			return append(wrong, err)
		}
	}
	var problem Problem
	if kind == "application/problem+json" && json.Unmarshal(body, &problem) == nil {
		d.seen[fmt.Sprint(problem.Type, " ", problem.Status)] = true
	}
	if err := d.validate(document, "paths", path, strings.ToLower(method), "responses", fmt.Sprint(answer.StatusCode), "content", kind, "schema"); err != nil {
		wrong = append(wrong, err)
	}
	return wrong
}

// validate holds a value against a schema of the document.
func (d *description) validate(value any, at ...string) error {
	pointer := "openapi.json#"
	for _, name := range at {
		pointer += "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
	}
	schema, err := d.compiler.Compile(pointer)
	if err != nil {
		return err
	}
	return schema.Validate(value)
}

// Every status, header, content type and problem that is described is given; that every answer is described, all tests of the gateway see to.
func TestEverythingDescribedIsAnswered(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.yaml")
	writeKeys(t, path, "keys:\n  - {name: app, sha256: "+hashOf("s")+", sources: [/app]}\n  - {name: slow, sha256: "+hashOf("slow")+", rate: 0.001}\n")
	keys, err := OpenKeys(path, 2, quiet)
	if err != nil {
		t.Fatal(err)
	}
	d := newDoor(t, Config{MaxBody: 3000, MaxEvent: 2000, MaxBatch: 2, Keys: keys})
	const (
		batched = "Content-Type: application/cloudevents-batch+json"
		app     = "Authorization: Bearer s"
		slow    = "Authorization: Bearer slow"
	)
	change := func(old, broken string) string { return strings.Replace(eventOf("ann", "1"), old, broken, 1) }
	list := func(events ...string) string { return "[" + strings.Join(events, ",") + "]" }
	binary := func(user string) []string {
		return []string{app, "Content-Type: application/json", "ce-specversion: 1.0", "ce-id: 1", "ce-source: /app", "ce-type: t", "ce-subject: " + user, "ce-time: 2026-03-01T10:00:00Z"}
	}
	large := eventOf("ann", "1", `"data":"`+strings.Repeat("x", 2000)+`"`)
	for _, c := range []struct {
		name, body string
		header     []string
		sink       error
		status     int
	}{
		{"one", eventOf("ann", "1"), []string{structured, app}, nil, 202},
		{"a batch", list(eventOf("ann", "1")), []string{batched, app}, nil, 202},
		{"some of a batch", list(eventOf("ann", "1"), "{}"), []string{batched, app}, nil, 207},
		{"a batch that is none", "{}", []string{batched, app}, nil, 400},
		{"nothing of a batch", list("{}"), []string{batched, app}, nil, 400},
		{"no user", change(`"subject":"ann",`, ""), []string{structured, app}, nil, 400},
		{"a user's id that is not UTF-8", "{}", binary("%FF"), nil, 400},
		{"a user's id that is too long", eventOf(strings.Repeat("u", 513), "1"), []string{structured, app}, nil, 400},
		{"no JSON", "{", []string{structured, app}, nil, 400},
		{"no id", change(`"id":"1",`, ""), []string{structured, app}, nil, 400},
		{"a time that is none", change("2026-03-01T10:00:00Z", "yesterday"), []string{structured, app}, nil, 400},
		{"of the future", change("2026-03-01", "2200-03-01"), []string{structured, app}, nil, 400},
		{"no control event", change("data.logged", "stampede.nothing"), []string{structured, slow}, nil, 403},
		{"no key", eventOf("ann", "1"), []string{structured}, nil, 401},
		{"another source", change("/app", "/web"), []string{structured, app}, nil, 403},
		{"another source in a batch", list(change("/app", "/web")), []string{batched, app}, nil, 403},
		{"too large an event", large, []string{structured, app}, nil, 413},
		{"too large an event of a batch", list(large), []string{batched, app}, nil, 413},
		{"too many events", list("{}", "{}", "{}"), []string{batched, app}, nil, 413},
		{"no content type", "{}", []string{app}, nil, 415},
		{"more than the key may send", list(eventOf("ann", "1"), eventOf("ann", "2")), []string{batched, slow}, nil, 202},
		{"after that", eventOf("ann", "1"), []string{structured, slow}, nil, 429},
		{"a batch after that", list(eventOf("ann", "1")), []string{batched, slow}, nil, 429},
		{"no room", eventOf("ann", "1"), []string{structured, app}, ErrBusy, 503},
		{"no acknowledgement", eventOf("ann", "1"), []string{structured, app}, ErrNotAcknowledged, 503},
		{"no room for a batch", list(eventOf("ann", "1")), []string{batched, app}, ErrFull, 503},
		{"room for some of a batch", list(eventOf("ann", "1"), eventOf("bob", "2")), []string{batched, app}, ErrBusy, 207},
	} {
		d.sink.refuse = func(e Event) error {
			if e.User == "bob" {
				return nil
			}
			return c.sink
		}
		if answer, body := d.post(c.body, c.header...); answer.StatusCode != c.status {
			t.Errorf("%s: %d %s, wanted %d", c.name, answer.StatusCode, body, c.status)
		}
	}
	answer, body := d.postsLargeHeaders()
	if wrong := d.description.differs(http.MethodPost, "/v1/events", answer, body); answer.StatusCode != 431 || wrong != nil {
		t.Errorf("headers that are too large: %d %s %v", answer.StatusCode, body, wrong)
	}
	open := newDoor(t, Config{})
	open.description = d.description
	if answer, body := open.post(change("data.logged", "stampede.nothing"), structured); answer.StatusCode != 400 {
		t.Errorf("no control event: %d %s", answer.StatusCode, body)
	}
	get := func(path string, status int) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if answer, body := d.do(r); answer.StatusCode != status {
			t.Errorf("%s: %d %s", path, answer.StatusCode, body)
		}
	}
	for method, path := range map[string]string{http.MethodPut: "/v1/events", http.MethodPost: "/v1/event"} { // as its text says
		r := httptest.NewRequest(method, path, nil)
		answer := httptest.NewRecorder()
		NewServer(Config{}, d.sink, NewMetrics(nil)).Handler().ServeHTTP(answer, r)
		if want := map[string]int{http.MethodPut: 405, http.MethodPost: 404}[method]; answer.Code != want {
			t.Errorf("%s %s: %d", method, path, answer.Code)
		}
	}
	get("/openapi.json", 200)
	get("/healthz", 200)
	get("/readyz", 200)
	d.sink.mu.Lock()
	d.sink.ready = ErrFull
	d.sink.mu.Unlock()
	get("/readyz", 503)
	for _, what := range slices.Sorted(maps.Keys(d.description.seen)) {
		if !d.description.seen[what] {
			t.Errorf("described and never answered: %s", what)
		}
	}
}

// postsLargeHeaders sends more than is read. What a server has not read makes it reset the connection a moment after its answer, so that may have to be asked
// for again.
func (d *door) postsLargeHeaders() (reply, []byte) {
	d.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; {
		answer, body, err := func() (reply, []byte, error) {
			c, err := net.Dial("tcp", strings.TrimPrefix(d.url, "http://"))
			if err != nil {
				return reply{}, nil, err
			}
			defer c.Close()
			go fmt.Fprintf(c, "POST /v1/events HTTP/1.1\r\nHost: x\r\nX: %s\r\n\r\n", strings.Repeat("x", 64<<10))
			response, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				return reply{}, nil, err
			}
			defer response.Body.Close()
			text := make([]byte, 1000)
			n, err := response.Body.Read(text)
			return reply{response.StatusCode, response.Header}, text[:n], err
		}()
		if err == nil {
			return answer, body
		}
		if time.Now().After(deadline) {
			d.t.Fatal(err)
		}
	}
}

// What may be wrong with an event is described, but for one thing: the gateway makes the key of the user, so the two never differ.
func TestReasonsOfEventsAreProblemsOfTheDescription(t *testing.T) {
	d := readDescription(t)
	for reason := range eventProblems {
		status := http.StatusBadRequest
		if reason == campaign.ReasonTooLarge {
			status = http.StatusRequestEntityTooLarge
		}
		if _, described := d.seen[fmt.Sprint(problemPrefix, reason, " ", status)]; described == (reason == campaign.ReasonSubjectDiffers) {
			t.Errorf("%s: described: %t", reason, described)
		}
	}
}

// An event is by HTTP what it is in Kafka: the description has the schema of deploy/schema/records, which is held against the decoder there. In the binary mode
// each of its attributes has a header.
func TestEventsAreDescribedAsInKafka(t *testing.T) {
	text, err := deploy.Records.ReadFile("schema/records/event.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var event map[string]any
	if err := json.Unmarshal(text, &event); err != nil {
		t.Fatal(err)
	}
	delete(event, "$schema") // OpenAPI 3.1 says it for all
	d := readDescription(t)
	if diff := cmp.Diff(event, d.Components.Schemas.CloudEvent); diff != "" {
		t.Errorf("components.schemas.CloudEvent is a copy of event.schema.json and differs from it (-Kafka +HTTP):\n%s", diff)
	}
	var headers, want []string
	for _, p := range d.Paths["/v1/events"]["post"].Parameters {
		headers = append(headers, p.Name)
	}
	for name := range event["properties"].(map[string]any) {
		if !strings.HasPrefix(name, "data") {
			want = append(want, "ce-"+name)
		}
	}
	slices.Sort(headers)
	slices.Sort(want)
	if diff := cmp.Diff(want, headers); diff != "" {
		t.Errorf("headers of the binary mode (-attributes +description):\n%s", diff)
	}
	for body, right := range map[string]bool{
		eventOf("ann", "1"): true,
		strings.Replace(eventOf("ann", "1"), `"subject":"ann",`, "", 1):              false,
		strings.Replace(eventOf("ann", "1"), `"subject":"ann"`, `"subject":null`, 1): false,
	} {
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if err := d.validate(value, "components", "schemas", "Event"); (err == nil) != right {
			t.Errorf("%s: %v", body, err)
		}
	}
}
