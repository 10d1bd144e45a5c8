package command

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// Show is the subcommand that prints what another one would work by. Main runs it: it parses the other's command line, as the other would.
type Show struct {
	Args []string `arg:"" optional:"" passthrough:"" name:"command" placeholder:"COMMAND" help:"A command with its flags, as it would be typed (default: ${of})."`
}

// asked returns the command line that is to be shown, and whether that was asked for.
func asked(args []string, trace func([]string) (*kong.Context, error)) (shown []string, is bool, err error) {
	traced, err := trace(args)
	if err != nil {
		return nil, false, err
	}
	for _, path := range traced.Path {
		if path.Command == nil || path.Command.Target.Type() != reflect.TypeFor[Show]() {
			continue
		}
		rest := path.Remainder()
		before := args[:len(args)-len(rest)-1]
		if len(rest) > 0 && (rest[0] == "--help" || rest[0] == "-h") {
			return slices.Concat([]string{"--help"}, before, []string{path.Command.Name}), false, nil
		}
		shown = slices.Concat(before, rest)
		if traced, err = trace(shown); err == nil && traced.Selected() == nil {
			shown = slices.Concat(before, []string{path.Command.Tag.Vars["of"]}, rest)
		}
		return shown, true, err
	}
	return args, false, nil
}

// show writes the settings of a command as the file would have them, each with where it is from. Secrets are not shown, and what has no value can't
// be written: they are comments, so that the rest is a file that says the same.
func (p parsed) show(w io.Writer) error {
	var top, own strings.Builder
	for _, flag := range p.Flags() {
		if _, ok := p.settings.variables[flag.Value]; !ok || flag.Name == configFlag {
			continue
		}
		if all := p.settings.catalog.keys[flag.Name]; len(all) == 1 && len(all[0].Commands) > 1 {
			p.line(&top, "", flag)
		} else {
			p.line(&own, "  ", flag)
		}
	}
	if own.Len() > 0 {
		fmt.Fprintf(&top, "%s:\n%s", sectionOf(p.Selected()), own.String())
	}
	_, err := io.WriteString(w, top.String())
	return err
}

// line writes one setting.
func (p parsed) line(to *strings.Builder, indent string, flag *kong.Flag) {
	from := "default"
	switch {
	case typed(p.Context, flag):
		from = "--" + flag.Name
	case p.settings.from[flag.Value] != "":
		from = p.settings.from[flag.Value]
	}
	switch value := shownValue(flag.Target); {
	case !conditionOf(flag).holds(p.Flags()):
		fmt.Fprintf(to, "%s# %s: of no use with the others  # %s\n", indent, flag.Name, from)
	case value == "":
		fmt.Fprintf(to, "%s# %s: %s  # not set\n", indent, flag.Name, flag.FormatPlaceHolder())
	case flag.Tag.Has(secretTag) || hasPassword(flag.Target):
		fmt.Fprintf(to, "%s# %s: a secret  # %s\n", indent, flag.Name, from)
	default:
		fmt.Fprintf(to, "%s%s: %s  # %s\n", indent, flag.Name, value, from)
	}
}

// shownValue is a value in YAML; empty where there is none.
func shownValue(v reflect.Value) string {
	if v.Kind() != reflect.Slice {
		return quoted(fmt.Sprint(v.Interface()))
	}
	items := make([]string, v.Len())
	for i := range items {
		items[i] = quoted(fmt.Sprint(v.Index(i).Interface()))
	}
	if len(items) == 0 {
		return ""
	}
	return "[" + strings.Join(items, ", ") + "]"
}

// unquoted is what YAML reads as it stands there, within brackets too; but for its words for nothing.
var unquoted = regexp.MustCompile(`^[\w/][\w/.+-]*(:[\w/.+-]+)*$|^-?[0-9]+$`)

// quoted is a text in YAML: a string of JSON is one of YAML, too.
func quoted(text string) string {
	if text == "" || unquoted.MatchString(text) && !strings.EqualFold(text, "null") {
		return text
	}
	s, err := json.Marshal(text)
	if err != nil {
		panic(err) // a string always has a form in JSON
	}
	return string(s)
}

// hasPassword says that a text is an address with a password in it.
func hasPassword(v reflect.Value) bool {
	if v.Kind() != reflect.String {
		return false
	}
	u, err := url.Parse(v.String())
	if err != nil || u.User == nil {
		return false
	}
	_, has := u.User.Password()
	return has
}
