package endtoend

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stampede-rewards/stampede/internal/judge"
	"github.com/stampede-rewards/stampede/internal/kafka"
	"github.com/stampede-rewards/stampede/internal/kafka/kafkatest"
	"github.com/stampede-rewards/stampede/internal/workload"
	"github.com/stampede-rewards/stampede/pkg/state"
)

var seed = flag.Uint64("seed", 0, "of the moments at which processes are killed; 0 draws one")

const campaignsDir = "../../deploy/campaigns"

// drawSeed is the seed that was asked for, or one that nobody chose.
func drawSeed() uint64 {
	if *seed != 0 {
		return *seed
	}
	return rand.Uint64()
}

// moments draws what a test leaves to chance, and tells how to have the same again. Each test has a stream of its own.
func moments(t *testing.T, stream uint64) *rand.Rand {
	t.Helper()
	drawn := drawSeed()
	t.Logf("go test ./internal/endtoend -seed %d draws the same moments", drawn)
	return rand.New(rand.NewPCG(drawn, stream))
}

// installations counts them: each has topics and a group of its own.
var installations int

// installation is topics and a group.
type installation struct {
	judge.Case
	t    *testing.T
	args []string // of a processor, but for the brokers

	topicArgs []string // of every command
}

func newInstallation(t *testing.T, name string) *installation {
	t.Helper()
	return newInstallationOn(t, kafkatest.Shared(t), name)
}

func newInstallationOn(t *testing.T, broker *kafkatest.Broker, name string) *installation {
	t.Helper()
	return newInstallationOf(t, broker, name, 6)
}

func newInstallationOf(t *testing.T, broker *kafkatest.Broker, name string, partitions int32) *installation {
	t.Helper()
	installations++
	name = fmt.Sprintf("%s-%d", name, installations)
	in := &installation{t: t, Case: judge.Case{Connection: kafka.Connection{Brokers: broker.Addresses()}, Group: name}}
	cl, err := in.Connection.Client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	names := kafka.Topics{Events: name + "-events", Rewards: name + "-rewards", Changelog: name + "-changelog", DeadLetters: name + "-dead-letters", Campaigns: name + "-campaigns"}
	if in.Topics, err = kafka.EnsureTopics(t.Context(), cl, kafka.TopicsConfig{Names: names, Partitions: partitions}); err != nil {
		t.Fatal(err)
	}
	in.topicArgs = []string{
		"--events-topic", names.Events, "--rewards-topic", names.Rewards,
		"--changelog-topic", names.Changelog, "--dead-letters-topic", names.DeadLetters, "--campaigns-topic", names.Campaigns,
	}
	in.args = append([]string{"--group", in.Group, "--commit-interval", "20ms", "--checkpoint-interval", "500ms"}, in.topicArgs...)
	return in
}

// publish runs the publishing command on a directory of campaigns. Events that come before it are judged by none.
func (in *installation) publish(dir string) string {
	in.t.Helper()
	return in.command("publish", dir)
}

// command runs one that is not run, and returns what it says.
func (in *installation) command(words ...string) string {
	in.t.Helper()
	out, err := exec.Command(binary, slices.Concat(words, []string{"--brokers", in.brokers()}, in.topicArgs)...).CombinedOutput() //nolint:gosec // our own words
	if err != nil {
		in.t.Fatalf("%s: %v\n%s", strings.Join(words, " "), err, out)
	}
	return string(out)
}

func (in *installation) brokers() string { return strings.Join(in.Connection.Brokers, ",") }

func (in *installation) processor(name string) *processor { return in.processorBy(name, in.brokers()) }

// processorBy is one that reaches the broker by an address of its own.
func (in *installation) processorBy(name, brokers string) *processor {
	return newProcessor(in.t, name, slices.Concat(in.args, []string{"--instance", name, "--brokers", brokers})...)
}

// load produces events until end is called, which returns how many there were.
func (in *installation) load(users, rate int, count uint64) (sent func() uint64, end func() uint64) {
	in.t.Helper()
	return in.loadOf(users, rate, count, true)
}

// loadOf does so with what producers do wrong, or without.
func (in *installation) loadOf(users, rate int, count uint64, odd bool) (sent func() uint64, end func() uint64) {
	in.t.Helper()
	cl, err := in.Connection.Client(in.t.Context(), in.Topics.BatchBytes())
	if err != nil {
		in.t.Fatal(err)
	}
	p := &workload.Producer{
		Generator: workload.New(workload.Config{Seed: 1, Users: users, Odd: odd}), Client: cl, Topic: in.Topics.Events.Name, Rate: rate, Count: count,
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		defer cl.Close()
		done <- p.Run(ctx)
	}()
	in.t.Cleanup(stop)
	return p.Sent, func() uint64 {
		stop()
		if err := <-done; err != nil {
			in.t.Fatal(err)
		}
		return p.Sent()
	}
}

func (in *installation) processed() {
	in.t.Helper()
	eventually(in.t, "all events are processed", func() bool {
		remaining, err := in.Remaining(context.Background())
		return err == nil && remaining == 0
	})
}

// judged compares everything, with the stores of processors that have ended.
func (in *installation) judged(processors ...*processor) judge.Verdict {
	in.t.Helper()
	c := in.Case
	for _, p := range processors {
		store, err := state.Open(state.Config{Dir: p.dir, MemoryBytes: 16 << 20})
		if err != nil {
			in.t.Fatal(err)
		}
		defer store.Close()
		c.Stores = append(c.Stores, store)
	}
	v, err := judge.Judge(context.Background(), c)
	in.t.Logf("judged: %s", v)
	if err != nil {
		in.t.Error(err)
	}
	return v
}

// Three processes work, a fourth joins, one leaves in order, and one after the other is killed at random moments, while events
// keep coming and a reader watches the rewards.
func TestExactlyOnceWhateverIsKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute")
	}
	const (
		events = 200_000
		users  = 20_000
		kills  = 14
	)
	random := moments(t, 0)

	in := newInstallation(t, "killed")
	in.publish(campaignsDir)
	observer, err := in.Observe()
	if err != nil {
		t.Fatal(err)
	}
	all := []*processor{in.processor("a"), in.processor("b"), in.processor("c")}
	for _, p := range all {
		p.start()
	}
	working := all
	sent, end := in.load(users, 6000, 0)
	eventually(t, "all three have partitions", func() bool { return all[0].ready() && all[1].ready() && all[2].ready() })
	for kill := range kills {
		switch kill {
		case kills / 3:
			d := in.processor("d")
			d.start()
			all = append(all, d)
			working = append(working, d)
		case 2 * kills / 3:
			all[2].stop()
			working = []*processor{all[0], all[1], all[3]}
		}
		time.Sleep(time.Duration(random.IntN(2500)) * time.Millisecond)
		victim := working[random.IntN(len(working))]
		victim.kill()
		if random.IntN(3) == 0 {
			time.Sleep(time.Duration(random.IntN(3000)) * time.Millisecond)
		}
		victim.start()
	}
	eventually(t, "as many events as wanted", func() bool { return sent() >= events })
	total := end()
	in.processed()
	watched := observer.Count()
	for _, p := range working {
		p.stop()
	}
	v := in.judged(all...)
	if err := observer.Stop(); err != nil {
		t.Error(err)
	}
	t.Logf("%d events, %d kills; the reader saw %d of %d rewards while it went on", total, kills, watched, v.Rewards)
	if v.Events != int(total) || v.Uncommitted != 0 || v.InStores != 6 || v.Rewards < 1000 || v.DeadLetters < 100 { //nolint:gosec // small
		t.Errorf("too little happened to prove anything: %s", v)
	}
}

// A process that was killed has its ledgers in its store: it reads a small part of the changelog, or nothing of it.
func TestARestartAfterAKillDoesNotReadTheChangelog(t *testing.T) {
	if testing.Short() {
		t.Skip("needs Apache Kafka")
	}
	in := newInstallation(t, "restarted")
	in.publish(campaignsDir)
	p := in.processor("a")
	p.start()
	p.kill() // before it has said anything
	p.start()
	sent, end := in.load(5000, 0, 60_000)
	eventually(t, "the events are there", func() bool { return sent() == 60_000 })
	in.processed()
	end()
	ends, err := in.Connection.Ends(t.Context(), in.Topics.Changelog.Name)
	if err != nil {
		t.Fatal(err)
	}
	var changelog int64
	for _, n := range ends {
		changelog += n
	}
	for range 3 {
		_, end := in.load(5000, 5000, 0)
		time.Sleep(700 * time.Millisecond)
		p.kill()
		p.start()
		eventually(t, "the partitions are open", p.ready)
		read, replayed := p.metric("stampede_changelog_records_read_total"), p.metric("stampede_journal_entries_replayed_total")
		t.Logf("%.0f journal entries were replayed and %.0f of %d changelog records read", replayed, read, changelog)
		if read > float64(changelog)/20 {
			t.Errorf("%.0f of %d changelog records were read", read, changelog)
		}
		if replayed == 0 {
			t.Error("no journal entry was replayed: the kill came when nothing was at stake")
		}
		end()
	}
	in.processed()
	p.stop()
	in.judged(p)
}
