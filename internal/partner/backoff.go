package partner

import (
	"math/rand/v2"
	"time"
)

// backoff is how long to wait before something is tried again: longer each time.
type backoff struct{ wait, most time.Duration }

// next is the next wait. It is never shorter than after, which somebody has asked for; up to a half is added by chance, so that many who failed together part.
func (b *backoff) next(after time.Duration) time.Duration {
	wait := max(b.wait, after)
	b.wait = min(2*b.wait, b.most)
	return wait + rand.N(wait/2+1)
}
