//go:build race

package campaign

// raceDetector says whether the tests run with it: it makes sync.Pool forget at random, and so allocations can't be counted.
const raceDetector = true
