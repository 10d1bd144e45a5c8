package campaign

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stampede-rewards/stampede/internal/workload"
)

func TestE6EveryBrokenRecordHasItsReason(t *testing.T) {
	table, err := workload.Broken()
	if err != nil {
		t.Fatal(err)
	}
	if len(table) < 30 {
		t.Fatalf("the table has %d records", len(table))
	}
	c, wrong := Parse("c.yaml", []byte(head+"goal: {event: hit}\n"))
	if wrong != nil {
		t.Fatal(wrong)
	}
	set, err := NewSet([]*Campaign{c})
	if err != nil {
		t.Fatal(err)
	}
	engine := NewEngine(set, 0)
	clock := workload.BrokenClock.UnixMilli()
	var d Decoder
	var ev Event
	for _, b := range table {
		rec := &Record{Key: b.Key, Value: b.Value, Clock: clock}
		for k, v := range b.Headers {
			rec.Headers = append(rec.Headers, Header{k, []byte(v)})
		}
		rejection := d.Decode(rec, &ev)
		if rejection == nil {
			l := &Ledger{}
			rejection = engine.Apply(l, &ev, clock).Rejection
			if !l.Empty() {
				t.Errorf("%s: the ledger changed", b.Name)
			}
		}
		switch {
		case rejection == nil:
			t.Errorf("%s: it was taken", b.Name)
		case string(rejection.Reason) != b.Reason:
			t.Errorf("%s: %v, want %s", b.Name, rejection, b.Reason)
		case len(rejection.Detail) == 0 || len(rejection.Detail) > 1000:
			t.Errorf("%s: a detail of %d bytes", b.Name, len(rejection.Detail))
		}
	}
}

func TestE1BothModes(t *testing.T) {
	f := func(value string, headers ...Header) {
		t.Helper()
		var d Decoder
		var ev Event
		if r := d.Decode(&Record{Key: []byte("ann"), Value: []byte(value), Headers: headers}, &ev); r != nil {
			t.Error(r)
			return
		}
		want := time.Date(2026, 3, 1, 8, 30, 0, 500, time.UTC).UnixNano()
		if ev.User != "ann" || ev.ID != "é1" || ev.Source != "/app" || ev.Type != "hit" || ev.Timezone != "Europe/Berlin" || ev.Time != want ||
			ev.Offset != (zoneOffset{3600, true}) || ev.Data.Get("n").Number() != 3 {
			t.Errorf("%+v", ev)
		}
	}
	const structured = `{"specversion":"1.0","id":"\u00e91","source":"/app","type":"hit","time":"2026-03-01T09:30:00.0000005+01:00",` +
		`"timezone":"Europe/Berlin","subject":"ann","data":{"n":3},"more":[1,{"x":null}]}`
	f(structured)
	f(structured, Header{"content-type", []byte("application/cloudevents+json; charset=utf-8")})
	binary := func(content string) []Header {
		return []Header{
			{"ce_specversion", []byte("1.0")},
			{"ce_id", []byte("é1")},
			{"ce_source", []byte("/app")},
			{"ce_type", []byte("hit")},
			{"ce_time", []byte("2026-03-01t09:30:00.0000005+01:00")},
			{"ce_timezone", []byte("Europe/Berlin")},
			{"content-type", []byte(content)},
		}
	}
	f(`{"n":3}`, binary("application/json")...)
	f(`{"n":3}`, binary("")...)
	f(`{"n":3}`, binary("application/vnd.acme+json; v=1")...)
}

func TestE1TheSubjectIsTheKeyThatAProducerNeeds(t *testing.T) {
	d := Decoder{MaxBytes: 200}
	event := func(subject string) string {
		return `{"specversion":"1.0","id":"1","source":"/app","type":"hit","time":"2026-03-01T09:30:00Z"` + subject + `}`
	}
	for _, c := range []struct {
		value, want string
		rejected    Reason // by Decode, under this key
	}{
		{event(`,"subject":"ann"`), "ann", ""},
		{event(`,"subject":"\u00e4nn"`), "änn", ""},
		{event(`,"subject":"ann","Subject":"bob"`), "ann", ""},
		{event(``), "", ReasonNoKey},
		{event(`,"subject":null`), "", ReasonNoKey},
		{event(`,"subject":""`), "", ReasonNoKey},
		{event(`,"Subject":"ann"`), "", ReasonNoKey},
		{event(`,"subject":7`), anybody, ReasonNotACloudEvent},
		{event(`,"subject":"ann`), anybody, ReasonNotJSON},
		{`["ann"]`, anybody, ReasonNotACloudEvent},
		{event(`,"subject":"ann","data":"` + strings.Repeat("x", 200) + `"`), anybody, ReasonTooLarge},
	} {
		user := d.Subject([]byte(c.value))
		rejection := d.Decode(&Record{Key: []byte(user), Value: []byte(c.value)}, &Event{})
		if rejection == nil {
			rejection = &Rejection{}
		}
		if user != c.want || rejection.Reason != c.rejected {
			t.Errorf("the subject of %s is %q (%s), wanted %q (%s)", c.value, user, rejection.Reason, c.want, c.rejected)
		}
	}
}

func TestDecodingAllocatesNothing(t *testing.T) {
	rec := &Record{Key: []byte("ann"), Value: []byte(`{"specversion":"1.0","id":"e1","source":"/app","type":"hit","time":"2026-03-01T09:30:00Z","data":{"n":3,"s":"a\nb"}}`)}
	var d Decoder
	var ev Event
	if n := testing.AllocsPerRun(100, func() {
		if r := d.Decode(rec, &ev); r != nil {
			t.Fatal(r)
		}
	}); n != 0 {
		t.Errorf("%v allocations an event", n)
	}
}

func TestParseTimeAgreesWithTheStandardLibrary(t *testing.T) {
	f := func(s string) {
		t.Helper()
		want, err := time.Parse(time.RFC3339Nano, s)
		got, _, mine := parseTime(s)
		if (err == nil) != (mine == nil) || err == nil && want.UnixNano() != got {
			t.Errorf("%s: %d, %v; the standard library has %d, %v", s, got, mine, want.UnixNano(), err)
		}
	}
	f("2026-03-01T09:30:00Z")
	f("2026-03-01T09:30:00.123456789+05:45")
	f("2024-02-29T23:59:59-12:00")
	f("2023-02-29T00:00:00Z")
	f("2026-04-31T00:00:00Z")
	f("2026-13-01T00:00:00Z")
	f("2026-01-01T24:00:00Z")
	f("2026-01-01T00:60:00Z")
	f("2026-01-01T00:00:60Z")
	f("1969-12-31T23:59:59.5Z")
	f("2026-01-01T00:00:00")
	f("2026-01-01")
	f("2026-01-01T00:00:00.Z")
	f("2026-01-01T00:00:00+0100")
	for day := DayOf(1700, 1, 1); day < DayOf(2260, 1, 1); day += 13 {
		f(day.String() + "T12:34:56.789Z")
	}
	if _, offset, _ := parseTime("2026-01-01T00:00:00-00:00"); offset.told {
		t.Error("-00:00 tells an offset")
	}
	if _, offset, _ := parseTime("2026-01-01T00:00:00+00:00"); !offset.told {
		t.Error("+00:00 tells none")
	}
	if _, offset, _ := parseTime("2026-01-01T00:00:00+14:01"); offset.told {
		t.Error("+14:01 tells an offset (T1)")
	}
}

// FuzzJSON holds the JSON reader to encoding/json: the same texts are read, with the same values, but for what is refused on
// purpose.
func FuzzJSON(f *testing.F) {
	for _, seed := range []string{
		`{"a":1,"a":2}`, `[1,2.5,-0,1e5,1E-7]`, `"\ud83d\ude00\ud800x\u00e9"`, ` {"a":{"b":[{}]}} `, `[[[[]]]]`, `{"":""}`, `nul`, `1.`, `-`, `01`,
		`"\x"`, "\"\xff\"", `{"a":}`, `[1,]`, `1e999`, `true false`, "\"a\tb\"", `"\ud800\ud800"`, `"\ud800\u0041"`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		var d document
		err := d.parse(src)
		var want any
		wantErr := json.Unmarshal(src, &want)
		if wantErr == nil && (!utf8.Valid(src) || depth(want) > maxDepth) {
			if err == nil {
				t.Fatalf("%q is read", src)
			}
			return
		}
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%q: %v; encoding/json: %v", src, err, wantErr)
		}
		if err != nil {
			return
		}
		if got := d.root().Any(); !reflect.DeepEqual(got, want) {
			t.Fatalf("%q is %#v, want %#v", src, got, want)
		}
		compact := compactJSON(src)
		var again any
		if err := json.Unmarshal(compact, &again); err != nil || !reflect.DeepEqual(again, want) {
			t.Fatalf("%q without white space is %q", src, compact)
		}
	})
}

func depth(v any) int {
	deepest := 0
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			deepest = max(deepest, depth(e))
		}
		return deepest + 1
	case map[string]any:
		for _, e := range v {
			deepest = max(deepest, depth(e))
		}
		return deepest + 1
	}
	return 0
}

// FuzzEvent holds the decoder to a slow one over encoding/json.
func FuzzEvent(f *testing.F) {
	f.Add([]byte("ann"), []byte(`{"specversion":"1.0","id":"1","source":"s","type":"t","time":"2026-03-01T09:30:00Z"}`))
	f.Add([]byte("ann"), []byte(`{"specversion":"1.0","id":"1","source":"s","type":"t","time":"2026-03-01T09:30:00+14:00","subject":"ann","timezone":null,"data":1}`))
	f.Add([]byte("ann"), []byte(`{"specversion":"1.0","id":1}`))
	f.Fuzz(func(t *testing.T, key, value []byte) {
		var d Decoder
		var ev Event
		rejection := d.Decode(&Record{Key: key, Value: value}, &ev)
		var slow map[string]any
		if !utf8.Valid(value) || json.Unmarshal(value, &slow) != nil || depth(slow) > maxDepth || slow == nil {
			if rejection == nil {
				t.Fatalf("%q is read", value)
			}
			return
		}
		good := len(key) >= 1 && len(key) <= maxUserBytes && utf8.Valid(key)
		for _, name := range []string{"specversion", "id", "source", "type", "time"} {
			s, ok := slow[name].(string)
			good = good && ok && s != "" && (name == "time" || len(s) <= maxAttributeBytes && plainText(s))
		}
		for _, name := range []string{"subject", "timezone"} {
			s, ok := slow[name].(string)
			good = good && (slow[name] == nil || ok && s != "" && len(s) <= maxAttributeBytes && plainText(s))
		}
		if subject, ok := slow["subject"].(string); ok && subject != string(key) {
			good = false
		}
		if _, both := slow["data"]; both {
			if _, base64 := slow["data_base64"]; base64 {
				good = false
			}
		}
		at, _ := slow["time"].(string)
		_, _, err := parseTime(at)
		good = good && err == nil && slow["specversion"] == "1.0"
		if good != (rejection == nil) {
			t.Fatalf("%q %q: %v", key, value, rejection)
		}
		if good && (ev.ID != slow["id"] || ev.Source != slow["source"] || ev.Type != slow["type"] || ev.User != string(key) ||
			!reflect.DeepEqual(ev.Data.Any(), slow["data"])) {
			t.Fatalf("%q: %+v", value, ev)
		}
	})
}

func plainText(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r >= 0x7f && r <= 0x9f })
}
