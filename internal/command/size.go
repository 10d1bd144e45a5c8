package command

import (
	"fmt"
	"strconv"

	"github.com/alecthomas/kong"
	"github.com/docker/go-units"
)

// Size is a number of bytes, written like 256MiB.
type Size int64

// Decode is called by kong.
func (s *Size) Decode(ctx *kong.DecodeContext) error {
	var text string
	if err := ctx.Scan.PopValueInto("size", &text); err != nil {
		return err
	}
	n, err := units.RAMInBytes(text)
	*s = Size(n)
	if err != nil {
		return fmt.Errorf("%q is no size: write for example 256MiB", text)
	}
	return nil
}

// String is the size as Decode reads it, exactly.
func (s Size) String() string {
	for _, unit := range []struct {
		name  string
		bytes Size
	}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if s != 0 && s%unit.bytes == 0 {
			return strconv.FormatInt(int64(s/unit.bytes), 10) + unit.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}
