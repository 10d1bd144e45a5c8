package command

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"pgregory.net/rapid"
)

// tried is a program with a command that has a setting of each type.
type tried struct {
	File
	Work work `cmd:""`
	Rest rest `cmd:""`
}

type work struct {
	Name  string        `env:"STAMPEDE_TRIED_NAME" default:"n"`
	Every time.Duration `env:"STAMPEDE_TRIED_EVERY" default:"1s"`
	Room  Size          `env:"STAMPEDE_TRIED_ROOM" default:"1MiB"`
	Quick bool          `env:"STAMPEDE_TRIED_QUICK"`
	Hosts []string      `env:"STAMPEDE_TRIED_HOSTS" default:"a,b"`
	Count int           `env:"STAMPEDE_TRIED_COUNT" default:"1"`
}

type rest struct{}

func (*work) Run() error { return nil }
func (*rest) Run() error { return nil }

// Wherever a value is given, the flag goes before the variable, that before what the file has for the command, that before what it has for all, and
// that before the default.
func TestOrderOfSources(t *testing.T) {
	settings := []struct{ key, values string }{
		{"name", "a b: c #1,x,y,z"}, {"every", "2s,3s,4s,5s"}, {"room", "2MiB,3MiB,4MiB,5MiB"}, {"quick", "true,true,false,true"}, {"hosts", "c,d,e,f"}, {"count", "2,3,4,5"},
	}
	rapid.Check(t, func(rt *rapid.T) {
		var args []string
		var top, own strings.Builder
		want := work{Name: "n", Every: time.Second, Room: 1 << 20, Hosts: []string{"a", "b"}, Count: 1}
		for _, s := range settings {
			variable := "STAMPEDE_TRIED_" + strings.ToUpper(s.key)
			if err := os.Unsetenv(variable); err != nil {
				rt.Fatal(err)
			}
			values := strings.Split(s.values, ",")
			var given string
			if rapid.Bool().Draw(rt, s.key+" at the top") {
				fmt.Fprintf(&top, "%s: %s\n", s.key, quoted(values[0]))
				given = values[0]
			}
			if rapid.Bool().Draw(rt, s.key+" below the command") {
				fmt.Fprintf(&own, "  %s: %s\n", s.key, quoted(values[1]))
				given = values[1]
			}
			if rapid.Bool().Draw(rt, s.key+" in the environment") {
				t.Setenv(variable, values[2])
				given = values[2]
			}
			if rapid.Bool().Draw(rt, s.key+" typed") {
				args = append(args, "--"+s.key+"="+values[3])
				given = values[3]
			}
			if given != "" {
				expect(rt, &want, s.key, given)
			}
		}
		file := filepath.Join(t.TempDir(), "f.yaml")
		if err := os.WriteFile(file, []byte(top.String()+"work:\n"+own.String()), 0o600); err != nil {
			rt.Fatal(err)
		}
		var got tried
		if _, err := (program{"tried", "", &got}).parse(t.Context(), append([]string{"work", "--config", file}, args...)); err != nil {
			rt.Fatal(err)
		}
		if !reflect.DeepEqual(got.Work, want) {
			rt.Errorf("%q and\n%swork:\n%s\ngive %+v, wanted %+v", args, top.String(), own.String(), got.Work, want)
		}
	})
}

// expect sets what a text means.
func expect(t *rapid.T, w *work, key, text string) {
	var err error
	switch key {
	case "name":
		w.Name = text
	case "every":
		w.Every, err = time.ParseDuration(text)
	case "room":
		_, err = fmt.Sscanf(text, "%dMiB", &w.Room)
		w.Room <<= 20
	case "quick":
		w.Quick = text == "true"
	case "hosts":
		w.Hosts = []string{text}
	case "count":
		_, err = fmt.Sscan(text, &w.Count)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Whatever a value is, it is read as it was shown.
func TestShownIsRead(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		text := rapid.OneOf(rapid.StringN(1, 12, -1), rapid.SampledFrom([]string{"null", "~", "true", "...", "---", "-", "-a", "1_000", ".inf", "a:", "a: b", "#", "<<", "0x1f"}))
		texts := rapid.SliceOfN(text, 1, 3).Draw(rt, "texts")
		f, err := parser.ParseBytes([]byte("one: "+shownValue(reflect.ValueOf(texts[0]))+"\nall: "+shownValue(reflect.ValueOf(texts))+"  # from\n"), 0)
		if err != nil {
			rt.Fatal(err)
		}
		pairs := f.Docs[0].Body.(*ast.MappingNode).Values
		if got, ok := scalar(pairs[0].Value); !ok || got != texts[0] {
			rt.Errorf("%q was read as %q", texts[0], got)
		}
		for i, item := range pairs[1].Value.(*ast.SequenceNode).Values {
			if got, ok := scalar(item); !ok || got != texts[i] {
				rt.Errorf("%q was read as %q", texts[i], got)
			}
		}
	})
}

func TestSizeIsShownExactly(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		want := Size(rapid.Int64Range(0, 1<<20).Draw(rt, "n") << rapid.SampledFrom([]int{0, 10, 20, 30}).Draw(rt, "unit"))
		var got tried
		if _, err := (program{"tried", "", &got}).parse(t.Context(), []string{"work", "--room", want.String()}); err != nil {
			rt.Fatal(err)
		}
		if got.Work.Room != want {
			rt.Errorf("%d is shown as %s, which is %d", int64(want), want, int64(got.Work.Room))
		}
	})
}
