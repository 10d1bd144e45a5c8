package state

import (
	"fmt"
	"log/slog"
	"runtime"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"
)

// pebbleFormat is the format on disk. Raising it makes stores that older programs refuse: say so in the changelog.
// The next one's log claims which of its bytes are on the disk, and relaxedFS makes those claims untrue.
const pebbleFormat = pebble.FormatColumnarBlocks

const (
	bloomBitsPerKey     = 10
	blockBytes          = 4 << 10
	maxOpenFiles        = 1000
	l0CompactionFiles   = 4
	l0StopWritesSublvls = 24
)

func (s *Store) pebbleOptions(cfg Config) *pebble.Options {
	o := &pebble.Options{
		FS:                          cfg.FS,
		Lock:                        s.lock,
		FormatMajorVersion:          pebbleFormat,
		CacheSize:                   share(cfg.MemoryBytes, cacheShares),
		MemTableSize:                uint64(min(share(cfg.MemoryBytes, memtableShares), maxMemtable)), //nolint:gosec // positive
		MemTableStopWritesThreshold: memtables,
		MaxOpenFiles:                maxOpenFiles,
		L0CompactionThreshold:       l0CompactionFiles,
		L0StopWritesThreshold:       l0StopWritesSublvls,
		CompactionConcurrencyRange:  func() (lower, upper int) { return 1, max(1, runtime.GOMAXPROCS(0)/2) },
		MaxManifestFileSize:         manifestBytes,
		Cleaner:                     plainCleaner{},
		Logger:                      pebbleLog{cfg.Log},
		EventListener:               s.events(cfg.Log),
	}
	for i := range o.Levels {
		o.Levels[i].BlockSize = blockBytes
		// On every level, the last too: a new user is in none, and asking for one must not read a block.
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(bloomBitsPerKey)
		o.Levels[i].Compression = func() *sstable.CompressionProfile { return sstable.NoCompression }
	}
	o.EnsureDefaults()
	return o
}

func (s *Store) events(log *slog.Logger) *pebble.EventListener {
	return &pebble.EventListener{
		BackgroundError: func(err error) {
			s.counters.backgroundErrors.Add(1)
			switch {
			case s.broken.Load() != nil: // Pebble tries again without a pause, and all has been said
			case diskRefuses(err):
				s.breakFor(err)
			default:
				log.Error("the store's background work meets errors; it is tried again", "err", err.Error())
			}
		},
		ManifestCreated: func(info pebble.ManifestCreateInfo) {
			if info.Err == nil {
				s.counters.manifests.Add(1)
			}
		},
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			s.counters.backgroundErrors.Add(1)
			log.Error("a file of the store is damaged", "path", info.Path, "err", info.Details)
		},
		DiskSlow: func(info pebble.DiskSlowInfo) {
			log.Warn("the store's disk is slow", "info", info.String())
		},
		WriteStallBegin: func(info pebble.WriteStallBeginInfo) {
			s.counters.writeStalls.Add(1)
			log.Warn("the store makes writers wait until it has caught up", "reason", info.Reason)
		},
		WriteStallEnd: func() { log.Info("the store no longer makes writers wait") },
	}
}

// pebbleLog hands Pebble's words to slog; it would print to stderr.
type pebbleLog struct{ log *slog.Logger }

func (l pebbleLog) Infof(format string, args ...any) { l.log.Debug(fmt.Sprintf(format, args...)) }

func (l pebbleLog) Errorf(format string, args ...any) { l.log.Error(fmt.Sprintf(format, args...)) }

// Fatalf must not return. In a write the panic is caught by [Store.guard] and becomes an error; in Pebble's own
// goroutines (the MANIFEST can't be written) it ends the process, which is what Pebble asks for.
func (l pebbleLog) Fatalf(format string, args ...any) {
	panic(fatalError{fmt.Sprintf(format, args...)})
}

type fatalError struct{ text string }

func (e fatalError) Error() string { return e.text }

// brokenError is the first error that made the store unusable.
type brokenError struct{ cause error }

func (e *brokenError) Error() string   { return ErrBroken.Error() + ": " + e.cause.Error() }
func (e *brokenError) Unwrap() []error { return []error{ErrBroken, e.cause} }

// breakFor makes the store unusable, for the first cause.
func (s *Store) breakFor(cause error) {
	if s.broken.CompareAndSwap(nil, &brokenError{cause}) {
		close(s.failed)
	}
}

// guard runs a call that writes. Pebble answers an error of its log with Fatalf or a panic, perhaps with locks held, and lets a call wait for
// background work that can't be done; so after an error of the disk nothing may be asked of it any more, and what is waiting there is left
// behind. Panics of the Go runtime are bugs and go on.
func (s *Store) guard(call func() error) error {
	done := make(chan error, 1)
	go func() {
		defer func() {
			switch cause := recover().(type) {
			case nil:
			case runtime.Error:
				panic(cause)
			case error:
				s.breakFor(cause)
			default:
				panic(cause)
			}
		}()
		done <- call()
	}()
	select {
	case err := <-done:
		return err
	case <-s.failed:
		return s.broken.Load()
	}
}

func (s *Store) commit(batch *pebble.Batch, o *pebble.WriteOptions) error {
	return s.guard(func() error { return batch.Commit(o) })
}

// release gives a batch back, unless a commit that was left behind may still hold it.
func (s *Store) release(batch *pebble.Batch) error {
	if s.broken.Load() == nil {
		return batch.Close()
	}
	return nil
}
