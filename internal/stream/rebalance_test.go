package stream

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// The end of a transaction is given up when the group has waited for it too long, and only that one's: a rebalance that came and went has no
// say in what is committed later.
func TestOnlyTheCycleThatTheGroupWaitsForIsGivenUp(t *testing.T) {
	for _, c := range []struct {
		name    string
		waits   bool // for the cycle that is running when the grace is over
		givenUp bool
	}{{"the same cycle still runs", true, true}, {"it was decided, and another one runs", false, false}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &session{rebalance: make(chan struct{}, 1)}
				s.onBlocked(t.Context(), nil)
				if !c.waits {
					s.cycles.Add(1)
				}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				s.ending.Store(&cancel)
				time.Sleep(2 * endGrace)
				synctest.Wait()
				if givenUp := ctx.Err() != nil; givenUp != c.givenUp {
					t.Errorf("given up: %t, wanted %t", givenUp, c.givenUp)
				}
			})
		})
	}
}
