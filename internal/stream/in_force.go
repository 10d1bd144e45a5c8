package stream

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/stampede-rewards/stampede/pkg/campaign"
	"github.com/stampede-rewards/stampede/pkg/state"
)

// EachCampaign visits what a store holds of a partition's campaigns: names that begin with 0xff, and so are no user's.
//
// This is the one place that finds them among the ledgers. When pkg/state keeps them under a kind of their own, it becomes
// store.Campaigns(n, visit).
func EachCampaign(store *state.Store, n int32, visit func(name string, value []byte) error) error {
	return store.Each(n, func(name string, value []byte) error {
		if name == "" || name[0] != 0xff {
			return nil
		}
		return visit(name, value)
	})
}

// campaigns are what the store says of a partition's campaigns. They are read when its position is right.
func (o *opener) campaigns(n int32) (*campaign.InForce, error) {
	f := campaign.NewInForce()
	err := EachCampaign(o.store, n, func(name string, value []byte) error { return f.Restore(name, bytes.Clone(value)) })
	switch newer := (*campaign.NewerLanguageError)(nil); {
	case errors.As(err, &newer):
		return nil, fatal{fmt.Errorf("open events/%d: %w", n, err)}
	case err != nil:
		return nil, &RefusedError{n, err.Error()}
	}
	return f, nil
}
