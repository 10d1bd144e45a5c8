//go:build !cgo

package state

const cacheOffHeap = false
