package state

import (
	"context"
	"encoding/binary"
	"encoding/hex"
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
// A partition that was dropped is no key any more, but a file that it shared with another is still whole. So then all partitions are rewritten, and the
// store's own keys.
//
// That costs as much as the partition is large, and as much room on the disk meanwhile; who calls Scrub says how often.

// maxNudges bounds the small writes that follow. A store has that many files when it has 100 GB. What is not done then is done the next time.
const maxNudges = 2000

// spareRoom is how many times what a partition takes must be free before it is rewritten.
const spareRoom = 2

// manifestBytes is from which size on a manifest may be begun anew: any. As much must have changed as it has files anyway, and to fill 4 KiB first took a scrub
// of a small store ninety small writes, each with a file and its compaction.
const manifestBytes = 1

// plainCleaner removes files that Pebble needs no more. With its own, Pebble would leave its last logs, with all that is in them, to be written over
// some day. It does not for a cleaner that needs the contents of files: this one says so, by what it embeds further down, and removes them.
type plainCleaner struct {
	pebble.DeleteCleaner
	needsContents
}

type needsContents struct{ pebble.ArchiveCleaner }

// ErrNoRoom means that the disk has no room to rewrite a partition: the next scrub tries again.
var ErrNoRoom = errors.New("the disk has too little room to rewrite a partition: make room, or give the store a larger disk")

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
	if !slices.Contains(partitions, storePartition) {
		return partitions, nil
	}
	all, err := s.Partitions()
	if err != nil {
		return nil, err
	}
	for _, p := range all {
		if !slices.Contains(partitions, p) {
			partitions = append(partitions, p)
		}
	}
	return partitions, nil
}

// rewrite compacts a partition, or with storePartition the store's own keys. A user who is erased meanwhile is noted again.
func (s *Store) rewrite(ctx context.Context, p int32) error {
	start, end := partitionStart(p), partitionStart(p+1)
	if p == storePartition {
		end = ownEnd()
	}
	if err := s.roomFor(start, end); err != nil {
		return err
	}
	rounds := 1
	_, closer, err := s.db.Get(fenceKey(p, kindLastFence))
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
		if err := s.guard(func() error { return s.db.Compact(ctx, start, end, false) }); err != nil {
			return err
		}
	}
	return nil
}

// roomFor refuses to begin what would fill the disk. A file system that does not say how full it is has room.
func (s *Store) roomFor(start, end []byte) error {
	needed, err := s.db.EstimateDiskUsage(start, end)
	if err != nil {
		return err
	}
	usage, untold := s.fs.GetDiskUsage(s.dir)
	if untold == nil && usage.AvailBytes < spareRoom*needed {
		return fmt.Errorf("%w: %d bytes are free, and %d should be", ErrNoRoom, usage.AvailBytes, spareRoom*needed)
	}
	return nil
}

// fence writes the fences, and that the partition is being scrubbed. The store's own first key is its id.
func (s *Store) fence(p int32) (err error) {
	batch := s.db.NewBatch()
	defer func() { err = errors.Join(err, s.release(batch)) }()
	first, value := fenceKey(p, kindFirstFence), []byte(nil)
	if p == storePartition {
		id, err := hex.DecodeString(s.id)
		if err != nil {
			return fmt.Errorf("BUG: the store's id is %q", s.id)
		}
		first, value = identityKey(), encodeIdentity([identityBytes]byte(id))
	}
	if err := errors.Join(
		batch.Delete(ownKey(kindErased, p), nil),
		batch.Set(ownKey(kindScrubbing, p), nil, nil),
		batch.Set(first, value, nil),
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
