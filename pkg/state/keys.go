package state

import (
	"encoding/binary"
	"fmt"
)

// A key is [partition u16 big endian][kind u8][rest]. Big endian, so that a partition is one range of keys.
// The numbers of the kinds are on disk: they never change and are never used again for something else.
const (
	kindLedger    = byte(1) // rest: the user
	kindTimer     = byte(2) // rest: due u64 big endian, so that timers are in their order, and the user; no value
	kindCampaigns = byte(3) // rest: a name that is no user's
	kindJournal   = byte(4) // rest: sequence u64 big endian
	kindPosition  = byte(5) // no rest

	kindFirstFence = byte(0)    // no rest; see scrub.go
	kindLastFence  = byte(0xFF) // the same
)

// MaxPartition is the highest partition a store can hold; the number above it is the store's own.
const MaxPartition = 0xFFFF - 1

// noUser is what a name begins with that is no user's: users are UTF-8, which never has this byte. What has such a name
// is kept under kindCampaigns, and otherwise like a ledger.
const noUser = 0xFF

const (
	storePartition = 0xFFFF
	kindIdentity   = byte(1) // under storePartition
	kindErased     = byte(2) // the same; rest: a partition u16 in which users were erased since it was scrubbed
	kindScrubbing  = byte(3) // the same; rest: a partition u16 that is being scrubbed
	prefixBytes    = 3
)

// checkPartition refuses a partition that has no place in the keyspace.
func checkPartition(p int32) error {
	if p < 0 || p > MaxPartition {
		return fmt.Errorf("partition %d is outside 0..%d, the partitions a store can hold: use a topic with fewer partitions", p, MaxPartition)
	}
	return nil
}

// appendPrefix appends what all keys of one kind in one partition begin with.
func appendPrefix(dst []byte, p int32, kind byte) []byte {
	return append(dst, byte(p>>8), byte(p), kind)
}

// valueKey is where a user's ledger is, or the value of another name.
func valueKey[T string | []byte](dst []byte, p int32, name T) []byte {
	kind := kindLedger
	if IsNoUser(name) {
		kind = kindCampaigns
	}
	return append(appendPrefix(dst, p, kind), name...)
}

// IsNoUser says whether a name is one that no user can have: it begins with a byte that UTF-8 never has. Nothing under such a name is ever due.
func IsNoUser[T string | []byte](name T) bool {
	return len(name) > 0 && name[0] == noUser
}

func timerKey[T string | []byte](dst []byte, p int32, due int64, user T) []byte {
	return append(binary.BigEndian.AppendUint64(appendPrefix(dst, p, kindTimer), uint64(due)), user...)
}

func journalKey(p int32, sequence uint64) []byte {
	return binary.BigEndian.AppendUint64(appendPrefix(nil, p, kindJournal), sequence)
}

func positionKey(p int32) []byte {
	return appendPrefix(nil, p, kindPosition)
}

func identityKey() []byte {
	return []byte{storePartition >> 8, storePartition & 0xFF, kindIdentity}
}

func fenceKey(p int32, kind byte) []byte { return appendPrefix(nil, p, kind) }

// ownKey is a key of the store's own about a partition.
func ownKey(kind byte, p int32) []byte {
	return append(appendPrefix(nil, storePartition, kind), byte(p>>8), byte(p))
}

// ownEnd is above every key of the store's own.
func ownEnd() []byte { return append(fenceKey(storePartition, kindLastFence), 0xFF) }

// isFence says whether a key is a fence of a partition, which holds nothing.
func isFence(key []byte) bool {
	return len(key) == prefixBytes && (key[prefixBytes-1] == kindFirstFence || key[prefixBytes-1] == kindLastFence)
}

// kindRange is the half-open range of all keys of one kind in one partition.
func kindRange(p int32, kind byte) (start, end []byte) {
	return appendPrefix(nil, p, kind), appendPrefix(nil, p, kind+1)
}

// partitionStart is below every key of partition p and above every key of the partition before it.
func partitionStart(p int32) []byte {
	return []byte{byte(p >> 8), byte(p)}
}

// partitionOf reads the partition that a key belongs to.
func partitionOf(key []byte) int32 {
	return int32(binary.BigEndian.Uint16(key))
}
