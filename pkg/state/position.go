package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/cockroachdb/pebble/v2"
)

// Position is the place in the log that the ledgers of a partition reflect.
type Position struct {
	EventsTopic    [16]byte // Kafka's id of the events topic: a topic made anew has another
	ChangelogTopic [16]byte // Kafka's id of the changelog topic
	Partitions     int32    // how many partitions the events topic had
	Input          int64    // offset of the next event to process
	Step           int64    // how many transactions have changed ledgers since the event before it, because time passed
	Changelog      int64    // offset of the next changelog record that the ledgers don't reflect
	Clock          int64    // the partition's clock, Unix ms: timers up to it are done with
	CaughtUp       int64    // wall clock, Unix ms, when the store last held everything committed
	Restoring      bool     // a restore was begun and not finished: read the changelog again from Changelog
}

const (
	positionVersion = 1
	flagRestoring   = 1
)

// Position returns the position of partition p, and false if it has none: it was never written, or dropped.
func (s *Store) Position(p int32) (pos Position, ok bool, err error) {
	if err := s.usable(p); err != nil {
		return Position{}, false, err
	}
	value, closer, err := s.db.Get(positionKey(p))
	if errors.Is(err, pebble.ErrNotFound) {
		return Position{}, false, nil
	}
	if err != nil {
		return Position{}, false, fmt.Errorf("read position of partition %d: %w", p, err)
	}
	pos, err = decodePosition(value)
	if err := errors.Join(err, closer.Close()); err != nil {
		return Position{}, false, fmt.Errorf("read position of partition %d: %w", p, err)
	}
	return pos, true, nil
}

func encodePosition(dst []byte, pos Position) []byte {
	from := len(dst)
	return seal(appendPosition(append(dst, positionVersion), pos), from)
}

func decodePosition(value []byte) (Position, error) {
	body, err := unseal(value, positionVersion)
	if err != nil {
		return Position{}, err
	}
	d := decoder{rest: body}
	pos := d.position()
	return pos, d.end()
}

// appendPosition appends a position's body, which journal entries hold too.
func appendPosition(dst []byte, pos Position) []byte {
	var flags uint64
	if pos.Restoring {
		flags |= flagRestoring
	}
	dst = binary.AppendUvarint(dst, flags)
	dst = append(dst, pos.EventsTopic[:]...)
	dst = append(dst, pos.ChangelogTopic[:]...)
	dst = binary.AppendVarint(dst, int64(pos.Partitions))
	dst = binary.AppendVarint(dst, pos.Input)
	dst = binary.AppendVarint(dst, pos.Step)
	dst = binary.AppendVarint(dst, pos.Changelog)
	dst = binary.AppendVarint(dst, pos.Clock)
	return binary.AppendVarint(dst, pos.CaughtUp)
}

func (d *decoder) position() Position {
	var pos Position
	flags := d.uvarint()
	if d.err == nil && flags&^uint64(flagRestoring) != 0 {
		d.err = fmt.Errorf("a position has unknown flags %#x", flags)
	}
	pos.Restoring = flags&flagRestoring != 0
	copy(pos.EventsTopic[:], d.bytes(16))
	copy(pos.ChangelogTopic[:], d.bytes(16))
	partitions := d.varint()
	if d.err == nil && (partitions < math.MinInt32 || partitions > math.MaxInt32) {
		d.err = fmt.Errorf("a position has %d partitions", partitions)
	}
	pos.Partitions = int32(partitions)
	pos.Input, pos.Step, pos.Changelog = d.varint(), d.varint(), d.varint()
	pos.Clock, pos.CaughtUp = d.varint(), d.varint()
	return pos
}
