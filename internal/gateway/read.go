package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/stampede-rewards/stampede/internal/tracing"
	"github.com/stampede-rewards/stampede/pkg/campaign"
)

// The content types of the CloudEvents HTTP binding 1.0 (its section 3).
const (
	structuredType = "application/cloudevents+json"
	batchType      = "application/cloudevents-batch+json"
)

// item is an event of a request, or what is wrong with it.
type item struct {
	id      string
	event   Event
	trace   trace.SpanContext // by its own extension; not valid where it has none
	problem *Problem
}

// reader turns a request into events.
type reader struct {
	maxEvent, maxBatch int
	now                func() time.Time
}

// read returns the request's events in their order. batch says that each has a result of its own.
func (rd *reader) read(r *http.Request, body []byte, key *Key) (items []item, batch bool, problem *Problem) {
	media, parameters, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil && r.Header.Get("Content-Type") != "" {
		return nil, false, unsupported.problem("the content type can't be read: %v", err)
	}
	if charset := parameters["charset"]; charset != "" && !strings.EqualFold(charset, "utf-8") {
		return nil, false, unsupported.problem("the charset is %q: only UTF-8 is read", charset)
	}
	switch {
	case media == structuredType:
		return []item{rd.structured(body, key)}, false, nil
	case media == batchType:
		items, problem := rd.batch(body, key)
		return items, true, problem
	case strings.HasPrefix(media, "application/cloudevents"):
		return nil, false, unsupported.problem("the content type is %s: of the CloudEvents formats, %s and %s are read", media, structuredType, batchType)
	case r.Header.Get("ce-specversion") == "":
		return nil, false, unsupported.problem("send %s, %s, or any content type with the event's attributes as ce- headers (ce-specversion is missing)", structuredType, batchType)
	}
	return []item{rd.binary(r.Header, body, key)}, false, nil
}

func (rd *reader) batch(body []byte, key *Key) ([]item, *Problem) {
	var elements []json.RawMessage
	if err := json.Unmarshal(body, &elements); err != nil {
		return nil, badRequest.problem("a batch is a JSON array of events: %v", err)
	}
	if len(elements) > rd.maxBatch {
		return nil, tooMany.problem("the batch has %d events, at most %d are taken at once", len(elements), rd.maxBatch)
	}
	items := make([]item, len(elements))
	for i, e := range elements {
		items[i] = rd.structured(e, key)
	}
	return items, nil
}

// structured reads an event that is JSON as a whole.
func (rd *reader) structured(body []byte, key *Key) item {
	decoder := campaign.Decoder{MaxBytes: rd.maxEvent}
	value := bytes.TrimSpace(body)
	user := decoder.Subject(value)
	if user == "" {
		return item{problem: noUser()}
	}
	it := rd.decode(&decoder, Event{
		User: user, Value: value,
		Headers: []campaign.Header{{Key: "content-type", Value: []byte(structuredType)}},
	}, key)
	if it.problem == nil {
		it.trace = tracing.Parent([]byte(decoder.Extension(tracing.Header)))
	}
	return it
}

// binary reads an event whose attributes are headers.
func (rd *reader) binary(header http.Header, body []byte, key *Key) item {
	e := Event{Value: body}
	if content := header.Get("Content-Type"); content != "" {
		e.Headers = append(e.Headers, campaign.Header{Key: "content-type", Value: []byte(content)})
	}
	var names []string
	for name := range header {
		if strings.HasPrefix(name, "Ce-") {
			names = append(names, name)
		}
	}
	slices.Sort(names) // so that the same request is the same record
	for _, name := range names {
		value, err := url.PathUnescape(header.Get(name)) // section 3.1.3.2 of the binding: values are percent-encoded
		if err != nil {
			return item{problem: badRequest.problem("the header %s is not percent-encoded: %v", strings.ToLower(name), err)}
		}
		attribute := strings.ToLower(strings.TrimPrefix(name, "Ce-"))
		if attribute == "subject" {
			e.User = value
		}
		e.Headers = append(e.Headers, campaign.Header{Key: "ce_" + attribute, Value: []byte(value)})
	}
	if e.User == "" {
		return item{id: header.Get("ce-id"), problem: noUser()}
	}
	it := rd.decode(&campaign.Decoder{MaxBytes: rd.maxEvent}, e, key)
	it.trace = tracing.Parent([]byte(header.Get("ce-" + tracing.Header)))
	return it
}

func noUser() *Problem {
	return rejected(&campaign.Rejection{Reason: campaign.ReasonNoKey, Detail: "`subject` is missing: it must be the user's id"})
}

// decode reads an event as a processor will read it, and holds it against what its sender may do.
func (rd *reader) decode(decoder *campaign.Decoder, e Event, key *Key) item {
	var ev campaign.Event
	now := rd.now()
	if why := decoder.Decode(&campaign.Record{Key: []byte(e.User), Value: e.Value, Headers: e.Headers, Clock: now.UnixMilli()}, &ev); why != nil {
		return item{problem: rejected(why)}
	}
	it := item{id: strings.Clone(ev.ID), event: e}
	switch {
	case ev.Time > now.Add(campaign.MaxAhead).UnixNano():
		it.problem = rejected(&campaign.Rejection{Reason: campaign.ReasonFuture, Detail: fmt.Sprintf("`time` is more than %s ahead of the gateway's clock", campaign.MaxAhead)})
	case !key.speaksFor(ev.Source):
		it.problem = forbidden.problem("the key %s may not send events of the source %q", key.Name, ev.Source)
		it.problem.Field = "source"
	case strings.HasPrefix(ev.Type, campaign.ControlPrefix) && !key.Control:
		it.problem = forbidden.problem("the key %s may not send control events, whose types begin with `%s`", key.Name, campaign.ControlPrefix)
		it.problem.Field = "type"
	case strings.HasPrefix(ev.Type, campaign.ControlPrefix) && !campaign.IsUserControl(ev.Type):
		it.problem = rejected(&campaign.Rejection{Reason: campaign.ReasonUnknownControl, Detail: "`type` begins with `stampede.`, which is for control events, and none has this one"})
	}
	return it
}

// refused is the problem of an event that a sink did not take.
func refused(err error) *Problem {
	const soon, later = time.Second, 30 * time.Second
	retry := func(k kind, after time.Duration, format string, args ...any) *Problem {
		p := k.problem(format, args...)
		p.retry = after
		return p
	}
	switch {
	case errors.Is(err, ErrTooLarge):
		return rejected(&campaign.Rejection{Reason: campaign.ReasonTooLarge, Detail: "the topic takes no record of this size"})
	case errors.Is(err, ErrBusy):
		return retry(unavailable, soon, "%v", err)
	case errors.Is(err, ErrClosing):
		return retry(unavailable, soon, "%v: another one, or this one after its start, takes the event", err)
	case errors.Is(err, ErrFull):
		return retry(unavailable, later, "%v", err)
	case errors.Is(err, ErrNotAcknowledged):
		return retry(notAcknowledged, soon, "%v: send it again under the same id, it counts once", ErrNotAcknowledged)
	}
	return retry(unavailable, later, "the gateway can't keep events safe at the moment; send it again under the same id")
}
