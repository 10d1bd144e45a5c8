package tracing

import (
	"context"
	"testing"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"pgregory.net/rapid"
)

const right = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// What OpenTelemetry's propagator reads from a traceparent of version 00, Parent reads, and nothing else. One thing is left out: a lone dash at the
// end, which the standard's version 00 does not have and which the propagator lets pass.
func TestParentReadsWhatThePropagatorReads(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		text := []byte(right)
		for range rapid.IntRange(0, 3).Draw(rt, "changes") {
			at := rapid.IntRange(2, len(text)-1).Draw(rt, "at") // the version stays
			text[at] = rapid.SampledFrom([]byte("0123456789abcdefABCDEF-g \x00")).Draw(rt, "byte")
		}
		if rapid.Bool().Draw(rt, "other length") {
			text = append(text[:rapid.IntRange(0, len(text)).Draw(rt, "length")], rapid.SampledFrom([]string{"", "-x", "0"}).Draw(rt, "more")...)
		}
		if rapid.IntRange(0, 9).Draw(rt, "no trace") == 0 && len(text) > 35 {
			copy(text[3:], "00000000000000000000000000000000")
		}
		want := trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{Header: string(text)}))
		if got := Parent(text); !got.Equal(want) {
			rt.Fatalf("%q is read as %v, wanted %v", text, got, want)
		}
	})
}

func TestParentReadsVersion00Alone(t *testing.T) {
	if of := Parent([]byte(right)); !of.IsSampled() || !of.IsRemote() || of.TraceID().String() != right[3:35] || of.SpanID().String() != right[36:52] {
		t.Errorf("%s is read as %v", right, of)
	}
	for _, text := range []string{"", "01" + right[2:], "ff" + right[2:], right + "-", right + "-x"} {
		if Parent([]byte(text)).IsValid() {
			t.Errorf("%q is read", text)
		}
	}
}

func TestParentAllocatesNothing(t *testing.T) {
	text := []byte(right)
	if n := testing.AllocsPerRun(100, func() { Parent(text) }); n != 0 {
		t.Errorf("%g allocations", n)
	}
}

func TestFlagsSayWhatIsWrong(t *testing.T) {
	for _, f := range []Flags{{TracesEndpoint: "localhost:4318"}, {TracesEndpoint: "ftp://x"}, {TracesEndpoint: "http://"}, {TracesRatio: 1.1}, {TracesRatio: -1}} {
		if f.Validate() == nil {
			t.Errorf("%+v is right", f)
		}
	}
	for endpoint, want := range map[string]string{"http://a:4318": "http://a:4318/v1/traces", "https://a/otlp/": "https://a/otlp/v1/traces"} {
		f := Flags{TracesEndpoint: endpoint, TracesRatio: 1}
		if to, err := f.url(); err != nil || to != want || f.Validate() != nil {
			t.Errorf("%s is %s, %v", endpoint, to, err)
		}
	}
}

// Without a collector there is nothing, and everything may be asked of it.
func TestWithoutACollectorThereIsNothing(t *testing.T) {
	traces, err := Flags{TracesRatio: 1}.Start("x", "v0", nil)
	if err != nil || traces != nil {
		t.Fatal(traces, err)
	}
	if traces.Provider() != nil || traces.Collectors() != nil {
		t.Error("there is something")
	}
	traces.Close()
}
