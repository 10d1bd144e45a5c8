package state

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// Partitions returns the partitions that hold anything, in order.
func (s *Store) Partitions() (partitions []int32, err error) {
	if err := s.usable(0); err != nil {
		return nil, err
	}
	iter, err := s.db.NewIter(&pebble.IterOptions{UpperBound: partitionStart(storePartition)})
	if err != nil {
		return nil, fmt.Errorf("list partitions: %w", err)
	}
	defer func() { err = errors.Join(err, iter.Close()) }()
	for ok := iter.First(); ok; {
		if isFence(iter.Key()) {
			ok = iter.Next()
			continue
		}
		p := partitionOf(iter.Key())
		partitions = append(partitions, p)
		ok = iter.SeekGE(partitionStart(p + 1))
	}
	if err := iter.Error(); err != nil {
		return nil, fmt.Errorf("list partitions: %w", err)
	}
	return partitions, nil
}

// Drop removes everything of partition p, for good when it returns, in milliseconds whatever its size. The bytes that files have of it besides go
// with the next [Store.Scrub].
func (s *Store) Drop(p int32) error {
	if err := s.usable(p); err != nil {
		return err
	}
	j, err := s.journal(p)
	if err != nil {
		return fmt.Errorf("drop partition %d: %w", p, err)
	}
	span := pebble.KeyRange{Start: partitionStart(p), End: partitionStart(p + 1)}
	note := func() error { return s.db.Set(ownKey(kindErased, storePartition), nil, pebble.Sync) }
	err = s.durably(note) // before, as the other is durable at once
	if err == nil {
		err = s.guard(func() error { return s.db.Excise(context.Background(), span) })
	}
	if err == nil {
		err = s.guard(note) // and after, as a scrub may have come between
	}
	if err != nil {
		return fmt.Errorf("drop partition %d: %w", p, err)
	}
	s.counters.journalBytes.Add(-j.bytes)
	s.forget(p)
	s.counters.drops.Add(1)
	return nil
}
