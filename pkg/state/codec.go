package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// Every value the store writes for itself is [version u8][body][CRC-32C of what precedes, u32 little endian].
// Whole numbers in a body are varints in their shortest form, so that every value has exactly one encoding.

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const crcBytes = 4

var errTorn = errors.New("it ends too early")

// seal appends the CRC of dst[from:].
func seal(dst []byte, from int) []byte {
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[from:], castagnoli))
}

// unseal checks a value's CRC and version and returns its body. A newer version is an error that is [ErrNewer].
func unseal(value []byte, version byte) ([]byte, error) {
	body, _, err := unsealAny(value, version, version)
	return body, err
}

// unsealAny does so for a value that may have one of several versions, and says which it has.
func unsealAny(value []byte, first, last byte) (body []byte, version byte, err error) {
	if len(value) < 1+crcBytes {
		return nil, 0, errTorn
	}
	body = value[:len(value)-crcBytes]
	if got, want := crc32.Checksum(body, castagnoli), binary.LittleEndian.Uint32(value[len(body):]); got != want {
		return nil, 0, fmt.Errorf("its checksum is %08x and should be %08x: the bytes were damaged", got, want)
	}
	switch version = body[0]; {
	case version > last:
		return nil, 0, fmt.Errorf("%w: record version %d, this program reads up to %d: run the newer program", ErrNewer, version, last)
	case version < first:
		return nil, 0, fmt.Errorf("it has record version %d, which never existed", version)
	}
	return body[1:], version, nil
}

// decoder takes a body apart. After the first mistake it keeps err and returns zeros.
type decoder struct {
	rest []byte
	err  error
}

func (d *decoder) uvarint() uint64 {
	if d.err != nil {
		return 0
	}
	v, n := binary.Uvarint(d.rest)
	switch {
	case n == 0:
		d.err = errTorn
	case n < 0:
		d.err = errors.New("a number has more than 64 bits")
	case n > 1 && d.rest[n-1] == 0:
		d.err = errors.New("a number is longer than it needs to be")
	}
	if d.err != nil {
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) varint() int64 {
	u := d.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

// bytes takes n bytes; they alias the value.
func (d *decoder) bytes(n uint64) []byte {
	if d.err == nil && n > uint64(len(d.rest)) {
		d.err = errTorn
	}
	if d.err != nil {
		return nil
	}
	b := d.rest[:n:n]
	d.rest = d.rest[n:]
	return b
}

// end returns the first mistake, bytes left over being one.
func (d *decoder) end() error {
	if d.err == nil && len(d.rest) > 0 {
		d.err = fmt.Errorf("%d bytes follow its end", len(d.rest))
	}
	return d.err
}
