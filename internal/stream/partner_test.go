package stream_test

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stampede-rewards/stampede/internal/judge"
	"github.com/stampede-rewards/stampede/internal/kafka"
	"github.com/stampede-rewards/stampede/internal/partner"
	"github.com/stampede-rewards/stampede/internal/stream"
)

// sharesWith makes partners of names, each with keys of the ids.
func sharesWith(t *testing.T, ids []string, names ...string) *partner.Partners {
	t.Helper()
	var all []*partner.Partner
	for _, name := range names {
		one := &partner.Partner{Name: name, Topic: partner.TopicPrefix + name}
		for _, id := range ids {
			key, err := partner.NewKey(id, []byte(strings.Repeat(name+"/"+id, 32)))
			if err != nil {
				t.Fatal(err)
			}
			one.Keys = append(one.Keys, key)
		}
		all = append(all, one)
	}
	partners, err := partner.New(all...)
	if err != nil {
		t.Fatal(err)
	}
	return partners
}

// with gives the bench partners, and their topics.
func (b *bench) with(partners *partner.Partners) {
	b.Helper()
	b.partners, b.wanted.Names.Outcomes = partners, partners.Topics()
	cl, err := b.connection.Client(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	defer cl.Close()
	if b.topics, err = kafka.EnsureTopics(b.Context(), cl, b.wanted); err != nil {
		b.Fatal(err)
	}
}

// outcomesOf is all of a partner's topic.
func (b *bench) outcomesOf(name string) []*kgo.Record {
	b.Helper()
	return b.committed(b.partners.Find(name).Topic)
}

// committed is all of a topic that was committed, each partition in order.
func (b *bench) committed(topic string) (all []*kgo.Record) {
	b.Helper()
	if err := b.connection.ReadTopic(b.Context(), topic, func(r *kgo.Record) error {
		all = append(all, r)
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	return all
}

// O1: outcomes are written with the rewards, exactly once, through restarts and a lost store: the judge compares them. A version that is shared with
// others holds from the next event on.
func TestO1OutcomesReachPartnersExactlyOnce(t *testing.T) {
	onBoth(t, func(b *bench) {
		b.with(sharesWith(b.T, []string{"k1"}, fmt.Sprint("acme-", benches.Load()), fmt.Sprint("city-", benches.Load())))
		acme, city := b.partners.Names()[0], b.partners.Names()[1]
		both := fmt.Sprintf("share: [%s, %s]", acme, city)
		b.inForce(births(b.T, "births", 1, both), births(b.T, "unshared", 1, ""))
		b.produce(6000)
		b.end(b.work("a"))
		if err := os.RemoveAll(b.dir("a")); err != nil {
			b.Fatal(err)
		}
		b.produce(3000)
		b.end(b.work("a"))
		b.inForce(births(b.T, "births", 2, "share: "+city))
		before := len(b.outcomesOf(acme))
		b.produce(3000)
		w := b.work("a")
		b.end(w)
		if v := b.judge(b.dir("a")); v.Shared < 50 || v.Rewards < v.Shared/2 {
			b.Errorf("too little happened to prove anything: %d shared, %s", v.Shared, v)
		}
		if now, city := len(b.outcomesOf(acme)), len(b.outcomesOf(city)); now != before || city <= now {
			b.Errorf("acme had %d outcomes when it was taken out and has %d, the other %d", before, now, city)
		}
	})
}

// allowed is what a record of an outcome may consist of (O1), each part whole. The campaign, its sponsor and the key's id are the test's.
var allowed = map[string]*regexp.Regexp{
	"key":                      regexp.MustCompile(`^[0-9a-f]{64}$`),
	"value":                    regexp.MustCompile(`^\{"campaign":"births","sponsor":"acme inc","outcome":"(achieved|failed|withdrawn)","cycle":"[1-9][0-9]?","tier":"1","date":"20[0-9]{2}-[01][0-9]-[0-3][0-9]"\}$`),
	"stampede_key":             regexp.MustCompile(`^k2$`),
	"stampede_other_pseudonym": regexp.MustCompile(`^k1:[0-9a-f]{64}$`),
}

// O1: every byte of the records of 10,000 users is on the list of what is allowed, and nothing of what is known of them is in it: no user id, no event id, no time, no trace.
func TestO1ARecordSaysWhatIsAllowedAndNothingElse(t *testing.T) {
	const users = 10_000
	b := newBenchWith(t, kafka.TopicsConfig{})
	b.with(sharesWith(t, []string{"k2", "k1"}, "acme"))
	b.inForce(births(t, "births", 1, "sponsor: acme inc\nshare: acme"))
	secrets := map[string]bool{"secret": true, "attribute": true}
	var records []*kgo.Record
	for i := range users {
		user, id, trace := fmt.Sprintf("user-%05d-of-the-house", i), fmt.Sprintf("event-%05d-told", i), fmt.Sprintf("%032x", i+1<<60)
		at := time.Now().Add(-time.Duration(i) * time.Second)
		records = append(records, &kgo.Record{
			Topic: b.topics.Events.Name, Key: []byte(user), Timestamp: time.Now(), Headers: []kgo.RecordHeader{{Key: "traceparent", Value: []byte(traceparent(trace, clientSpan))}},
			Value: fmt.Appendf(nil, `{"specversion":"1.0","id":%q,"source":"/t","type":"birth.reported","time":%q,"data":{"attribute":"secret"}}`, id, at.Format(time.RFC3339Nano)),
		})
		for _, secret := range []string{user, id, at.UTC().Format("15:04:05"), at.Local().Format("15:04:05"), fmt.Sprint(at.UnixMilli()), trace} {
			secrets[secret] = true
		}
	}
	if err := b.client.ProduceSync(context.Background(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	b.end(b.work("a"))
	all := b.outcomesOf("acme")
	var text strings.Builder
	pseudonyms := map[string]bool{}
	for _, r := range all {
		pseudonyms[string(r.Key)] = true
		parts := []kgo.RecordHeader{{Key: "key", Value: r.Key}, {Key: "value", Value: r.Value}}
		for _, part := range append(parts, r.Headers...) {
			if form := allowed[part.Key]; form == nil || !form.Match(part.Value) {
				t.Fatalf("%q = %q is not allowed", part.Key, part.Value)
			}
			text.WriteString(part.Key + "\n" + string(part.Value) + "\n")
		}
		o, err := partner.Read(r)
		if err != nil {
			t.Fatal(err)
		}
		// The record's own time tells the date and no more: the instant at which it first began anywhere.
		date, err := time.Parse(time.DateOnly, o.Date)
		if err != nil || !r.Timestamp.Equal(date.Add(-14*time.Hour)) {
			t.Fatalf("a record of %s has the time %s (%v)", o.Date, r.Timestamp, err)
		}
	}
	if len(all) != users || len(pseudonyms) != users {
		t.Fatalf("%d outcomes of %d pseudonyms", len(all), len(pseudonyms))
	}
	if found := anyOf(secrets, text.String()); found != "" {
		t.Errorf("%q is in what the partner gets", found)
	}
	b.judge(b.dir("a"))

	// The judge would have seen one that is there twice.
	twice := &kgo.Record{Topic: all[0].Topic, Partition: all[0].Partition, Key: all[0].Key, Value: all[0].Value, Headers: all[0].Headers, Timestamp: all[0].Timestamp}
	cl, err := b.connection.Client(t.Context(), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if err := cl.ProduceSync(t.Context(), twice).FirstErr(); err != nil {
		t.Fatal(err)
	}
	_, err = judge.Judge(t.Context(), b.judged())
	if found := judge.Invariants(err); !slices.Equal(found, []judge.Invariant{judge.Outcomes}) {
		t.Errorf("of an outcome that is there twice the judge says %v: %v", found, err)
	}
}

// anyOf finds one of many texts in a long one. It looks at each stretch that is as long as one of them.
func anyOf(secrets map[string]bool, text string) string {
	lengths := map[int]bool{}
	for secret := range secrets {
		lengths[len(secret)] = true
	}
	for length := range lengths {
		for i := range max(0, len(text)-length+1) {
			if secrets[text[i:i+length]] {
				return text[i : i+length]
			}
		}
	}
	return ""
}

// A key is rotated in two steps, each a restart. All the time a partner can join what it has with what comes, and two partners never can.
func TestO1AKeyIsRotated(t *testing.T) {
	b := newBenchWith(t, kafka.TopicsConfig{})
	known := map[string]map[string]bool{} // by partner, all pseudonyms
	joined := map[string]string{}         // acme's: another pseudonym to the first
	for step, ids := range [][]string{{"k1"}, {"k2", "k1"}, {"k2"}} {
		b.with(sharesWith(t, ids, "acme", "city"))
		if step == 0 {
			b.inForce(births(t, "births", 1, "share: [acme, city]"))
		}
		b.produce(3000)
		b.end(b.work("a"))
	}
	for _, name := range b.partners.Names() {
		known[name] = map[string]bool{}
		for _, r := range b.outcomesOf(name) {
			o, err := partner.Read(r)
			if err != nil {
				t.Fatal(err)
			}
			known[name][o.Pseudonym] = true
			for _, other := range o.Others {
				known[name][other.Pseudonym] = true
				if was := joined[other.Pseudonym]; was != "" && was != o.Pseudonym {
					t.Errorf("pseudonym %s belongs to two users", other.Pseudonym)
				}
				joined[other.Pseudonym] = o.Pseudonym
			}
		}
	}
	if len(joined) < 20 {
		t.Errorf("only %d pseudonyms could be joined", len(joined))
	}
	for pseudonym := range known["acme"] {
		if known["city"][pseudonym] {
			t.Errorf("both partners know pseudonym %s", pseudonym)
		}
	}
}

// A processor that does not know a partner stops and says what to do, at the campaign and before any outcome; one that knows the partner goes on from there. Where
// the partner is taken away later, the partitions are refused.
func TestO1AnUnknownPartnerStopsBeforeAnythingIsLost(t *testing.T) {
	b := newBenchWith(t, kafka.TopicsConfig{})
	b.with(sharesWith(t, []string{"k1"}, "acme"))
	b.inForce(births(t, "births", 1, "share: acme"))
	b.produce(500)
	without := func(cfg *stream.Config) { cfg.Partners = nil }
	w := b.start(b.dir("a"), without)
	err := <-w.done
	w.done <- nil
	if err == nil || !strings.Contains(err.Error(), "campaign `births` is shared with partner `acme`: no such partner is configured. Add it to the file of --partners") {
		t.Errorf("it ended with %v", err)
	}
	w.store.Close()
	b.end(b.work("a"))
	if v := b.judge(b.dir("a")); v.Shared == 0 {
		t.Errorf("too little happened to prove anything: %s", v)
	}
	w = b.start(b.dir("a"), without)
	b.eventually("the partitions are refused", func() bool { return len(w.Status().Refused) == 6 })
	if why := w.Status().Refused[0].Error(); !strings.Contains(why, "`acme`") {
		t.Errorf("refused because %s", why)
	}
	b.end(w)
}
