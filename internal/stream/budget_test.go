package stream_test

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/stampede-rewards/stampede/internal/judge"
	"github.com/stampede-rewards/stampede/internal/kafka"
	"github.com/stampede-rewards/stampede/internal/stream"
	"github.com/stampede-rewards/stampede/pkg/campaign"
)

// logged is a campaign that rewards everything that is logged, as long as a budget lasts.
func logged(t testing.TB, id string, version int, budget string) *campaign.Campaign {
	t.Helper()
	c, err := campaign.Definition{Language: campaign.Language, Source: fmt.Sprintf(
		"campaign: %s\nversion: %d\nstarts: 2000-01-01\ngoal: {event: data.logged}\nrepeat: always\nreward: {kind: gift, amount: 2.00 USD}\nlimits: {budget: %s}\n",
		id, version, budget)}.Compile()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Claims of users in six partitions are decided in the homes of three budgets, while workers come and go, one loses its store, and a budget is
// raised. An observer wants no moment at which more is issued than the budget.
func TestBudgetsHold(t *testing.T) {
	b := newBench(t)
	c := b.judged()
	c.Budgets = judge.BudgetsOf(logged(t, "few", 1, "{rewards: 300}"), logged(t, "money", 1, "{amount: 501.00 USD}"))
	observer, err := c.Observe()
	if err != nil {
		t.Fatal(err)
	}
	version := func(n int, few string) {
		b.inForce(logged(t, "few", n, few), logged(t, "money", n, "{amount: 501.00 USD}"), logged(t, "plenty", n, "{rewards: 100000, per: year}"))
	}
	version(1, "{rewards: 100, reopen: 1 days}")
	first := b.start(b.dir("a"))
	b.produce(2000)
	second := b.start(b.dir("b"))
	b.produce(1000)
	b.eventually("both have partitions", func() bool { return first.Status().Open == 3 && second.Status().Open == 3 })
	b.processed()
	version(2, "{rewards: 300, reopen: 1 days}")
	b.end(first)
	if err := os.RemoveAll(b.dir("a")); err != nil {
		t.Fatal(err)
	}
	b.produce(1000)
	first = b.start(b.dir("a"))
	b.produce(500)
	b.processed()
	granted := first.metric("stampede_rewards_total") + second.metric("stampede_rewards_total")
	b.end(first)
	b.end(second)
	v := b.judge(b.dir("a"), b.dir("b"))
	if v.Claims < 1500 || v.Rewards < 1000 || v.Messages < 2*v.Claims+100 || granted == 0 {
		t.Errorf("too little happened to prove anything: %s, %d claims", v, v.Claims)
	}
	if err := observer.Stop(); err != nil {
		t.Error(err)
	}
	budgets, err := stream.ListBudgets(t.Context(), b.connection, b.topics)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range budgets {
		if s.ID != "plenty" {
			got = append(got, fmt.Sprintf("%s: %s of %s, %d rewards, more denied than granted: %t", s.ID, s.Show(s.Spent), s.Show(s.Limit()), s.Granted, s.Denied > s.Granted))
		}
	}
	want := []string{"few: 300 of 300, 300 rewards, more denied than granted: true", "money: 500.00 USD of 501.00 USD, 250 rewards, more denied than granted: true"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Two groups work on one topic of events, each with a changelog of its own: to try a new version beside the old one, say. Each reads what the other
// claims. What either has issued is the budget, and no more; the second finds the claims and the answers of the first in the log before its own.
func TestAnotherGroupsClaimsAreItsOwn(t *testing.T) {
	b := newBenchWith(t, kafka.TopicsConfig{})
	b.inForce(logged(t, "few", 1, "{rewards: 100, reopen: 1 days}"), logged(t, "money", 1, "{amount: 90.00 USD}"))
	arrive := func(when string) {
		for i := range 60 {
			b.event(fmt.Sprintf("%s-%d", when, i), fmt.Sprint(i), "data.logged")
		}
	}
	arrive("before")
	first := b.work("a")
	other := *b
	other.group, other.wanted.Names = "other", kafka.Topics{Rewards: "other-rewards", Changelog: "other-changelog", DeadLetters: "other-dead-letters"}
	var err error
	if other.topics, err = kafka.EnsureTopics(t.Context(), b.client, other.wanted); err != nil {
		t.Fatal(err)
	}
	second := other.work("other")
	arrive("with both")
	b.event("before-3", "erase", campaign.TypeErased)
	b.inForce(logged(t, "few", 2, "{rewards: 110, reopen: 1 days}"), logged(t, "money", 2, "{amount: 90.00 USD}"))
	for range 2 { // what one writes the other has to read
		b.processed()
		other.processed()
	}
	for _, w := range []*worker{first, second} {
		if n := w.metric("stampede_others_records_total"); n < 400 {
			t.Errorf("a worker has read %d records of the other group's claims, wanted those of 240 claims", n)
		}
	}
	b.end(first)
	other.end(second)
	for _, of := range []*bench{b, &other} {
		of.erased = []string{"before-3"}
		v := of.judge()
		if v.Rewards != 110+45 || v.DeadLetters != 0 || v.Uncommitted != 0 {
			t.Errorf("%s: %s, wanted 155 rewards", of.group, v)
		}
		budgets, err := stream.ListBudgets(t.Context(), of.connection, of.topics)
		if err != nil || len(budgets) != 2 || budgets[0].Granted != 110 || budgets[1].Granted != 45 {
			t.Errorf("%s: %+v, %v", of.group, budgets, err)
		}
	}
}

// A topic that is given more partitions has the homes that it had, also where the registry was lost: two partitions that decide could grant twice
// as much. Each user comes before that or after it: one who comes in both would change the partition without the ledger, and could be given the
// same reward again (README, "A user's partition is the producer's choice").
func TestABudgetKeepsItsHome(t *testing.T) {
	for _, lost := range []bool{false, true} {
		t.Run(fmt.Sprintf("registry lost: %t", lost), func(t *testing.T) {
			b := newBenchWith(t, kafka.TopicsConfig{Partitions: 2})
			arrive := func(when string) {
				for i := range 150 {
					b.event(fmt.Sprintf("%s-%d", when, i), fmt.Sprint(i), "data.logged")
				}
			}
			b.inForce(logged(t, "few", 1, "{rewards: 60}"))
			arrive("before")
			b.end(b.work("a"))
			admin := kadm.NewClient(b.client)
			added, err := admin.CreatePartitions(t.Context(), 5, b.topics.Events.Name, b.topics.Changelog.Name)
			if err = errors.Join(err, added.Error()); err != nil {
				t.Fatal(err)
			}
			if lost {
				deleted, err := admin.DeleteTopics(t.Context(), b.topics.Campaigns.Name)
				if err = errors.Join(err, deleted.Error()); err != nil {
					t.Fatal(err)
				}
			}
			cl, err := b.connection.Client(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer cl.Close()
			b.wanted.Partitions = 0
			if b.topics, err = kafka.EnsureTopics(t.Context(), cl, b.wanted); err != nil {
				t.Fatal(err)
			}
			if stream.HomeOf("few", 7) == stream.HomeOf("few", 2) {
				t.Fatal("with as many partitions nothing is proved")
			}
			b.inForce(logged(t, "few", 2, "{rewards: 100}"))
			arrive("after")
			b.end(b.work("b"))
			if v := b.judge(b.dir("b")); v.Rewards != 100 || v.Claims != 300 || v.Uncommitted != 0 {
				t.Errorf("%s, %d claims", v, v.Claims)
			}
			budgets, err := stream.ListBudgets(t.Context(), b.connection, b.topics)
			if err != nil || len(budgets) != 1 || budgets[0].Home != stream.HomeOf("few", 2) || budgets[0].Granted != 100 {
				t.Errorf("%+v, %v", budgets, err)
			}
		})
	}
}
