package stream_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stampede-rewards/stampede/internal/stream"
)

// A worker that starts does not wait for the client's metadata, which by default are asked for at most every 5 s, nor for anything
// else that is counted in seconds. The bound is ten times what is usual, and half of that wait.
func TestStartToFirstCommit(t *testing.T) {
	const bound = 2500 * time.Millisecond
	b := newRealBench(t)
	b.produce(1000)
	for _, start := range []string{"an empty store, a new group", "a restart", "another restart"} {
		began := time.Now()
		w := b.start(b.dir("a"))
		b.eventually("the first commit", func() bool { return w.Status().Events > 0 })
		took := time.Since(began)
		t.Logf("%s: %s to the first commit", start, took.Round(time.Millisecond))
		if took > bound {
			t.Errorf("%s: %s to the first commit, at most %s is wanted", start, took, bound)
		}
		b.processed()
		b.end(w)
		b.produce(100)
	}
	b.end(b.work("a"))
	b.judge(b.dir("a"))
}

// Who is asked to stop before any broker has answered stops, and that is no failure.
func TestAStopBeforeTheFirstAnswer(t *testing.T) {
	b := newBench(t)
	dialled := make(chan struct{}, 100)
	w := b.start(b.dir("a"), func(cfg *stream.Config) {
		cfg.Connection.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
			dialled <- struct{}{}
			<-ctx.Done()
			return nil, ctx.Err()
		}
	})
	<-dialled
	b.end(w)
}

// A request to join that the worker's own last client had sent arrives late, after the next one has joined. The group then knows the worker's
// name by a member that is nobody's. That is no other process: the worker goes on.
func TestAGhostOfOnesOwnIsNoOtherProcess(t *testing.T) {
	b := newRealBench(t)
	const name = "haunted"
	w := b.start(b.dir("a"), func(cfg *stream.Config) { cfg.Instance = name })
	for range 2 {
		b.produce(200)
		b.processed()
		discarded := w.metric("stampede_clients_discarded_total")
		b.rawMember(name).join()
		b.eventually("the worker has noticed", func() bool { return w.metric("stampede_clients_discarded_total") > discarded })
	}
	b.produce(200)
	b.processed()
	b.end(w)
	b.judge(b.dir("a"))
}

// Two processes are given one name by mistake. One of them ends and says so, instead of the two throwing each other out for ever;
// nothing is issued twice.
func TestTwoWorkersOfOneName(t *testing.T) {
	b := newRealBench(t)
	observer, err := b.judged().Observe()
	if err != nil {
		t.Fatal(err)
	}
	named := func(cfg *stream.Config) { cfg.Instance = "same" }
	b.produce(1000)
	first := b.start(b.dir("a"), named)
	b.eventually("the first works", func() bool { return first.Status().Events > 0 })
	second := b.start(b.dir("b"), named)
	var ended, other *worker
	var why error
	b.eventually("one has ended", func() bool {
		b.produce(50)
		select {
		case why = <-first.done:
			ended, other = first, second
		case why = <-second.done:
			ended, other = second, first
		default:
		}
		return ended != nil
	})
	close(ended.done)
	if why == nil || !strings.Contains(why.Error(), `two processors run with the same instance id "same"`) {
		t.Errorf("it ended with %v", why)
	}
	b.produce(500)
	b.processed()
	b.end(other)
	if err := ended.store.Close(); err != nil {
		t.Error(err)
	}
	b.judge(b.dir("a"), b.dir("b"))
	if err := observer.Stop(); err != nil {
		t.Error(err)
	}
}
