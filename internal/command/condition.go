package command

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

// ofTag says with which other flag of its command one is of use: `of:"spool"` where that is given, `of:"!report"` where it is not, `of:"to=parquet"`
// where it is that.
const ofTag = "of"

// condition is a tag's.
type condition struct {
	flag  string // without "--"; empty is no condition
	not   bool
	value string // empty is any
}

func conditionOf(flag *kong.Flag) condition {
	text := flag.Tag.Get(ofTag)
	name, value, _ := strings.Cut(strings.TrimPrefix(text, "!"), "=")
	return condition{name, strings.HasPrefix(text, "!"), value}
}

// holds says that a flag whose condition it is is of use.
func (c condition) holds(flags []*kong.Flag) bool {
	if c.flag == "" {
		return true
	}
	value := flagNamed(flags, c.flag).Target // Declare has seen that there is one
	switch {
	case c.value != "":
		return fmt.Sprint(value) == c.value
	case c.not:
		return value.IsZero()
	}
	return !value.IsZero()
}

// useless says that a flag was given and is of no use; empty where it is. What the environment and the file have may be for other calls, unless the
// flag that it goes with is an installation's, too.
func (s *settings) useless(c *kong.Context, flag *kong.Flag) string {
	need := conditionOf(flag)
	if need.holds(c.Flags()) || !s.given(c, flag) {
		return ""
	}
	_, isSetting := s.variables[flagNamed(c.Flags(), need.flag).Value]
	switch {
	case s.from[flag.Value] != "" && !isSetting:
		return ""
	case need.not:
		return fmt.Sprintf("--%s is of no use with --%s: leave one of them out", flag.Name, need.flag)
	case need.value != "":
		return fmt.Sprintf("--%s is for --%s %s: leave it out, or add that", flag.Name, need.flag, need.value)
	}
	return fmt.Sprintf("--%s is of no use without --%s: leave it out, or add --%[2]s", flag.Name, need.flag)
}

func flagNamed(flags []*kong.Flag, name string) *kong.Flag {
	for _, flag := range flags {
		if flag.Name == name {
			return flag
		}
	}
	return nil
}
