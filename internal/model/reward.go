package model

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Reward is a reward as far as the model knows it: all but the events that it names, and what the author has written beside kind and amount.
type Reward struct {
	Offset     int64 // of the record that led to it, be it by its clock alone
	ID         string
	User       string
	Campaign   string
	Version    int
	Cycle      string
	Tier       string
	Kind       string
	Amount     string // "1250 USD", empty for none
	AchievedAt time.Time
	IssuedAt   time.Time
	Events     int // that counted

	step int // what belongs to one step may be in any order of the campaigns
}

// String is a line for people, and for a comparison: it has all that is known.
func (r Reward) String() string {
	return fmt.Sprintf("@%d %s: %s version %d, %s/%s, %s %s, achieved %s by %d events, issued %s, id %s", r.Offset, r.User, r.Campaign, r.Version, r.Cycle, r.Tier,
		r.Kind, r.Amount, r.AchievedAt.UTC().Format(time.RFC3339Nano), r.Events, r.IssuedAt.UTC().Format(time.RFC3339Nano), r.ID)
}

// reward is what a log has told, as a reward.
func (t Told) reward() Reward {
	c := t.Campaign
	r := Reward{
		Offset: t.Offset, ID: rewardID(c.ID, t.User, t.Cycle, t.Tier), User: t.User, Campaign: c.ID, Version: c.Version, Cycle: t.Cycle, Tier: t.Tier,
		Kind: "points", AchievedAt: t.Achieved, IssuedAt: t.At, Events: t.Events, step: t.step,
	}
	if c.Amount > 0 {
		r.Kind, r.Amount = "gift_card", fmt.Sprintf("%d USD", t.cents())
	}
	return r
}

// cents is what the reward is, where it is money.
func (t Told) cents() int {
	tier := 1
	if t.Campaign.tiers() > 1 {
		tier, _ = strconv.Atoi(t.Tier)
	}
	return t.Campaign.Amount + tier - 1
}

// rewardID is rule R1.
func rewardID(parts ...string) string {
	var text []byte
	for _, p := range append([]string{"stampede:reward:v1"}, parts...) {
		text = fmt.Appendf(text, "%d:%s,", len(p), p)
	}
	sum := sha256.Sum256(text)
	sum[6], sum[8] = sum[6]%16+0x80, sum[8]%64+0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}

// ParseReward reads a record of rewards (R2), which the record of events at an offset led to.
func ParseReward(offset int64, value []byte) (Reward, error) {
	var e struct {
		ID, Subject string
		Time        time.Time
		Data        struct {
			RewardID                          string `json:"reward_id"`
			Campaign, User, Cycle, Tier, Kind string
			Version                           int
			Amount                            *struct {
				Units    int
				Currency string
			}
			AchievedAt time.Time `json:"achieved_at"`
			IssuedAt   time.Time `json:"issued_at"`
			Events     int       `json:"evidence_count"`
		}
	}
	if err := json.Unmarshal(value, &e); err != nil {
		return Reward{}, err
	}
	d := e.Data
	r := Reward{
		Offset: offset, ID: e.ID, User: d.User, Campaign: d.Campaign, Version: d.Version, Cycle: d.Cycle, Tier: d.Tier, Kind: d.Kind,
		AchievedAt: d.AchievedAt, IssuedAt: d.IssuedAt, Events: d.Events,
	}
	if d.Amount != nil {
		r.Amount = fmt.Sprintf("%d %s", d.Amount.Units, d.Amount.Currency)
	}
	if e.ID == "" || d.RewardID != e.ID || d.User != e.Subject || !d.AchievedAt.Equal(e.Time) {
		return r, fmt.Errorf("reward %s does not agree with itself: %s", e.ID, value)
	}
	return r, nil
}

// Rewards are the rewards that the log has led to, in order.
func (l *Log) Rewards() (rewards []Reward) {
	for _, t := range l.told {
		if t.What == "reward" {
			rewards = append(rewards, t.reward())
		}
	}
	return rewards
}

// Arrange returns rewards that were issued in the order of those that are expected, as far as no rule says which it is: what one record, or one
// instant, leads to for one user is in order within each campaign.
func Arrange(expected, issued []Reward) []Reward {
	issued = slices.Clone(issued)
	for from := 0; from < len(expected); {
		to := from
		for to < len(expected) && expected[to].step == expected[from].step {
			to++
		}
		if to <= len(issued) {
			slices.SortStableFunc(issued[from:to], func(a, b Reward) int { return strings.Compare(a.Campaign, b.Campaign) })
		}
		from = to
	}
	return issued
}
