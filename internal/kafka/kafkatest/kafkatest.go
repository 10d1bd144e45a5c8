package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Version is the release of Apache Kafka that is started.
const Version = "4.3.1"

const (
	brokersVariable = "STAMPEDE_TEST_BROKERS"
	requireVariable = "STAMPEDE_TEST_REQUIRE_KAFKA"
	wayVariable     = "STAMPEDE_TEST_KAFKA" // "docker" or "java": the only way that is tried

	// readyTimeout bounds the wait for a broker's first answer.
	readyTimeout = 90 * time.Second
	readyWait    = 100 * time.Millisecond
	// brokerSession is how long a controller takes a broker for alive that it does not hear of.
	brokerSession = 2 * time.Second
	// logTail is how much of a broker's log is shown when a test fails.
	logTail = 4 << 10
)

// Config says what a broker is to be like.
type Config struct {
	Properties map[string]string // server.properties, beside our own
	// Advertise gives the broker one more listener for each address, which tells its clients to come to that address: a test's own, from
	// where it leads them to [Broker.Listener]. So a proxy can stand between one client and the broker, and stays there. An empty address is the
	// listener's own: for one that asks its clients for more than the others do.
	Advertise []string
	// Controller gives the broker a controller of its own, which Kill does not touch, as in production. One inside it dies with it, and then
	// Kafka 4.3.1 can lose a transaction that is being committed: when the broker is back, its partitions have no leader for a moment, the
	// transaction's coordinator takes them for deleted and writes no markers, and nothing ends what is open there. In Docker there is none.
	Controller bool
}

// Broker is a running Kafka of one node.
type Broker struct {
	kind string
	node node
}

// node is a way to run a broker.
type node interface {
	addresses() []string
	listeners() []string // one for each address of Config.Advertise
	kill() error         // as by kill -9
	start() error        // again, on the same data and address
	pause() error        // as by SIGSTOP
	resume() error
	stop() error // for good, and nothing is left
	log() string
}

// errUnavailable means that a way does not work here; the next is tried.
var errUnavailable = errors.New("not available here")

// Start starts a broker for one test and ends it with the test.
func Start(tb testing.TB, cfg Config) *Broker {
	tb.Helper()
	b := begin(tb, cfg)
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Logf("the broker's log ends:\n%s", b.node.log())
		}
		if err := b.node.stop(); err != nil {
			tb.Errorf("stop Kafka: %v", err)
		}
	})
	return b
}

var (
	sharedMu sync.Mutex
	shared   *Broker
)

// Shared returns the broker of this test process. It is started at first use, and stopped by Main.
func Shared(tb testing.TB) *Broker {
	tb.Helper()
	sharedMu.Lock()
	defer sharedMu.Unlock()
	if shared == nil {
		shared = begin(tb, Config{})
	}
	return shared
}

// Main runs a package's tests, stops the shared broker and exits.
func Main(m *testing.M) { os.Exit(Run(m)) }

// Run does the same and returns what to exit with.
func Run(m *testing.M) int {
	code := m.Run()
	sharedMu.Lock()
	defer sharedMu.Unlock()
	if shared != nil {
		if err := shared.node.stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stop Kafka:", err)
			code = max(code, 1)
		}
	}
	return code
}

// begin takes the first way that works.
func begin(tb testing.TB, cfg Config) *Broker {
	tb.Helper()
	if brokers := os.Getenv(brokersVariable); brokers != "" {
		b := &Broker{"given", given(strings.Split(brokers, ","))}
		b.await(tb)
		return b
	}
	only := os.Getenv(wayVariable)
	if only != "" && only != "docker" && only != "java" {
		tb.Fatalf("%s is docker or java, not %q", wayVariable, only)
	}
	var reasons []error
	for _, way := range []struct {
		kind  string
		begin func(Config) (node, error)
	}{{"docker", startContainer}, {"java", startProcess}} {
		if only != "" && only != way.kind {
			continue
		}
		n, err := way.begin(cfg)
		switch {
		case errors.Is(err, errUnavailable):
			reasons = append(reasons, fmt.Errorf("%s: %w", way.kind, err))
			continue
		case err != nil:
			tb.Fatalf("start Kafka by %s: %v", way.kind, err)
		}
		b := &Broker{way.kind, n}
		b.await(tb)
		return b
	}
	message := fmt.Sprintf("no Apache Kafka here: install Docker, or Java 17 and Maven, or set %s=host:port (%v)", brokersVariable, errors.Join(reasons...))
	if os.Getenv(requireVariable) == "1" {
		tb.Fatal(message)
	}
	tb.Skip(message)
	return nil
}

// await waits until the broker answers a request: an open port is too early.
func (b *Broker) await(tb testing.TB) {
	tb.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addresses()...))
	if err != nil {
		tb.Fatal(err)
	}
	defer cl.Close()
	for deadline := time.Now().Add(readyTimeout); ; time.Sleep(readyWait) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		err := cl.Ping(ctx)
		cancel()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			tb.Fatalf("Kafka does not answer at %v: %v\n%s", b.Addresses(), err, b.node.log())
		}
	}
}

// Addresses are the broker's, host:port.
func (b *Broker) Addresses() []string { return b.node.addresses() }

// Listener is where the broker answers clients that were told to come to the i-th address of [Config.Advertise].
func (b *Broker) Listener(i int) string { return b.node.listeners()[i] }

// Ours says whether the broker is this test's to stop and to kill. One that was given is not, and has no further listeners.
func (b *Broker) Ours() bool { return b.kind != "given" }

// Kind says which way it was started: "given", "docker" or "java".
func (b *Broker) Kind() string { return b.kind }

// Kill ends the broker as kill -9 does. Restart brings it back. A broker that was given is not ours to kill: the test is skipped.
func (b *Broker) Kill(tb testing.TB) {
	tb.Helper()
	if !b.Ours() {
		tb.Skipf("the broker of %s is not this test's to kill", brokersVariable)
	}
	if err := b.node.kill(); err != nil {
		tb.Fatalf("kill Kafka: %v", err)
	}
}

// Restart starts a killed broker on its data and address, and returns when it answers.
func (b *Broker) Restart(tb testing.TB) {
	tb.Helper()
	if err := b.node.start(); err != nil {
		tb.Fatalf("restart Kafka: %v", err)
	}
	b.await(tb)
}

// Pause stops the broker as SIGSTOP does: its connections stay, and nothing answers. Resume lets it go on.
func (b *Broker) Pause(tb testing.TB) {
	tb.Helper()
	if err := b.node.pause(); err != nil {
		tb.Fatalf("pause Kafka: %v", err)
	}
}

// Resume ends a Pause, and returns when the broker answers.
func (b *Broker) Resume(tb testing.TB) {
	tb.Helper()
	if err := b.node.resume(); err != nil {
		tb.Fatalf("resume Kafka: %v", err)
	}
	b.await(tb)
}

// given is a broker that somebody else runs.
type given []string

func (g given) addresses() []string { return g }
func (g given) listeners() []string { return nil }
func (g given) kill() error         { return errors.New("not ours") }
func (g given) start() error        { return errors.New("not ours") }
func (g given) pause() error        { return errors.New("not ours") }
func (g given) resume() error       { return errors.New("not ours") }
func (g given) stop() error         { return nil }
func (g given) log() string         { return "" }

// properties are the settings of a broker of one node: small, quick to rebalance, and with transactions that don't wait for
// each other's markers longer than needed.
func properties(cfg Config, more map[string]string) map[string]string {
	p := map[string]string{
		"process.roles":                                               "broker,controller",
		"node.id":                                                     "1",
		"controller.listener.names":                                   "CONTROLLER",
		"inter.broker.listener.name":                                  "PLAINTEXT",
		"listener.security.protocol.map":                              "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,OUTSIDE:PLAINTEXT",
		"offsets.topic.replication.factor":                            "1",
		"offsets.topic.num.partitions":                                "4",
		"transaction.state.log.replication.factor":                    "1",
		"transaction.state.log.min.isr":                               "1",
		"transaction.state.log.num.partitions":                        "4",
		"share.coordinator.state.topic.replication.factor":            "1",
		"share.coordinator.state.topic.min.isr":                       "1",
		"group.initial.rebalance.delay.ms":                            "0",
		"group.min.session.timeout.ms":                                "1000",
		"broker.session.timeout.ms":                                   strconv.FormatInt(brokerSession.Milliseconds(), 10), // how long the controller refuses a killed broker's return
		"broker.heartbeat.interval.ms":                                "500",
		"auto.create.topics.enable":                                   "false",
		"add.partitions.to.txn.retry.backoff.ms":                      "2",
		"transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000", // how long a dead worker's may stay behind its timeout
		"default.replication.factor":                                  "1",
		"min.insync.replicas":                                         "1",
	}
	for i := range cfg.Advertise {
		p["listener.security.protocol.map"] += fmt.Sprintf(",%s:PLAINTEXT", advertised(i))
	}
	for _, settings := range []map[string]string{more, cfg.Properties} {
		maps.Copy(p, settings)
	}
	return p
}

// advertised names the listener of an address of Config.Advertise.
func advertised(i int) string { return fmt.Sprintf("ADVERTISED%d", i) }

func tail(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-logTail):])
}
