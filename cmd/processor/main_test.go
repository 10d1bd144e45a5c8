package main

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"processor": main})
}

// TestTranscripts runs what a user would type: testdata/*.txtar.
func TestTranscripts(t *testing.T) {
	deploy, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			e.Setenv("DEPLOY", deploy+"/../../deploy")
			return nil
		},
	})
}
