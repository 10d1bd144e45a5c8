package stream

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/stampede-rewards/stampede/pkg/campaign"
)

// campaigns are what the store says of a partition's campaigns. They are read when its position is right.
func (o *opener) campaigns(n int32) (*campaign.InForce, error) {
	f := campaign.NewInForce()
	err := o.store.Campaigns(n, func(name string, value []byte) error { return f.Restore(name, bytes.Clone(value)) })
	switch newer := (*campaign.NewerLanguageError)(nil); {
	case errors.As(err, &newer):
		return nil, fatal{fmt.Errorf("open events/%d: %w", n, err)}
	case err != nil:
		return nil, &RefusedError{n, err.Error()}
	}
	return f, nil
}
