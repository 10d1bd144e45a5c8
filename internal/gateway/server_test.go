package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

// tray is a sink that keeps what it is given, or refuses it.
type tray struct {
	mu     sync.Mutex
	events []Event
	refuse func(Event) error
	ready  error
}

func (s *tray) Take(_ context.Context, events []Event) []error {
	s.mu.Lock()
	defer s.mu.Unlock()
	errs := make([]error, len(events))
	for i, e := range events {
		if s.refuse != nil {
			errs[i] = s.refuse(e)
		}
		if errs[i] == nil {
			s.events = append(s.events, e)
		}
	}
	return errs
}

func (s *tray) Ready() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ready
}

// door is a gateway and its description: every answer is held against it.
type door struct {
	t           *testing.T
	url         string
	sink        *tray
	description *description
}

func newDoor(t *testing.T, cfg Config) *door {
	t.Helper()
	sink := &tray{}
	ctx, stop := context.WithCancel(t.Context())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	server := NewServer(cfg, sink, NewMetrics(nil))
	go func() { done <- server.Run(ctx, listener) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return &door{t: t, url: "http://" + listener.Addr().String(), sink: sink, description: readDescription(t)}
}

// header is a request's header, "Name: value" each.
func (d *door) post(body string, header ...string) (reply, string) {
	d.t.Helper()
	r, err := http.NewRequestWithContext(d.t.Context(), http.MethodPost, d.url+"/v1/events", strings.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	return d.do(r)
}

func (d *door) do(r *http.Request) (reply, string) {
	d.t.Helper()
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		d.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	a := reply{response.StatusCode, response.Header}
	for _, wrong := range d.description.differs(r.Method, r.URL.Path, a, text) {
		d.t.Errorf("%s %s is answered %d, which is not as described: %v\n%s", r.Method, r.URL.Path, a.StatusCode, wrong, text)
	}
	return a, string(text)
}

// reply is an answer without its body.
type reply struct {
	StatusCode int
	Header     http.Header
}

const structured = "Content-Type: application/cloudevents+json"

func eventOf(user, id string, more ...string) string {
	text := fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"/app","type":"data.logged","subject":%q,"time":"2026-03-01T10:00:00Z"`, id, user)
	for _, m := range more {
		text += "," + m
	}
	return text + "}"
}

func TestTheThreeModesOfTheBinding(t *testing.T) {
	d := newDoor(t, Config{})
	if answer, body := d.post(eventOf("ann", "1", `"data":{"metric":"weight"}`), structured+"; charset=UTF-8"); answer.StatusCode != 202 || body != "" {
		t.Errorf("structured: %d %s", answer.StatusCode, body)
	}
	answer, body := d.post(`{"metric":"sleep"}`, "Content-Type: application/json", "ce-specversion: 1.0", "ce-id: 2", "ce-source: /app", "ce-type: data.logged",
		"ce-subject: %C3%A4nn", "ce-time: 2026-03-01T10:00:00Z", "ce-timezone: Europe/Berlin")
	if answer.StatusCode != 202 || body != "" {
		t.Errorf("binary: %d %s", answer.StatusCode, body)
	}
	answer, body = d.post("["+eventOf("ann", "3")+","+eventOf("bob", "4")+"]", "Content-Type: application/cloudevents-batch+json")
	if answer.StatusCode != 202 || !strings.Contains(body, `"accepted":2,"refused":0,"results":[{"id":"3","status":202},{"id":"4","status":202}]`) {
		t.Errorf("batched: %d %s", answer.StatusCode, body)
	}
	var got []string
	for _, e := range d.sink.events {
		line := e.User + " " + string(e.Value)
		for _, h := range e.Headers {
			line += " " + h.Key + "=" + string(h.Value)
		}
		got = append(got, line)
	}
	want := []string{
		"ann " + eventOf("ann", "1", `"data":{"metric":"weight"}`) + " content-type=application/cloudevents+json",
		`änn {"metric":"sleep"} content-type=application/json ce_id=2 ce_source=/app ce_specversion=1.0 ce_subject=änn ce_time=2026-03-01T10:00:00Z ce_timezone=Europe/Berlin ce_type=data.logged`,
		"ann " + eventOf("ann", "3") + " content-type=application/cloudevents+json",
		"bob " + eventOf("bob", "4") + " content-type=application/cloudevents+json",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestProblemsNameTheFieldAndTheRule(t *testing.T) {
	d := newDoor(t, Config{MaxBody: 3000, MaxEvent: 2000, MaxBatch: 3})
	ahead := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	for _, c := range []struct {
		name, body, header string
		status             int
		want               string
	}{
		{"no user", `{"specversion":"1.0","id":"1","source":"/a","type":"t","time":"2026-03-01T10:00:00Z"}`, structured, 400, `no_key subject E1 "subject" is missing`},
		{"no user: names of attributes are lower case", strings.Replace(eventOf("ann", "1"), "subject", "Subject", 1), structured, 400, `no_key subject E1 "subject" is missing`},
		{"an empty user", eventOf("", "1"), structured, 400, `no_key subject E1 "subject" is missing`},
		{"a user's id that is too long", eventOf(strings.Repeat("u", 513), "1"), structured, 400, "key_too_long subject E1 the key has 513 bytes"},
		{"no JSON", `{"specversion`, structured, 400, "not_json  E1 "},
		{"no id", `{"specversion":"1.0","source":"/a","type":"t","subject":"u","time":"2026-03-01T10:00:00Z"}`, structured, 400, `not_a_cloudevent id E1 "id" is missing`},
		{"a number as type", `{"specversion":"1.0","id":"1","source":"/a","type":7,"subject":"u","time":"2026-03-01T10:00:00Z"}`, structured, 400, `not_a_cloudevent type E1 "type" must be a string`},
		{"another version", strings.Replace(eventOf("u", "1"), "1.0", "0.3", 1), structured, 400, `not_a_cloudevent specversion E1 "specversion" is`},
		{"a time that is none", strings.Replace(eventOf("u", "1"), "2026-03-01T10:00:00Z", "yesterday", 1), structured, 400, `bad_time time E1 "time" is`},
		{"of the future", strings.Replace(eventOf("u", "1"), "2026-03-01T10:00:00Z", ahead, 1), structured, 400, `future time E5 "time" is more than 5m0s ahead`},
		{"a type that is no control event", strings.Replace(eventOf("u", "1"), "data.logged", "stampede.nonsense", 1), structured, 400, `unknown_control type E6 "type" begins with`},
		{"too large an event", eventOf("u", "1", `"data":"`+strings.Repeat("x", 2000)+`"`), structured, 413, "too_large  E6 the value has"},
		{"too large a body", strings.Repeat(" ", 3001), structured, 413, "too_large   the body has 3001 bytes, at most 3000"},
		{"too many events", "[" + strings.Repeat("{},", 3) + "{}]", "Content-Type: application/cloudevents-batch+json", 413, "too_many_events   the batch has 4 events, at most 3"},
		{"a batch that is none", `{}`, "Content-Type: application/cloudevents-batch+json", 400, "bad_request   a batch is a JSON array"},
		{"XML", `<event/>`, "Content-Type: application/cloudevents+xml", 415, "unsupported_media_type   the content type is application/cloudevents+xml"},
		{"neither mode", `{}`, "Content-Type: application/json", 415, "unsupported_media_type   send application/cloudevents+json"},
		{"Latin-1", `{}`, structured + "; charset=latin1", 415, `unsupported_media_type   the charset is "latin1"`},
	} {
		answer, body := d.post(c.body, c.header)
		var p Problem
		if err := json.Unmarshal([]byte(body), &p); err != nil {
			t.Errorf("%s: %v\n%s", c.name, err, body)
			continue
		}
		got := strings.TrimPrefix(p.Type, problemPrefix) + " " + p.Field + " " + p.Rule + " " + strings.ReplaceAll(p.Detail, "`", `"`)
		if answer.StatusCode != c.status || p.Status != c.status || !strings.HasPrefix(got, c.want) || answer.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %s, wanted %d %s", c.name, answer.StatusCode, got, c.status, c.want)
		}
	}
	if len(d.sink.events) > 0 {
		t.Errorf("%d events were taken", len(d.sink.events))
	}
}

func TestEveryEventOfABatchHasItsResult(t *testing.T) {
	d := newDoor(t, Config{})
	d.sink.refuse = func(e Event) error {
		if strings.Contains(string(e.Value), `"id":"3"`) {
			return ErrNotAcknowledged
		}
		return nil
	}
	batch := "[" + eventOf("ann", "1") + `,{"specversion":"1.0","subject":"bob"},` + eventOf("cid", "3") + "]"
	answer, body := d.post(batch, "Content-Type: application/cloudevents-batch+json")
	var results struct {
		Accepted, Refused int
		Results           []result
	}
	if err := json.Unmarshal([]byte(body), &results); err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode != 207 || results.Accepted != 1 || results.Refused != 2 || answer.Header.Get("Retry-After") != "1" {
		t.Errorf("%d %s", answer.StatusCode, body)
	}
	var got []string
	for _, r := range results.Results {
		line := fmt.Sprint(r.ID, " ", r.Status)
		if r.Problem != nil {
			line += " " + r.Problem.Type
		}
		got = append(got, line)
	}
	if diff := cmp.Diff([]string{"1 202", " 400 urn:stampede:problem:not_a_cloudevent", "3 503 urn:stampede:problem:not_acknowledged"}, got); diff != "" {
		t.Error(diff)
	}
	d.sink.refuse = func(Event) error { return ErrFull }
	if answer, _ := d.post("["+eventOf("ann", "1")+"]", "Content-Type: application/cloudevents-batch+json"); answer.StatusCode != 503 || answer.Header.Get("Retry-After") != "30" {
		t.Errorf("a batch of which nothing is taken is answered %d", answer.StatusCode)
	}
	if answer, _ := d.post("[]", "Content-Type: application/cloudevents-batch+json"); answer.StatusCode != 202 {
		t.Errorf("an empty batch is answered %d", answer.StatusCode)
	}
}

func TestSinksAreToldAsTheyAre(t *testing.T) {
	d := newDoor(t, Config{})
	for _, c := range []struct {
		err           error
		status        int
		reason, retry string
	}{
		{ErrBusy, 503, "unavailable", "1"},
		{ErrFull, 503, "unavailable", "30"},
		{ErrClosing, 503, "unavailable", "1"},
		{errors.Join(ErrNotAcknowledged, errors.New("timeout")), 503, "not_acknowledged", "1"},
		{ErrTooLarge, 413, "too_large", ""},
		{errors.New("the disk is on fire"), 503, "unavailable", "30"},
	} {
		d.sink.refuse = func(Event) error { return c.err }
		answer, body := d.post(eventOf("ann", "1"), structured)
		if answer.StatusCode != c.status || answer.Header.Get("Retry-After") != c.retry || !strings.Contains(body, problemPrefix+c.reason) || strings.Contains(body, "fire") {
			t.Errorf("%v: %d, Retry-After %q, %s", c.err, answer.StatusCode, answer.Header.Get("Retry-After"), body)
		}
	}
}

func writeKeys(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func hashOf(secret string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(secret))) }

func TestKeysSayWhoMaySendWhat(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.yaml")
	writeKeys(t, path, "keys:\n  - {name: app, sha256: "+hashOf("s1")+", sources: [/app, /web/*]}\n  - {name: hr, sha256: "+hashOf("s2")+", control: true}\n")
	keys, err := OpenKeys(path, DefaultBatch, quiet)
	if err != nil {
		t.Fatal(err)
	}
	d := newDoor(t, Config{Keys: keys})
	from := func(source string) string { return strings.Replace(eventOf("ann", "1"), "/app", source, 1) }
	profile := strings.Replace(eventOf("ann", "1", `"data":{}`), "data.logged", "stampede.profile", 1)
	for _, c := range []struct {
		name, body, key string
		status          int
		want            string
	}{
		{"no key", eventOf("ann", "1"), "", 401, "unauthorized"},
		{"an unknown key", eventOf("ann", "1"), "s3", 401, "unauthorized"},
		{"its source", from("/app"), "s1", 202, ""},
		{"a source that begins so", from("/web/7"), "s1", 202, ""},
		{"another source", from("/apple"), "s1", 403, `"field":"source"`},
		{"a control event", profile, "s1", 403, `"field":"type"`},
		{"a control event of who may", profile, "s2", 202, ""},
		{"any source of who may", from("/x"), "s2", 202, ""},
	} {
		answer, body := d.post(c.body, structured, "Authorization: Bearer "+c.key)
		if answer.StatusCode != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%s: %d %s", c.name, answer.StatusCode, body)
		}
	}

	// The file is read again when it changes, and one that can't be read changes nothing.
	become := func(secret string, status int) {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			if answer, _ := d.post(eventOf("ann", "1"), structured, "Authorization: Bearer "+secret); answer.StatusCode == status {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s is not answered %d", secret, status)
			}
		}
	}
	writeKeys(t, path, "keys:\n  - {name: app, sha256: "+hashOf("s4")+", rate: 1000}\n")
	become("s4", 202)
	become("s1", 401)
	writeKeys(t, path, "keys: [{name: app}]\n")
	for deadline := time.Now().Add(30 * time.Second); !keys.stale.Load(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nobody has looked at the keys")
		}
	}
	become("s4", 202)
}

func TestMistakesInKeysAreToldAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.yaml")
	writeKeys(t, path, "keys:\n  - {sha256: "+hashOf("s")+"}\n  - {name: a, sha256: secret}\n  - {name: b}\n  - {name: c, certificate: x, rate: -1}\n")
	_, err := OpenKeys(path, DefaultBatch, quiet)
	for _, want := range []string{"key 1: `name` is missing", `key 2: "a": ` + "`sha256` must be 64 hexadecimal digits", `key 3: "b" must have either`, `key 4: "c": ` + "`rate` is negative"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %s", err, want)
		}
	}
	writeKeys(t, path, "keys:\n  - {name: a, sha265: "+hashOf("s")+"}\n")
	if _, err := OpenKeys(path, DefaultBatch, quiet); err == nil || !strings.Contains(err.Error(), "sha265") {
		t.Errorf("an unknown key of the file is told as %v", err)
	}
}

func TestARateIsHeld(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.yaml")
	writeKeys(t, path, "keys:\n  - {name: app, sha256: "+hashOf("s")+", rate: 0.5}\n")
	keys, err := OpenKeys(path, 3, quiet)
	if err != nil {
		t.Fatal(err)
	}
	d := newDoor(t, Config{Keys: keys, MaxBatch: 3})
	batch := "[" + eventOf("ann", "1") + "," + eventOf("ann", "2") + "," + eventOf("ann", "3") + "]"
	if answer, body := d.post(batch, "Content-Type: application/cloudevents-batch+json", "Authorization: Bearer s"); answer.StatusCode != 202 {
		t.Fatalf("the largest batch: %d %s", answer.StatusCode, body)
	}
	answer, body := d.post(eventOf("ann", "4"), structured, "Authorization: Bearer s")
	if answer.StatusCode != 429 || !strings.Contains(body, "rate_limited") || answer.Header.Get("Retry-After") != "2" {
		t.Errorf("%d, Retry-After %s, %s", answer.StatusCode, answer.Header.Get("Retry-After"), body)
	}
	if len(d.sink.events) != 3 {
		t.Errorf("%d events were taken", len(d.sink.events))
	}
}

func TestTheRest(t *testing.T) {
	d := newDoor(t, Config{})
	for _, path := range []string{"/openapi.json", "/healthz", "/readyz"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if answer, _ := d.do(r); answer.StatusCode != 200 {
			t.Errorf("%s: %d", path, answer.StatusCode)
		}
	}
}

// refusing is a sink that can't take anything.
type refusing struct{ Sink }

func (refusing) Ready() error { return errors.New("the disk is full") }

// The port for metrics answers an orchestrator, too: the clients' port may ask for certificates.
func TestAnOrchestratorAsksThePortForMetrics(t *testing.T) {
	admin := httptest.NewServer(Admin(prometheus.NewRegistry(), refusing{}))
	defer admin.Close()
	for path, want := range map[string]string{"/healthz": "200 alive\n", "/readyz": "503 the disk is full\n", "/metrics": "200 "} {
		answer, err := http.Get(admin.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if got := fmt.Sprintf("%d %s", answer.StatusCode, text); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", path, got, err, want)
		}
	}
}

// A client that is slow costs a connection for a bounded time, and memory for what it has sent.
func TestSlowClientsAreCutOff(t *testing.T) {
	d := newDoor(t, Config{HeaderTimeout: 200 * time.Millisecond, BodyTimeout: 400 * time.Millisecond, MaxInFlight: 1 << 20, MaxBody: 1 << 20, MaxEvent: 1 << 20})
	cut := func(what, head string) {
		t.Helper()
		c, err := net.Dial("tcp", strings.TrimPrefix(d.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, head); err != nil {
			t.Fatal(err)
		}
		if err := c.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, c); err != nil {
			t.Errorf("%s: the connection is not ended: %v", what, err)
		}
	}
	cut("half of a header", "POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-")
	cut("half of a body", "POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/cloudevents+json\r\nContent-Length: 100000\r\n\r\n{")
	if answer, body := d.post(eventOf("ann", "1"), structured); answer.StatusCode != 202 {
		t.Errorf("after them: %d %s", answer.StatusCode, body)
	}
}

// What clients have announced takes no memory, and what they have sent no more than there is for all of them.
func TestBodiesAreBoundedTogether(t *testing.T) {
	s := NewServer(Config{MaxInFlight: 1 << 20, MaxBody: 1 << 20}, &tray{}, NewMetrics(nil))
	var open []*io.PipeWriter
	refused := 0
	for range 40 {
		r, w := io.Pipe()
		open = append(open, w)
		request := httptest.NewRequest(http.MethodPost, "/v1/events", r)
		request.Header.Set("Content-Type", structuredType)
		done := make(chan int, 1)
		go func() {
			answer := httptest.NewRecorder()
			s.Handler().ServeHTTP(answer, request)
			r.Close()
			done <- answer.Code
		}()
		if _, err := w.Write(make([]byte, 60<<10)); err != nil {
			if code := <-done; code == http.StatusServiceUnavailable {
				refused++
			}
		}
	}
	if refused == 0 || s.inFlight.Load() > 3<<20 {
		t.Errorf("%d of 40 are refused, %d bytes are in memory", refused, s.inFlight.Load())
	}
	for _, w := range open {
		w.Close()
	}
	for deadline := time.Now().Add(30 * time.Second); s.inFlight.Load() != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d bytes are not given back", s.inFlight.Load())
		}
	}
}

func BenchmarkRequest(b *testing.B) {
	s := NewServer(Config{}, &tray{}, NewMetrics(nil))
	handler := s.Handler()
	var batch []string
	for n := range 100 {
		batch = append(batch, eventOf("user-"+fmt.Sprint(n), fmt.Sprint(n), `"data":{"metric":"weight","value":71.5,"note":"`+strings.Repeat("x", 100)+`"}`))
	}
	for _, c := range []struct{ name, kind, body string }{
		{"single", structuredType, batch[0]},
		{"batch of 100", batchType, "[" + strings.Join(batch, ",") + "]"},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequest(http.MethodPost, "/v1/events", strings.NewReader(c.body))
				r.Header.Set("Content-Type", c.kind)
				answer := httptest.NewRecorder()
				handler.ServeHTTP(answer, r)
				if answer.Code != http.StatusAccepted {
					b.Fatal(answer.Body)
				}
				s.sink.(*tray).events = nil
			}
		})
	}
}
