package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stampede-rewards/stampede/internal/kafka"
)

// gatewayProcess is a real process of `producer serve` with a spool, which can be killed.
type gatewayProcess struct {
	t      *testing.T
	binary string
	args   []string
	cmd    *exec.Cmd
	log    *os.File

	mu  sync.Mutex
	url string // empty while none listens
}

func (g *gatewayProcess) start() {
	g.t.Helper()
	g.cmd = exec.Command(g.binary, g.args...)
	before, err := os.ReadFile(g.log.Name())
	if err != nil {
		g.t.Fatal(err)
	}
	g.cmd.Stdout, g.cmd.Stderr = g.log, g.log
	if err := g.cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	listens := regexp.MustCompile(`"gateway starts".*"listen":"([^"]+)"`)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		text, err := os.ReadFile(g.log.Name())
		if err != nil {
			g.t.Fatal(err)
		}
		if m := listens.FindSubmatch(text[len(before):]); m != nil {
			g.mu.Lock()
			g.url = "http://" + string(m[1]) + "/v1/events"
			g.mu.Unlock()
			return
		}
		if time.Now().After(deadline) {
			g.t.Fatalf("the gateway does not start:\n%s", text)
		}
	}
}

// kill is kill -9.
func (g *gatewayProcess) kill() {
	g.mu.Lock()
	g.url = ""
	g.mu.Unlock()
	_ = g.cmd.Process.Kill() // it may have ended
	_ = g.cmd.Wait()
}

func (g *gatewayProcess) address() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.url
}

// freePort is one that nobody listens at.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// Users send events one after the other while Kafka is away and the gateway is killed again and again. Every event that was answered 202 reaches the
// topic, each user's in the order in which it was sent, and what is there twice is there under the same id.
func TestEveryAcceptedEventReachesTheTopic(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	dir := t.TempDir()
	binary := filepath.Join(dir, "producer")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	port := freePort(t)
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	g := &gatewayProcess{t: t, binary: binary, log: log, args: []string{
		"serve", "--brokers", fmt.Sprintf("127.0.0.1:%d", port), "--spool", filepath.Join(dir, "spool"), "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--log-format", "json",
	}}
	g.start()
	defer g.kill()

	ctx, stop := context.WithCancel(t.Context())
	const users = 8
	sent := make([][]string, users) // by user: the ids that were accepted
	var clients sync.WaitGroup
	for user := range users {
		clients.Go(func() {
			for n := 0; ctx.Err() == nil; {
				id := fmt.Sprintf("%d-%d", user, n)
				if !post(ctx, g.address(), user, id) {
					time.Sleep(5 * time.Millisecond)
					continue // the same event again, under the same id
				}
				sent[user] = append(sent[user], id)
				n++
			}
		})
	}
	life := func() { time.Sleep(100*time.Millisecond + rand.N(400*time.Millisecond)) }
	restart := func(times int) {
		for range times {
			life()
			g.kill()
			g.start()
		}
		life()
	}
	restart(4) // Kafka is away
	broker, err := kafka.StartEmbedded(kafka.EmbeddedConfig{Dir: filepath.Join(dir, "broker"), Port: port})
	if err != nil {
		t.Fatal(err)
	}
	restart(4) // Kafka is there
	stop()
	clients.Wait()
	total := 0
	for _, ids := range sent {
		total += len(ids)
	}
	if total < 100 {
		t.Errorf("only %d events were accepted", total)
	}
	t.Logf("%d events were accepted", total)

	cl, err := kgo.NewClient(kgo.SeedBrokers(broker.Brokers()...), kgo.ConsumeTopics("events"), kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	got := make([][]string, users)
	seen := map[string]bool{}
	deadline, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	all := func() bool {
		for user := range users {
			for _, id := range sent[user] {
				if !seen[id] {
					return false
				}
			}
		}
		return true
	}
	for !all() && deadline.Err() == nil {
		cl.PollFetches(deadline).EachRecord(func(r *kgo.Record) {
			var user int
			if _, err := fmt.Sscanf(string(r.Key), "user-%d", &user); err != nil {
				t.Error(err)
				return
			}
			_, rest, _ := strings.Cut(string(r.Value), `"id":"`)
			id, _, _ := strings.Cut(rest, `"`)
			if !seen[id] {
				got[user] = append(got[user], id)
			}
			seen[id] = true
		})
	}
	cl.Close()
	g.kill()
	if err := broker.Close(); err != nil {
		t.Error(err)
	}
	for user := range users {
		for n, id := range got[user] {
			if want := fmt.Sprintf("%d-%d", user, n); id != want {
				t.Fatalf("user %d: event %s is where %s should be", user, id, want)
			}
		}
		if len(got[user]) < len(sent[user]) {
			t.Errorf("user %d: %d events were accepted, %d are in the topic", user, len(sent[user]), len(got[user]))
		}
	}
}

// post sends one event, and says whether it was accepted.
func post(ctx context.Context, url string, user int, id string) bool {
	if url == "" {
		return false
	}
	body := fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"/test","type":"data.logged","subject":"user-%d","time":"2026-03-01T10:00:00Z"}`, id, user)
	r, err := http.NewRequestWithContext(context.WithoutCancel(ctx), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return false
	}
	r.Header.Set("Content-Type", "application/cloudevents+json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return false // it was killed
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode == http.StatusAccepted
}
