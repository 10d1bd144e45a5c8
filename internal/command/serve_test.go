package command

import (
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// serving serves a handler with a grace, and asks it once, until the handler has begun.
func serving(t *testing.T, grace time.Duration, handler func(http.ResponseWriter, *http.Request)) (end func() error, answer <-chan string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	begun := make(chan struct{})
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(begun)
		handler(w, r)
	})}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- Serve(ctx, server, listener, grace) }()
	told := make(chan string, 1)
	go func() {
		r, err := http.Get("http://" + listener.Addr().String())
		if err != nil {
			told <- "cut off"
			return
		}
		defer r.Body.Close()
		text, err := io.ReadAll(r.Body)
		if err != nil {
			text = []byte("cut off")
		}
		told <- string(text)
	}()
	<-begun
	return func() error {
		cancel()
		return <-served
	}, told
}

func TestServeWaitsForAnAnswerThatIsRunning(t *testing.T) {
	finish := make(chan struct{})
	end, answer := serving(t, time.Minute, func(w http.ResponseWriter, _ *http.Request) {
		<-finish
		_, _ = io.WriteString(w, "whole")
	})
	time.AfterFunc(50*time.Millisecond, func() { close(finish) })
	if err := end(); err != nil {
		t.Error(err)
	}
	if got := <-answer; got != "whole" {
		t.Errorf("the client was told %q", got)
	}
}

func TestServeCutsOffWhatOutlastsTheGrace(t *testing.T) {
	end, answer := serving(t, time.Millisecond, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	if err := end(); err != nil {
		t.Error(err)
	}
	select {
	case got := <-answer:
		if got != "cut off" {
			t.Errorf("the client was told %q", got)
		}
	case <-time.After(time.Minute):
		t.Error("the client is still connected")
	}
}

func TestServeTellsWhyItEnded(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	if err := Serve(t.Context(), &http.Server{}, listener, time.Minute); err == nil {
		t.Error("the listener is closed, and nothing was told")
	}
}
