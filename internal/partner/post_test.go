package partner

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// answers is a receiver that gives one answer after the other, then 200, and knows when it was asked and where.
type answers struct {
	status []int
	header http.Header
	asked  []time.Time
	hosts  []string
}

func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	status := http.StatusOK
	if n := len(a.asked); n < len(a.status) {
		status = a.status[n]
	}
	a.asked, a.hosts = append(a.asked, time.Now()), append(a.hosts, r.URL.Host)
	header := a.header
	if status < 300 || header == nil {
		header = http.Header{}
	}
	if status == 0 {
		return nil, io.ErrUnexpectedEOF
	}
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader("so")), Request: r}, nil
}

// post posts a batch until it is delivered or refused, in no time. It returns the waits in between.
func (a *answers) post(t *testing.T) (refused *RefusedError, waits []time.Duration) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d := &pushing{Push: Push{URL: "https://acme.example/outcomes"}.withDefaults()}
		d.http = poster(d.RequestTimeout)
		d.http.Transport = a
		r := &kgo.Record{
			Topic: "outcomes.acme", Key: []byte(strings.Repeat("0f", 32)), Headers: []kgo.RecordHeader{{Key: HeaderKey, Value: []byte("k1")}},
			Value: []byte(`{"campaign":"steps","outcome":"achieved","cycle":"1","tier":"1","date":"2026-03-01"}`),
		}
		var err error
		if refused, err = d.post(t.Context(), &batch{[]*kgo.Record{r}, 1}); err != nil {
			t.Fatal(err)
		}
	})
	for i := 1; i < len(a.asked); i++ {
		waits = append(waits, a.asked[i].Sub(a.asked[i-1]))
	}
	return refused, waits
}

// Waits double from half a second to a minute, and a chance adds up to a half.
func TestWaitsDoubleAndDiffer(t *testing.T) {
	a := &answers{status: slices.Repeat([]int{http.StatusInternalServerError}, 40)}
	refused, waits := a.post(t)
	if refused != nil || len(waits) != 40 {
		t.Fatalf("refused %v after %d waits", refused, len(waits))
	}
	want, by := 500*time.Millisecond, map[string]bool{}
	for i, wait := range waits {
		if wait < want || wait > want*3/2 {
			t.Errorf("wait %d is %s, wanted %s to %s", i, wait, want, want*3/2)
		}
		by[fmt.Sprintf("%.3f", wait.Seconds()/want.Seconds())] = true
		want = min(2*want, time.Minute)
	}
	if len(by) < 20 {
		t.Errorf("40 waits have %d different additions", len(by))
	}
}

// A receiver that asks to be left alone is, for ten minutes at most. What can't be read it has not asked.
func TestAReceiverSaysWhenToTryAgain(t *testing.T) {
	for asks, least := range map[string]time.Duration{
		"0": 500 * time.Millisecond, "7": 7 * time.Second, "120": 2 * time.Minute, "86400": 10 * time.Minute, "-1": 500 * time.Millisecond, "soon": 500 * time.Millisecond,
	} {
		for range 20 { // a chance must not undercut it
			a := &answers{status: []int{http.StatusServiceUnavailable}, header: http.Header{"Retry-After": {asks}}}
			if _, waits := a.post(t); waits[0] < least || waits[0] > least*3/2 {
				t.Errorf("Retry-After: %s: tried again after %s", asks, waits[0])
			}
		}
	}
}

// What can be otherwise later is tried again; what can't is refused at once. Nobody is sent elsewhere.
func TestWhatIsTriedAgainAndWhatIsRefused(t *testing.T) {
	for status, again := range map[int]bool{
		0: true, 408: true, 425: true, 429: true, 500: true, 502: true, 503: true, 504: true, 599: true,
		300: false, 301: false, 302: false, 303: false, 307: false, 308: false, 400: false, 401: false, 404: false, 409: false, 410: false, 413: false, 422: false,
	} {
		a := &answers{status: []int{status}, header: http.Header{"Location": {"https://elsewhere.example/"}}}
		refused, _ := a.post(t)
		if want := map[bool]int{true: 2, false: 1}[again]; len(a.asked) != want || (refused == nil) != again {
			t.Errorf("%d: posted %d times, wanted %d; refused: %v", status, len(a.asked), want, refused)
		}
		if hosts := strings.Join(a.hosts, " "); strings.Contains(hosts, "elsewhere") {
			t.Errorf("%d: posted to %s", status, hosts)
		}
	}
}
