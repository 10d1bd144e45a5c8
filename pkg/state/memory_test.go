package state

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A third of Go's heap is left to the collector, whatever the memory: where less was, it took half of the CPU.
func TestTheCollectorHasRoom(t *testing.T) {
	for _, mebibytes := range []int64{128, 160, 256, 1 << 10, 8 << 10} {
		memory := mebibytes << 20
		lives := share(memory, overlayShares) + trafficBytes
		if !cacheOffHeap {
			lives += share(memory, cacheShares)
		}
		if heap := HeapBytes(memory); lives > heap/3*2 {
			t.Errorf("of %d MiB %d live in a heap of %d", mebibytes, lives>>20, heap>>20)
		}
	}
}

// However much memory there is, the buffers of all restores that run at a time take an eighth of it at most, and four can run.
func TestRestoresShareTheMemory(t *testing.T) {
	for _, memory := range []int64{minMemoryBytes, 256 << 20, 1 << 30, 8 << 30, 64 << 30} {
		s, err := Open(Config{Dir: "s", FS: vfs.NewMem(), MemoryBytes: memory})
		must(t, err)
		n, buffers := s.Restores(), int64(s.Restores())*int64(s.restoreBuffer)
		if n < 4 || buffers > memory/8 {
			t.Errorf("of %d bytes %d restores take %d", memory, n, buffers)
		}
		must(t, s.Close())
	}
}
