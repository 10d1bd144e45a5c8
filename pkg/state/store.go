package state

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

var (
	// ErrInUse means that another process, or this one, has the store open.
	ErrInUse = errors.New("the store is in use by another process")
	// ErrNewer means that a newer version of the program wrote the store.
	ErrNewer = errors.New("the store was written by a newer version of this program")
	// ErrBroken means that the disk refused a write or an earlier one. Nothing more can be written or read until the
	// process has started anew: which of the last writes are on the disk is only known after that.
	ErrBroken = errors.New("the store is unusable after an error of the disk: repair the disk and start the process again")
	// ErrClosed means that the store was closed.
	ErrClosed = errors.New("the store is closed")
)

// Config says where a store is and what it may use.
type Config struct {
	Dir         string // the directory of the store, created if absent; required
	FS          vfs.FS // default the disk; tests use vfs.NewMem and vfs.NewCrashableMem
	MemoryBytes int64  // default 256 MiB, at least 16 MiB: what the process is to take. Block cache, memtables and the overlay have their shares, the rest is for Go's heap: [HeapBytes]
	Sync        bool   // default false: what Prepare writes has reached the kernel and not the disk; a power cut can lose entries, a killed process none
	// RestoreBufferBytes bounds what a restore holds in memory before it writes a sorted file; default a 32nd of the memory, at most 128 MiB. The more it
	// holds, the fewer ledgers are written that a later one replaces, and the fewer files are merged.
	RestoreBufferBytes int
	Log                *slog.Logger // default none
}

const (
	defaultMemoryBytes = 256 << 20
	minMemoryBytes     = 16 << 20
)

func (c Config) withDefaults() Config {
	if c.FS == nil {
		c.FS = vfs.Default
	}
	if c.MemoryBytes == 0 {
		c.MemoryBytes = defaultMemoryBytes
	}
	if c.RestoreBufferBytes == 0 {
		c.RestoreBufferBytes = int(min(c.MemoryBytes/restoreShare, maxRestoreBuffer))
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

func (c Config) check() error {
	var errs []error
	if c.Dir == "" {
		errs = append(errs, errors.New("the directory is empty: name one"))
	}
	if c.MemoryBytes < minMemoryBytes {
		errs = append(errs, fmt.Errorf("memory of %d bytes is too little: give at least %d", c.MemoryBytes, minMemoryBytes))
	}
	return errors.Join(errs...)
}

// Store is an open store. See the package comment for what may be called when.
type Store struct {
	db            *pebble.DB
	lock          *pebble.Lock
	fs            vfs.FS
	dir           string
	id            string
	memory        int64      // bytes
	restoreBuffer int        // bytes
	relaxed       *relaxedFS // of Pebble; nil with Config.Sync
	options       *pebble.Options
	counters      *counters

	broken atomic.Pointer[brokenError]
	failed chan struct{} // closed when broken is set
	closed atomic.Bool

	mu       sync.Mutex
	journals map[int32]*journal
	timers   map[int32]int64 // no timer of the partition is due before; 0, or absent, where that is not known yet

	keys sync.Pool // of *[]byte
}

// Open opens the store in a directory, or makes one there. The error is [ErrInUse] if it is open already, and
// [ErrNewer] if a newer program wrote it.
func Open(cfg Config) (*Store, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("open store %q: %w", cfg.Dir, err)
	}
	s, err := open(cfg)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", cfg.Dir, err)
	}
	return s, nil
}

func open(cfg Config) (*Store, error) {
	if err := cfg.FS.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := lockDirectory(cfg.Dir, cfg.FS)
	if err != nil {
		return nil, err
	}
	s := &Store{
		lock: lock, fs: cfg.FS, dir: cfg.Dir, counters: &counters{}, failed: make(chan struct{}),
		memory: cfg.MemoryBytes, restoreBuffer: cfg.RestoreBufferBytes,
		journals: map[int32]*journal{}, timers: map[int32]int64{},
	}
	cfg.FS = &manifestFS{&refusalFS{cfg.FS, s.breakFor}}
	if !cfg.Sync {
		s.relaxed = &relaxedFS{FS: cfg.FS}
		cfg.FS = s.relaxed
	}
	s.keys.New = func() any { return new([]byte) }
	s.options = s.pebbleOptions(cfg)
	if err := s.openPebble(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	if err := s.prepareDirectory(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func lockDirectory(dir string, fs vfs.FS) (*pebble.Lock, error) {
	lock, err := pebble.LockDirectory(dir, fs)
	if err == nil {
		return lock, nil
	}
	// A refused lock is a bare error of the system call, or Pebble's own for this process; a lock file that can't be
	// created is a PathError.
	var path *iofs.PathError
	held := errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES)
	if (held && !errors.As(err, &path)) || strings.Contains(err.Error(), "lock held") {
		return nil, fmt.Errorf("%w: stop it, or give this one a directory of its own (%w)", ErrInUse, err)
	}
	return nil, err
}

func (s *Store) openPebble() error {
	_, err := peek(s.dir, s.fs)
	if err != nil {
		return err
	}
	return s.guard(func() error {
		s.db, err = pebble.Open(s.dir, s.options)
		return err
	})
}

// prepareDirectory reads or makes the store's identity and removes what a restore that was cut off has left.
func (s *Store) prepareDirectory() error {
	if err := s.identify(); err != nil {
		return err
	}
	dir := s.restoreDir()
	if err := s.fs.RemoveAll(dir); err != nil {
		return err
	}
	return s.fs.MkdirAll(dir, 0o700)
}

const (
	identityVersion = 1
	identityBytes   = 8
)

// identify reads the store's id, or makes it and waits for the disk: it names the store for ever.
func (s *Store) identify() error {
	value, closer, err := s.db.Get(identityKey())
	if errors.Is(err, pebble.ErrNotFound) {
		var id [identityBytes]byte
		if _, err := io.ReadFull(rand.Reader, id[:]); err != nil {
			return fmt.Errorf("make an id: %w", err)
		}
		s.id = hex.EncodeToString(id[:])
		return s.durably(func() error { return s.db.Set(identityKey(), encodeIdentity(id), pebble.Sync) })
	}
	if err != nil {
		return fmt.Errorf("read the id: %w", err)
	}
	id, err := decodeIdentity(value)
	if err := errors.Join(err, closer.Close()); err != nil {
		return fmt.Errorf("read the id: %w", err)
	}
	s.id = hex.EncodeToString(id[:])
	return nil
}

func encodeIdentity(id [identityBytes]byte) []byte {
	return seal(append([]byte{identityVersion}, id[:]...), 0)
}

func decodeIdentity(value []byte) (id [identityBytes]byte, err error) {
	body, err := unseal(value, identityVersion)
	if err != nil {
		return id, err
	}
	d := decoder{rest: body}
	copy(id[:], d.bytes(identityBytes))
	return id, d.end()
}

// ID names this store: 16 hex digits, random, made with it.
func (s *Store) ID() string { return s.id }

// Close closes the store, and a second Close does nothing. Everything written is there at the next Open. A store
// that is broken stays locked until the process ends, because it can't be known what still holds it.
func (s *Store) Close() error {
	if !s.closed.CompareAndSwap(false, true) {
		return nil
	}
	if broken := s.broken.Load(); broken != nil {
		return fmt.Errorf("close store %s: %w", s.dir, broken)
	}
	if err := errors.Join(s.guard(s.db.Close), s.lock.Close()); err != nil {
		return fmt.Errorf("close store %s: %w", s.dir, err)
	}
	return nil
}

// usable refuses calls that Pebble would answer with a panic.
func (s *Store) usable(p int32) error {
	if s.closed.Load() {
		return ErrClosed
	}
	if broken := s.broken.Load(); broken != nil {
		return broken
	}
	return checkPartition(p)
}

func (s *Store) restoreDir() string { return filepath.Join(s.dir, "restore") }
