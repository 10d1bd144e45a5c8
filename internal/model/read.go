package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// ControlKey is the key of the records that speak to a partition and to no user.
const ControlKey = "\xffstampede"

const (
	typePublished = "stampede.campaign_published"
	typeWithdrawn = "stampede.campaign_withdrawn"
	typeTick      = "stampede.tick"
)

// Entry is a record of the log. Markers of transactions are none.
type Entry struct {
	Offset     int64
	Timestamp  int64 // Unix ms
	Key, Value []byte
	Headers    []Header
}

// Header is one header of a record.
type Header struct {
	Key   string
	Value []byte
}

// Letter is a record that goes to the dead letters.
type Letter struct {
	Offset int64
	Reason string
}

// UnknownError means that the model can't say what a record leads to, and nothing that the log leads to from there on.
type UnknownError struct {
	Offset int64
	Why    string
}

// Error names the record.
func (e *UnknownError) Error() string {
	return fmt.Sprintf("the model does not know what the record at offset %d leads to: %s", e.Offset, e.Why)
}

// Read reads the next record: first time passes up to its clock, which never runs backwards, then it is taken. The error is an UnknownError.
func (l *Log) Read(e Entry) error {
	l.offset = e.Offset
	clock := time.UnixMilli(e.Timestamp).UTC()
	if clock.Before(l.clock) {
		clock = l.clock
	}
	l.advance(clock)
	reason, err := l.read(e)
	if _, erased := l.erased[string(e.Key)]; reason != "" && !erased {
		l.letters = append(l.letters, Letter{e.Offset, reason})
	}
	if err != nil {
		return &UnknownError{e.Offset, err.Error()}
	}
	return nil
}

// Letters are the records that went to the dead letters, in order.
func (l *Log) Letters() []Letter { return l.letters }

func (l *Log) read(e Entry) (reason string, err error) {
	if string(e.Key) == ControlKey {
		return l.control(e)
	}
	switch {
	case len(e.Key) == 0:
		return "no_key", nil
	case len(e.Key) > 512:
		return "key_too_long", nil
	case !utf8.Valid(e.Key):
		return "key_not_utf8", nil
	case len(e.Value) > 1<<20:
		return "too_large", nil
	}
	event, reason := parse(e)
	if reason != "" {
		return reason, nil
	}
	r := Record{User: string(e.Key), Clock: l.clock}
	if reason = event.into(&r); reason != "" {
		return reason, nil
	}
	if r.Kind != "stampede.erased" && l.drops(r.User) {
		return "", nil
	}
	if r.Kind == typeAnswered {
		return l.take(r), nil
	}
	// What is not read the same by everybody comes last: a record that is refused anyway needs no data.
	if r.At.After(r.Clock.Add(maxAhead)) {
		return "future", nil
	}
	if reason, err = event.data(&r); reason != "" || err != nil {
		return reason, err
	}
	if !r.hasV && !strings.HasPrefix(r.Kind, "stampede.") && l.concerns(r.Kind) {
		return "", errors.New("its data have no whole number `v`")
	}
	return l.take(r), nil
}

// event is a CloudEvent: attributes and data as they were written.
type event struct {
	attributes map[string]string
	content    json.RawMessage // nil for none
}

// parse reads a CloudEvent, structured or binary (E1).
func parse(e Entry) (event, string) {
	headers := map[string]string{}
	for _, h := range e.Headers {
		headers[strings.ToLower(h.Key)] = string(h.Value)
	}
	content := strings.ToLower(headers["content-type"])
	media, _, _ := strings.Cut(content, ";")
	_, binary := headers["ce_specversion"]
	ev := event{attributes: map[string]string{}}
	switch media = strings.TrimSpace(media); {
	case strings.HasPrefix(content, "application/cloudevents") && media != "application/cloudevents+json":
		return ev, "not_a_cloudevent"
	case binary && !strings.HasPrefix(content, "application/cloudevents"):
		for name, value := range headers {
			if attribute, ok := strings.CutPrefix(name, "ce_"); ok {
				ev.attributes[attribute] = value
			}
		}
		if isJSON := media == "" || media == "application/json" || media == "text/json" || strings.HasSuffix(media, "+json"); isJSON && len(e.Value) > 0 {
			if !json.Valid(e.Value) {
				return ev, "not_json"
			}
			ev.content = e.Value
		}
		return ev, ""
	}
	if !json.Valid(e.Value) {
		return ev, "not_json"
	}
	members, ok := object(e.Value)
	if !ok {
		return ev, "not_a_cloudevent"
	}
	for _, name := range []string{"specversion", "id", "source", "type", "time", "subject", "timezone"} {
		if members[name] == nil || string(members[name]) == "null" {
			continue
		}
		var value string
		if json.Unmarshal(members[name], &value) != nil || value == "" {
			return ev, "not_a_cloudevent"
		}
		ev.attributes[name] = value
	}
	ev.content = members["data"]
	return ev, ""
}

// object reads the members of a JSON object.
func object(text []byte) (members map[string]json.RawMessage, ok bool) {
	err := json.Unmarshal(text, &members)
	return members, err == nil && members != nil
}

// fits reads a JSON text that must be of a certain type.
func fits(text json.RawMessage, to any) bool { return json.Unmarshal(text, to) == nil }

// into fills a record from the attributes.
func (ev event) into(r *Record) (reason string) {
	for _, name := range []string{"specversion", "id", "source", "type", "time"} {
		if ev.attributes[name] == "" {
			return "not_a_cloudevent"
		}
	}
	if ev.attributes["specversion"] != "1.0" {
		return "not_a_cloudevent"
	}
	for _, name := range []string{"id", "source", "type", "subject", "timezone"} {
		text := ev.attributes[name]
		control := strings.ContainsFunc(text, func(c rune) bool { return c < 0x20 || c >= 0x7f && c <= 0x9f })
		if len(text) > 1024 || control || !utf8.ValidString(text) {
			return "not_a_cloudevent"
		}
	}
	if subject := ev.attributes["subject"]; subject != "" && subject != r.User {
		return "subject_differs"
	}
	written := ev.attributes["time"]
	at, err := time.Parse(time.RFC3339Nano, written)
	if err != nil {
		return "bad_time"
	}
	r.ID, r.Source, r.Kind, r.At, r.Zone = ev.attributes["id"], ev.attributes["source"], ev.attributes["type"], at.UTC(), ev.attributes["timezone"]
	if !strings.HasSuffix(written, "Z") {
		r.Written = written[len(written)-len("+00:00"):]
	}
	return ""
}

// data fills a record from the data. The error says what the model can't read.
func (ev event) data(r *Record) (reason string, err error) {
	if _, known := offsets[r.Written]; r.Written != "" && !known {
		return "", fmt.Errorf("an offset of %s", r.Written)
	}
	if _, known := offsets[r.Zone]; r.Zone != "" && !known {
		return "", fmt.Errorf("the zone %s", r.Zone)
	}
	members, isObject := object(ev.content)
	text := func(name string) string {
		var s string
		_ = json.Unmarshal(members[name], &s)
		return s
	}
	switch r.Kind {
	case "stampede.profile":
		if !isObject {
			return "bad_control", nil
		}
		r.Timezone = text("timezone")
		if _, known := offsets[r.Timezone]; r.Timezone != "" && !known {
			return "", fmt.Errorf("the zone %s", r.Timezone)
		}
		if attributes, ok := object(members["attributes"]); ok && attributes["plan"] != nil {
			r.Plan = strings.Trim(string(attributes["plan"]), `"`)
		}
	case "stampede.enrolled", "stampede.withdrawn":
		r.Campaign = text("campaign")
	case "stampede.excused":
		r.Campaign = text("campaign")
		var dates []string
		if !fits(members["dates"], &dates) || len(dates) == 0 {
			return "bad_control", nil
		}
		for _, written := range dates {
			day, err := time.Parse(time.DateOnly, written)
			if err != nil {
				return "bad_control", nil //nolint:nilerr // what is wrong with a record is its outcome
			}
			r.Dates = append(r.Dates, DayOf(day))
		}
	default:
		r.hasV = fits(members["v"], &r.V)
	}
	return "", nil
}

// control takes a record that speaks to the partition.
func (l *Log) control(e Entry) (reason string, err error) {
	event, reason := parse(Entry{Value: e.Value})
	if reason != "" {
		return reason, nil
	}
	var r Record
	if reason = event.into(&r); reason != "" {
		return reason, nil
	}
	switch r.Kind {
	case typePublished:
		members, ok := object(event.content)
		var source string
		if !ok || !fits(members["source"], &source) {
			return "bad_control", nil
		}
		c := l.published[source]
		if c == nil {
			return "", fmt.Errorf("a publish of a campaign that the model was not told of: %q", source)
		}
		return l.publish(c)
	case typeWithdrawn:
		members, _ := object(event.content)
		var id string
		_ = json.Unmarshal(members["campaign"], &id)
		return l.withdraw(id)
	case typeClaimed:
		claim, err := l.claim(event.content)
		if err != nil {
			return "", err
		}
		return "", l.decide(claim)
	case typeRecalled:
		return l.recall(event.content)
	case typeTick:
		return "", nil
	}
	return "unknown_control", nil
}

func quoted(s string) string {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(text)
}
