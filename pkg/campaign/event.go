package campaign

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Record is one record of the events topic, without Kafka's types.
type Record struct {
	Key, Value []byte
	Headers    []Header
	Clock      int64 // Unix ms, rule E2
}

// Header is one header of a record.
type Header struct {
	Key   string
	Value []byte
}

// Event is a decoded CloudEvent (E1). Its texts and data alias the record and the decoder: they are valid until the
// decoder's next call.
type Event struct {
	User     string // the record's key
	ID       string
	Source   string
	Type     string
	Time     int64      // Unix ns
	Offset   zoneOffset // of the time as it was written (T1)
	Timezone string     // the extension attribute, "" when absent
	Data     Value      // absent where there is none or it is not JSON
}

const (
	maxUserBytes      = 512  // a user's id (E1)
	maxAttributeBytes = 1024 // any attribute of an event: an id is a name, not a document
	// DefaultEventBytes bounds an event's value where the configuration says nothing else (E6).
	DefaultEventBytes = 1 << 20
	maxExcerptBytes   = 80 // how much of a bad value a rejection quotes
)

// Reason says in one word why a record is in the dead letters (E6). The set is closed.
type Reason string

// The reasons.
const (
	ReasonNoKey          Reason = "no_key"
	ReasonKeyNotUTF8     Reason = "key_not_utf8"
	ReasonKeyTooLong     Reason = "key_too_long"
	ReasonTooLarge       Reason = "too_large"
	ReasonNotJSON        Reason = "not_json"
	ReasonNotACloudEvent Reason = "not_a_cloudevent"
	ReasonBadTime        Reason = "bad_time"
	ReasonSubjectDiffers Reason = "subject_differs"
	ReasonFuture         Reason = "future"             // E5
	ReasonUnknownControl Reason = "unknown_control"    // campaigns.md, section 6
	ReasonBadControl     Reason = "bad_control"        // a control event whose data are not what its type asks for
	ReasonNotRaised      Reason = "version_not_raised" // L1: a publish of a campaign in a version that is not above the one in force
	ReasonNeedsRestart   Reason = "needs_restart"      // L2: what counts is changed, and the version does not say on_change: restart
	ReasonClosed         Reason = "campaign_closed"    // a publish of a campaign that is closed (T4): its id is not used again
	ReasonLedgerFull     Reason = "ledger_full"        // E7
)

// Rejection says why a record can't be processed.
type Rejection struct {
	Reason Reason
	Detail string // for people, bounded
}

// Error returns the reason and its detail.
func (r *Rejection) Error() string { return string(r.Reason) + ": " + r.Detail }

// Decoder decodes records; it is used again from record to record and not concurrently.
type Decoder struct {
	MaxBytes int // of a value; 0 is DefaultEventBytes

	document document
}

func (d *Decoder) most() int {
	if d.MaxBytes == 0 {
		return DefaultEventBytes
	}
	return d.MaxBytes
}

// anybody stands for the user of a value that Decode rejects whatever the key is.
const anybody = "unknown"

// Subject is the user of an event in the structured mode, for a producer: the record needs a key before Decode can be asked. It is empty where the
// event names nobody. Of a value that is no CloudEvent it is some user, so that Decode says what is wrong with it.
func (d *Decoder) Subject(value []byte) string {
	if len(value) > d.most() || d.document.parse(value) != nil || d.document.root().Kind() != Object {
		return anybody
	}
	switch subject := d.document.root().Get("subject"); subject.Kind() {
	case String:
		return strings.Clone(subject.Text())
	case Absent, Null:
		return ""
	case Bool, Number, Array, Object:
	}
	return anybody
}

// Decode reads a record into ev. A rejection says what is wrong with it.
func (d *Decoder) Decode(rec *Record, ev *Event) *Rejection {
	*ev = Event{}
	most := d.most()
	switch {
	case len(rec.Key) == 0:
		return &Rejection{ReasonNoKey, "the record has no key: it must be the user's id"}
	case len(rec.Key) > maxUserBytes:
		return &Rejection{ReasonKeyTooLong, fmt.Sprintf("the key has %d bytes, at most %d are a user's id", len(rec.Key), maxUserBytes)}
	case !utf8.Valid(rec.Key):
		return &Rejection{ReasonKeyNotUTF8, "the key is not UTF-8: " + excerpt(string(rec.Key))}
	}
	ev.User = alias(rec.Key) // who it is matters of a broken record, too: Engine.Drop
	if len(rec.Value) > most {
		return &Rejection{ReasonTooLarge, fmt.Sprintf("the value has %d bytes, event.max_bytes is %d", len(rec.Value), most)}
	}
	content, _ := rec.header("content-type")
	_, binary := rec.header("ce_specversion")
	switch {
	case hasPrefixFold(content, "application/cloudevents"):
		if !isMedia(content, "application/cloudevents+json") {
			return &Rejection{ReasonNotACloudEvent, "content-type is " + excerpt(content) + ": of the CloudEvents formats, application/cloudevents+json is read"}
		}
		return d.structured(rec, ev)
	case binary:
		return d.binary(rec, ev, content)
	}
	return d.structured(rec, ev)
}

// Extension returns an attribute of the event in the structured mode that was decoded last, for a producer: empty where the event has none of this name
// that is a string. The engine knows nothing of it.
func (d *Decoder) Extension(name string) string {
	return strings.Clone(d.document.root().Get(name).Text())
}

// attributes are the context attributes that matter, as they come in either mode.
type attributes struct {
	specversion, id, source, typ, time, subject, timezone string
}

// structured reads an event whose value is the whole CloudEvent.
func (d *Decoder) structured(rec *Record, ev *Event) *Rejection {
	if err := d.document.parse(rec.Value); err != nil {
		return &Rejection{ReasonNotJSON, err.Error()}
	}
	root := d.document.root()
	if root.Kind() != Object {
		return &Rejection{ReasonNotACloudEvent, "the value is JSON but no object"}
	}
	var a attributes
	var specversion, id, source, typ, at, subject, timezone, base64 Value
	for name, v := range root.all() { // the last of a name holds
		switch name {
		case "specversion":
			specversion = v
		case "id":
			id = v
		case "source":
			source = v
		case "type":
			typ = v
		case "time":
			at = v
		case "subject":
			subject = v
		case "timezone":
			timezone = v
		case "data":
			ev.Data = v
		case "data_base64":
			base64 = v
		}
	}
	for _, to := range [...]struct {
		name  string
		value Value
		text  *string
	}{
		{"specversion", specversion, &a.specversion},
		{"id", id, &a.id},
		{"source", source, &a.source},
		{"type", typ, &a.typ},
		{"time", at, &a.time},
		{"subject", subject, &a.subject},
		{"timezone", timezone, &a.timezone},
	} {
		switch to.value.Kind() {
		case String:
			if *to.text = to.value.Text(); *to.text == "" {
				return &Rejection{ReasonNotACloudEvent, "`" + to.name + "` is empty"}
			}
		case Absent, Null:
		case Bool, Number, Array, Object:
			return &Rejection{ReasonNotACloudEvent, "`" + to.name + "` must be a string, not " + excerpt(string(to.value.Raw()))}
		}
	}
	if base64.Kind() != Absent && ev.Data.Kind() != Absent {
		return &Rejection{ReasonNotACloudEvent, "it has both `data` and `data_base64`"}
	}
	return a.into(ev)
}

// binary reads an event whose attributes are ce_ headers and whose value is the data.
func (d *Decoder) binary(rec *Record, ev *Event, content string) *Rejection {
	var a attributes
	a.specversion, _ = rec.header("ce_specversion")
	a.id, _ = rec.header("ce_id")
	a.source, _ = rec.header("ce_source")
	a.typ, _ = rec.header("ce_type")
	a.time, _ = rec.header("ce_time")
	a.subject, _ = rec.header("ce_subject")
	a.timezone, _ = rec.header("ce_timezone")
	if len(rec.Value) > 0 && isJSON(content) {
		if err := d.document.parse(rec.Value); err != nil {
			return &Rejection{ReasonNotJSON, err.Error()}
		}
		ev.Data = d.document.root()
	}
	return a.into(ev)
}

// into checks the attributes and fills the event.
func (a *attributes) into(ev *Event) *Rejection {
	for _, must := range [...]struct{ name, text string }{
		{"specversion", a.specversion},
		{"id", a.id},
		{"source", a.source},
		{"type", a.typ},
		{"time", a.time},
	} {
		if must.text == "" {
			return &Rejection{ReasonNotACloudEvent, "`" + must.name + "` is missing"}
		}
	}
	if a.specversion != "1.0" {
		return &Rejection{ReasonNotACloudEvent, "`specversion` is " + excerpt(a.specversion) + ", only 1.0 is read"}
	}
	for _, text := range [...]struct{ name, text string }{
		{"id", a.id},
		{"source", a.source},
		{"type", a.typ},
		{"subject", a.subject},
		{"timezone", a.timezone},
	} {
		if len(text.text) > maxAttributeBytes {
			return &Rejection{ReasonNotACloudEvent, fmt.Sprintf("`%s` has %d bytes, at most %d are read", text.name, len(text.text), maxAttributeBytes)}
		}
		if !isText(text.text) {
			return &Rejection{ReasonNotACloudEvent, "`" + text.name + "` is not UTF-8 or has a control character: " + excerpt(text.text)}
		}
	}
	if a.subject != "" && a.subject != ev.User {
		return &Rejection{ReasonSubjectDiffers, "`subject` is " + excerpt(a.subject) + ", the key is " + excerpt(ev.User) + ": both must be the user's id"}
	}
	ns, offset, err := parseTime(a.time)
	if err != nil {
		return &Rejection{ReasonBadTime, "`time` is " + excerpt(a.time) + ": " + err.Error()}
	}
	ev.ID, ev.Source, ev.Type, ev.Timezone = a.id, a.source, a.typ, a.timezone
	ev.Time, ev.Offset = ns, offset
	return nil
}

// header returns a header's text; names are compared without regard to case, the last of a name holds.
func (r *Record) header(name string) (string, bool) {
	for _, h := range slices.Backward(r.Headers) {
		if len(h.Key) == len(name) && strings.EqualFold(h.Key, name) {
			return alias(h.Value), true
		}
	}
	return "", false
}

// isText says whether an attribute is a CloudEvents string: UTF-8 without control characters.
func isText(s string) bool {
	for i := 0; i < len(s); {
		if c := s[i]; c >= 0x20 && c < 0x7f {
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r < 0x20 || r >= 0x7f && r <= 0x9f || r == utf8.RuneError && size == 1 {
			return false
		}
		i += size
	}
	return true
}

// isJSON says whether a binary event's data are JSON: by its content type, or where it has none.
func isJSON(content string) bool {
	media, _, _ := strings.Cut(content, ";")
	media = strings.TrimSpace(media)
	return media == "" || strings.EqualFold(media, "application/json") || strings.EqualFold(media, "text/json") ||
		len(media) > len("+json") && strings.EqualFold(media[len(media)-len("+json"):], "+json")
}

// isMedia compares a content type, whatever its parameters.
func isMedia(content, want string) bool {
	media, _, _ := strings.Cut(content, ";")
	return strings.EqualFold(strings.TrimSpace(media), want)
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// excerpt quotes the beginning of what somebody sent.
func excerpt(s string) string {
	if len(s) > maxExcerptBytes {
		return fmt.Sprintf("%.*q...", maxExcerptBytes, s)
	}
	return fmt.Sprintf("%q", s)
}
