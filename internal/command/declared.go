package command

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

// Setting is a flag that an installation sets, not a call: it has a variable, and so a key in the file. The flag's tags are its only declaration.
type Setting struct {
	Key      string   `json:"key"` // the flag's name
	Variable string   `json:"variable"`
	Also     []string `json:"also,omitempty"` // variables that are not ours, and are taken where ours is not set
	Value    string   `json:"value"`          // what can stand behind the key
	Default  string   `json:"default,omitempty"`
	Required bool     `json:"required,omitempty"`
	Secret   bool     `json:"secret,omitempty"`
	Help     string   `json:"help"`
	Commands []string `json:"commands"` // of the program, that take it
}

// Declared is what a program declares: its commands that take settings, and these in their order.
type Declared struct {
	Program  string    `json:"program"`
	Settings []Setting `json:"settings"`
}

// Declare reads a program's declaration: the struct that Main gets, too. A setting that several commands take is told in the words of the first.
//
// The error is a mistake in the declaration.
func Declare(name string, subcommands any) (Declared, error) {
	d := Declared{Program: name}
	k, err := kong.New(subcommands, kong.Name(name), kong.Vars{"version": name})
	if err != nil {
		return d, err
	}
	for _, leaf := range k.Model.Leaves(false) {
		flags := slices.Concat(leaf.AllFlags(false)...)
		for _, flag := range flags {
			if need := conditionOf(flag); need.flag != "" && flagNamed(flags, need.flag) == nil {
				return d, fmt.Errorf("%s: --%s is of use with --%s, which the command has not", leaf.Path(), flag.Name, need.flag)
			}
			if keyed(flag) {
				d.add(flag, sectionOf(leaf))
			}
		}
	}
	return d, nil
}

// add notes that a command takes a setting.
func (d *Declared) add(flag *kong.Flag, command string) {
	same := func(s Setting) bool { return s.Key == flag.Name && s.Variable == flag.Envs[0] }
	i := slices.IndexFunc(d.Settings, same)
	if i < 0 {
		i, d.Settings = len(d.Settings), append(d.Settings, settingOf(flag))
	}
	if s := &d.Settings[i]; !slices.Contains(s.Commands, command) {
		s.Commands = append(s.Commands, command)
	}
}

// keyed says that a flag has a key in the file. The program's own, --config, has none: a file can't name another.
func keyed(flag *kong.Flag) bool { return len(flag.Envs) > 0 && flag.Name != configFlag }

// secretTag marks the flags whose values are shown to nobody.
const secretTag = "secret"

func settingOf(flag *kong.Flag) Setting {
	value := flag.FormatPlaceHolder()
	switch kind := flag.Target.Kind(); {
	case flag.PlaceHolder != "":
	case flag.IsBool():
		value = "true or false"
	case flag.Enum != "":
		value = strings.ReplaceAll(flag.Enum, ",", " or ")
	case flag.Target.Type() == reflect.TypeFor[time.Duration]():
		value = "DURATION"
	case kind >= reflect.Int && kind <= reflect.Uint64:
		value = "N"
	}
	help, told := strings.CutSuffix(flag.Help, " ("+flag.Default+").") // the default has a place of its own
	if told {
		help += "."
	}
	return Setting{
		Key: flag.Name, Variable: flag.Envs[0], Also: flag.Envs[1:], Value: value, Default: flag.Default, Required: flag.Required, Secret: flag.Tag.Has(secretTag), Help: help,
	}
}

// sectionTag names the command whose settings another one takes, too: one that asks a program is told where it listens by what the program is told.
const sectionTag = "section"

// sectionOf is the name under which a command's own settings stand in the file: that of a command with subcommands is theirs.
func sectionOf(leaf *kong.Node) string {
	for leaf.Depth() > 0 {
		leaf = leaf.Parent
	}
	if other := leaf.Tag.Get(sectionTag); other != "" {
		return other
	}
	return leaf.Name
}

// files are what all programs declare: each must know the others' settings, since one file and one environment serve all of an installation.
// `make reference` writes them, and tests of the programs hold them.
//
//go:embed declared/*.json
var files embed.FS

// Installation is what all programs declare, in the order of their names.
func Installation() ([]Declared, error) {
	names, err := fs.Glob(files, "declared/*.json")
	if err != nil {
		return nil, err
	}
	var all []Declared
	for _, name := range names {
		text, err := files.ReadFile(name)
		if err != nil {
			return nil, err
		}
		var d Declared
		if err := json.Unmarshal(text, &d); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, d)
	}
	return all, nil
}

// JSON is a declaration as its file has it, a setting a line.
func (d Declared) JSON() ([]byte, error) {
	var text bytes.Buffer
	fmt.Fprintf(&text, "{\"program\": %q, \"settings\": [\n", d.Program)
	for i, s := range d.Settings {
		line, err := json.Marshal(s)
		if err != nil {
			return nil, err
		}
		text.Write(line)
		if i < len(d.Settings)-1 {
			text.WriteByte(',')
		}
		text.WriteByte('\n')
	}
	text.WriteString("]}\n")
	return text.Bytes(), nil
}

// catalog is the settings of all programs, for whoever looks one up.
type catalog struct {
	keys      map[string][]Setting           // by key; several where commands mean different things by it
	sections  map[string]map[string]struct{} // the keys of a command
	variables map[string]string              // the key of a variable
}

func newCatalog(all []Declared) catalog {
	c := catalog{keys: map[string][]Setting{}, sections: map[string]map[string]struct{}{}, variables: map[string]string{configVariable: configFlag}}
	for _, d := range all {
		for _, s := range d.Settings {
			for _, variable := range append([]string{s.Variable}, s.Also...) {
				c.variables[variable] = s.Key
			}
			for _, command := range s.Commands {
				if c.sections[command] == nil {
					c.sections[command] = map[string]struct{}{}
				}
				c.sections[command][s.Key] = struct{}{}
			}
			same := func(other Setting) bool { return other.Variable == s.Variable }
			if i := slices.IndexFunc(c.keys[s.Key], same); i >= 0 {
				other := &c.keys[s.Key][i]
				other.Commands = slices.Concat(other.Commands, s.Commands)
				continue
			}
			s.Commands = slices.Clone(s.Commands)
			c.keys[s.Key] = append(c.keys[s.Key], s)
		}
	}
	return c
}
