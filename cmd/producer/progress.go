package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"golang.org/x/term"
)

// onTerminal writes a line to stderr every second, each in the place of the one before, if stderr is a terminal.
func onTerminal(ctx context.Context, line func() string) (stop func()) {
	if !term.IsTerminal(int(os.Stderr.Fd())) { //nolint:gosec // a descriptor is an int
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-ctx.Done():
				fmt.Fprint(os.Stderr, "\r\033[K")
				return
			case <-time.After(time.Second):
				fmt.Fprint(os.Stderr, "\r\033[K", line())
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}
