package judge

import (
	"regexp"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stampede-rewards/stampede/internal/stream"
)

// traceparent is W3C Trace Context's header in its version 00, with the flags that this version has; noTrace are ids that are none.
var (
	traceparent = regexp.MustCompile(`^00-[0-9a-f]{32}-[0-9a-f]{16}-0[0-3]$`)
	noTrace     = regexp.MustCompile(`^00-(0{32}|[0-9a-f]{32}-0{16})-`)
)

// traceOf is the header that a record's rewards, claims and answers have, too: what the record says of its trace, if it says it right.
func traceOf(r *kgo.Record) []kgo.RecordHeader {
	text := stream.Header(r, "traceparent")
	if !traceparent.MatchString(text) || noTrace.MatchString(text) {
		return nil
	}
	return []kgo.RecordHeader{{Key: "traceparent", Value: []byte(text)}}
}

// traceIn is what a record says of its trace, right or wrong, behind the text of the rest.
func traceIn(r *kgo.Record) string {
	if text := stream.Header(r, "traceparent"); text != "" {
		return " in trace " + text
	}
	return ""
}

// traceBecauseOf is what a record says that another has led to.
func traceBecauseOf(r *kgo.Record) string { return traceIn(&kgo.Record{Headers: traceOf(r)}) }
