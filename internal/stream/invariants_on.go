//go:build invariants

package stream

// invariants says whether what must hold is looked at while the program runs, at whatever cost: the build tag is Pebble's, too.
const invariants = true
