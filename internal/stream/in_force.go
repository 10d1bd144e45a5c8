package stream

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/stampede-rewards/stampede/internal/partner"
	"github.com/stampede-rewards/stampede/pkg/campaign"
)

// ownState is what the store says of a partition beside its users: the campaigns in force, and who was erased. It is read when its position is
// right; clock is its own, Unix ms.
func (o *opener) ownState(n int32, clock int64) (*campaign.InForce, *campaign.Erased, error) {
	f, x := campaign.NewInForce(), campaign.NewErased()
	err := o.store.Campaigns(n, func(name string, value []byte) error {
		if campaign.IsErased(name) {
			return x.Restore(name, value)
		}
		return f.Restore(name, bytes.Clone(value))
	})
	switch newer := (*campaign.NewerLanguageError)(nil); {
	case errors.As(err, &newer):
		return nil, nil, fatal{fmt.Errorf("open events/%d: %w", n, err)}
	case err != nil:
		return nil, nil, &RefusedError{n, err.Error()}
	}
	if err := partner.Unknown(f.Set().Campaigns(), clock, o.partners); err != nil {
		return nil, nil, &RefusedError{n, err.Error()}
	}
	return f, x, nil
}
