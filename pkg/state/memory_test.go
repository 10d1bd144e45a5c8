package state

import "testing"

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
