package command

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/stampede-rewards/stampede/internal/spelling"
)

const (
	// configFlag and configVariable name the file.
	configFlag     = "config"
	configVariable = "STAMPEDE_CONFIG"
	// maxFileBytes bounds the file: the parser's time grows faster than its text.
	maxFileBytes = 256 << 10
	// permOthers are the rights of everybody on a machine.
	permOthers = 0o007
)

// File is the flag of the file that has settings.
type File struct {
	Config string `env:"STAMPEDE_CONFIG" placeholder:"FILE" help:"A YAML file with settings: the names of flags are its keys. A flag goes before a variable, a variable before the file."`
}

// written is a value in the file.
type written struct {
	line, column int
	text         string
	items        []string // of a list
	list         bool
	wrong        bool // it is none, and that is told
}

// file is what the file says. A key at the top is for every command that takes it; below a command's name it is for that command alone, and goes
// before.
type file struct {
	path     string
	top      map[string]written
	sections map[string]map[string]written
}

func (f *file) place(line, column int) string { return fmt.Sprintf("%s:%d:%d", f.path, line, column) }

// find is what the file says for a command.
func (f *file) find(section, key string) (written, bool) {
	if w, ok := f.sections[section][key]; ok {
		return w, true
	}
	w, ok := f.top[key]
	return w, ok
}

// fileReader reads a file and notes every mistake with its place.
type fileReader struct {
	catalog  catalog
	file     *file
	public   bool // everybody on this machine can read it
	mistakes mistakes
}

// readFile reads a file of settings. What it says is whole where there are no mistakes.
func readFile(path string, c catalog) (*file, mistakes) {
	r := &fileReader{catalog: c, file: &file{path: path, top: map[string]written{}, sections: map[string]map[string]written{}}}
	text, err := r.text()
	if err != nil {
		return r.file, mistakes{{text: fmt.Sprintf("--%s: %s", configFlag, err)}}
	}
	body, err := parseFile(text)
	switch e, syntax := errors.AsType[yaml.Error](err); {
	case syntax:
		line, column := 1, 1
		if t := e.GetToken(); t != nil {
			line, column = t.Position.Line, t.Position.Column
		}
		r.add(line, column, "this is no YAML: %s", e.GetMessage())
	case err != nil:
		r.add(1, 1, "%s", err)
	default:
		r.mapping(body, "", r.topKey)
	}
	return r.file, r.mistakes
}

func (r *fileReader) text() (string, error) {
	f, err := os.Open(r.file.path)
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // it was only read
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	r.public = info.Mode().Perm()&permOthers != 0
	text, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	switch {
	case err != nil:
		return "", err
	case len(text) > maxFileBytes:
		return "", fmt.Errorf("%s is larger than %d KiB: is it a file of settings?", r.file.path, maxFileBytes>>10)
	case !utf8.Valid(text):
		return "", fmt.Errorf("%s is not UTF-8", r.file.path)
	}
	return strings.ReplaceAll(strings.TrimPrefix(string(text), "\ufeff"), "\r\n", "\n"), nil
}

// parseFile is the file's only document; nil where it is empty, which says nothing and is right.
func parseFile(text string) (ast.Node, error) {
	f, err := parser.ParseBytes([]byte(text), 0, parser.AllowDuplicateMapKey()) // mapping tells them, with all other mistakes
	if err != nil {
		return nil, err
	}
	var body ast.Node
	for _, d := range f.Docs {
		switch {
		case d.Body == nil || d.Body.Type() == ast.CommentType:
		case body != nil:
			return nil, errors.New("the file has more than one document: write one")
		default:
			body = d.Body
		}
	}
	return body, nil
}

func (r *fileReader) add(line, column int, format string, args ...any) {
	r.mistakes = append(r.mistakes, mistake{line, column, r.file.place(line, column) + ": " + fmt.Sprintf(format, args...)})
}

func (r *fileReader) wrong(n ast.Node, format string, args ...any) {
	at := n.GetToken().Position
	r.add(at.Line, at.Column, format, args...)
}

// mapping goes through the keys of a mapping, each of which stands there once.
func (r *fileReader) mapping(n ast.Node, below string, each func(key ast.MapKeyNode, name string, value ast.Node)) {
	var pairs []*ast.MappingValueNode
	switch m := n.(type) {
	case nil:
		return
	case *ast.MappingNode:
		pairs = m.Values
	case *ast.MappingValueNode:
		pairs = []*ast.MappingValueNode{m}
	default:
		r.wrong(n, "write `key: value` lines here, for example `brokers: [kafka-1:9092]`")
		return
	}
	lines := map[string]int{}
	for _, pair := range pairs {
		name, line := pair.Key.GetToken().Value, pair.Key.GetToken().Position.Line
		switch _, plain := pair.Key.(ast.ScalarNode); {
		case !plain:
			r.wrong(pair.Key, "write a key, a colon and a value: nothing else is read")
		case lines[name] > 0:
			r.wrong(pair.Key, "`%s` stands here a second time, the first is in line %d: keep one of them", below+name, lines[name])
		default:
			lines[name] = line
			each(pair.Key, name, pair.Value)
		}
	}
}

// topKey reads a key that stands below none. A command can have the name of a setting: a mapping behind it is the command's.
func (r *fileReader) topKey(key ast.MapKeyNode, name string, value ast.Node) {
	_, isCommand := r.catalog.sections[name]
	settings := r.catalog.keys[name]
	switch value.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		if isCommand {
			r.section(name, value)
			return
		}
	case *ast.NullNode:
		if isCommand && len(settings) == 0 { // all that stands below it is commented out
			return
		}
	}
	switch {
	case len(settings) == 1:
		r.value(r.file.top, key, settings[0], value)
	case len(settings) > 1:
		r.wrong(key, "`%s` is one thing for `%s` and another for `%s`: write it below the command, for example `%[2]s: {%[1]s: ...}`",
			name, strings.Join(settings[0].Commands, "`, `"), strings.Join(settings[1].Commands, "`, `"))
	case isCommand:
		r.wrong(key, "`%s` is a command: write its settings below it, indented", name)
	default:
		r.wrong(key, "there is no setting `%s`%s", name, r.meant(name, slices.Concat(slices.Collect(maps.Keys(r.catalog.keys)), slices.Collect(maps.Keys(r.catalog.sections)))))
	}
}

// section reads what stands below a command.
func (r *fileReader) section(command string, value ast.Node) {
	r.file.sections[command] = map[string]written{}
	r.mapping(value, command+".", func(key ast.MapKeyNode, name string, value ast.Node) {
		for _, s := range r.catalog.keys[name] {
			if slices.Contains(s.Commands, command) {
				r.value(r.file.sections[command], key, s, value)
				return
			}
		}
		if others := r.catalog.keys[name]; len(others) > 0 {
			r.wrong(key, "`%s` takes no setting `%s`, `%s` does", command, name, strings.Join(others[0].Commands, "`, `"))
			return
		}
		r.wrong(key, "`%s` takes no setting `%s`%s", command, name, r.meant(name, slices.Collect(maps.Keys(r.catalog.sections[command]))))
	})
}

// meant says what to write instead of a key that there is not.
func (r *fileReader) meant(name string, known []string) string {
	slices.Sort(known)
	if near := spelling.Nearest(name, known); near != "" {
		return fmt.Sprintf(": did you mean `%s`?", near)
	}
	return ": a flag that has a variable is one (`--help` shows them), deploy/CONFIG.md lists all"
}

// value notes what a setting's key has. Whether it can be the setting's value is for the command that takes it to say.
func (r *fileReader) value(to map[string]written, key ast.MapKeyNode, s Setting, value ast.Node) {
	if s.Secret && r.public {
		r.wrong(key, "`%s` is a secret, and everybody on this machine may read or change this file: `chmod o= %s`, or `defaultMode: 0400` of a Kubernetes secret", s.Key, r.file.path)
	}
	at := value.GetToken().Position
	w := written{line: at.Line, column: at.Column}
	defer func() { to[s.Key] = w }()
	if list, ok := value.(*ast.SequenceNode); ok {
		w.list = true
		for _, item := range list.Values {
			text, ok := scalar(item)
			if !ok {
				w.wrong = true
				r.wrong(item, "an item of `%s` is no plain value", s.Key)
			}
			w.items = append(w.items, text)
		}
		return
	}
	var ok bool
	w.text, ok = scalar(value)
	w.wrong = !ok
	switch {
	case ok:
	case value.Type() == ast.NullType:
		r.wrong(key, "`%s` has no value: write one or leave the line out", s.Key)
	default:
		r.wrong(value, "`%s` is no plain value: write %s", s.Key, s.Value)
	}
}

// scalar is a value as it stands there: whether it is a number, a duration or a name is the setting's to say.
func scalar(n ast.Node) (string, bool) {
	switch v := n.(type) {
	case *ast.StringNode:
		return v.Value, true
	case *ast.LiteralNode:
		return v.Value.Value, true
	case *ast.BoolNode, *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	return "", false
}
