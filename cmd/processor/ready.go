package main

import (
	"context"
	"fmt"

	"github.com/stampede-rewards/stampede/internal/command"
)

// ready asks a processor of this machine whether it works on all that it is assigned.
type ready struct {
	Listen string `env:"STAMPEDE_LISTEN" default:"127.0.0.1:9180" placeholder:"HOST:PORT" help:"Where the processor was told to listen (${default})."`
}

// Run is called by main.
func (r *ready) Run(ctx context.Context) error {
	said, err := command.AskReady(ctx, r.Listen)
	if err == nil {
		fmt.Println(said)
	}
	return err
}
