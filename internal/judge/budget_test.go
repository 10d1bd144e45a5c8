package judge_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stampede-rewards/stampede/internal/judge"
	"github.com/stampede-rewards/stampede/internal/kafka"
	"github.com/stampede-rewards/stampede/internal/stream"
	"github.com/stampede-rewards/stampede/pkg/campaign"
)

// spent is what a worker left behind that was asked for ten rewards, of which the budget has three.
func spent(t *testing.T) *run {
	t.Helper()
	c, wrong := campaign.Parse("c.yaml", []byte("{campaign: c, version: 1, starts: 2020-01-01, goal: {event: hit}, limits: {budget: {rewards: 3}}, reward: {kind: gift}}"))
	if wrong != nil {
		t.Fatal(wrong)
	}
	set, err := campaign.NewSet([]*campaign.Campaign{c})
	if err != nil {
		t.Fatal(err)
	}
	r := open(t, t.TempDir())
	r.Model = nil
	r.Budgets = judge.BudgetsOf(c)
	if _, err := (stream.Publish{Connection: r.Connection, Topics: kafka.TopicsConfig{Partitions: partitions}, Campaigns: set}).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	for user := range 10 {
		r.produce(&kgo.Record{
			Topic: r.Topics.Events.Name, Partition: int32(user % partitions), Key: fmt.Append(nil, "user-", user),
			Value: fmt.Appendf(nil, `{"specversion":"1.0","id":"1","source":"s","type":"hit","time":%q}`, time.Now().UTC().Format(time.RFC3339)),
		})
	}
	r.work()
	return r
}

// another is a reward of the campaign that nobody issued: the first that was, under another id.
func (r *run) another() *kgo.Record {
	r.Helper()
	var all []*kgo.Record
	if err := r.Connection.ReadTopic(r.Context(), r.Topics.Rewards.Name, func(rec *kgo.Record) error {
		all = append(all, rec)
		return nil
	}); err != nil {
		r.Fatal(err)
	}
	last := all[len(all)-1]
	return &kgo.Record{
		Topic: last.Topic, Partition: last.Partition, Key: last.Key, Headers: last.Headers,
		Value: bytes.Replace(last.Value, []byte(`"id":"`), []byte(`"id":"0`), 1),
	}
}

func TestABudgetThatHoldsIsFoundRight(t *testing.T) {
	r := spent(t)
	v, err := judge.Judge(t.Context(), r.Case)
	if err != nil || v.Rewards != 3 || v.Claims != 10 || v.Messages != 20 || v.InStores != partitions {
		t.Errorf("%s, %d claims, %d messages: %v", v, v.Claims, v.Messages, err)
	}
}

func TestABudgetThatIsPassedIsNamed(t *testing.T) {
	r := spent(t)
	observer, err := r.Observe()
	if err != nil {
		t.Fatal(err)
	}
	r.observer = observer
	r.eventually("all rewards are seen", func() bool { return observer.Count() == 3 })
	if err := observer.Findings(); err != nil {
		t.Error(err)
	}
	r.produce(r.another())
	r.eventually("it is seen", func() bool { return slices.Contains(judge.Invariants(observer.Findings()), judge.BudgetHeld) })
	if err := observer.Stop(); !slices.Contains(judge.Invariants(err), judge.BudgetHeld) {
		t.Errorf("the observer says: %v", err)
	}
	r.Budgets = nil // the judge learns them from the log
	if _, err := judge.Judge(t.Context(), r.Case); !slices.Contains(judge.Invariants(err), judge.BudgetHeld) {
		t.Errorf("the judge says: %v", err)
	}
}

// A claim that the engine has not made is one too many, though nothing is decided of it yet.
func TestAClaimOfNobodyIsNamed(t *testing.T) {
	r := spent(t)
	var claim *kgo.Record
	if err := r.Connection.ReadTopic(t.Context(), r.Topics.Events.Name, func(rec *kgo.Record) error {
		if stream.Header(rec, "stampede_offset") != "" && campaign.IsControl(rec.Key) {
			claim = rec
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	r.produce(&kgo.Record{Topic: claim.Topic, Partition: claim.Partition, Key: claim.Key, Value: claim.Value, Headers: claim.Headers})
	if _, err := judge.Judge(t.Context(), r.Case); !slices.Equal(judge.Invariants(err), []judge.Invariant{judge.ClaimEquality}) {
		t.Errorf("the judge says: %v", err)
	}
}
