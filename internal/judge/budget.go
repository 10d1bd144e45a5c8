package judge

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stampede-rewards/stampede/internal/model"
	"github.com/stampede-rewards/stampede/internal/stream"
	"github.com/stampede-rewards/stampede/pkg/campaign"
)

// Budget is what campaigns may issue together: the largest that any version of them has said. Rewards that were issued before a campaign had a
// budget count, too; no test of ours does that.
type Budget struct {
	Campaigns []string // ids
	campaign.Budget
}

// BudgetsOf are the budgets of campaigns in all their versions, each as large as any version has said.
func BudgetsOf(campaigns ...*campaign.Campaign) (all []Budget) {
	for _, c := range campaigns {
		if c.Budget != nil {
			all = with(all, c.ID, *c.Budget)
		}
	}
	return all
}

// with adds what a version of a campaign says of its budget.
func with(all []Budget, id string, b campaign.Budget) []Budget {
	i := slices.IndexFunc(all, func(o Budget) bool { return o.ID == b.ID })
	if i < 0 {
		return append(all, Budget{[]string{id}, b})
	}
	if !slices.Contains(all[i].Campaigns, id) {
		all[i].Campaigns = append(all[i].Campaigns, id)
	}
	if b.Limit() > all[i].Limit() {
		all[i].Budget = b
	}
	return all
}

// spending holds rewards against budgets, in whatever order it is shown them.
type spending struct {
	budgets []Budget
	spent   map[string]int64 // by budget's id and period
}

func newSpending(budgets []Budget) *spending { return &spending{budgets, map[string]int64{}} }

// see is shown a reward once. It says what is broken.
func (s *spending) see(r *kgo.Record) error {
	if len(s.budgets) == 0 {
		return nil
	}
	var reward struct {
		Data struct {
			Campaign string          `json:"campaign"`
			IssuedAt time.Time       `json:"issued_at"`
			Amount   campaign.Amount `json:"amount"`
		} `json:"data"`
	}
	if err := json.Unmarshal(r.Value, &reward); err != nil {
		return broken(FoldEquality, "%s is no reward: %v", at(r), err)
	}
	for i := range s.budgets {
		b := &s.budgets[i]
		if !slices.Contains(b.Campaigns, reward.Data.Campaign) {
			continue
		}
		period := b.PeriodAt(reward.Data.IssuedAt.UnixMilli())
		key, quantity := b.ID+" "+period, int64(1)
		if b.IsMoney() {
			quantity = reward.Data.Amount.Units
			if reward.Data.Amount.Currency != b.Amount.Currency {
				return broken(BudgetHeld, "%s is in %q, and budget %s in %s", at(r), reward.Data.Amount.Currency, b.ID, b.Amount.Currency)
			}
		}
		if s.spent[key] += quantity; s.spent[key] > b.Limit() {
			return broken(BudgetHeld, "with %s, %s of budget %s %s are issued, which is %s", at(r), b.Show(s.spent[key]), b.ID, period, b.Show(b.Limit()))
		}
	}
	return nil
}

// published notes the budget of a campaign that was published: the largest of its versions.
func (f *folding) published(id string) {
	if c, known := f.inForce.Find(id); known && c.Budget != nil {
		f.budgets = with(f.budgets, id, *c.Budget)
	}
}

// budgetsIn are those that the logs have told of: partitions may have come equally far or not.
func budgetsIn(folds map[int32]*fold) (all []Budget) {
	for _, n := range slices.Sorted(maps.Keys(folds)) {
		for _, b := range folds[n].budgets {
			for _, id := range b.Campaigns {
				all = with(all, id, b.Budget)
			}
		}
	}
	return all
}

// message is a claim, a recall or an answer: a record that a partition of events has led to in another, or in itself.
type message struct {
	to     int32 // the partition that it is in
	cause  string
	key    string
	value  string
	trace  string // of which it is, as text
	recall bool
}

// headerChangelog says of whose ledgers a message is.
const headerChangelog = "stampede_changelog"

// mine is a record of events as this group has to read it: a message of another group is to it what a tick is, by which time passes.
func (c Case) mine(r *kgo.Record) *kgo.Record {
	if !c.isOthers(r) {
		return r
	}
	tick := *r
	tick.Key, tick.Value, tick.Headers = []byte(campaign.ControlKey), model.Tick(), nil
	return &tick
}

func (c Case) isOthers(r *kgo.Record) bool {
	of := stream.Header(r, headerChangelog)
	if of == "" || of == c.changelog() {
		return false
	}
	var event struct {
		Type string `json:"type"`
	}
	if json.Unmarshal(r.Value, &event) != nil {
		return false
	}
	return slices.Contains([]string{"stampede.claimed", "stampede.claim_answered", "stampede.claims_recalled"}, event.Type)
}

func (c Case) changelog() string { return hex.EncodeToString(c.Topics.Changelog.ID[:]) }

func (m message) String() string {
	return fmt.Sprintf("because of %s: %q %s%s", m.cause, m.key, m.value, m.trace)
}

// claimed notes claims and answers that the engine makes because of a record.
func (f *folding) claimed(r *kgo.Record, claims []campaign.Claim, answers []campaign.Answer) {
	for i := range claims {
		f.claims[claims[i].Reward.ID] = true
		f.messages = append(f.messages, message{claims[i].Home, fmt.Sprint(r.Offset), campaign.ControlKey, string(claims[i].Append(nil, r.Partition)), traceBecauseOf(r), false})
	}
	for i := range answers {
		f.answers[answers[i].RewardID] = true
		f.messages = append(f.messages, message{answers[i].Partition, fmt.Sprint(r.Offset), answers[i].User, string(answers[i].Append(nil)), traceBecauseOf(r), false})
	}
}

// compareMessages wants the claims and answers in the logs to be those of the engine, record for record and in order, and every claim to be
// answered once all is processed.
func (c Case) compareMessages(left *left, expected map[int32]*fold, committed map[int32]commit, v *Verdict) error {
	if len(c.Budgets) == 0 {
		return nil
	}
	var findings []error
	for _, n := range slices.Sorted(maps.Keys(expected)) {
		o := expected[n]
		v.Claims += len(o.claims)
		for to := range c.Topics.Events.Partitions {
			var want, got []string
			for _, m := range o.messages {
				if m.to == to {
					m.value = c.spelled(m.value)
					want = append(want, m.String())
				}
			}
			for _, r := range left.messages[n] {
				if r.Partition != to {
					continue
				}
				if _, cause, err := causeOf(r); err == nil && cause >= committed[n].offset {
					findings = append(findings, broken(NothingUncommitted, "%s is for events/%d@%d, and the committed offset is %d", at(r), n, cause, committed[n].offset))
				}
				if of := stream.Header(r, headerChangelog); of != c.changelog() && (of != "" || !c.Earlier) {
					findings = append(findings, broken(ClaimEquality, "%s says that it is of the ledgers in changelog %q, which is %s", at(r), of, c.changelog()))
				}
				got = append(got, message{to, stream.Header(r, "stampede_offset"), string(r.Key), c.spelled(string(r.Value)), traceIn(r), false}.String())
			}
			v.Messages += len(got)
			if diff := firstDifferences(want, got); diff != "" {
				findings = append(findings, broken(ClaimEquality, "claims, recalls and answers of events/%d in events/%d: %d wanted, %d written\n%s", n, to, len(want), len(got), diff))
			}
		}
	}
	if v.Uncommitted == 0 {
		findings = append(findings, allAnswered(expected))
	}
	return errors.Join(findings...)
}

// allAnswered wants an answer to every claim, in whatever partition it was decided.
func allAnswered(folds map[int32]*fold) error {
	answers := map[string]bool{}
	for _, f := range folds {
		maps.Copy(answers, f.answers)
	}
	for _, n := range slices.Sorted(maps.Keys(folds)) {
		for _, id := range slices.Sorted(maps.Keys(folds[n].claims)) {
			if !answers[id] {
				return broken(BudgetHeld, "the claim of reward %s, of a user in events/%d, is not answered, and all is processed", id, n)
			}
		}
	}
	return nil
}
