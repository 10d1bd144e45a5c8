package judge

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/stampede-rewards/stampede/internal/stream"
)

// commits holds what must be of the offsets that a group commits. It is shown them now and then.
type commits struct {
	known    map[int32]commit
	newest   map[string]uint64          // by worker: the incarnation of its newest commit
	retired  map[string]map[uint64]bool // by worker: those that another has followed
	findings []error
}

type commit struct {
	offset   int64
	metadata string
	named    stream.Commit
}

func newCommits() *commits {
	return &commits{known: map[int32]commit{}, newest: map[string]uint64{}, retired: map[string]map[uint64]bool{}}
}

// offsets asks what the group has committed in each partition of events: -1 for nothing. The group's own list is asked for, which needs no
// metadata of topics: an observer asks often.
func (c Case) offsets(ctx context.Context, admin *kadm.Client) (map[int32]kadm.OffsetResponse, error) {
	fetched, err := admin.FetchOffsets(ctx, c.Group)
	if err != nil {
		return nil, fmt.Errorf("offsets of group %s: %w", c.Group, err)
	}
	told := map[int32]kadm.OffsetResponse{}
	for n := range c.Topics.Events.Partitions {
		o, known := fetched.Lookup(c.Topics.Events.Name, n)
		if !known {
			o.At = -1
		}
		told[n] = o
	}
	return told, nil
}

// see is shown the offsets of one answer.
func (c *commits) see(fetched map[int32]kadm.OffsetResponse) {
	changed := map[int32]commit{}
	for _, n := range slices.Sorted(maps.Keys(fetched)) {
		next := commit{offset: fetched[n].At, metadata: fetched[n].Metadata}
		before, known := c.known[n]
		if next.offset < 0 && !known || known && next.offset == before.offset && next.metadata == before.metadata {
			continue
		}
		if next.metadata != "" { // else it was put there by hand, as kafka-consumer-groups.sh does
			named, err := stream.ParseCommit(next.metadata)
			if err != nil {
				c.findings = append(c.findings, broken(OffsetsMonotonic, "events/%d@%d: %v", n, next.offset, err))
			}
			next.named = named
		}
		if known && (next.offset < before.offset || next.offset == before.offset && next.named.Step < before.named.Step) {
			c.findings = append(c.findings, broken(OffsetsMonotonic, "the committed offset of events/%d was %d, step %d, and then %d, step %d",
				n, before.offset, before.named.Step, next.offset, next.named.Step))
		}
		c.known[n] = next
		changed[n] = next
	}
	// What one answer tells has no order: it is held against what earlier ones told.
	for n, next := range changed {
		t := next.named.Transaction
		if c.retired[t.Worker][t.Incarnation] {
			c.findings = append(c.findings, broken(Fencing, "events/%d@%d was committed by %s, after another life of that worker had committed", n, next.offset, t))
		}
	}
	fresh := map[string][]uint64{}
	for _, next := range changed {
		t := next.named.Transaction
		newest, known := c.newest[t.Worker]
		if t.Worker == "" || known && newest == t.Incarnation || c.retired[t.Worker][t.Incarnation] || slices.Contains(fresh[t.Worker], t.Incarnation) {
			continue
		}
		fresh[t.Worker] = append(fresh[t.Worker], t.Incarnation)
	}
	for worker, lives := range fresh {
		if newest, known := c.newest[worker]; known {
			c.retire(worker, newest)
		}
		delete(c.newest, worker)
		if len(lives) == 1 { // else which of them is the newer one is not told
			c.newest[worker] = lives[0]
		}
	}
}

func (c *commits) retire(worker string, incarnation uint64) {
	if c.retired[worker] == nil {
		c.retired[worker] = map[uint64]bool{}
	}
	c.retired[worker][incarnation] = true
}

func (c *commits) err() error { return errors.Join(c.findings...) }
