//go:build cgo

package state

// cacheOffHeap says that Pebble's cache and memtables are not in Go's heap.
const cacheOffHeap = true
