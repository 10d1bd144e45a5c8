package stream

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stampede-rewards/stampede/internal/kafka"
	"github.com/stampede-rewards/stampede/pkg/campaign"
)

// The registry is the compacted topic that says which campaigns were published: what publishers compare with, and what is listed for
// people. Processors never read it: what they work with is in the log of events, and both are written in one transaction.

// registered is what the registry says of a campaign. Its key is the id.
type registered struct {
	Definition  campaign.Definition `json:"definition"`
	Version     int                 `json:"version"`
	Since       int64               `json:"since"`               // Unix ms, by the publisher's clock
	Withdrawn   int64               `json:"withdrawn,omitempty"` // the same
	EventsTopic string              `json:"events_topic"`        // Kafka's id of it, hex: in one that was made anew nothing is in force
	Partitions  int32               `json:"partitions"`          // how many were told
	Budgets     []campaign.Budget   `json:"budgets,omitempty"`   // that earlier versions named, and this one does not
}

// next is the entry of the next version. What partitions know of budgets that it does not name is not forgotten.
func (e registered) next(c *campaign.Campaign, was *campaign.Budget, d campaign.Definition, now int64) registered {
	named := func(b campaign.Budget) bool { return c.Budget != nil && c.Budget.ID == b.ID }
	budgets := slices.DeleteFunc(slices.Clone(e.Budgets), named)
	if was != nil && !named(*was) && !slices.ContainsFunc(budgets, func(b campaign.Budget) bool { return b.ID == was.ID }) {
		budgets = append(budgets, *was)
	}
	return registered{Definition: d, Version: c.Version, Since: now, Budgets: budgets}
}

// registry is what was published to the events topic that there is.
type registry struct {
	entries map[string]registered // by id
	inForce *campaign.InForce     // what a partition makes of it, by the publishers' clocks
}

// readRegistry reads what is committed now. Of who holds the transactional id nothing can be undecided.
func readRegistry(ctx context.Context, c kafka.Connection, topics kafka.TopicsState) (*registry, error) {
	r := &registry{entries: map[string]registered{}, inForce: campaign.NewInForce()}
	err := c.ReadTopic(ctx, topics.Campaigns.Name, func(rec *kgo.Record) error {
		id := string(rec.Key)
		delete(r.entries, id)
		if rec.Value == nil {
			return nil
		}
		var e registered
		if err := json.Unmarshal(rec.Value, &e); err != nil {
			return fmt.Errorf("topic %s, offset %d, campaign %q: it was not written by a publish (%w): does another program write to the topic?",
				rec.Topic, rec.Offset, id, err)
		}
		if e.EventsTopic == topicID(topics.Events) {
			r.entries[id] = e
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, id := range slices.Sorted(maps.Keys(r.entries)) {
		if err := r.tell(id); err != nil {
			return nil, fmt.Errorf("topic %s, campaign %s: %w", topics.Campaigns.Name, id, err)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(r.entries)) {
		for _, b := range r.entries[id].Budgets { // behind those that are named: their terms are newer
			r.inForce.TellBudget(b)
		}
	}
	return r, nil
}

// tell applies what the registry says of a campaign.
func (r *registry) tell(id string) error {
	e := r.entries[id]
	_, rejection, err := r.inForce.Publish(e.Definition, e.Since)
	if err == nil && rejection == nil && e.Withdrawn != 0 {
		_, rejection = r.inForce.Withdraw(id, e.Withdrawn)
	}
	if err == nil && rejection != nil {
		return rejection
	}
	return err
}

func topicID(t kafka.Topic) string { return hex.EncodeToString(t.ID[:]) }

// record is the registry's record of a campaign.
func (e registered) record(topics kafka.TopicsState, id string) (*kgo.Record, error) {
	var value bytes.Buffer
	encoder := json.NewEncoder(&value)
	encoder.SetEscapeHTML(false) // conditions have many a < and >
	if err := encoder.Encode(e); err != nil {
		return nil, fmt.Errorf("write campaign %s for the registry: %w", id, err)
	}
	return &kgo.Record{Topic: topics.Campaigns.Name, Partition: 0, Key: []byte(id), Value: bytes.TrimSpace(value.Bytes())}, nil
}

// ListedCampaign is a campaign that was published, and how many users are under way in it.
type ListedCampaign struct {
	campaign.InForceCampaign
	InProgress int
}

// ListCampaigns says what is in force, by id; what is closed by a clock, Unix ms, is left out. The users are counted by reading the
// changelog, one partition after the other, so that memory holds the users of one.
func ListCampaigns(ctx context.Context, c kafka.Connection, topics kafka.TopicsState, clock int64) ([]ListedCampaign, error) {
	r, err := readRegistry(ctx, c, topics)
	if err != nil {
		return nil, err
	}
	inProgress := map[string]int{} // by id
	logs, err := c.Spans(ctx, topics.Changelog.Name)
	if err != nil {
		return nil, err
	}
	for _, log := range logs {
		if err := countInProgress(ctx, c, log, r.inForce.Set(), inProgress); err != nil {
			return nil, err
		}
	}
	var listed []ListedCampaign
	for _, standing := range r.inForce.Standings() {
		if !standing.ClosedAt(clock) {
			listed = append(listed, ListedCampaign{standing, inProgress[standing.ID]})
		}
	}
	return listed, nil
}

// countInProgress adds the users of one partition of the changelog.
func countInProgress(ctx context.Context, c kafka.Connection, log kafka.Span, set *campaign.Set, into map[string]int) error {
	users := map[string][]*campaign.Campaign{}
	err := c.ReadCommitted(ctx, []kafka.Span{log}, func(rec *kgo.Record) (bool, error) {
		user := string(rec.Key)
		if user == "" || user[0] == 0xff { // a position, or a campaign
			return true, nil
		}
		delete(users, user)
		if rec.Value == nil {
			return true, nil
		}
		ledger, err := campaign.Decode(rec.Value)
		if err != nil {
			return false, fmt.Errorf("%s/%d@%d: the ledger of %q: %w", rec.Topic, rec.Partition, rec.Offset, user, err)
		}
		if in := set.InProgress(ledger); len(in) > 0 {
			users[user] = in
		}
		return true, nil
	})
	for _, in := range users {
		for _, c := range in {
			into[c.ID]++
		}
	}
	return err
}
