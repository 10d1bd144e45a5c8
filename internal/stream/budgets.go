package stream

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stampede-rewards/stampede/internal/kafka"
	"github.com/stampede-rewards/stampede/pkg/campaign"
)

// ListBudgets says where every budget stands that was published, by id. Each is read from the changelog of its home, which alone knows what was
// granted, as of the last commit.
func ListBudgets(ctx context.Context, c kafka.Connection, topics kafka.TopicsState) ([]campaign.BudgetStanding, error) {
	var all []campaign.BudgetStanding
	logs, err := c.Spans(ctx, topics.Changelog.Name)
	if err != nil {
		return nil, err
	}
	for _, log := range logs {
		budgets, err := storedBudgets(ctx, c, log)
		if err != nil {
			return nil, err
		}
		for _, b := range budgets {
			if b.Home == log.Partition {
				all = append(all, b)
			}
		}
	}
	slices.SortFunc(all, func(a, b campaign.BudgetStanding) int { return cmp.Compare(a.ID, b.ID) })
	return all, nil
}

// storedBudgets are the budgets that one partition was told of, by its changelog.
func storedBudgets(ctx context.Context, c kafka.Connection, log kafka.Span) ([]campaign.BudgetStanding, error) {
	stored := map[string][]byte{}
	err := c.ReadCommitted(ctx, []kafka.Span{log}, func(r *kgo.Record) (bool, error) {
		if name := string(r.Key); campaign.IsStoredBudget(name) {
			if stored[name] = r.Value; r.Value == nil {
				delete(stored, name)
			}
		}
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	budgets := campaign.NewInForce()
	for name, value := range stored {
		if err := budgets.Restore(name, value); err != nil {
			return nil, fmt.Errorf("%s/%d: %w", log.Topic, log.Partition, err)
		}
	}
	return budgets.Budgets(), nil
}
