package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stampede-rewards/stampede/internal/stream"
)

// /readyz is true only when all that is assigned is processed, and says what is not; /healthz says only that the process lives.
func TestReadyOnlyWhenAllPartitionsAreOpen(t *testing.T) {
	status := stream.Status{}
	s, err := newServer("127.0.0.1:0", prometheus.NewRegistry(), func() stream.Status { return status })
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.run(ctx) }()
	get := func(path string) (code int, text string) {
		r, err := http.Get("http://" + s.address() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return r.StatusCode, string(body)
	}
	for _, c := range []struct {
		status stream.Status
		code   int
		text   string
	}{
		{stream.Status{}, 503, "0 of 0 assigned partitions are processed\n"},
		{stream.Status{Assigned: 3}, 503, "0 of 3 assigned partitions are processed\n"},
		{stream.Status{Assigned: 3, Open: 2}, 503, "2 of 3 assigned partitions are processed\n"},
		{stream.Status{Assigned: 3, Open: 2, Refused: []error{errors.New("partition 1 is refused: it is")}}, 503, "2 of 3 assigned partitions are processed\npartition 1 is refused: it is\n"},
		{stream.Status{Assigned: 3, Open: 3}, 200, "3 of 3 assigned partitions are processed\n"},
	} {
		status = c.status
		if code, text := get("/readyz"); code != c.code || text != c.text {
			t.Errorf("%+v is told as %d, %q", c.status, code, text)
		}
		if code, text := get("/healthz"); code != http.StatusOK || text != "alive\n" {
			t.Errorf("%+v: /healthz is %d, %q", c.status, code, text)
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
