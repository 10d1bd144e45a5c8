package tracing

import (
	"encoding/hex"

	"go.opentelemetry.io/otel/trace"
)

// Header is the name of a record's header that has its trace context, as in HTTP.
const Header = "traceparent"

// parentBytes is the length of a traceparent of version 00: "00-", 32 hex digits, "-", 16, "-", 2.
const parentBytes = 55

// Parent reads a traceparent (W3C Trace Context, version 00). What is none is the zero context, which is not valid. It allocates nothing: records of
// the log are asked for theirs while rewards are issued.
func Parent(text []byte) trace.SpanContext {
	if len(text) != parentBytes || string(text[:3]) != "00-" || text[35] != '-' || text[52] != '-' {
		return trace.SpanContext{}
	}
	for _, c := range text[3:] {
		if c >= 'A' && c <= 'F' {
			return trace.SpanContext{} // the standard's digits are lower case
		}
	}
	var c trace.SpanContextConfig
	var flags [1]byte
	for _, part := range []struct{ to, from []byte }{{c.TraceID[:], text[3:35]}, {c.SpanID[:], text[36:52]}, {flags[:], text[53:]}} {
		if _, err := hex.Decode(part.to, part.from); err != nil {
			return trace.SpanContext{}
		}
	}
	if flags[0] > byte(trace.FlagsSampled|trace.FlagsRandom) {
		return trace.SpanContext{} // version 00 has no other flags
	}
	c.TraceFlags, c.Remote = trace.TraceFlags(flags[0]), true
	if of := trace.NewSpanContext(c); of.IsValid() {
		return of
	}
	return trace.SpanContext{}
}
