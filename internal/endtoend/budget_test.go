package endtoend

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stampede-rewards/stampede/internal/judge"
	"github.com/stampede-rewards/stampede/internal/kafka/kafkatest"
	"github.com/stampede-rewards/stampede/internal/workload"
	"github.com/stampede-rewards/stampede/pkg/campaign"
)

// once rewards each user once, as long as the budget lasts.
const once = `campaign: once
version: 1
starts: 2000-01-01
lateness: 35 days
goal: {event: [data.logged, birth.reported, page.viewed]}
limits: {budget: {rewards: 100}}
reward: {kind: gift_card, amount: 25.00 USD}
`

// V17: a budget of 100 rewards, 1,000 users in 8 partitions who achieve them, and processors that are killed at random moments. 100 are granted and
// 900 denied, and at no moment does a reader see one more.
func TestABudgetHoldsWhateverIsKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("needs Apache Kafka")
	}
	const (
		users  = 1000
		events = 30_000 // after as many every user has achieved it
		kills  = 10
	)
	random := moments(t, 17)

	in := newInstallationOf(t, kafkatest.Shared(t), "budget", 8)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "once.yaml"), []byte(once), 0o600); err != nil {
		t.Fatal(err)
	}
	c, wrong := campaign.Parse("once.yaml", []byte(once))
	if wrong != nil {
		t.Fatal(wrong)
	}
	in.Budgets = judge.BudgetsOf(c)
	in.publish(dir)
	observer, err := in.Observe()
	if err != nil {
		t.Fatal(err)
	}
	all := []*processor{in.processor("a"), in.processor("b"), in.processor("c")}
	for _, p := range all {
		p.start()
	}
	kill := func() {
		victim := all[random.IntN(len(all))]
		victim.kill()
		time.Sleep(time.Duration(random.IntN(400)) * time.Millisecond)
		victim.start()
	}
	// The first users come twenty at a time, and with the first reward of each twenty somebody is killed: while some are granted, and not all.
	cl, err := in.Connection.Client(t.Context(), in.Topics.BatchBytes())
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	first, came, next := workload.New(workload.Config{Seed: 2, Users: users}), map[string]bool{}, uint64(0)
	for n := 0; n < 80; n += 20 {
		for len(came) < n+20 {
			user, value := first.Event(next, time.Now())
			next++
			came[user] = true
			if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: in.Topics.Events.Name, Key: []byte(user), Value: value}).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, "one more is granted", func() bool { return in.issued() > n })
		kill()
	}
	sent, end := in.loadOf(users, 2000, events, false)
	for range kills {
		time.Sleep(time.Duration(random.IntN(1200)) * time.Millisecond)
		kill()
	}
	eventually(t, "the events are there", func() bool { return sent() == events })
	end()
	in.processed()
	if told := in.command("budgets"); !strings.Contains(told, "100 of 100") || !strings.Contains(told, "900") {
		t.Errorf("processor budgets says:\n%s", told)
	}
	for _, p := range all {
		p.stop()
	}
	v := in.judged(all...)
	if err := observer.Stop(); err != nil {
		t.Error(err)
	}
	if v.Rewards != 100 || v.Claims != users || v.Exhausted != users-100 || v.Uncommitted != 0 || v.InStores < 8 {
		t.Errorf("%s, %d claims, %d denied", v, v.Claims, v.Exhausted)
	}
}

// issued counts the rewards that are committed.
func (in *installation) issued() (n int) {
	in.t.Helper()
	if err := in.Connection.ReadTopic(in.t.Context(), in.Topics.Rewards.Name, func(*kgo.Record) error {
		n++
		return nil
	}); err != nil {
		in.t.Fatal(err)
	}
	return n
}
