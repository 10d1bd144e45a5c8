// Package commandtest holds a program's settings against what the other programs know of them.
package commandtest

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stampede-rewards/stampede/internal/command"
)

var rewrite = flag.Bool("rewrite", false, "write what this program declares, as the other ones are to know it")

// OthersKnow wants the file that other programs read to have what a program declares. subcommands is what its main gives to command.Main. The test is of
// a package two directories below the module's root.
func OthersKnow(t *testing.T, program string, subcommands any) {
	t.Helper()
	file := fmt.Sprintf("../../internal/command/declared/%s.json", program)
	d, err := command.Declare(program, subcommands)
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
