package stream_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stampede-rewards/stampede/internal/asyncapi"
	"github.com/stampede-rewards/stampede/internal/kafka"
	"github.com/stampede-rewards/stampede/internal/partner"
	"github.com/stampede-rewards/stampede/internal/stream"
	"github.com/stampede-rewards/stampede/internal/workload"
	"github.com/stampede-rewards/stampede/pkg/campaign"
)

// described are campaigns that have between them all that a reward and an outcome can have.
var described = fstest.MapFS{
	"plain.yaml":  {Data: []byte("{campaign: plain, version: 1, starts: 2026-01-01, share: [acme, city], goal: {event: a}, reward: {kind: badge}}")},
	"rich.yaml":   {Data: []byte("{campaign: rich, version: 1, starts: 2026-01-01, sponsor: Acme Inc, share: acme, goal: {count: [1, 2], of: a}, reward: [{kind: gift_card, amount: 25.00 USD}, {kind: points, points: 100}]}")},
	"weekly.yaml": {Data: []byte("{campaign: weekly, version: 1, starts: 2026-01-01, repeat: always, goal: {count: 1, of: a, per: week}, reward: {kind: badge}}")},
	"short.yaml":  {Data: []byte("{campaign: short, version: 1, starts: 2026-01-01, ends: 2026-03-04, share: acme, goal: {count: 5, of: a}, reward: {kind: badge}}")},
	"left.yaml":   {Data: []byte("{campaign: left, version: 1, starts: 2026-01-01, share: acme, goal: {count: 5, of: a}, reward: {kind: badge}}")},
	"scarce.yaml": {Data: []byte("{campaign: scarce, version: 1, starts: 2026-01-01, goal: {event: a}, limits: {budget: {rewards: 1}}, reward: {kind: badge}}")},
}

// lateComer comes in force when users have enrolled in it already: their events are replayed.
var lateComer = fstest.MapFS{
	"late.yaml": {Data: []byte("{campaign: late, version: 1, starts: 2026-01-01, enrol: opt_in, goal: {event: a}, reward: {kind: badge}}")},
}

// changedCampaigns are told without `processor publish`, which would refuse them: by the reason for which partitions do.
var changedCampaigns = map[campaign.Reason]string{
	campaign.ReasonNotRaised:    "{campaign: plain, version: 1, starts: 2026-01-01, goal: {event: a}, reward: {kind: other}}",
	campaign.ReasonNeedsRestart: "{campaign: plain, version: 2, starts: 2026-01-01, goal: {event: b}, reward: {kind: badge}}",
	campaign.ReasonClosed:       "{campaign: short, version: 2, starts: 2026-01-01, goal: {event: a}, reward: {kind: badge}}",
}

// A run in which there is everything that there can be, and every record of it as deploy/asyncapi.yaml describes it. Nothing is described that did not
// come: no message, no property, no word.
func TestEveryRecordIsAsDescribed(t *testing.T) {
	d, err := asyncapi.Read(os.DirFS("../../deploy"), "asyncapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	b := newBenchWith(t, kafka.TopicsConfig{EventBytes: 32 << 20, LedgerBytes: 8 << 10})
	b.with(ofTwoKinds(t))
	if b.campaigns, err = campaign.Load(described, "."); err != nil {
		t.Fatal(err)
	}
	b.tellAt(workload.BrokenClock)
	b.everything()
	w := b.work("a")
	if b.campaigns, err = campaign.Load(lateComer, "."); err != nil {
		t.Fatal(err)
	}
	b.tellAt(workload.BrokenClock.AddDate(0, 0, 30))
	if err := (stream.Letters{Connection: b.connection, Topics: b.topics}).Replay(t.Context(), func(l *stream.Letter) bool {
		return l.Reason == string(campaign.ReasonBadControl)
	}, func(*stream.Letter) {}); err != nil {
		t.Fatal(err)
	}
	b.processed()
	b.end(w)
	for _, name := range b.partners.Names() {
		b.refuseOutcomes(name)
	}

	seen := asyncapi.NewCoverage(d.Channels["events"], d.Channels["rewards"], d.Channels["outcomes"], d.Channels["refusedOutcomes"], d.Channels["deadLetters"])
	meet := func(channel string, r *kgo.Record) (message string) {
		t.Helper()
		names, err := d.Channels[channel].Match(recordOf(r))
		if err != nil {
			t.Errorf("%s/%d@%d is not as described: %v\n%.300q %.300q %.500v", r.Topic, r.Partition, r.Offset, err, r.Key, r.Value, r.Headers)
			return ""
		}
		if len(names) > 1 {
			t.Errorf("%s/%d@%d can be %q: it must be one of them", r.Topic, r.Partition, r.Offset, names)
		}
		if err := seen.Meet(d.Channels[channel].Messages[names[0]], recordOf(r)); err != nil {
			t.Error(err)
		}
		return names[0]
	}
	dead := map[string]bool{} // records that are in the dead letters, by place
	for _, r := range b.committed(b.topics.DeadLetters.Name) {
		if meet("deadLetters", r) != "replayNote" {
			dead[placeOf(r)] = true
		}
	}
	places := map[string]bool{}
	for _, r := range b.committed(b.topics.Events.Name) {
		place := fmt.Sprintf("%s/%d@%d", r.Topic, r.Partition, r.Offset)
		places[place] = true
		var own struct{ Type string }
		if string(r.Key) == campaign.ControlKey || dead[place] || json.Unmarshal(r.Value, &own) == nil && own.Type == campaign.TypeAnswered {
			continue // Stampede's own, or no event
		}
		meet("events", r)
	}
	for _, r := range b.committed(b.topics.Rewards.Name) {
		meet("rewards", r)
		b.belongsTogether(r)
		if !places[placeOf(r)] {
			t.Errorf("a reward names %s, where no record is", placeOf(r))
		}
	}
	for _, name := range b.partners.Names() {
		topic := b.partners.Find(name).Topic
		for _, r := range b.committed(topic) {
			meet("outcomes", r)
		}
		for _, r := range b.committed(partner.DeadLetters(topic)) {
			meet("refusedOutcomes", r)
		}
	}
	if diff := cmp.Diff([]string(nil), seen.Unseen()); diff != "" {
		t.Errorf("described, and nowhere in the run:\n%s", diff)
	}
	b.topicsAre(d)
}

// ofTwoKinds are two partners: one whose key is being rotated, and one whose is not.
func ofTwoKinds(t *testing.T) *partner.Partners {
	t.Helper()
	rotating, steady := sharesWith(t, []string{"k2", "k1"}, "acme"), sharesWith(t, []string{"k1"}, "city")
	both, err := partner.New(rotating.Find("acme"), steady.Find("city"))
	if err != nil {
		t.Fatal(err)
	}
	return both
}

// ofTrace is the header of an event that is traced.
const ofTrace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

// everything produces what producers can send: each kind of event, and each kind of mistake.
func (b *bench) everything() {
	b.Helper()
	at := workload.BrokenClock
	produce := func(r *kgo.Record) {
		b.Helper()
		r.Topic, r.Timestamp = b.topics.Events.Name, at
		if err := b.client.ProduceSync(b.Context(), r).FirstErr(); err != nil {
			b.Fatal(err)
		}
	}
	event := func(user, id, kind, more string) {
		b.Helper()
		produce(&kgo.Record{Key: []byte(user), Value: fmt.Appendf(nil, `{"specversion":"1.0","id":%q,"source":"/t","type":%q,"time":%q%s}`, id, kind, at.Format(time.RFC3339), more)})
	}
	broken, err := workload.Broken()
	if err != nil {
		b.Fatal(err)
	}
	for _, row := range broken {
		produce(&kgo.Record{Key: row.Key, Value: row.Value, Headers: headersOf(row.Headers)})
	}
	event("ann", "1", "stampede.profile", `,"data":{"timezone":"Europe/Berlin","attributes":{"plan":"gold"}}`)
	event("ann", "2", "a", `,"subject":"ann","timezone":"Asia/Tokyo","datacontenttype":"application/json","data":{"x":1}`)
	event("ann", "3", "a", `,"data_base64":"AA=="`)
	event("bob", "1", "stampede.enrolled", `,"data":{"campaign":"left"}`)
	event("bob", "2", "a", "")
	event("bob", "3", "stampede.withdrawn", `,"data":{"campaign":"left"}`)
	event("bob", "4", "stampede.excused", `,"data":{"dates":["2026-02-27"],"campaign":"plain","reason":"ill","by":"jo"}`)
	event("cid", "1", "a", "")
	event("cid", "2", "stampede.erased", `,"data":{"salt":"x"}`)
	event("dan", "1", "stampede.profile", fmt.Sprintf(`,"data":{"attributes":{"large":%q}}`, strings.Repeat("x", 9<<10)))
	for id, attributes := range []map[string]string{{"content-type": "application/json", "traceparent": ofTrace}, {"ce_subject": "eve", "ce_timezone": "Asia/Tokyo"}} {
		headers := map[string]string{"ce_specversion": "1.0", "ce_id": fmt.Sprint(id), "ce_source": "/t", "ce_type": "a", "ce_time": at.Format(time.RFC3339)}
		maps.Copy(headers, attributes)
		produce(&kgo.Record{Key: []byte("eve"), Value: []byte(`{"x":1}`), Headers: headersOf(headers)})
	}
	produce(&kgo.Record{
		Key: []byte("eve"), Headers: headersOf(map[string]string{"content-type": "application/cloudevents+json; charset=utf-8", "traceparent": ofTrace}),
		Value: fmt.Appendf(nil, `{"specversion":"1.0","id":"2","source":"/t","type":"b","time":%q}`, at.Format(time.RFC3339)),
	})
	event("fay", "1", "stampede.enrolled", `,"data":{"campaign":"late"}`)
	produce(&kgo.Record{Key: []byte("fay"), Value: []byte(`{"campaign":"late"}`), Headers: headersOf(map[string]string{
		"ce_specversion": "1.0", "ce_id": "2", "ce_source": "/t", "ce_type": "stampede.enrolled", "ce_time": at.Format(time.RFC3339),
	})})
	at = at.AddDate(0, 0, 30) // the campaign `short` is closed
	for _, user := range []string{"ann", "bob", "eve"} {
		event(user, "9", "b", "")
	}
	for _, source := range changedCampaigns {
		produce(&kgo.Record{Key: []byte(campaign.ControlKey), Value: fmt.Appendf(nil, `{"specversion":"1.0","id":"1","source":"/t","type":%q,"time":"2026-01-01T00:00:00Z","data":%s}`,
			campaign.TypePublished, campaign.Definition{Language: campaign.Language, Source: source}.Append(nil))})
	}
}

// refuseOutcomes lets a partner's receiver refuse all outcomes.
func (b *bench) refuseOutcomes(name string) {
	b.Helper()
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) }))
	defer receiver.Close()
	topic := b.partners.Find(name).Topic
	ctx, stop := context.WithTimeout(b.Context(), patience)
	defer stop()
	// It ends with each batch that is refused, and goes on behind it: one batch is enough here.
	err := partner.Push{Connection: b.connection, Topic: topic, Group: "push-" + name, URL: receiver.URL}.Run(ctx)
	if refusal := (*partner.RefusedError)(nil); !errors.As(err, &refusal) {
		b.Fatalf("the push to %s says %v", name, err)
	}
}

// belongsTogether compares what of a reward must be the same, which a schema can't.
func (b *bench) belongsTogether(r *kgo.Record) {
	b.Helper()
	var reward struct {
		ID, Source, Subject, Time string
		Data                      struct {
			ID         string `json:"reward_id"`
			AchievedAt string `json:"achieved_at"`
			Campaign   string
			User       string
			Cycle      string
			Tier       string
		}
	}
	if err := json.Unmarshal(r.Value, &reward); err != nil {
		b.Error(err)
		return
	}
	got, of := reward.Data, campaign.RewardID(reward.Data.Campaign, string(r.Key), reward.Data.Cycle, reward.Data.Tier)
	if reward.ID != of || got.ID != of || reward.Subject != string(r.Key) || got.User != string(r.Key) || reward.Time != got.AchievedAt || reward.Source != "/stampede/campaigns/"+got.Campaign {
		b.Errorf("parts of a reward that must be the same differ: %s %s", r.Key, r.Value)
	}
}

// topicsAre compares the topics as they were made with what is described.
func (b *bench) topicsAre(d *asyncapi.Document) {
	b.Helper()
	acme := b.partners.Find("acme").Topic
	for channel, topic := range map[string]string{
		"events": b.topics.Events.Name, "rewards": b.topics.Rewards.Name, "deadLetters": b.topics.DeadLetters.Name, "outcomes": acme, "refusedOutcomes": partner.DeadLetters(acme),
	} {
		c := d.Channels[channel]
		if strings.ReplaceAll(c.Address, "{partner}", "acme") != topic || c.Topic != "" && c.Topic != topic {
			b.Errorf("the topic %s is described as %s (%s)", topic, c.Address, c.Topic)
		}
		admin := kadm.NewClient(b.client)
		details, err := admin.ListTopics(b.Context(), topic)
		if err != nil {
			b.Fatal(err)
		}
		configs, err := admin.DescribeTopicConfigs(b.Context(), topic)
		if err != nil {
			b.Fatal(err)
		}
		got := asyncapi.Settings{Partitions: len(details[topic].Partitions)}
		for _, setting := range configs[0].Configs {
			switch value := setting.MaybeValue(); setting.Key {
			case "cleanup.policy":
				got.CleanupPolicy = strings.Split(value, ",")
			case "retention.ms":
				if _, err := fmt.Sscan(value, &got.RetentionMS); err != nil {
					b.Fatal(err)
				}
			case "message.timestamp.type":
				if c.Settings.TimestampType != "" {
					got.TimestampType = value
				}
			}
		}
		if diff := cmp.Diff(got, c.Settings); diff != "" {
			b.Errorf("the topic %s (-is +described):\n%s", topic, diff)
		}
	}
}

// placeOf is the place that a record's headers name.
func placeOf(r *kgo.Record) string {
	return fmt.Sprintf("%s/%s@%s", stream.Header(r, "stampede_topic"), stream.Header(r, "stampede_partition"), stream.Header(r, "stampede_offset"))
}

// recordOf is a record as descriptions see it. Of several headers of a name the last is meant.
func recordOf(r *kgo.Record) *asyncapi.Record {
	record := &asyncapi.Record{Key: r.Key, Value: r.Value, Headers: map[string]string{}}
	for _, h := range r.Headers {
		record.Headers[h.Key] = string(h.Value)
	}
	return record
}

func headersOf(values map[string]string) (headers []kgo.RecordHeader) {
	for name, value := range values {
		headers = append(headers, kgo.RecordHeader{Key: name, Value: []byte(value)})
	}
	slices.SortFunc(headers, func(a, b kgo.RecordHeader) int { return strings.Compare(a.Key, b.Key) })
	return headers
}
