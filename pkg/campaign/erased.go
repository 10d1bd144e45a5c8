package campaign

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strconv"
	"strings"
	"time"
)

// TypeErased is the control event that erases its user (C4): all that is known is deleted, and records that come meanwhile are dropped. What
// waits for an answer is deleted too, as it stands in the ledger.
const TypeErased = "stampede.erased"

// Erased are the users of one partition who were erased so lately that what they did before may still arrive (C4). Like InForce it is a pure
// function of the partition's log, and is stored beside the ledgers. It is not for concurrent use.
//
// A user is remembered by a hash with the partition's salt, for as long as an event that happened at the erasure would be in time (E3): then nothing
// from before it can count any more, and the user is forgotten for good. The engine has no randomness, so the salt comes from the log: from the
// record that erased the first of those who are remembered, of which `data.salt` is meant to be random. It goes with the last of them.
//
// What that protects: nobody finds a user by searching for the id, or for a hash made elsewhere or at another time. What not: who has the store, and so the
// salt, can still ask whether an id that he knows already was erased lately.
type Erased struct {
	salt   []byte               // nil where nobody is remembered
	clocks map[erasedHash]int64 // of the erasures, Unix ms
	order  []erasure            // by clock, then hash

	mac     hash.Hash // with the salt, nil before it is needed
	scratch []byte
}

type erasedHash [16]byte // two users of a partition have the same with a probability below 2^-90

type erasure struct {
	at int64 // the record's clock, Unix ms
	of erasedHash
}

// maxErased bounds the users that a partition remembers, about 100 bytes each. Beyond, the one who was erased first is forgotten early: what
// arrives of that user is then taken for a new one's.
const maxErased = 1 << 18

// maxForgotten bounds how many are forgotten with one record.
const maxForgotten = 1000

// What the names of stored values begin with.
const (
	storedErased = "\xfferased/" // and the hash in hex
	storedSalt   = "\xffsalt"
)

// NewErased is a partition in which nobody was erased.
func NewErased() *Erased { return &Erased{clocks: map[erasedHash]int64{}} }

// has says whether a user was erased so lately that what happened then is in time by a clock, Unix ms.
func (x *Erased) has(user string, set *Set, clock int64) bool {
	if len(x.order) == 0 {
		return false
	}
	of := x.hashOf(user)
	at, has := x.clocks[of]
	return has && clock <= erasure{at, of}.until(set)
}

func (x *Erased) hashOf(user string) erasedHash {
	if x.mac == nil {
		x.mac = hmac.New(sha256.New, x.salt)
	}
	x.mac.Reset()
	x.scratch = append(x.scratch[:0], user...)
	x.mac.Write(x.scratch)
	x.scratch = x.mac.Sum(x.scratch[:0])
	return erasedHash(x.scratch)
}

// saltOf is the salt that an erasing record brings: random where its sender says so, and another with each record in any case.
func saltOf(ev *Event, clock int64) []byte {
	h := sha256.New()
	for _, part := range []string{"stampede:salt:v1", ev.Data.Get("salt").Text(), ev.Source, ev.ID, strconv.FormatInt(ev.Time, 10), strconv.FormatInt(clock, 10)} {
		fmt.Fprintf(h, "%d:%s,", len(part), part) //nolint:errcheck // a hash takes everything
	}
	return h.Sum(nil)
}

// add remembers the user of an erasing record.
func (x *Erased) add(ev *Event, clock int64) (changed []Stored) {
	if x.salt == nil {
		x.salt = saltOf(ev, clock)
		changed = append(changed, x.storedSalt())
	}
	e := erasure{clock, x.hashOf(ev.User)}
	if before, again := x.clocks[e.of]; again {
		x.remove(erasure{before, e.of})
	}
	x.insert(e)
	changed = append(changed, e.stored())
	if len(x.order) > maxErased {
		changed = append(changed, x.forget(1)...)
	}
	return changed
}

func (x *Erased) insert(e erasure) {
	i, _ := slices.BinarySearchFunc(x.order, e, erasure.compare)
	x.order = slices.Insert(x.order, i, e)
	x.clocks[e.of] = e.at
}

func (x *Erased) remove(e erasure) {
	i, _ := slices.BinarySearchFunc(x.order, e, erasure.compare)
	x.order = slices.Delete(x.order, i, i+1)
	delete(x.clocks, e.of)
}

func (e erasure) compare(other erasure) int {
	return cmp.Or(cmp.Compare(e.at, other.at), slices.Compare(e.of[:], other.of[:]))
}

// until is the last clock (Unix ms) at which what happened at the erasure is in time.
func (e erasure) until(set *Set) int64 { return e.at + set.latenessAt(e.at).Milliseconds() }

// forgetPast forgets those of whom nothing from before the erasure can be in time by a clock (Unix ms).
func (x *Erased) forgetPast(set *Set, clock int64) []Stored {
	n := 0
	for n < min(len(x.order), maxForgotten) && x.order[n].until(set) < clock {
		n++
	}
	if n == 0 {
		return nil
	}
	return x.forget(n)
}

// forget forgets the n who were erased first.
func (x *Erased) forget(n int) (changed []Stored) {
	for _, e := range x.order[:n] {
		delete(x.clocks, e.of)
		changed = append(changed, Stored{e.name(), nil})
	}
	x.order = slices.Delete(x.order, 0, n)
	if len(x.order) == 0 {
		x.salt, x.mac = nil, nil
		changed = append(changed, Stored{storedSalt, nil})
	}
	return changed
}

// Stored is all that is to be stored, by name.
func (x *Erased) Stored() (all []Stored) {
	for _, e := range x.order {
		all = append(all, e.stored())
	}
	if x.salt != nil {
		all = append(all, x.storedSalt())
	}
	return all
}

func (e erasure) name() string { return storedErased + hex.EncodeToString(e.of[:]) }

func (e erasure) stored() Stored {
	v := appendMember([]byte{'{'}, "form", storedForm)
	return Stored{e.name(), append(appendMember(append(v, ','), "at", e.at), '}')}
}

func (x *Erased) storedSalt() Stored {
	v := appendMember([]byte{'{'}, "form", storedForm)
	return Stored{storedSalt, append(appendJSONString(append(v, `,"salt":`...), hex.EncodeToString(x.salt)), '}')}
}

// IsErased says whether a stored value is one of erased users, and not of campaigns.
func IsErased(name string) bool { return name == storedSalt || strings.HasPrefix(name, storedErased) }

// Restore takes a value that was stored. All of them together make what was stored.
func (x *Erased) Restore(name string, value []byte) error {
	if err := x.restore(name, value); err != nil {
		return fmt.Errorf("read what is stored of %q: %w", name, err)
	}
	return nil
}

func (x *Erased) restore(name string, value []byte) error {
	v, err := readStored(value)
	if err != nil {
		return err
	}
	if name == storedSalt {
		salt, err := hex.DecodeString(v.Get("salt").Text())
		if err != nil || len(salt) != sha256.Size {
			return errors.New("`salt` is no salt")
		}
		x.salt, x.mac = salt, nil
		return nil
	}
	of, err := hex.DecodeString(strings.TrimPrefix(name, storedErased))
	at, ok := wholeOf(v.Get("at"))
	if err != nil || len(of) != len(erasedHash{}) || !ok {
		return errors.New("it does not say who was erased when")
	}
	x.insert(erasure{at, erasedHash(of)})
	return nil
}

// Erased are the users who are remembered as erased.
func (e *Engine) Erased() *Erased { return e.erased }

// UseErased puts the users in force who were erased before.
func (e *Engine) UseErased(x *Erased) { e.erased = x }

// ForgetErased forgets the users of whom nothing from before their erasure can be in time by a clock, Unix ms. It returns what of the partition's
// state has changed. It is called when the clock has moved, before each record, so that what is remembered depends on the log alone.
func (e *Engine) ForgetErased(clock int64) []Stored { return e.erased.forgetPast(e.set, clock) }

// ForgetsErasedAt is the first clock (Unix ms) at which there is somebody to forget, 0 where nobody is remembered.
func (e *Engine) ForgetsErasedAt() int64 {
	if len(e.erased.order) == 0 {
		return 0
	}
	return e.erased.order[0].until(e.set) + 1
}

// Drop is what becomes of a record of an erased user: nothing (C4). It is nil where the record is to be applied, or rejected. why is what the decoder
// says of the record: a broken one would leave its bytes in the dead letters. The result is valid until the engine's next call.
func (e *Engine) Drop(ev *Event, why *Rejection, clock int64) *Result {
	if !e.erased.has(ev.User, e.set, clock) || why == nil && ev.Type == TypeErased && !ev.isAhead(clock) && erasedData(ev) == nil {
		return nil
	}
	e.begin()
	e.result.Dropped = true
	if why == nil {
		for _, c := range e.set.byType[ev.Type] {
			e.decide(c, UserErased, "")
		}
	}
	return e.end()
}

// erase is rule C4. It is never too late, and what is told twice erases what came in between.
func (e *Engine) erase(l *Ledger, ev *Event, clock int64) {
	if e.result.Rejection = erasedData(ev); e.result.Rejection != nil {
		return
	}
	e.result.Changed = !l.Empty()
	*l = Ledger{}
	e.result.Stored = e.erased.add(ev, clock)
	e.recall(ev.User, clock)
}

func erasedData(ev *Event) *Rejection {
	if kind := ev.Data.Get("salt").Kind(); kind != Absent && kind != Null && kind != String {
		return badControl("data.salt must be a text")
	}
	return nil
}

// ErasedEvent is the value of a record that erases its user. salt is to be random and of this record alone; at is for people who look at it.
func ErasedEvent(user, id, salt string, at time.Time) []byte {
	dst := appendJSONString([]byte(`{"specversion":"1.0","id":`), id)
	dst = appendJSONString(append(dst, `,"source":"/stampede/processor","type":"`+TypeErased+`","subject":`...), user)
	dst = formatTime(append(dst, `,"time":"`...), at.UnixNano())
	return append(appendJSONString(append(dst, `","data":{"salt":`...), salt), `}}`...)
}

// Remembers says whether a user is remembered as erased by a clock, and until which clock (both Unix ms) records of the user are dropped.
func (e *Engine) Remembers(user string, clock int64) (until int64, is bool) {
	if !e.erased.has(user, e.set, clock) {
		return 0, false
	}
	of := e.erased.hashOf(user)
	return erasure{e.erased.clocks[of], of}.until(e.set), true
}
