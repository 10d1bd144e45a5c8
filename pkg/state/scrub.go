package state

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"
)

// Pebble deletes by writing that something is deleted: the bytes stay in files until a compaction happens to meet them, and the name of what was
// deleted for as long. So a partition in which a user was erased is noted, in the write that erases, and Scrub rewrites what the disk has of it:
//
//   - two fences, keys that say nothing and lie around all others of the partition, are written anew. So a compaction has them at the top and at the
//     bottom, takes in every file between, and has something to merge with: else Pebble would only rename a file to a lower level.
//   - the compaction flushes what is in memory. The log that had it is removed: no log is used again (see plainCleaner).
//   - the manifest names the first and the last key of every file that there ever was. Pebble begins a new one when as much has changed as it has
//     files, and keeps the one before: so small writes follow until two were begun.
//
// That costs as much as the partition is large; who calls Scrub says how often.

// maxNudges bounds the small writes that follow. A store has that many files when it has 100 GB. What is not done then is done the next time.
const maxNudges = 2000

// manifestBytes is from which size on a manifest may be begun anew.
const manifestBytes = 4 << 10

// plainCleaner removes files that Pebble needs no more. With its own, Pebble would leave its last logs, with all that is in them, to be written over
// some day. It does not for a cleaner that needs the contents of files: this one says so, by what it embeds further down, and removes them.
type plainCleaner struct {
	pebble.DeleteCleaner
	needsContents
}

type needsContents struct{ pebble.ArchiveCleaner }

// ErrScrubbing means that a scrub is not done: the next one goes on.
var ErrScrubbing = errors.New("the store's manifest could not be begun anew within the bound")

// Scrub removes from the disk what is left of erased users. It returns how many partitions it was about. One goroutine at a time calls it; the
// partitions may be written to meanwhile.
//
// When it returns, no file has the bytes any more but those that Pebble is just removing. What a file system or a disk keeps of files that were removed
// is beyond it.
func (s *Store) Scrub(ctx context.Context) (partitions int, err error) {
	if err := s.usable(0); err != nil {
		return 0, err
	}
	pending, err := s.toScrub()
	if err != nil || len(pending) == 0 {
		return 0, err
	}
	for _, p := range pending {
		if err := s.rewrite(ctx, p); err != nil {
			return 0, fmt.Errorf("scrub partition %d: %w", p, err)
		}
	}
	if err := s.renewManifest(ctx, pending[0]); err != nil {
		return 0, fmt.Errorf("scrub: %w", err)
	}
	batch := s.db.NewBatch()
	defer func() { err = errors.Join(err, s.release(batch)) }()
	for _, p := range pending {
		if err := batch.Delete(ownKey(kindScrubbing, p), nil); err != nil {
			return 0, err
		}
	}
	if err := s.commit(batch, pebble.NoSync); err != nil {
		return 0, fmt.Errorf("scrub: %w", err)
	}
	s.counters.scrubs.Add(int64(len(pending)))
	return len(pending), nil
}

// toScrub are the partitions in which users were erased, and those of a scrub that was cut off.
func (s *Store) toScrub() (partitions []int32, err error) {
	iter, err := s.db.NewIter(&pebble.IterOptions{LowerBound: ownKey(kindErased, 0), UpperBound: ownKey(kindScrubbing+1, 0)})
	if err != nil {
		return nil, fmt.Errorf("find what is to be scrubbed: %w", err)
	}
	defer func() { err = errors.Join(err, iter.Close()) }()
	for ok := iter.First(); ok; ok = iter.Next() {
		if p, ok := partitionOfOwn(iter.Key()); ok && !slices.Contains(partitions, p) {
			partitions = append(partitions, p)
		}
	}
	if err := iter.Error(); err != nil {
		return nil, fmt.Errorf("find what is to be scrubbed: %w", err)
	}
	return partitions, nil
}

// rewrite compacts a partition. A user who is erased meanwhile is noted again.
func (s *Store) rewrite(ctx context.Context, p int32) error {
	rounds := 1
	_, closer, err := s.db.Get(fenceKey(p, kindFirstFence))
	switch {
	case errors.Is(err, pebble.ErrNotFound):
		rounds = 2 // the first one takes the fences to the bottom
	case err != nil:
		return err
	default:
		if err := closer.Close(); err != nil {
			return err
		}
	}
	for range rounds {
		if err := s.fence(p); err != nil {
			return err
		}
		err := s.guard(func() error { return s.db.Compact(ctx, partitionStart(p), partitionStart(p+1), false) })
		if err != nil {
			return err
		}
	}
	return nil
}

// fence writes the fences, and that the partition is being scrubbed.
func (s *Store) fence(p int32) (err error) {
	batch := s.db.NewBatch()
	defer func() { err = errors.Join(err, s.release(batch)) }()
	if err := errors.Join(
		batch.Delete(ownKey(kindErased, p), nil),
		batch.Set(ownKey(kindScrubbing, p), nil, nil),
		batch.Set(fenceKey(p, kindFirstFence), nil, nil),
		batch.Set(fenceKey(p, kindLastFence), nil, nil),
	); err != nil {
		return err
	}
	return s.commit(batch, pebble.NoSync)
}

// renewManifest makes Pebble begin two manifests: the one before the newest stays.
func (s *Store) renewManifest(ctx context.Context, p int32) error {
	wanted := s.counters.manifests.Load() + 2
	for range maxNudges {
		if s.counters.manifests.Load() >= wanted {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		err := s.guard(func() error {
			if err := s.db.Set(ownKey(kindScrubbing, p), nil, pebble.NoSync); err != nil {
				return err
			}
			return s.db.Flush()
		})
		if err != nil {
			return err
		}
	}
	return ErrScrubbing
}

// noteErased adds to a batch that a partition is to be scrubbed.
func noteErased(batch *pebble.Batch, p int32) error {
	return batch.Set(ownKey(kindErased, p), nil, nil)
}

// clearTimersOf adds to the batch the deletion of every row of users who are gone, of what the ledger was before, too: their names must not stay
// until their time has come. It reads all of the partition's timers.
func (s *Store) clearTimersOf(batch *pebble.Batch, p int32, gone func(user []byte) (bool, error)) (err error) {
	iter, err := s.timersBehind(p, Timer{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, iter.Close()) }()
	for ok := iter.First(); ok; ok = iter.Next() {
		if _, err := timerDue(iter.Key()); err != nil {
			return err
		}
		is, err := gone(iter.Key()[prefixBytes+dueBytes:])
		if err != nil {
			return err
		}
		if is {
			if err := batch.Delete(iter.Key(), nil); err != nil {
				return err
			}
		}
	}
	return iter.Error()
}

func partitionOfOwn(key []byte) (int32, bool) {
	if len(key) != prefixBytes+2 {
		return 0, false
	}
	return int32(binary.BigEndian.Uint16(key[prefixBytes:])), true
}
