package main

import (
	"flag"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stampede-rewards/stampede/internal/command"
)

var rewrite = flag.Bool("rewrite", false, "write what this program declares, as the other one is to know it")

func TestTheOtherProgramKnowsOurSettings(t *testing.T) {
	const file = "../../internal/command/declared/processor.json"
	d, err := command.Declare("processor", &commands{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := d.JSON()
	if err != nil {
		t.Fatal(err)
	}
	if *rewrite {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s is old, `make reference` writes it anew (-want +got):\n%s", file, diff)
	}
}
