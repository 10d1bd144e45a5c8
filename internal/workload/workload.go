// Package workload draws events as users of the example campaigns produce them, for the demo, for load and for tests. Event
// number k of a seed is always the same, but for the moment that it is drawn at.
package workload

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// Config says who produces events.
type Config struct {
	Seed  uint64
	Users int  // default 1,000
	Days  int  // default 10: events are as old as that, so that streaks can be seen in seconds
	Odd   bool // also what producers do wrong: sent twice, far too late, not JSON
}

func (c Config) withDefaults() Config {
	if c.Users == 0 {
		c.Users = 1000
	}
	if c.Days == 0 {
		c.Days = 10
	}
	return c
}

// Generator draws events.
type Generator struct{ cfg Config }

// busyShare is how rare a busy user is: one in so many sends half of the events.
const busyShare = 10

// New returns a generator.
func New(cfg Config) Generator { return Generator{cfg.withDefaults()} }

// Event is event number k, drawn at a moment: its user, which is its key, and its value.
func (g Generator) Event(k uint64, at time.Time) (user string, value []byte) {
	r := rand.New(rand.NewPCG(g.cfg.Seed, k))
	if g.cfg.Odd && k > 0 && r.IntN(50) == 0 {
		return g.Event(k-1-uint64(r.IntN(int(min(k, 1000)))), at) //nolint:gosec // small and positive
	}
	users := g.cfg.Users
	if r.IntN(2) == 0 {
		users = max(1, users/busyShare)
	}
	user = fmt.Sprintf("user-%06d", r.IntN(users))
	age := time.Duration(r.Int64N(int64(g.cfg.Days) * int64(24*time.Hour)))
	if g.cfg.Odd {
		switch r.IntN(400) {
		case 0:
			age += 90 * 24 * time.Hour
		case 1:
			return user, fmt.Appendf(nil, "event %d of %s", k, user)
		}
	}
	event := func(kind, data string) []byte {
		return fmt.Appendf(nil, `{"specversion":"1.0","id":"%d-%d","source":"/generator","type":%q,"subject":%q,"time":%q,"data":%s}`,
			g.cfg.Seed, k, kind, user, at.Add(-age).UTC().Format(time.RFC3339Nano), data)
	}
	switch n := r.IntN(100); {
	case n < 80:
		metrics := []string{"weight", "sleep", "sleep", "weight", "steps"}
		return user, event("data.logged", fmt.Sprintf(`{"metric":%q,"value":%d}`, metrics[r.IntN(len(metrics))], r.IntN(200)))
	case n < 82:
		return user, event("birth.reported", `{"kind":"live"}`)
	case n < 83:
		zones := []string{"America/New_York", "Europe/Berlin", "Asia/Tokyo", "Pacific/Auckland"}
		return user, event("stampede.profile", fmt.Sprintf(`{"timezone":%q}`, zones[r.IntN(len(zones))]))
	default:
		return user, event("page.viewed", `{"page":"/home"}`)
	}
}
