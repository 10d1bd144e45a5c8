package stream

import "github.com/stampede-rewards/stampede/pkg/state"

// point is how far a partition has come: behind the record before input, and behind step transactions that fired what was due before the
// record at input. Points are in order.
type point struct{ input, step int64 }

func pointOf(p state.Position) point { return point{p.Input, p.Step} }

func (p point) before(other point) bool {
	return p.input < other.input || p.input == other.input && p.step < other.step
}
