package main

import (
	"context"
	"fmt"

	"github.com/stampede-rewards/stampede/internal/command"
)

// ready asks a gateway of this machine whether it takes events.
type ready struct {
	Listen string `name:"admin-listen" env:"STAMPEDE_GATEWAY_ADMIN_LISTEN" default:"127.0.0.1:9181" placeholder:"HOST:PORT" help:"Where the gateway was told to serve /readyz beside its metrics (${default})."`
}

// Run is called by main.
func (r *ready) Run(ctx context.Context) error {
	said, err := command.AskReady(ctx, r.Listen)
	if err == nil {
		fmt.Println(said)
	}
	return err
}
