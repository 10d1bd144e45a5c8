package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/stampede-rewards/stampede/internal/kafka"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"producer": main})
}

// TestTranscripts runs what a user would type, each file on a broker of its own: testdata/*.txtar.
func TestTranscripts(t *testing.T) {
	deploy, err := filepath.Abs("../../deploy")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			e.Setenv("DEPLOY", deploy)
			broker, err := kafka.StartEmbedded(kafka.EmbeddedConfig{})
			if err != nil {
				return err
			}
			e.Defer(func() {
				if err := broker.Close(); err != nil {
					t.Error(err)
				}
			})
			e.Setenv("STAMPEDE_BROKERS", strings.Join(broker.Brokers(), ","))
			return nil
		},
	})
}
