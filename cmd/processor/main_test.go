package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stampede-rewards/stampede/internal/kafka"
	"github.com/stampede-rewards/stampede/internal/stream"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"processor": main})
}

// patience bounds a wait of the transcripts; one that reaches it has failed.
const patience = 60 * time.Second

// TestTranscripts runs what a user would type, each file on a broker of its own: testdata/*.txtar.
func TestTranscripts(t *testing.T) {
	deploy, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"await":   await,
			"appears": appears,
			"produce": produce,
			"send":    send,
			"tell":    tell,
		},
		Setup: func(e *testscript.Env) error {
			e.Setenv("DEPLOY", deploy+"/../../deploy")
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
			e.Setenv("RECEIVER", receiver(e))
			listen, err := freeAddress()
			e.Setenv("LISTEN", listen)
			return err
		},
	})
}

// receiver is an endpoint that keeps what is posted to it, and answers with all of it.
func receiver(e *testscript.Env) string {
	var mu sync.Mutex
	var posted []byte
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the sender went away
		}
		mu.Lock()
		defer mu.Unlock()
		if posted = append(posted, body...); r.Method == http.MethodGet {
			w.Write(posted)
		}
	}))
	e.Defer(server.Close)
	return server.URL
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// produce USER FILE puts a file's text into the events, as whoever has a Kafka client can.
func produce(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: produce USER FILE")
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(ts.Getenv("STAMPEDE_BROKERS"), ",")...))
	ts.Check(err)
	defer cl.Close()
	ts.Check(cl.ProduceSync(context.Background(), &kgo.Record{Topic: "events", Key: []byte(args[0]), Value: []byte(ts.ReadFile(args[1]))}).FirstErr())
}

// send FILE writes the events of a file, a CloudEvent a line, under their subjects. NOW is the time.
func send(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: send FILE")
	}
	c := kafka.Connection{Brokers: strings.Split(ts.Getenv("STAMPEDE_BROKERS"), ",")}
	cl, err := c.Client(context.Background())
	ts.Check(err)
	defer cl.Close()
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		line = strings.ReplaceAll(line, "NOW", time.Now().UTC().Format(time.RFC3339))
		var event struct{ Subject string }
		ts.Check(json.Unmarshal([]byte(line), &event))
		ts.Check(cl.ProduceSync(context.Background(), &kgo.Record{Topic: "events", Key: []byte(event.Subject), Value: []byte(line)}).FirstErr())
	}
}

// appears PATTERN waits until there is a file.
func appears(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: appears PATTERN")
	}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		files, err := filepath.Glob(ts.MkAbs(args[0]))
		ts.Check(err)
		if len(files) > 0 {
			return
		}
	}
	ts.Fatalf("there is no %s", args[0])
}

// await URL FILE [PATTERN] waits until a URL answers 200, and with what matches, and writes the answer to a file.
func await(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 && len(args) != 3 {
		ts.Fatalf("usage: await URL FILE [PATTERN]")
	}
	pattern := regexp.MustCompile("")
	if len(args) == 3 {
		pattern = regexp.MustCompile("(?m)" + args[2])
	}
	last := ""
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		answer, err := http.Get(args[0])
		if err != nil {
			last = err.Error()
			continue
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err == nil && answer.StatusCode == http.StatusOK && pattern.Match(body) {
			ts.Check(os.WriteFile(ts.MkAbs(args[1]), body, 0o600))
			return
		}
		last = fmt.Sprint(answer.Status, " ", string(body), err)
	}
	ts.Fatalf("%s: %s", args[0], last)
}

// toldEvents counts the events of tell, whose ids they are.
var toldEvents atomic.Int64

// tell USER TYPE DATA writes an event that happens now, as any producer does.
func tell(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: tell USER TYPE DATA")
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(ts.Getenv("STAMPEDE_BROKERS")))
	ts.Check(err)
	defer cl.Close()
	value := fmt.Appendf(nil, `{"specversion":"1.0","id":"%d","source":"/tell","type":%q,"time":%q,"data":%s}`,
		toldEvents.Add(1), args[1], time.Now().UTC().Format(time.RFC3339Nano), args[2])
	ts.Check(cl.ProduceSync(context.Background(), &kgo.Record{Topic: "events", Key: []byte(args[0]), Value: value}).FirstErr())
}

// Whoever says nothing of --listen answers this machine only, also where the default port is taken.
func TestTheServerAnswersThisMachineOnly(t *testing.T) {
	for range 2 {
		s, err := newServer("", prometheus.NewRegistry(), func() stream.Status { return stream.Status{} })
		if err != nil {
			t.Fatal(err)
		}
		defer s.listener.Close()
		if host, _, err := net.SplitHostPort(s.address()); err != nil || !net.ParseIP(host).IsLoopback() {
			t.Errorf("it listens at %s, %v", s.address(), err)
		}
	}
}
