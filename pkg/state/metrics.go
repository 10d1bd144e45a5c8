package state

import "sync/atomic"

// Metrics is what a dashboard shows of a store. Bytes are bytes, and counts count since Open.
type Metrics struct {
	Prepares            int64 // calls of Prepare that succeeded
	JournalBytes        int64 // in the journals of all partitions used since Open
	Checkpoints         int64
	CheckpointedLedgers int64
	RestoredLedgers     int64
	Drops               int64
	Scrubs              int64 // of partitions

	DiskBytes      uint64 // all files
	CacheBytes     int64
	CacheHits      int64
	CacheMisses    int64
	MemtableBytes  uint64
	WALBytes       uint64 // live
	L0Files        int64
	ReadAmp        int    // files a read may have to look into
	CompactionDebt uint64 // estimate of what compactions have yet to rewrite
	Flushes        int64
	Compactions    int64

	WriteStalls      int64
	BackgroundErrors int64
}

type counters struct {
	prepares, journalBytes, checkpoints, checkpointed, restored, drops, scrubs atomic.Int64
	manifests                                                                  atomic.Int64 // begun
	writeStalls, backgroundErrors                                              atomic.Int64
}

// Metrics measures the store; a closed or broken one has only its counts.
func (s *Store) Metrics() Metrics {
	c := s.counters
	m := Metrics{
		Prepares:            c.prepares.Load(),
		JournalBytes:        c.journalBytes.Load(),
		Checkpoints:         c.checkpoints.Load(),
		CheckpointedLedgers: c.checkpointed.Load(),
		RestoredLedgers:     c.restored.Load(),
		Drops:               c.drops.Load(),
		Scrubs:              c.scrubs.Load(),
		WriteStalls:         c.writeStalls.Load(),
		BackgroundErrors:    c.backgroundErrors.Load(),
	}
	if s.usable(0) != nil {
		return m
	}
	p := s.db.Metrics()
	m.DiskBytes = p.DiskSpaceUsage()
	m.CacheBytes, m.CacheHits, m.CacheMisses = p.BlockCache.Size, p.BlockCache.Hits, p.BlockCache.Misses
	m.MemtableBytes = p.MemTable.Size
	m.WALBytes = p.WAL.Size
	m.L0Files = p.Levels[0].TablesCount
	m.ReadAmp = p.ReadAmp()
	m.CompactionDebt = p.Compact.EstimatedDebt
	m.Flushes, m.Compactions = p.Flush.Count, p.Compact.Count
	return m
}
