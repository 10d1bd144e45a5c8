package stream

import (
	"bytes"
	"fmt"

	"github.com/stampede-rewards/stampede/pkg/campaign"
)

// check looks at what must hold of an overlay between cycles. It panics, as nothing that comes after can be trusted.
func (o *overlay) check() {
	sum, dirtySum := int64(0), 0
	for user, e := range o.users {
		sum += e.bytes()
		if e.dirty {
			dirtySum++
		}
		switch {
		case e.timer.User != user:
			panic(fmt.Sprintf("BUG: %q stands for %q in the overlay", user, e.timer.User))
		case o.clock[e.place] != e:
			panic(fmt.Sprintf("BUG: the overlay's hand does not come by %q", user))
		case e.ledger != nil || e.ahead || e.changed:
			panic(fmt.Sprintf("BUG: the ledger of %q is in use between cycles", user))
		case !e.dirty && (e.timer.Due() != 0 || e.stored != e.due):
			panic(fmt.Sprintf("BUG: the store has %q, whose timer is at %d, in memory at %d and in the store at %d", user, e.due, e.timer.Due(), e.stored))
		case e.dirty && e.timer.Due() != e.due:
			panic(fmt.Sprintf("BUG: %q is due at %d, the timer is at %d", user, e.due, e.timer.Due()))
		}
		if e.encoded == nil {
			continue
		}
		l, err := campaign.Decode(e.encoded)
		if err != nil || l.Due() != e.due || !bytes.Equal(l.Append(nil), e.encoded) {
			panic(fmt.Sprintf("BUG: the ledger of %q, due at %d, is not what can be read back: %v", user, e.due, err))
		}
	}
	if len(o.users) != len(o.clock) {
		panic(fmt.Sprintf("BUG: the overlay has %d users, its hand comes by %d", len(o.users), len(o.clock)))
	}
	if sum != o.bytes || dirtySum != len(o.dirty) || len(o.decoded)+len(o.large) != 0 {
		panic(fmt.Sprintf("BUG: the overlay counts %d bytes and %d dirty ledgers, and has %d and %d", o.bytes, len(o.dirty), sum, dirtySum))
	}
}
