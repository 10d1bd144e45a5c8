package deploy_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/stampede-rewards/stampede/internal/asyncapi"
	"github.com/stampede-rewards/stampede/internal/kafka"
	"github.com/stampede-rewards/stampede/internal/workload"
	"github.com/stampede-rewards/stampede/pkg/campaign"
)

// topics reads the description of the topics.
func topics(t *testing.T) *asyncapi.Document {
	t.Helper()
	d, err := asyncapi.Read(os.DirFS("."), "asyncapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// Who does what with which topic. What is in them is held against the records of a real run, in internal/stream.
func TestTopicsAreDescribed(t *testing.T) {
	d := topics(t)
	var got []string
	for name, o := range d.Operations {
		got = append(got, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", o.Role, o.Action, d.Channels[o.Channel].Address, o.Consumer["isolation.level"])))
		if len(d.Channels[o.Channel].Messages) == 0 {
			t.Errorf("%s has no messages", name)
		}
	}
	slices.Sort(got)
	want := []string{
		"fulfilment receive rewards read_committed",
		"operators receive dead-letters read_committed",
		"operators receive outcomes.{partner}.dead-letters read_committed",
		"partners receive outcomes.{partner} read_committed",
		"upstream send events",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}

	// Each way to log in that the programs have, and no other.
	schemes := map[string]string{"plain": "plain", "scram-sha-256": "scramSha256", "scram-sha-512": "scramSha512", "oauthbearer": "oauth2"}
	logins := []string{"X509"}
	sasl, _ := reflect.TypeFor[kafka.SecurityFlags]().FieldByName("SASL")
	for mechanism := range strings.SplitSeq(sasl.Tag.Get("enum"), ",") {
		if mechanism != "none" {
			logins = append(logins, schemes[mechanism])
		}
	}
	described := d.Servers["secured"].Security
	slices.Sort(logins)
	slices.Sort(described)
	if diff := cmp.Diff(logins, described); diff != "" {
		t.Errorf("logins (-programs +description):\n%s", diff)
	}
}

// The words of the schemas are those of the program.
func TestWordsAreThoseOfTheProgram(t *testing.T) {
	var reasons []string // the constants of type Reason
	files, err := filepath.Glob("../pkg/campaign/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || len(spec.Values) != 1 {
				return true
			}
			if kind, ok := spec.Type.(*ast.Ident); ok && kind.Name == "Reason" {
				word, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				reasons = append(reasons, word)
			}
			return true
		})
	}
	var outcomes []string
	for _, kind := range campaign.OutcomeKinds() {
		if kind != campaign.BudgetExhausted { // partners are not told (O1)
			outcomes = append(outcomes, kind.String())
		}
	}
	for _, c := range []struct {
		schema, property string
		want             []string
	}{{"dead-letter", "stampede_reason", reasons}, {"outcome", "outcome", outcomes}} {
		text, err := os.ReadFile("schema/records/" + c.schema + ".schema.json")
		if err != nil {
			t.Fatal(err)
		}
		var schema struct {
			Properties map[string]struct{ Enum []string }
		}
		if err := json.Unmarshal(text, &schema); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, schema.Properties[c.property].Enum); diff != "" {
			t.Errorf("%s (-program +schema):\n%s", c.property, diff)
		}
	}
}

// reading is both readings of events: the description's, and that of the program.
type reading struct {
	channel *asyncapi.Channel
	set     *campaign.Set
}

func newReading(t *testing.T) *reading {
	t.Helper()
	set, err := campaign.Load(os.DirFS("."), "campaigns")
	if err != nil {
		t.Fatal(err)
	}
	return &reading{topics(t).Channels["events"], set}
}

// describes says why a record is none of the described ones, nil where it is one.
func (rd *reading) describes(key, value []byte, headers map[string]string) error {
	r := &asyncapi.Record{Key: key, Value: value, Headers: map[string]string{}}
	for name, v := range headers {
		r.Headers[strings.ToLower(name)] = v
	}
	_, err := rd.channel.Match(r)
	return err
}

// rejects says why the program sends a record that comes at a moment to the dead letters, nil where it does not.
func (rd *reading) rejects(at time.Time, key, value []byte, headers map[string]string) *campaign.Rejection {
	r := &campaign.Record{Key: key, Value: value, Clock: at.UnixMilli()}
	for name, v := range headers {
		r.Headers = append(r.Headers, campaign.Header{Key: name, Value: []byte(v)})
	}
	var decoder campaign.Decoder
	var ev campaign.Event
	if why := decoder.Decode(r, &ev); why != nil {
		return why
	}
	return campaign.NewEngine(rd.set, 0).Apply(&campaign.Ledger{}, &ev, r.Clock).Rejection
}

// Of the broken records the description refuses all but these, of which a schema can't say what is wrong.
func TestBrokenEventsAreNotAsDescribed(t *testing.T) {
	unsayable := map[string]string{
		"key not UTF-8":            "a schema's texts are characters, not bytes",
		"number out of range":      "JSON has numbers of any size",
		"key differs from subject": "a schema can't compare two values",
		"future":                   "a schema has no clock",
	}
	rd := newReading(t)
	rows, err := workload.Broken()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		if why := rd.rejects(workload.BrokenClock, row.Key, row.Value, row.Headers); why == nil || string(why.Reason) != row.Reason {
			t.Errorf("%s: the program says %v", row.Name, why)
		}
		if len(row.Value) > campaign.DefaultEventBytes {
			continue // the description says the bound in words
		}
		err := rd.describes(row.Key, row.Value, row.Headers)
		if why, ok := unsayable[row.Name]; ok == (err != nil) {
			t.Errorf("%s (%s): the description says %v", row.Name, why, err)
		}
		delete(unsayable, row.Name)
	}
	for name := range unsayable {
		t.Errorf("there is no broken record `%s`", name)
	}
}

// What producers send, and the document's own examples, are described and taken.
func TestEventsOfProducersAreDescribed(t *testing.T) {
	rd := newReading(t)
	after := time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC) // all of them
	taken := 0
	take := func(what string, key, value []byte, headers map[string]string) {
		t.Helper()
		taken++
		if why := rd.rejects(after, key, value, headers); why != nil {
			t.Errorf("%s is rejected: %v", what, why)
		}
		if err := rd.describes(key, value, headers); err != nil {
			t.Errorf("%s is not described: %v", what, err)
		}
	}
	text, err := os.ReadFile("example-events.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		take(string(line), []byte((&campaign.Decoder{}).Subject(line)), line, nil)
	}
	generator := workload.New(workload.Config{Seed: 1, Odd: true})
	for k := range uint64(500) {
		user, value := generator.Event(k, after)
		if rd.rejects(after, []byte(user), value, nil) == nil {
			take(string(value), []byte(user), value, nil)
		}
	}
	take("an erasure", []byte("ann"), campaign.ErasedEvent("ann", "1", "salt", after), nil)
	for name, m := range rd.channel.Messages {
		for _, e := range m.Examples {
			value, err := json.Marshal(e.Payload)
			if err != nil {
				t.Fatal(err)
			}
			value = bytes.ReplaceAll(value, []byte("acme.five-days-of-logging"), []byte(rd.set.Campaigns()[0].ID)) // one that is in force here
			take("the example "+name+"/"+e.Name, []byte("ann"), value, e.Headers)
		}
	}
	if taken < 450 {
		t.Errorf("only %d events", taken)
	}
}

// unsayable are the rejections that a schema need not foresee: in which words the program says them, and why a schema can't.
var unsayable = []struct {
	reason campaign.Reason
	words  string
	why    string
}{
	{campaign.ReasonSubjectDiffers, "", "it can't compare two values"},
	{campaign.ReasonFuture, "", "it has no clock"},
	{campaign.ReasonNotJSON, "nests deeper", "JSON nests as deep as it likes"},
	{campaign.ReasonNotJSON, "the number is too large", "JSON has numbers of any size"},
	{campaign.ReasonNotACloudEvent, "bytes, at most", "it counts characters"},
	{campaign.ReasonBadControl, "no campaign with the id", "it does not know what is in force"},
}

// drawing is events, right ones and such with mistakes, on which both readings must agree.
type drawing struct {
	*reading
	data    map[string]string   // right data, by the event's type
	members []string            // of an event
	inside  map[string][]string // of its data, by its type
	values  []string            // JSON, what a member may become
	known   map[string]int      // rejections that are unsayable, by why
	taken   int
	refused int
}

func newDrawing(t *testing.T) *drawing {
	rd := newReading(t)
	id := rd.set.Campaigns()[0].ID
	long := func(n int) string { return fmt.Sprintf("%q", strings.Repeat("x", n)) }
	dates := func(n int) string { return "[" + strings.Repeat(`"2026-03-01",`, n-1) + `"2026-03-02"]` }
	return &drawing{
		reading: rd, known: map[string]int{},
		data: map[string]string{
			"data.logged": `"metric":"weight"`, "stampede.profile": `"timezone":"Asia/Tokyo","attributes":{"plan":"gold"}`, "stampede.erased": `"salt":"x"`,
			"stampede.enrolled": fmt.Sprintf(`"campaign":%q`, id), "stampede.withdrawn": fmt.Sprintf(`"campaign":%q`, id), "stampede.excused": `"dates":["2026-03-01"],"reason":"ill","by":"jo"`,
		},
		members: []string{"specversion", "id", "source", "type", "time", "subject", "timezone", "data", "data_base64", "datacontenttype", "dataschema", "extension"},
		inside: map[string][]string{
			"stampede.profile": {"data.timezone", "data.attributes"}, "stampede.erased": {"data.salt"},
			"stampede.enrolled": {"data.campaign"}, "stampede.withdrawn": {"data.campaign"}, "stampede.excused": {"data.dates", "data.campaign", "data.reason", "data.by"},
		},
		values: []string{
			gone, `null`, `0`, `-1.5`, `1e999`, `true`, `""`, `"x"`, `"ann"`, `"bob"`, `[]`, `{}`, `["x"]`, `{"a":1}`, `{"id":1}`, `{"timezone":1}`, `{"plan":null}`,
			`"1.0"`, `"0.3"`, `"a\u0000b"`, `"\u007f"`, `"\u009f"`, `"\u00a0"`, `"\ud800"`, long(512), long(513), long(1024), long(1025), fmt.Sprintf("%q", strings.Repeat("ä", 1024)),
			strings.Repeat("[", 70) + strings.Repeat("]", 70), dates(400), dates(401), fmt.Sprintf("%q", id), `"no-such.campaign"`, `"No Such"`,
			`"2026-03-01T10:00:00Z"`, `"2026-03-01t10:00:00.5z"`, `"2026-03-01T10:00:00.1234567890123+23:59"`, `"2026-03-01T10:00:00-00:00"`, `"1678-01-01T00:00:00Z"`,
			`"1677-12-31T00:00:00Z"`, `"2261-12-31T00:00:00Z"`, `"2262-01-01T00:00:00Z"`, `"2026-02-30T10:00:00Z"`, `"2024-02-29T10:00:00Z"`, `"2026-02-29T10:00:00Z"`,
			`"2016-12-31T23:59:60Z"`, `"2026-03-01 10:00:00Z"`, `"2026-03-01T10:00:00"`, `"2026-03-01T24:00:00Z"`, `"2026-03-01T10:00:00+24:00"`, `"2026-03-01T10:00:00.Z"`,
			`"2026-03-01"`, `["2026-03-01"]`, `["2026-03-01","2026-02-29"]`, `["1899-12-31"]`, `["1900-01-01"]`, `["2200-12-31"]`, `["2201-01-01"]`, `["2026-3-1"]`, `["2026-03-01",5]`,
			`"Europe/Berlin"`, `"Nowhere/At_All"`, `"stampede.profile"`, `"stampede.enrolled"`, `"stampede.withdrawn"`, `"stampede.excused"`, `"stampede.erased"`,
			`"stampede.nothing"`, `"stampede."`, `"stampede"`, `"Stampede.profile"`,
		},
	}
}

// gone is the value of a member that is not there.
const gone = ""

// changed is an event of a type with some members changed. Names of members of the data begin with "data.".
func (d *drawing) changed(kind string, changes map[string]string) []byte {
	data := "{" + d.data[kind]
	for name, value := range changes {
		if name, ok := strings.CutPrefix(name, "data."); ok && value != gone {
			data += fmt.Sprintf(",%q:%s", name, value) // of two members of a name, the last holds
		}
	}
	event := map[string]string{
		"specversion": `"1.0"`, "id": `"1"`, "source": `"/app"`, "type": fmt.Sprintf("%q", kind), "time": `"2026-03-01T10:00:00Z"`, "data": data + "}",
	}
	for name, value := range changes {
		if !strings.HasPrefix(name, "data.") {
			event[name] = value
		}
	}
	var members []string
	for _, name := range slices.Sorted(maps.Keys(event)) {
		if event[name] != gone {
			members = append(members, fmt.Sprintf("%q:%s", name, event[name]))
		}
	}
	return []byte("{" + strings.Join(members, ",") + "}")
}

// disagree says in what the description and the program differ: what the description refuses the program must reject; and the other way but for what a schema
// can't say.
func (d *drawing) disagree(key, value []byte, headers map[string]string) error {
	described, rejected := d.describes(key, value, headers), d.rejects(workload.BrokenClock, key, value, headers)
	switch {
	case described == nil && rejected == nil:
		d.taken++
	case described != nil && rejected != nil:
		d.refused++
	case described != nil:
		return fmt.Errorf("the program takes what the description refuses, key %.30s:\n%.300s %.300v\n%w", key, value, headers, described)
	case headers != nil && rejected.Reason == campaign.ReasonBadControl:
		d.known["the schema of a value does not see the type in the headers"]++
	default:
		for _, u := range unsayable {
			if rejected.Reason == u.reason && strings.Contains(rejected.Detail, u.words) {
				d.known[u.why]++
				return nil
			}
		}
		return fmt.Errorf("the program rejects what the description takes, and a schema could say it, key %.30s:\n%.300s %.300v\n%w", key, value, headers, rejected)
	}
	return nil
}

// Every member of an event becomes everything that it might be.
func TestEventsAreDescribedAsTheyAreRead(t *testing.T) {
	d := newDrawing(t)
	for kind := range d.data {
		for _, value := range d.values {
			names := d.members
			if inside, control := d.inside[kind]; control {
				names = append([]string{"type", "data"}, inside...)
			}
			for _, name := range names {
				keys := []string{"ann"}
				if name == "subject" { // once as the key is
					keys = append(keys, strings.Trim(value, `"`))
				}
				for _, key := range keys {
					if err := d.disagree([]byte(key), d.changed(kind, map[string]string{name: value}), nil); err != nil {
						t.Errorf("%s, %s: %v", kind, name, err)
					}
					if headers := binary(name, value); headers != nil && kind == "data.logged" {
						if err := d.disagree([]byte(key), []byte("{"+d.data[kind]+"}"), headers); err != nil {
							t.Errorf("%s, %s in the binary mode: %v", kind, name, err)
						}
					}
				}
			}
		}
	}
	t.Logf("%d events are taken and %d refused by both, by the program alone %v", d.taken, d.refused, d.known)
	if d.taken < 500 || d.refused < 500 {
		t.Error("that is too few to prove anything")
	}
	for _, u := range unsayable {
		if d.known[u.why] == 0 {
			t.Errorf("no event was rejected (%s %s) of which %s", u.reason, u.words, u.why)
		}
	}
}

// binary is the attributes of an event in the binary mode of which one is changed; nil where that can't be, since it is no text.
func binary(name, value string) map[string]string {
	headers := map[string]string{"ce_specversion": "1.0", "ce_id": "1", "ce_source": "/app", "ce_type": "data.logged", "ce_time": "2026-03-01T10:00:00Z"}
	var text string
	if value == gone {
		delete(headers, "ce_"+name)
	} else if err := json.Unmarshal([]byte(value), &text); err != nil || strings.HasPrefix(name, "data") {
		return nil
	} else {
		headers["ce_"+name] = text
	}
	return headers
}

// The same with several members at once.
func TestDrawnEventsAreDescribedAsTheyAreRead(t *testing.T) {
	d := newDrawing(t)
	kinds := slices.Sorted(maps.Keys(d.data))
	rapid.Check(t, func(rt *rapid.T) {
		kind := rapid.SampledFrom(kinds).Draw(rt, "type")
		changes := rapid.MapOfN(rapid.SampledFrom(slices.Concat(d.members, d.inside[kind])), rapid.SampledFrom(d.values), 0, 4).Draw(rt, "changes")
		key := rapid.SampledFrom([]string{"ann", "bob", "x", strings.Repeat("x", 512), strings.Repeat("x", 513), ""}).Draw(rt, "key")
		if err := d.disagree([]byte(key), d.changed(kind, changes), nil); err != nil {
			rt.Fatal(err)
		}
	})
}
