package judge

import (
	"bytes"
	"errors"
	"maps"
	"slices"

	"github.com/stampede-rewards/stampede/pkg/state"
)

// positions are the offsets at which stores hold partitions, and which of them are ahead of what is committed. Of a store in the middle of a
// restore, or of topics that are no more, nothing is expected; nor of one in the middle of firing what is due at once, which can be compared with
// nothing.
func (c Case) positions(committed map[int32]commit) (positions map[int32][]int64, ahead error, err error) {
	positions = map[int32][]int64{}
	var findings []error
	for _, store := range c.Stores {
		for n := range c.Topics.Events.Partitions {
			p, ok, err := c.position(store, n)
			switch to := committed[n]; {
			case err != nil:
				return nil, nil, err
			case !ok:
			case p.Input > to.offset || p.Input == to.offset && to.metadata != "" && p.Step > to.named.Step:
				findings = append(findings, broken(StoreBehindCommit, "store %s is at events/%d@%d, step %d, and the committed offset is %d, step %d",
					store.ID(), n, p.Input, p.Step, to.offset, to.named.Step))
			case p.Step == 0:
				positions[n] = append(positions[n], p.Input)
			}
		}
	}
	return positions, errors.Join(findings...), nil
}

func (c Case) position(store *state.Store, n int32) (p state.Position, ok bool, err error) {
	p, ok, err = store.Position(n)
	return p, ok && !p.Restoring && p.EventsTopic == c.Topics.Events.ID, err
}

// compareStores wants in every store what the engine makes of the events up to where the store says that it is.
func (c Case) compareStores(positions map[int32][]int64, expected map[int32]*fold, committed map[int32]commit, v *Verdict) error {
	var findings []error
	for _, store := range c.Stores {
		for _, n := range slices.Sorted(maps.Keys(positions)) {
			p, ok, err := c.position(store, n)
			if err != nil {
				return err
			}
			if !ok || p.Step != 0 || !slices.Contains(positions[n], p.Input) {
				continue
			}
			stored := map[string][]byte{}
			keep := func(name string, value []byte) error {
				stored[name] = bytes.Clone(value)
				return nil
			}
			ledger := func(user, value []byte) error { return keep(string(user), value) }
			if err := errors.Join(store.Each(n, ledger), store.Campaigns(n, keep)); err != nil {
				return err
			}
			if p.Input == committed[n].offset {
				v.InStores++
			} else {
				v.Behind++
			}
			want := expected[n].at[p.Input]
			if diff := c.ledgerDifferences(want.ledgers, stored); diff != "" {
				findings = append(findings, broken(StoreContents, "the ledgers of store %s, partition %d at offset %d, are not the engine's:\n%s", store.ID(), n, p.Input, diff))
			}
			if p.Clock != want.clock {
				findings = append(findings, broken(StoreContents, "the clock of store %s, partition %d at offset %d, is %d, wanted %d", store.ID(), n, p.Input, p.Clock, want.clock))
			}
		}
	}
	return errors.Join(findings...)
}
