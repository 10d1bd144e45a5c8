package endtoend

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/stampede-rewards/stampede/internal/kafka/kafkatest"
)

var (
	minutes = flag.Float64("minutes", 2, "how long TestChaos lets things go wrong; from 8 on every kind of fault must have happened")
	kills   = flag.Int("kills", 0, "TestChaos kills so many processes instead, with -zombies and one or two of each other fault; -minutes is not looked at")
	zombies = flag.Int("zombies", 0, "see -kills")
	only    = flag.String("only", "", "the one kind of fault that TestChaos has, for whoever looks for a mistake")
	rate    = flag.Int("rate", 1000, "events a second in TestChaos")
)

const (
	// sessionTimeout is the processor's: how long a process that is not heard of keeps its partitions.
	sessionTimeout = 10 * time.Second
	// promised is what a recovery may take on a machine that has nothing else to do. Here it is counted and fails nothing: the load, the
	// broker and four processes share the machine with whatever else runs on it.
	promised = 5 * time.Second
	// stuck is when a recovery is not slow any more: something waits for what never comes.
	stuck = time.Minute
	// longForm is from how many minutes on every kind of fault must have happened.
	longForm = 8
	// smallDiskBytes holds a store of this test some ten times.
	smallDiskBytes = 128 << 20
)

// chaos is four processes on a broker of their own, each behind a network of its own, one of them on a small disk.
type chaos struct {
	*installation
	random *rand.Rand
	broker *kafkatest.Broker
	all    []*processor
	links  map[*processor]*link
	small  *processor // nil where there is no small disk
	disk   *smallDisk
	begun  time.Time

	dir     string // of campaigns, one of which is published again and again
	version int

	happened   map[string]int
	recoveries map[string][]time.Duration
}

// fault is a kind of thing that goes wrong. Whatever it is, the test puts it right again and waits until the lag is gone.
type fault struct {
	name string
	// first says that the short form has it, too.
	first bool
	// share is how many of it there are for one of the others.
	share int
	do    func(c *chaos, victim *processor)
}

var faults = []fault{
	{"kill -9", true, 5, (*chaos).killOne},
	{"SIGSTOP", true, 2, (*chaos).stopOne},
	{"broker killed", true, 1, (*chaos).killBroker},
	{"network cut", true, 1, (*chaos).cut},
	{"disk full", true, 1, (*chaos).fillDisk},
	{"network slow", false, 1, (*chaos).slow},
	{"requests held", false, 1, (*chaos).holdRequests},
	{"answers held", false, 1, (*chaos).holdAnswers},
	{"all held", false, 1, (*chaos).holdAll},
	{"SIGTERM", false, 1, (*chaos).terminate},
	{"rolling restart", false, 1, (*chaos).roll},
	{"disk lost", false, 1, (*chaos).loseDisk},
	{"broker stopped", false, 1, (*chaos).stopBroker},
}

// Four processes work on a real Kafka while a steady load goes on, and one thing after the other goes wrong: see faults. After each the lag
// must go away again, no process may have ended that was not ended, and in the end everything is judged.
func TestChaos(t *testing.T) {
	if testing.Short() {
		t.Skip("takes minutes")
	}
	drawn := drawSeed()
	t.Logf("make chaos SEED=%d draws the same faults", drawn)
	c := newChaos(t, drawn)
	observer, err := c.Observe()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range c.all {
		p.start()
	}
	c.settled()
	_, end := c.load(20_000, *rate, 0)

	for f := range c.schedule() {
		victim := c.all[c.random.IntN(len(c.all))]
		c.happened[f.name]++
		f.do(c, victim)
		c.nobodyEnded()
		if c.random.IntN(4) > 0 { // else the next thing goes wrong while the group still moves partitions
			c.settled()
			c.sleep(0, time.Second)
		}
	}

	total := end()
	c.processed()
	lasted := time.Since(c.begun)
	for _, p := range c.all {
		p.stop()
	}
	v := c.judged(c.all...)
	eventually(t, fmt.Sprintf("the reader has seen %d rewards", v.Rewards), func() bool { return observer.Count() >= v.Rewards })
	seen := observer.Count()
	if err := observer.Stop(); err != nil {
		t.Error(err)
	}
	if v.Events != int(total) || v.Uncommitted != 0 || v.InStores != len(v.Committed) || v.Rewards != seen || v.Rewards < 1000 || v.DeadLetters < 20 { //nolint:gosec // small
		t.Errorf("something is missing, or too little happened to prove anything: %d events were sent, %d rewards seen; %s", total, seen, v)
	}
	c.covered()
	verdict := "exactly once"
	if t.Failed() {
		verdict = "FAILED"
	}
	t.Logf("recoveries:\n%s", c.table())
	t.Logf("chaos: seed %d, %.1f minutes, %d events, %d rewards, the reader saw %d, %d dead letters, %d versions published, %s: %s",
		drawn, lasted.Minutes(), v.Events, v.Rewards, seen, v.DeadLetters, c.version, c.counts(), verdict)
}

func newChaos(t *testing.T, drawn uint64) *chaos {
	t.Helper()
	names := []string{"a", "b", "c", "d"}
	links := make([]*link, len(names))
	addresses := make([]string, len(names))
	for i := range names {
		links[i] = newLink(t)
		addresses[i] = links[i].address()
	}
	broker := kafkatest.Start(t, kafkatest.Config{Advertise: addresses, Controller: true})
	if !broker.Ours() {
		t.Skip("SKIPPED: the broker that was given is not this test's to kill, and no process would be behind a network of its own")
	}
	c := &chaos{
		installation: newInstallationOn(t, broker, "chaos"),
		random:       rand.New(rand.NewPCG(drawn, 2)),
		broker:       broker,
		links:        map[*processor]*link{},
		dir:          t.TempDir(),
		happened:     map[string]int{},
		recoveries:   map[string][]time.Duration{},
		begun:        time.Now(),
	}
	for i, name := range names {
		links[i].lead(broker.Listener(i))
		p := c.processorBy(name, addresses[i])
		p.args = append(p.args, "--memory", "32MiB")
		c.links[p] = links[i]
		c.all = append(c.all, p)
	}
	disk, err := newSmallDisk(t, smallDiskBytes)
	switch {
	case err == nil:
		c.disk, c.small = disk, c.all[len(c.all)-1]
		c.small.dir = filepath.Join(disk.dir, "store")
	case os.Getenv("STAMPEDE_TEST_REQUIRE_KAFKA") == "1":
		t.Fatalf("no small disk to fill, and CI must have one: %v", err)
	default:
		t.Logf("SKIPPED: no disk becomes full in this run: %v", err)
	}
	if broker.Kind() != "java" {
		t.Logf("SKIPPED: no broker is killed in this run: one by %s has its controller inside, see kafkatest.Config", broker.Kind())
	}
	if err := os.CopyFS(c.dir, os.DirFS(campaignsDir)); err != nil {
		t.Fatal(err)
	}
	c.publishNext()
	return c
}

// can says whether a fault is possible here. What is not was told at the beginning.
func (c *chaos) can(f fault) bool {
	switch f.name {
	case "disk full":
		return c.disk != nil
	case "broker killed":
		return c.broker.Kind() == "java"
	}
	return true
}

// schedule deals the faults like cards: what a form must have comes first, in any order, and then one deck after the other until the time is
// over. With -kills and -zombies it is one deck of so many.
func (c *chaos) schedule() func(yield func(fault) bool) {
	deck := func(wanted func(fault) int) []fault {
		var cards []fault
		for _, f := range faults {
			if !c.can(f) || *only != "" && f.name != *only {
				continue
			}
			for range wanted(f) {
				cards = append(cards, f)
			}
		}
		c.random.Shuffle(len(cards), func(i, j int) { cards[i], cards[j] = cards[j], cards[i] })
		return cards
	}
	if *kills > 0 || *zombies > 0 {
		return slices.Values(deck(func(f fault) int {
			switch f.name {
			case "kill -9":
				return *kills
			case "SIGSTOP":
				return *zombies
			default:
				return 2
			}
		}))
	}
	return func(yield func(fault) bool) {
		until := c.begun.Add(time.Duration(*minutes * float64(time.Minute)))
		for _, f := range deck(func(f fault) int {
			if f.first {
				return 1
			}
			return 0
		}) {
			if !yield(f) {
				return
			}
		}
		for {
			for _, f := range deck(func(f fault) int { return f.share }) {
				if time.Now().After(until) || !yield(f) {
					return
				}
			}
		}
	}
}

// The faults.

func (c *chaos) killOne(victim *processor) {
	victim.kill()
	pause := time.Duration(0)
	switch c.random.IntN(10) {
	case 0: // until the others have its partitions
		pause = c.sleep(sessionTimeout, 3*time.Second)
	case 1, 2, 3:
		pause = c.sleep(0, 3*time.Second)
	}
	back := time.Now()
	victim.start()
	c.recovered("kill -9", back, "%s killed, back after %s", victim.name, pause.Round(time.Millisecond))
}

// stopOne makes a zombie: a process that the group gives up, and that knows nothing of it when it goes on.
func (c *chaos) stopOne(victim *processor) {
	c.settled()
	before := victim.metric("stampede_clients_discarded_total")
	victim.signal(syscall.SIGSTOP)
	timeout := time.Now().Add(sessionTimeout)
	c.sleep(sessionTimeout, 0)
	if c.random.IntN(2) == 0 { // it goes on in the middle of what the others do
		c.sleep(0, 2*time.Second)
		victim.signal(syscall.SIGCONT)
		c.recovered("SIGSTOP", timeout, "%s stopped, and went on when the others had just begun to take over", victim.name)
	} else {
		c.recovered("SIGSTOP", timeout, "%s stopped", victim.name)
		c.sleep(0, 2*time.Second)
		back := time.Now()
		victim.signal(syscall.SIGCONT)
		c.recovered("zombie's return", back, "%s went on", victim.name)
	}
	c.within(victim.name+" has thrown its client away", func() bool { return victim.metric("stampede_clients_discarded_total") > before })
}

func (c *chaos) terminate(victim *processor) {
	victim.stop()
	pause := c.sleep(0, 2*time.Second)
	back := time.Now()
	victim.start()
	c.recovered("SIGTERM", back, "%s ended in order, back after %s", victim.name, pause.Round(time.Millisecond))
}

func (c *chaos) roll(*processor) {
	var back time.Time
	for _, p := range c.all {
		p.stop()
		back = time.Now()
		p.start()
		c.within(p.name+" is ready again", p.ready)
	}
	c.recovered("rolling restart", back, "all ended in order, one after the other")
}

// fillDisk wants a process that can't write to end, and to say why: what it would go on with could not be right.
func (c *chaos) fillDisk(*processor) {
	c.settled()
	if err := c.disk.fill(); err != nil {
		c.t.Fatal(err)
	}
	full := time.Now()
	c.within(c.small.name+" ends on a full disk", func() bool { ended, _ := c.small.exit(); return ended })
	took := time.Since(full)
	_, err := c.small.exit()
	if _, said, _ := strings.Cut(c.small.said(), "\nprocessor: "); err == nil || !strings.Contains(said, "no space left on device") {
		c.t.Errorf("%s ended on a full disk and did not say why: %v: %s", c.small.name, err, said)
	}
	pause := c.sleep(0, 3*time.Second)
	if err := c.disk.free(); err != nil {
		c.t.Fatal(err)
	}
	back := time.Now()
	c.small.start()
	c.recovered("disk full", back, "%s's disk full, it ended after %s, back after %s", c.small.name, took.Round(time.Millisecond), pause.Round(time.Millisecond))
}

func (c *chaos) loseDisk(victim *processor) {
	victim.kill()
	if err := os.RemoveAll(victim.dir); err != nil {
		c.t.Fatal(err)
	}
	back := time.Now()
	victim.start()
	c.recovered("disk lost", back, "%s killed, back without its store", victim.name)
}

// killBroker kills a process, too, one time in three. It comes back after the broker: a process that finds no broker when it starts says
// so and ends, which is right and would only be in the way here.
func (c *chaos) killBroker(victim *processor) {
	c.broker.Kill(c.t)
	also := c.random.IntN(3) == 0
	if also {
		victim.kill()
	}
	pause := c.sleep(0, 4*time.Second)
	c.broker.Restart(c.t)
	back := time.Now()
	name := "broker killed"
	if also {
		name = "broker and a process killed"
		victim.start()
	}
	c.recovered("broker killed", back, "%s, back after %s", name, pause.Round(time.Millisecond))
}

func (c *chaos) stopBroker(*processor) {
	c.broker.Pause(c.t)
	pause := c.sleep(time.Second, 14*time.Second) // on both sides of the session's timeout
	c.broker.Resume(c.t)
	c.recovered("broker stopped", time.Now(), "broker stopped for %s", pause.Round(time.Millisecond))
}

func (c *chaos) cut(victim *processor) { c.badWeather("network cut", victim, weather{cut: true}) }

func (c *chaos) slow(victim *processor) {
	delay := time.Duration(50+c.random.IntN(500)) * time.Millisecond
	c.badWeather("network slow", victim, weather{delay: delay})
}

func (c *chaos) holdRequests(victim *processor) {
	c.badWeather("requests held", victim, weather{holdRequests: true})
}

func (c *chaos) holdAnswers(victim *processor) {
	c.badWeather("answers held", victim, weather{holdAnswers: true})
}

func (c *chaos) holdAll(victim *processor) {
	c.badWeather("all held", victim, weather{holdRequests: true, holdAnswers: true})
}

// badWeather is the network of one process, for less than the session's timeout or for more. What was held arrives in the end, or its
// connections are gone by then.
func (c *chaos) badWeather(name string, victim *processor, w weather) {
	l := c.links[victim]
	l.set(w)
	least := time.Duration(0)
	if c.random.IntN(2) == 0 {
		least = sessionTimeout
	}
	pause := c.sleep(least, 5*time.Second)
	if c.random.IntN(2) == 0 {
		l.reset()
	}
	back := time.Now()
	l.set(weather{})
	c.recovered(name, back, "%s for %s: %s", victim.name, pause.Round(time.Millisecond), describe(w))
}

func describe(w weather) string {
	switch {
	case w.cut:
		return "network cut"
	case w.delay > 0:
		return fmt.Sprintf("network slow by %s each way", w.delay)
	case w.holdRequests && w.holdAnswers:
		return "nothing passes"
	case w.holdRequests:
		return "requests do not arrive"
	default:
		return "answers do not arrive"
	}
}

// What they need.

// sleep waits for a time between least and least+spread, and returns how long that was.
func (c *chaos) sleep(least, spread time.Duration) time.Duration {
	d := least
	if spread > 0 {
		d += time.Duration(c.random.Int64N(int64(spread)))
	}
	time.Sleep(d)
	return d
}

// recovered waits until every process has reached the broker, what has come until now is processed in every partition, and no more waits than in
// a quarter of a second comes. What is noted is how long that was since an instant at which the fault was over. A process that has only just begun
// and has no partition yet is not missed by the others: the next fault would keep it from its first broker, and it would rightly end.
func (c *chaos) recovered(kind string, since time.Time, how string, args ...any) {
	c.t.Helper()
	var wanted map[int32]int64
	c.within("after "+fmt.Sprintf(how, args...)+": the lag is gone", func() bool {
		c.nobodyEnded()
		if slices.ContainsFunc(c.all, func(p *processor) bool { return !p.connected() }) {
			return false
		}
		ctx, cancel := context.WithTimeout(context.Background(), promised)
		defer cancel()
		committed, ends, err := c.Progress(ctx)
		if err != nil {
			return false
		}
		if wanted == nil {
			wanted = ends
		}
		waiting := int64(0)
		for n, end := range ends {
			if committed[n] < wanted[n] {
				return false
			}
			waiting += end - committed[n]
		}
		return waiting <= int64(*rate/4)
	})
	took := time.Since(since)
	c.recoveries[kind] = append(c.recoveries[kind], took)
	c.t.Logf("%6.1fs  %s; lag gone after %.1fs", time.Since(c.begun).Seconds(), fmt.Sprintf(how, args...), took.Seconds())
	if c.random.IntN(5) == 0 {
		c.publishNext()
	}
}

// settled waits until every process has partitions and processes them.
func (c *chaos) settled() {
	c.t.Helper()
	c.within("every process has partitions and processes them", func() bool {
		c.nobodyEnded()
		return !slices.ContainsFunc(c.all, func(p *processor) bool { return !p.ready() })
	})
}

// nobodyEnded wants every process to be there: each may wait, or throw its client away, but no fault lets one that has once reached the broker give
// up, save a full disk.
func (c *chaos) nobodyEnded() {
	c.t.Helper()
	for _, p := range c.all {
		if ended, err := p.exit(); ended {
			c.t.Fatalf("%s has ended by itself: %v", p.name, err)
		}
	}
}

// within waits for a condition until it is stuck.
func (c *chaos) within(what string, holds func() bool) {
	c.t.Helper()
	for deadline := time.Now().Add(stuck); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			for _, p := range c.all { // what each of them waits for goes to its log
				p.signal(syscall.SIGCONT)
				p.signal(syscall.SIGQUIT)
				<-p.ended
				p.cmd = nil
			}
			c.t.Fatalf("%s: not within %s, it is stuck; go test -artifacts keeps what the processes said and waited for", what, stuck)
		}
	}
}

// steps rewards every third event of a user.
const steps = `campaign: steps
version: %d
title: Version %[1]d
starts: 2000-01-01
lateness: 35 days
goal: {count: 3, of: [data.logged, birth.reported, page.viewed]}
repeat: always
reward: {kind: points}
`

// publishNext puts the example campaigns in force, and one more in its next version.
func (c *chaos) publishNext() {
	c.t.Helper()
	c.version++
	if err := os.WriteFile(filepath.Join(c.dir, "steps.yaml"), fmt.Appendf(nil, steps, c.version), 0o600); err != nil {
		c.t.Fatal(err)
	}
	c.publish(c.dir)
}

// covered wants every kind of fault that this form is to have.
func (c *chaos) covered() {
	c.t.Helper()
	if *only != "" {
		return
	}
	all := *minutes >= longForm || *kills > 0 || *zombies > 0
	for _, f := range faults {
		if c.happened[f.name] == 0 && (all || f.first) && c.can(f) {
			c.t.Errorf("%q never happened", f.name)
		}
	}
}

// counts says how often what went wrong.
func (c *chaos) counts() string {
	var counts []string
	for _, f := range faults {
		if n := c.happened[f.name]; n > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", n, f.name))
		}
	}
	return strings.Join(counts, ", ")
}

// table is how long it took until the lag was gone, by what had gone wrong.
func (c *chaos) table() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "after\tcount\tp50 s\tmax s\tover %s\n", promised)
	for _, kind := range slices.Sorted(maps.Keys(c.recoveries)) {
		took := slices.Sorted(slices.Values(c.recoveries[kind]))
		over := 0
		for _, d := range took {
			if d > promised {
				over++
			}
		}
		fmt.Fprintf(w, "%s\t%d\t%.1f\t%.1f\t%d\n", kind, len(took), took[len(took)/2].Seconds(), took[len(took)-1].Seconds(), over)
	}
	w.Flush()
	return b.String()
}
