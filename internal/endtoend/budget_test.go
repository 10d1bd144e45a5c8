package endtoend

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stampede-rewards/stampede/internal/judge"
	"github.com/stampede-rewards/stampede/internal/kafka/kafkatest"
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
	for n := 0; n < 80; n += 20 {
		sent, end := in.loadOf(n+20, 2000, 500, false)
		eventually(t, "one more is granted", func() bool { return in.granted() > n })
		kill()
		eventually(t, "the twenty have come", func() bool { return sent() == 500 })
		end()
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

// granted is what `processor budgets` says of the one budget that there is.
func (in *installation) granted() int {
	in.t.Helper()
	var budgets []struct {
		Granted int `json:"rewards_granted"`
	}
	if err := json.Unmarshal([]byte(in.command("budgets", "--format", "json")), &budgets); err != nil || len(budgets) > 1 {
		in.t.Fatal(err, budgets)
	}
	if len(budgets) == 0 {
		return 0 // no partition was told of it yet
	}
	return budgets[0].Granted
}
