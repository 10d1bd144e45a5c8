package partner

import (
	"fmt"
	"slices"
)

// maxKeyIDs bounds the keys that a report tells apart: a partner has one after the other.
const maxKeyIDs = 1000

// users gives each pseudonym a number, and knows which ones are of one user: a rotated key must not make two of one.
type users struct {
	ids  map[string]uint32
	same []uint32 // by pseudonym: towards the number that stands for all of the user's
	next []uint32 // by pseudonym: another of the user's, in a ring
	key  []uint16 // by pseudonym: the key's number
	keys map[string]uint16
}

func newUsers() *users { return &users{ids: map[string]uint32{}, keys: map[string]uint16{}} }

func (u *users) id(key, pseudonym string) (uint32, error) {
	if id, known := u.ids[pseudonym]; known {
		return id, nil
	}
	if _, known := u.keys[key]; !known {
		if len(u.keys) == maxKeyIDs {
			return 0, fmt.Errorf("the topic has outcomes under more than %d keys, which is the most that a report tells apart: does another program write to it?", maxKeyIDs)
		}
		u.keys[key] = uint16(len(u.keys))
	}
	id := uint32(len(u.same)) //nolint:gosec // maxCounted is less
	u.ids[pseudonym] = id
	u.same, u.next, u.key = append(u.same, id), append(u.next, id), append(u.key, u.keys[key])
	return id, nil
}

func (u *users) find(id uint32) uint32 {
	for u.same[id] != id {
		u.same[id] = u.same[u.same[id]]
		id = u.same[id]
	}
	return id
}

func (u *users) join(a, b uint32) {
	if u.find(a) == u.find(b) {
		return
	}
	u.same[u.find(a)] = u.find(b)
	u.next[a], u.next[b] = u.next[b], u.next[a] // makes one ring of two
}

// crowd says how many people users are at least. Users whose pseudonyms are of different keys can be one person, if nothing has told which are: where a key was
// replaced without an overlap. Under one key everybody has one pseudonym, so these are different people.
type crowd struct {
	*users
	under []int    // by key: how many have a pseudonym
	last  []uint32 // by key: the last who was counted, plus 1
}

func (u *users) crowd() *crowd {
	return &crowd{u, make([]int, len(u.keys)), make([]uint32, len(u.keys))}
}

// add counts a user, whom it has not met.
func (c *crowd) add(user uint32) {
	for id := user; ; {
		if key := c.key[id]; c.last[key] != user+1 {
			c.last[key] = user + 1
			c.under[key]++
		}
		if id = c.next[id]; id == user {
			return
		}
	}
}

func (c *crowd) size() int { return slices.Max(append(slices.Clone(c.under), 0)) }

// without is how many they are without others, who are among them.
func (c *crowd) without(others *crowd) (most int) {
	for key, n := range c.under {
		most = max(most, n-others.under[key])
	}
	return most
}
