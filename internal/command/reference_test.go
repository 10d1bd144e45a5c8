package command

import (
	"flag"
	"fmt"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var rewrite = flag.Bool("rewrite", false, "write deploy/CONFIG.md as it should be")

func installation(t *testing.T) []Declared {
	t.Helper()
	all, err := Installation()
	if err != nil || len(all) != 2 {
		t.Fatalf("%d programs, %v", len(all), err)
	}
	return all
}

func TestReferenceIsWhatIsDeclared(t *testing.T) {
	const file = "../../deploy/CONFIG.md"
	got := reference(installation(t))
	if *rewrite {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s is old, `make reference` writes it anew (-want +got):\n%s", file, diff)
	}
}

// reference is every setting, those of several commands first.
func reference(all []Declared) string {
	const columns = "| key | variable | value | default | what |\n| --- | --- | --- | --- | --- |\n"
	var shared strings.Builder
	own := map[string]*strings.Builder{}
	var order []string
	known := newCatalog(all)
	told := map[string]bool{}
	for _, d := range all {
		for _, s := range d.Settings {
			if told[s.Variable] {
				continue
			}
			told[s.Variable] = true
			i := slices.IndexFunc(known.keys[s.Key], func(other Setting) bool { return other.Variable == s.Variable })
			commands := known.keys[s.Key][i].Commands
			if len(commands) > 1 {
				shared.WriteString(row(s))
				continue
			}
			name := d.Program + " " + commands[0]
			if own[name] == nil {
				own[name], order = &strings.Builder{}, append(order, name)
			}
			own[name].WriteString(row(s))
		}
	}
	var text strings.Builder
	text.WriteString(`# Every setting

Made from the declarations by ` + "`make reference`" + `. A setting is a flag (` + "`--key`" + `), a variable of the environment, and a key of the YAML file that
` + "`--config FILE`" + ` or ` + "`" + configVariable + "`" + ` names; ` + "[stampede.yaml](stampede.yaml)" + ` is an example. A flag goes before a variable, a variable before the file, the file before the
default. A variable that is empty is as one that is not set. ` + "`processor config`" + ` and ` + "`producer config`" + ` print what holds, and where it is from.

## Of several commands

At the top of the file for all that take them, or below a command's name for that one.

` + columns + shared.String())
	for _, name := range order {
		_, section, _ := strings.Cut(name, " ")
		fmt.Fprintf(&text, "\n## Of `%s`\n\nBelow `%s:` in the file, or at the top where the name means nothing else.\n\n%s%s", name, section, columns, own[name])
	}
	return text.String()
}

func row(s Setting) string {
	what := s.Help
	if s.Secret {
		what += " It is never shown."
	}
	defaults := s.Default
	switch {
	case s.Required:
		defaults = "must be given"
	case defaults != "":
		defaults = "`" + defaults + "`"
	}
	variables := strings.Join(append([]string{s.Variable}, s.Also...), "`, else `")
	return fmt.Sprintf("| `%s` | `%s` | `%s` | %s | %s |\n", s.Key, variables, s.Value, defaults, strings.ReplaceAll(what, "|", `\|`))
}

// A name in the file means one command, a variable one setting.
func TestNamesMeanOneThing(t *testing.T) {
	programs, keys := map[string]string{}, map[string]string{}
	for _, d := range installation(t) {
		for _, s := range d.Settings {
			if key, taken := keys[s.Variable]; taken && key != s.Key {
				t.Errorf("%s is the variable of `%s` and of `%s`", s.Variable, key, s.Key)
			}
			keys[s.Variable] = s.Key
			if !strings.HasPrefix(s.Variable, variablePrefix) || strings.HasPrefix(s.Variable, testPrefix) || serviceLink.MatchString(s.Variable) {
				t.Errorf("%s, of `%s`, is no name for a variable", s.Variable, s.Key)
			}
			for _, command := range s.Commands {
				if program, taken := programs[command]; taken && program != d.Program {
					t.Errorf("`%s` is a command of %s and of %s", command, program, d.Program)
				}
				programs[command] = d.Program
			}
		}
	}
}

func TestSecretsAreDeclaredAsSuch(t *testing.T) {
	secret := regexp.MustCompile(`password|secret|token|credential`)
	found := 0
	for _, d := range installation(t) {
		for _, s := range d.Settings {
			if secret.MatchString(s.Key) && !strings.HasSuffix(s.Key, "-file") {
				found++
				if !s.Secret {
					t.Errorf("%s has the key `%s` and not the tag `secret`", d.Program, s.Key)
				}
			}
		}
	}
	if found == 0 {
		t.Error("no secret is declared: has this test lost sight of them?")
	}
}

// Whoever is not told otherwise listens to this machine only. Without a default an address is chosen by the command: its own test is with it.
func TestDefaultsListenToThisMachineOnly(t *testing.T) {
	found := 0
	for _, d := range installation(t) {
		for _, s := range d.Settings {
			if !strings.HasSuffix(s.Key, "listen") {
				continue
			}
			found++
			host, _, err := net.SplitHostPort(s.Default)
			if s.Default != "" && (err != nil || !net.ParseIP(host).IsLoopback()) {
				t.Errorf("%s: `%s` is %s by default, which others reach", d.Program, s.Key, s.Default)
			}
		}
	}
	if found < 3 {
		t.Errorf("%d addresses to listen at: has this test lost sight of them?", found)
	}
}

// A transcript of each program loads the example with each of its commands that takes settings.
func TestTheExampleIsTriedWithEveryCommand(t *testing.T) {
	for _, d := range installation(t) {
		transcript, err := os.ReadFile("../../cmd/" + d.Program + "/testdata/config.txtar")
		if err != nil {
			t.Fatal(err)
		}
		for command := range newCatalog([]Declared{d}).sections {
			want := "exec " + d.Program + " config --config $DEPLOY/stampede.yaml " + command
			if !slices.ContainsFunc(strings.Split(string(transcript), "\n"), func(line string) bool { return line == want || strings.HasPrefix(line, want+" ") }) {
				t.Errorf("the transcript has no `%s`", want)
			}
		}
	}
}
