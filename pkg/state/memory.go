package state

// How [Config.MemoryBytes] is shared out, after what every process takes. Pebble's part is outside of Go's heap where the program was built with cgo, and
// in it where it was not.
const (
	memoryShares   = 16 // of which
	cacheShares    = 5  // are Pebble's block cache, with
	memtableShares = 1  // for each of two memtables reserved in it, and
	overlayShares  = 4  // are the caller's, for ledgers
	// and the others are the collector's room: where there is little, it begins again as soon as it has ended.

	restoreShare     = 32 // of the memory is a restore's buffer, one part
	maxRestoreBuffer = 128 << 20
	restoresShare    = 8 // of the memory is the buffers of all restores, one part at most: while a store is restored, few ledgers are in memory

	memtables   = 2
	maxMemtable = 256 << 20

	// programBytes is what a process takes beside what Go and C allocate: its own text, which is read from the program's file.
	programBytes = 40 << 20
	// trafficBytes is what comes and goes: requests and answers, records that wait, the ledgers of a cycle, the batch of a journal's entry.
	trafficBytes = 40 << 20
	// minHeapBytes is what a process needs beside the store, however little memory it is given.
	minHeapBytes = 128 << 20
)

// share is what so many shares of a process's memory are. Where there is little, half of it is shared out all the same.
func share(memory int64, shares int64) int64 {
	return max(memory-programBytes-trafficBytes, memory/2) / memoryShares * shares
}

// MemoryBytes is [Config.MemoryBytes].
func (s *Store) MemoryBytes() int64 { return s.memory }

// OverlayBytes is the caller's share of it, for ledgers that wait for a checkpoint or may be used again.
func (s *Store) OverlayBytes() int64 { return share(s.memory, overlayShares) }

// Restores is how many restores may run at a time by their buffers.
func (s *Store) Restores() int {
	return max(1, int(s.memory/restoresShare/int64(s.restoreBuffer)))
}

// HeapBytes is what Go's heap may grow to (see runtime/debug.SetMemoryLimit) in a process that is to take no more than so many bytes with its store.
func HeapBytes(memory int64) int64 {
	if cacheOffHeap { // malloc keeps half as much again as it has given
		memory -= share(memory, cacheShares) * 3 / 2
	}
	return max(memory-programBytes, minHeapBytes)
}
