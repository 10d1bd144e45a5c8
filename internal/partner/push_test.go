package partner_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/stampede-rewards/stampede/internal/kafka"
	"github.com/stampede-rewards/stampede/internal/kafka/kafkatest"
	"github.com/stampede-rewards/stampede/internal/partner"
	"github.com/stampede-rewards/stampede/pkg/campaign"
)

const (
	topic      = "outcomes.acme"
	partitions = 2
	// patience bounds every wait of these tests.
	patience = 30 * time.Second
	secret   = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"
)

func TestMain(m *testing.M) { kafkatest.Main(m) }

// house is a broker with a partner's topic.
type house struct {
	*testing.T
	connection kafka.Connection
	client     *kgo.Client
	partner    *partner.Partner
	written    int
}

// newHouse is on an embedded broker.
func newHouse(t *testing.T) *house {
	t.Helper()
	broker, err := kafka.StartEmbedded(kafka.EmbeddedConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { broker.Close() })
	return newHouseOn(t, kafka.Connection{Brokers: broker.Brokers()}, topic)
}

// newRealHouse is on this package's Apache Kafka, with a topic of its own.
func newRealHouse(t *testing.T) *house {
	t.Helper()
	if testing.Short() {
		t.Skip("needs Apache Kafka")
	}
	return newHouseOn(t, kafka.Connection{Brokers: kafkatest.Shared(t).Addresses()}, fmt.Sprintf("%s-%d", topic, time.Now().UnixNano()))
}

func newHouseOn(t *testing.T, c kafka.Connection, topic string) *house {
	t.Helper()
	key, err := partner.NewKey("k1", []byte(oneKey))
	if err != nil {
		t.Fatal(err)
	}
	h := &house{T: t, connection: c, partner: &partner.Partner{Name: "acme", Topic: topic, Keys: []partner.Key{key}}}
	if h.client, err = h.connection.Client(t.Context(), kgo.RecordPartitioner(kgo.ManualPartitioner())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.client.Close)
	if _, err := kafka.EnsureOutcomes(t.Context(), h.client, kafka.TopicsConfig{Partitions: partitions}, topic); err != nil {
		t.Fatal(err)
	}
	return h
}

// write adds n outcomes of 7 users. The cycle counts them.
func (h *house) write(n int) {
	h.Helper()
	records := make([]*kgo.Record, n)
	for i := range records {
		h.written++
		records[i] = h.partner.Record(&campaign.Outcome{
			Campaign: &campaign.Campaign{ID: "steps", Sponsor: "city"}, User: fmt.Sprint("user-", h.written%7), Cycle: fmt.Sprint(h.written), Tier: "1", Date: 20_000,
		}, partitions)
	}
	if err := h.client.ProduceSync(context.Background(), records...).FirstErr(); err != nil {
		h.Fatal(err)
	}
}

// receiver is a partner's endpoint. It checks every signature, and drops deliveries whose id it has.
type receiver struct {
	*testing.T
	url string
	// meets is asked before a delivery is taken. What is not 0 is answered; it may take its time.
	meets func(attempt int, id string) int

	mu       sync.Mutex
	attempts int
	bodies   map[string]string // by id: the same every time
	accepted map[string]bool
	cycles   map[string][]string // by pseudonym, in order
	taken    int
}

func newReceiver(t *testing.T, meets func(attempt int, id string) int) *receiver {
	r := &receiver{T: t, meets: meets, bodies: map[string]string{}, accepted: map[string]bool{}, cycles: map[string][]string{}}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	r.url = server.URL
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(q.Body)
	if err != nil {
		return // the sender went away
	}
	id := q.Header.Get("webhook-id")
	r.mu.Lock()
	r.attempts++
	attempt := r.attempts
	if was, known := r.bodies[id]; known && was != string(body) {
		r.Errorf("batch %s is another one now", id)
	}
	r.bodies[id] = string(body)
	r.mu.Unlock()
	mac := hmac.New(sha256.New, []byte("0123456789abcdef01234567"))
	mac.Write([]byte(id + "." + q.Header.Get("webhook-timestamp") + "." + string(body)))
	if want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)); q.Header.Get("webhook-signature") != want {
		r.Errorf("signed %q, wanted %q", q.Header.Get("webhook-signature"), want)
	}
	if status := r.meets(attempt, id); status != 0 {
		w.Header().Set("retry-after", "0")
		w.WriteHeader(status)
		io.WriteString(w, "not today")
		return
	}
	r.take(id, body)
}

func (r *receiver) take(id string, body []byte) {
	var events []struct {
		ID, Type, Subject string
		Data              struct{ Campaign, Sponsor, Outcome, Cycle, Tier, Date, Key string }
	}
	if err := json.Unmarshal(body, &events); err != nil {
		r.Error(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.accepted[id] {
		return // as a receiver should
	}
	r.accepted[id] = true
	for _, e := range events {
		if e.Type != "stampede.outcome.achieved" || e.Data.Campaign != "steps" || e.Data.Sponsor != "city" || e.Data.Date != "2024-10-04" || e.Data.Key != "k1" {
			r.Errorf("received %+v", e)
		}
		r.cycles[e.Subject] = append(r.cycles[e.Subject], e.Data.Cycle)
		r.taken++
	}
}

func (r *receiver) has() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.taken
}

// complete wants every outcome that was written, each once, those of a pseudonym in order.
func (h *house) complete(r *receiver) {
	h.Helper()
	want := map[string][]string{}
	for i := 1; i <= h.written; i++ {
		pseudonym := h.partner.Keys[0].Pseudonym(fmt.Sprint("user-", i%7))
		want[pseudonym] = append(want[pseudonym], fmt.Sprint(i))
	}
	if diff := cmp.Diff(want, r.cycles); diff != "" {
		h.Errorf("received (-want +got):\n%s", diff)
	}
}

// push runs a push in the background. end stops it and returns its error.
func (h *house) push(to *receiver) (end func() error) {
	h.Helper()
	stop, done := h.start(to)
	return func() error {
		stop()
		return <-done
	}
}

func (h *house) start(to *receiver) (stop func(), done <-chan error) {
	h.Helper()
	secrets, err := partner.ParseSecrets(secret + "\n")
	if err != nil {
		h.Fatal(err)
	}
	ctx, stop := context.WithTimeout(context.Background(), patience)
	ended, topic := make(chan error, 1), h.partner.Topic
	go func() {
		ended <- partner.Push{
			Connection: h.connection, Topic: topic, Group: "push-" + topic, URL: to.url, Secrets: secrets, Topics: kafka.TopicsConfig{Partitions: partitions},
			BatchRecords: 10, RequestTimeout: 300 * time.Millisecond, RetryMin: 5 * time.Millisecond, RetryMax: 20 * time.Millisecond,
			Log: slog.New(slog.NewTextHandler(h.Output(), nil)),
		}.Run(ctx)
	}()
	return stop, ended
}

func (h *house) eventually(what string, holds func() bool) {
	h.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			h.Fatalf("%s: not within %s", what, patience)
		}
	}
}

// A receiver that fails, hangs, is busy and breaks off gets everything in the end, in order.
func TestPushTriesUntilItIsDelivered(t *testing.T) {
	h := newHouse(t)
	h.write(200)
	r := newReceiver(t, func(attempt int, _ string) int {
		switch attempt % 7 {
		case 1:
			return http.StatusInternalServerError
		case 2:
			return http.StatusTooManyRequests
		case 3:
			time.Sleep(400 * time.Millisecond) // longer than it is waited for; then it takes it after all
		case 5:
			panic(http.ErrAbortHandler)
		}
		return 0
	})
	end := h.push(r)
	h.eventually("all is delivered", func() bool { return r.has() == 200 })
	h.write(50)
	h.eventually("what came later, too", func() bool { return r.has() == 250 })
	if err := end(); err != nil {
		t.Error(err)
	}
	h.complete(r)
	if r.attempts <= len(r.bodies) {
		t.Errorf("%d attempts for %d batches: nothing went wrong", r.attempts, len(r.bodies))
	}
}

// A push dies after a batch has arrived and before it has heard so, again and again, while more is written. Each batch is the same when it comes again.
func TestPushGoesOnWhereItWas(t *testing.T) {
	t.Run("embedded", func(t *testing.T) { pushGoesOn(newHouse(t)) })
	t.Run("real", func(t *testing.T) { pushGoesOn(newRealHouse(t)) })
}

func pushGoesOn(h *house) {
	arrived := make(chan string)
	crash := true
	r := newReceiver(h.T, func(_ int, id string) int {
		if crash {
			arrived <- id
			<-arrived // the push is dead
		}
		return 0
	})
	before := ""
	for range 3 {
		h.write(3)
		end := h.push(r)
		id := <-arrived
		if before != "" && id != before {
			h.Errorf("the batch was %s and is %s", before, id)
		}
		before = id
		h.write(4) // the batch would be larger if it were made anew
		if err := end(); err != nil {
			h.Error(err)
		}
		arrived <- ""
		h.eventually("the receiver has taken it", func() bool { return r.has() > 0 })
	}
	crash = false
	end := h.push(r)
	h.eventually("all is delivered", func() bool { return r.has() == h.written })
	if err := end(); err != nil {
		h.Error(err)
	}
	h.complete(r)
}

// What the receiver refuses for good is in the dead letters, and the push says so and ends. The next one goes on behind it.
func TestPushBuriesWhatIsRefused(t *testing.T) {
	h := newHouse(t)
	h.write(60)
	refusing := ""
	r := newReceiver(t, func(attempt int, id string) int {
		if attempt == 3 {
			refusing = id
			return http.StatusUnprocessableEntity
		}
		return 0
	})
	stop, done := h.start(r)
	defer stop()
	err := <-done // it ends by itself
	if refused := (*partner.RefusedError)(nil); !errors.As(err, &refused) || !strings.Contains(err.Error(), `422 Unprocessable Entity "not today"`) {
		t.Fatalf("it ended with %v", err)
	}
	end := h.push(r)
	letters := h.read(partner.DeadLetters(topic))
	h.eventually("the rest is delivered", func() bool { return r.has() == 60-len(letters) })
	if err := end(); err != nil {
		t.Error(err)
	}
	var cycles []string
	for _, l := range letters {
		o, err := partner.Read(l)
		if err != nil {
			t.Fatal(err)
		}
		if place := header(l, "stampede_place"); !strings.HasPrefix(place, topic+"/") || header(l, "stampede_reason") == "" {
			t.Errorf("a dead letter of %q, because of %q", place, header(l, "stampede_reason"))
		}
		cycles = append(cycles, o.Cycle)
	}
	slices.Sort(cycles)
	var events []struct{ Data struct{ Cycle string } }
	if err := json.Unmarshal([]byte(r.bodies[refusing]), &events); err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, e := range events {
		want = append(want, e.Data.Cycle)
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, cycles); diff != "" || len(want) == 0 {
		t.Errorf("dead letters (-refused +there):\n%s", diff)
	}
}

// A push dies between the dead letters and its commit, and buries the batch again. Both letters have the id that the outcome had, and so has the letter of a letter:
// a receiver that knows an outcome's id takes it once.
func TestADeadLetterHasTheOutcomesID(t *testing.T) {
	broker, err := kafka.StartEmbedded(kafka.EmbeddedConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { broker.Close() })
	h := newHouseOn(t, kafka.Connection{Brokers: broker.Brokers()}, topic)
	h.write(1)
	var refused atomic.Bool
	r := newReceiver(t, func(int, string) int {
		refused.Store(true)
		return http.StatusUnprocessableEntity
	})
	fault := broker.Cluster().Fault(kfake.Fault{
		Keys: []kmsg.Key{kmsg.OffsetCommit}, Count: -1, Err: kerr.CoordinatorLoadInProgress, When: func(kmsg.Request) bool { return refused.Load() },
	})
	end := h.push(r)
	h.eventually("it is buried", func() bool { return refused.Load() && len(h.read(partner.DeadLetters(topic))) == 1 })
	if err := end(); err != nil {
		t.Fatal(err)
	}
	fault.Remove()
	letters := partner.DeadLetters(topic)
	h.refuses(r, topic)
	h.refuses(r, letters)
	places := map[string]int{}
	for _, topic := range []string{letters, partner.DeadLetters(letters)} {
		for _, l := range h.read(topic) {
			places[header(l, "stampede_place")]++
		}
	}
	if len(places) != 1 || len(h.read(letters)) != 2 {
		t.Errorf("the letters are of %v, wanted at least three of one place", places)
	}
	ids := map[string]bool{}
	for _, body := range r.bodies {
		var events []struct{ ID string }
		if err := json.Unmarshal([]byte(body), &events); err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			ids[e.ID] = true
		}
	}
	if want := fmt.Sprintf("%s/%d/0", topic, h.read(topic)[0].Partition); len(ids) != 1 || !ids[want] {
		t.Errorf("one outcome was delivered with the ids %v, wanted %s", ids, want)
	}
}

// refuses lets a push of a topic end with what the receiver refuses.
func (h *house) refuses(r *receiver, topic string) {
	h.Helper()
	own := h.partner.Topic
	h.partner.Topic = topic
	stop, done := h.start(r)
	defer stop()
	h.partner.Topic = own
	if refused := (*partner.RefusedError)(nil); !errors.As(<-done, &refused) {
		h.Fatalf("the push of %s was not refused", topic)
	}
}

// Two pushes share the work; when one goes, the other takes over.
func TestPushesShareTheWork(t *testing.T) {
	t.Run("embedded", func(t *testing.T) { pushesShare(newHouse(t)) })
	t.Run("real", func(t *testing.T) { pushesShare(newRealHouse(t)) })
}

func pushesShare(h *house) {
	r := newReceiver(h.T, func(int, string) int { return 0 })
	first := h.push(r)
	h.write(30)
	h.eventually("the first delivers", func() bool { return r.has() == 30 })
	second := h.push(r)
	for range 10 {
		h.write(10)
		time.Sleep(20 * time.Millisecond)
	}
	h.eventually("both deliver", func() bool { return r.has() == 130 })
	if err := first(); err != nil {
		h.Error(err)
	}
	h.write(30)
	h.eventually("the second delivers", func() bool { return r.has() == 160 })
	if err := second(); err != nil {
		h.Error(err)
	}
	h.complete(r)
}

func (h *house) read(topic string) (all []*kgo.Record) {
	h.Helper()
	if err := h.connection.ReadTopic(h.Context(), topic, func(r *kgo.Record) error {
		all = append(all, r)
		return nil
	}); err != nil {
		h.Fatal(err)
	}
	return all
}

func header(r *kgo.Record, name string) string {
	for _, h := range r.Headers {
		if h.Key == name {
			return string(h.Value)
		}
	}
	return ""
}

func TestSecretsAreWrittenAsTheStandardSays(t *testing.T) {
	for text, want := range map[string]string{
		"":                 "there is no secret",
		"0123":             "is not written as `whsec_` and base64",
		"whsec_!":          "is not written as",
		"whsec_MDEyMw==":   "has 4 bytes",
		secret + "\nplain": "secret 2 is not",
	} {
		if _, err := partner.ParseSecrets(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if two, err := partner.ParseSecrets(secret + "\n\n" + secret + "\n"); err != nil || len(two) != 2 {
		t.Errorf("%d secrets, %v", len(two), err)
	}
}
