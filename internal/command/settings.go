package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// mistake is something wrong with what a command was given, in a line that says what to write instead.
type mistake struct {
	line, column int // in the file; 0 where it is not there
	text         string
}

// mistakes are all of them.
type mistakes []mistake

// Error returns them one a line, those in the file in its order.
func (m mistakes) Error() string {
	sorted := slices.SortedStableFunc(slices.Values(m), func(a, b mistake) int {
		return cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(a.column, b.column))
	})
	lines := make([]string, len(sorted))
	for i, one := range sorted {
		lines[i] = one.text
	}
	return strings.Join(lines, "\n")
}

// settings gives each flag its value: what was typed, else what its variable has, else what the file says, else the default. kong knows of no
// variables, so that there is one order and one way of telling what is wrong. It is kong's resolver.
type settings struct {
	catalog     catalog
	environment map[string]string
	file        *file
	variables   map[*kong.Value][]string // of the flags that have some: the first that is set holds
	from        map[*kong.Value]string   // where a value is from, right or wrong, that was not typed and is not the default
	foreign     []string                 // variables of the environment that are no settings
	mistakes    mistakes
	resolved    bool // every flag has its value, right or wrong
}

// parsed is a command line that was read, and the settings that it did not say.
type parsed struct {
	*kong.Context
	settings *settings
}

// program is what Main was given.
type program struct {
	name, description string
	subcommands       any
}

// grammar builds the parser anew: what parsed once keeps what it saw.
func (p program) grammar(ctx context.Context, options ...kong.Option) (*kong.Kong, error) {
	return kong.New(p.subcommands, append([]kong.Option{
		kong.Name(p.name),
		kong.Description(p.description),
		kong.UsageOnError(),
		kong.Vars{"version": p.name + " " + ThisBuild().String()},
		kong.BindTo(ctx, (*context.Context)(nil)),
	}, options...)...)
}

// trace looks at a command line and changes nothing. What is wrong with the line is told when it is parsed.
func (p program) trace(args []string) (*kong.Context, error) {
	k, err := p.grammar(context.Background())
	if err != nil {
		return nil, err
	}
	return kong.Trace(k, args)
}

// parse reads a command line. The error is mistakes; what kong itself finds wrong it tells, and ends the program.
func (p program) parse(ctx context.Context, args []string) (parsed, error) {
	traced, err := p.trace(args)
	if err != nil {
		return parsed{}, err
	}
	s, err := newSettings(p, typedFile(traced))
	if err != nil {
		return parsed{}, err
	}
	k, err := p.grammar(ctx, kong.Resolvers(s), kong.WithBeforeApply(s.end), kong.ValueFormatter(s.help))
	if err != nil {
		return parsed{}, err
	}
	s.takeVariables(k.Model.Node)
	kctx, err := k.Parse(args)
	if problem, ok := errors.AsType[*kong.ParseError](err); ok {
		kctx = problem.Context
	}
	if s.resolved && len(s.mistakes) == 0 { // kong tells the first of what the commands find wrong
		s.mistakes = s.impossible(kctx)
	}
	switch {
	case s.resolved && len(s.mistakes) > 0:
		return parsed{kctx, s}, s.mistakes
	case err != nil:
		k.FatalIfErrorf(err)
	}
	for _, name := range s.foreign {
		fmt.Fprintf(os.Stderr, "%s: warning: %s is in the environment and is no setting, deploy/CONFIG.md lists them\n", k.Model.Name, name)
	}
	return parsed{kctx, s}, nil
}

// typedFile is the file that a command line names; empty where it names none.
func typedFile(traced *kong.Context) (typed string) {
	for _, path := range traced.Path {
		if path.Flag != nil && path.Flag.Name == configFlag {
			typed = traced.Value(path).String()
		}
	}
	return typed
}

// newSettings reads the environment, and the file that was typed or is in the environment.
func newSettings(p program, typed string) (*settings, error) {
	own, err := Declare(p.name, p.subcommands)
	if err != nil {
		return nil, err
	}
	all, err := Installation()
	if err != nil {
		return nil, err
	}
	all = append(slices.DeleteFunc(all, func(d Declared) bool { return d.Program == p.name }), own)
	slices.SortFunc(all, func(a, b Declared) int { return cmp.Compare(a.Program, b.Program) })
	s := &settings{catalog: newCatalog(all), file: &file{}, variables: map[*kong.Value][]string{}, from: map[*kong.Value]string{}}
	s.environment, s.mistakes, s.foreign = readEnvironment(os.Environ(), s.catalog)
	if typed == "" {
		typed = s.environment[configVariable]
	}
	if typed != "" {
		var wrong mistakes
		s.file, wrong = readFile(typed, s.catalog)
		s.mistakes = append(s.mistakes, wrong...)
	}
	return s, nil
}

// takeVariables takes the variables out of kong's hands.
func (s *settings) takeVariables(n *kong.Node) {
	for _, flag := range n.Flags {
		if len(flag.Envs) > 0 {
			s.variables[flag.Value], flag.Tag.Envs = flag.Envs, nil
		}
	}
	for _, child := range n.Children {
		s.takeVariables(child)
	}
}

// help shows a flag's variable as kong would.
func (s *settings) help(v *kong.Value) string {
	variables, ok := s.variables[v]
	if !ok {
		return kong.DefaultHelpValueFormatter(v)
	}
	shown, tag := *v, *v.Tag
	tag.Envs, shown.Tag = variables, &tag
	return kong.DefaultHelpValueFormatter(&shown)
}

// Validate is called by kong.
func (*settings) Validate(*kong.Application) error { return nil }

// Resolve is called by kong for every flag of the command that was not typed. A value that is wrong is noted, so that all are told.
func (s *settings) Resolve(c *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	variables, ok := s.variables[flag.Value]
	if !ok {
		return nil, nil
	}
	isSet := func(variable string) bool { _, set := s.environment[variable]; return set }
	if i := slices.IndexFunc(variables, isSet); i >= 0 {
		variable := variables[i]
		text := s.environment[variable]
		s.from[flag.Value] = variable
		if why := wrongValue(flag, text); why != "" {
			s.mistakes = append(s.mistakes, mistake{text: variable + ": " + why})
			return nil, nil
		}
		return text, nil
	}
	if flag.Name == configFlag {
		return nil, nil
	}
	w, ok := s.file.find(sectionOf(c.Selected()), flag.Name)
	if !ok {
		return nil, nil
	}
	place := s.file.place(w.line, w.column)
	s.from[flag.Value] = place
	text, why := w.text, ""
	switch {
	case w.wrong: // that is told
		return nil, nil
	case w.list && !flag.IsSlice():
		why = "this is no list: write " + settingOf(flag).Value
	case w.list:
		text = kong.JoinEscaped(w.items, flag.Tag.Sep)
		fallthrough
	default:
		why = wrongValue(flag, text)
	}
	if why != "" {
		s.mistakes = append(s.mistakes, mistake{w.line, w.column, fmt.Sprintf("%s: `%s`: %s", place, flag.Name, why)})
		return nil, nil
	}
	return text, nil
}

// wrongValue says why a text can't be a flag's value; empty where it can.
func wrongValue(flag *kong.Flag, text string) string {
	target := reflect.New(flag.Target.Type()).Elem()
	err := flag.Mapper.Decode(&kong.DecodeContext{Value: flag.Value, Scan: kong.Scan().PushTyped(text, kong.FlagValueToken)}, target)
	switch {
	case err != nil && flag.HasDefault:
		return fmt.Sprintf("%s: write for example %s", err, flag.Default)
	case err != nil:
		return err.Error()
	}
	return wrongChoice(flag, target)
}

// wrongChoice says why a value is not among those that a flag can have.
func wrongChoice(flag *kong.Flag, value reflect.Value) string {
	if text := fmt.Sprint(value); flag.Enum != "" && !slices.Contains(flag.EnumSlice(), text) {
		return fmt.Sprintf("%q is not among %s", text, strings.Join(flag.EnumSlice(), ", "))
	}
	return ""
}

// end is called by kong when every flag has its value.
func (s *settings) end(c *kong.Context) error {
	if s.resolved {
		return nil
	}
	s.resolved = true
	for _, flag := range c.Flags() {
		variables, ok := s.variables[flag.Value]
		if ok && flag.Required && !s.given(c, flag) {
			s.mistakes = append(s.mistakes, mistake{text: fmt.Sprintf("--%s is missing: give --%[1]s %[2]s, or set %[3]s, or write `%[4]s: {%[1]s: %[2]s}` into the file of --%[5]s",
				flag.Name, flag.FormatPlaceHolder(), variables[0], sectionOf(c.Selected()), configFlag)})
		}
	}
	if len(s.mistakes) > 0 {
		return s.mistakes
	}
	return nil
}

// impossible is what does not go together, or can't be, in what a command was given.
func (s *settings) impossible(c *kong.Context) mistakes {
	var found mistakes
	add := func(text string) {
		for line := range strings.Lines(text) {
			m := mistake{text: s.withPlaces(c, strings.TrimRight(line, "\n"))}
			if !slices.Contains(found, m) { // embedded flags are asked by more than one
				found = append(found, m)
			}
		}
	}
	for _, flag := range c.Flags() {
		if why := wrongChoice(flag, flag.Target); why != "" {
			add(fmt.Sprintf("--%s: %s", flag.Name, why))
		}
		add(s.useless(c, flag))
	}
	for _, path := range c.Path {
		if n := path.Node(); n != nil {
			validate(n.Target, add)
		}
	}
	return found
}

// validate asks a struct of flags, and those that are embedded in it, what is wrong.
func validate(v reflect.Value, add func(string)) {
	if v.Kind() != reflect.Struct || !v.CanAddr() {
		return
	}
	if v.CanInterface() { // whoever embeds what is not exported asks it
		if flags, ok := reflect.TypeAssert[interface{ Validate() error }](v.Addr()); ok {
			if err := flags.Validate(); err != nil {
				add(err.Error())
			}
		}
	}
	for i := range v.NumField() {
		if field := v.Type().Field(i); field.Anonymous {
			validate(v.Field(i), add)
		}
	}
}

// given says that a flag has not its default.
func (s *settings) given(c *kong.Context, flag *kong.Flag) bool {
	return s.from[flag.Value] != "" || typed(c, flag)
}

// typed says that a flag was typed.
func typed(c *kong.Context, flag *kong.Flag) bool {
	return slices.ContainsFunc(c.Path, func(p *kong.Path) bool { return p.Flag == flag && !p.Resolved })
}

var flagName = regexp.MustCompile(`--([a-z][a-z0-9-]*)`)

// withPlaces adds to a message where the flags that it names got their values, if they were not typed.
func (s *settings) withPlaces(c *kong.Context, message string) string {
	var places []string
	for _, match := range flagName.FindAllStringSubmatch(message, -1) {
		for _, flag := range c.Flags() {
			place := "--" + flag.Name + " is from " + s.from[flag.Value]
			if flag.Name == match[1] && s.from[flag.Value] != "" && !slices.Contains(places, place) {
				places = append(places, place)
			}
		}
	}
	if len(places) == 0 {
		return message
	}
	return message + " (" + strings.Join(places, ", ") + ")"
}
