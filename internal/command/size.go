package command

import (
	"fmt"

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
