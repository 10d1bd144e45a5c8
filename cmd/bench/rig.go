package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stampede-rewards/stampede/internal/kafka"
)

const (
	defaultPartitions = 6
	// startTimeout bounds the wait for a process to say where it listens, caughtUpTimeout that for a backlog to be processed.
	startTimeout    = time.Minute
	caughtUpTimeout = 20 * time.Minute
	// look is how often what changes is looked at.
	look = 20 * time.Millisecond
	// profileFor is how much of a run a profile is of: the server ends answers that take 30 seconds.
	profileFor = 10 * time.Second
)

// build builds programs of a source as users have them, and this one, which is the broker, into a directory; without names all three.
func build(ctx context.Context, source, dir string, names ...string) error {
	if len(names) == 0 {
		names = []string{"processor", "producer", "bench"}
	}
	release := []string{"build", "-trimpath", "-buildvcs=auto", "-ldflags=-s -w"} // as deploy/package has it
	args := slices.Concat(release, []string{"-o", dir + string(filepath.Separator)})
	for _, name := range names {
		args = append(args, "github.com/stampede-rewards/stampede/cmd/"+name)
	}
	commands := [][]string{args}
	if slices.Contains(names, "processor") {
		commands = append(commands, slices.Concat(release, []string{"-tags", "atleastonce", "-o", filepath.Join(dir, atLeastOnce), "github.com/stampede-rewards/stampede/cmd/processor"}))
	}
	for _, args := range commands {
		cmd := exec.CommandContext(ctx, "go", args...) //nolint:gosec // our own words
		cmd.Dir, cmd.Stderr = source, os.Stderr
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("build %s: %w", strings.Join(names, ", "), err)
		}
	}
	return nil
}

// atLeastOnce is the processor without a journal and without transactions.
const atLeastOnce = "processor-atleastonce"

// rig is what a row works with.
type rig struct {
	programs, scratch string // directories
	small             int
	brokers           []string // of the real Kafka, if there is one
	profile           string   // where a profile goes; empty for a run that is measured
	sites             int
}

// site is an installation for one run: a broker with its topics, and a directory. Close takes it away.
type site struct {
	rig     *rig
	dir     string
	broker  *os.Process // nil where it is the real one
	address []string
	client  *kgo.Client
	prefix  string // of topics and the group
	job     job
}

// serveBroker is the broker in memory, as a process.
type serveBroker struct {
	Dir string `arg:""`
}

// Run is called by main. It ends with its standard input.
func (b serveBroker) Run() error {
	broker, err := kafka.StartEmbedded(kafka.EmbeddedConfig{Dir: b.Dir})
	if err != nil {
		return err
	}
	fmt.Println(strings.Join(broker.Brokers(), ","))
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	return broker.Close()
}

// site brings an installation up: a broker, or topics of their own on the real one, and the job's campaigns in force.
func (r *rig) site(ctx context.Context, j job, real bool) (_ *site, err error) {
	r.sites++
	if j.partitions == 0 {
		j.partitions = defaultPartitions
	}
	s := &site{rig: r, job: j, dir: filepath.Join(r.scratch, fmt.Sprint("site-", r.sites)), address: r.brokers}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return nil, err
	}
	if real {
		s.prefix = fmt.Sprintf("bench-%d-%d-", time.Now().Unix(), r.sites)
	} else if err := s.startBroker(ctx); err != nil {
		return nil, err
	}
	if s.client, err = (kafka.Connection{Brokers: s.address}).Client(ctx, kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), kgo.ProducerLinger(5*time.Millisecond)); err != nil {
		return nil, err
	}
	if err := j.writeCampaigns(s.campaigns()); err != nil {
		return nil, err
	}
	publish := exec.CommandContext(ctx, filepath.Join(r.programs, "processor"), append([]string{"publish", s.campaigns()}, s.topicFlags()...)...)
	if said, err := publish.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("publish: %w: %s", err, said)
	}
	return s, nil
}

func (s *site) campaigns() string { return filepath.Join(s.dir, "campaigns") }

func (s *site) startBroker(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, filepath.Join(s.rig.programs, "bench"), "broker", filepath.Join(s.dir, "broker"))
	cmd.Stderr = os.Stderr
	if _, err := cmd.StdinPipe(); err != nil { // it ends with this process, whatever happens
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	s.broker = cmd.Process
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return fmt.Errorf("the broker has not said where it listens: %w", err)
	}
	s.address = strings.Split(strings.TrimSpace(line), ",")
	return nil
}

// topicFlags are those of every command of the site.
func (s *site) topicFlags() []string {
	flags := []string{"--brokers", strings.Join(s.address, ","), "--partitions", fmt.Sprint(s.job.partitions)}
	for _, topic := range []string{"events", "rewards", "changelog", "dead-letters", "campaigns"} {
		flags = append(flags, "--"+topic+"-topic", s.prefix+topic)
	}
	return flags
}

// close takes the site away.
func (s *site) close() error {
	var errs []error
	if s.client != nil {
		if s.broker == nil {
			_, err := kadm.NewClient(s.client).DeleteTopics(context.Background(), s.prefix+"events", s.prefix+"rewards", s.prefix+"changelog", s.prefix+"dead-letters", s.prefix+"campaigns")
			errs = append(errs, err)
		}
		s.client.Close()
	}
	if s.broker != nil {
		errs = append(errs, s.broker.Kill())
		_, err := s.broker.Wait()
		errs = append(errs, err)
	}
	return errors.Join(append(errs, os.RemoveAll(s.dir))...)
}

// remaining is how many records of events the group has not committed.
func (s *site) remaining(ctx context.Context) (int64, error) {
	lags, err := kadm.NewClient(s.client).Lag(ctx, s.group())
	if err != nil {
		return 0, err
	}
	lag, known := lags[s.group()]
	if known && errors.Is(lag.Error(), kerr.GroupIDNotFound) {
		return 1, nil // nobody has joined yet, so everything remains
	}
	if !known || lag.Error() != nil {
		return 0, errors.Join(fmt.Errorf("the lag of group %s is not known", s.group()), lag.Error())
	}
	total := int64(0)
	for _, p := range lag.Lag[s.prefix+"events"] {
		if p.Lag < 0 {
			return 0, fmt.Errorf("the lag of events/%d is not known: %w", p.Partition, p.Err)
		}
		total += p.Lag
	}
	if len(lag.Lag[s.prefix+"events"]) == 0 {
		return 1, nil // nothing is committed yet, so everything remains
	}
	return total, nil
}

func (s *site) group() string { return s.prefix + "bench" }

// process is a program that works on a site.
type process struct {
	site    *site
	cmd     *exec.Cmd
	began   time.Time
	listen  string // where it listens
	admin   string // where it has its metrics
	log     *os.File
	profile chan error
}

// start starts a processor on a store.
func (s *site) start(ctx context.Context, store string, more ...string) (*process, error) {
	args := slices.Concat([]string{"run", "--state", filepath.Join(s.dir, store), "--group", s.group(), "--listen", "127.0.0.1:0"}, s.topicFlags(), more)
	p, err := s.launch(ctx, cmp.Or(s.job.processor, "processor"), nil, args...)
	if err != nil {
		return nil, err
	}
	p.admin = p.listen
	p.startProfile(ctx)
	return p, nil
}

// startGateway starts a gateway on one core.
func (s *site) startGateway(ctx context.Context, more ...string) (*process, error) {
	args := slices.Concat([]string{"serve", "--brokers", strings.Join(s.address, ","), "--events-topic", s.prefix + "events", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"}, more)
	p, err := s.launch(ctx, "producer", []string{"GOMAXPROCS=1"}, args...)
	if err != nil {
		return nil, err
	}
	p.startProfile(ctx)
	return p, nil
}

// launch starts a program and waits until its log says where it listens.
func (s *site) launch(ctx context.Context, program string, env []string, args ...string) (*process, error) {
	p := &process{site: s}
	var err error
	if p.log, err = os.CreateTemp(s.dir, "log-"); err != nil {
		return nil, err
	}
	p.cmd = exec.CommandContext(ctx, filepath.Join(s.rig.programs, program), append(args, "--log-format", "text")...)
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stderr = p.log
	p.began = time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	for deadline := p.began.Add(startTimeout); p.listen == ""; time.Sleep(look) {
		text, err := os.ReadFile(p.log.Name())
		if err != nil {
			return nil, err
		}
		said := string(text)
		p.listen, p.admin = wordAfter(said, " listen="), wordAfter(said, " admin=")
		if p.listen == "" && time.Now().After(deadline) {
			return nil, fmt.Errorf("%s has not said where it listens: %s", program, said)
		}
	}
	return p, nil
}

// wordAfter is the word that follows a text in a line that has ended; empty where there is none.
func wordAfter(said, text string) string {
	_, after, found := strings.Cut(said, text)
	line, _, ended := strings.Cut(after, "\n")
	if !found || !ended {
		return ""
	}
	word, _, _ := strings.Cut(line, " ")
	return word
}

// startProfile takes a profile of the program's first seconds, if one is wanted and the program can give it.
func (p *process) startProfile(ctx context.Context) {
	if p.site.rig.profile != "" {
		p.profile = make(chan error, 1)
		go func() { p.profile <- p.saveProfile(ctx) }()
	}
}

func (p *process) saveProfile(ctx context.Context) error {
	text, err := p.get(ctx, fmt.Sprintf("/debug/pprof/profile?seconds=%.0f", profileFor.Seconds()))
	if err != nil {
		return err
	}
	return os.WriteFile(p.site.rig.profile, text, 0o600)
}

// get asks the program's port for metrics.
func (p *process) get(ctx context.Context, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.admin+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, p.said())
	}
	defer answer.Body.Close() //nolint:errcheck // it was only read
	return io.ReadAll(answer.Body)
}

// awaitCaughtUp waits until nothing remains.
func (p *process) awaitCaughtUp(ctx context.Context) error {
	for deadline := time.Now().Add(caughtUpTimeout); ; time.Sleep(look) {
		remaining, err := p.site.remaining(ctx)
		if err != nil {
			return err
		}
		if remaining == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d records remain after %s: %s", remaining, caughtUpTimeout, p.said())
		}
	}
}

// awaitOpen waits until the processor works on all partitions.
func (p *process) awaitOpen(ctx context.Context) error {
	for deadline := time.Now().Add(caughtUpTimeout); ; time.Sleep(look) {
		m, err := p.metrics(ctx)
		if err != nil {
			return err
		}
		open := m["stampede_partitions_open"]
		if int(open) == p.site.job.partitions {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%.0f of %d partitions are open after %s: %s", open, p.site.job.partitions, caughtUpTimeout, p.said())
		}
	}
}

// said is the end of the processor's log.
func (p *process) said() string {
	text, err := os.ReadFile(p.log.Name())
	if err != nil {
		return err.Error()
	}
	const end = 4000
	return string(text[max(0, len(text)-end):])
}

// metrics are the processor's, by name, each the sum over its labels. One that has no label yet, because nothing was counted, is zero.
func (p *process) metrics(ctx context.Context) (map[string]float64, error) {
	return p.sums(ctx, func(series string) string {
		name, _, _ := strings.Cut(series, "{")
		return name
	})
}

// decisions are how often each was made, over all campaigns.
func (p *process) decisions(ctx context.Context) (map[string]float64, error) {
	return p.sums(ctx, func(series string) string {
		if !strings.HasPrefix(series, "stampede_decisions_total{") {
			return ""
		}
		_, after, _ := strings.Cut(series, `decision="`)
		decision, _, _ := strings.Cut(after, `"`)
		return decision
	})
}

// sums adds the processor's series up, each under the name that it is given.
func (p *process) sums(ctx context.Context, name func(series string) string) (map[string]float64, error) {
	text, err := p.get(ctx, "/metrics")
	if err != nil {
		return nil, err
	}
	sums := map[string]float64{}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "#") {
			continue
		}
		space := strings.LastIndexByte(line, ' ')
		v, err := strconv.ParseFloat(line[space+1:], 64)
		if err != nil {
			return nil, fmt.Errorf("metrics: %q: %w", line, err)
		}
		sums[name(line[:space])] += v
	}
	return sums, nil
}

// usage is what a process has used.
type usage struct {
	cpu         float64 // seconds
	allocations float64
	events      float64
	resident    float64 // bytes
}

func (p *process) usage(ctx context.Context) (usage, error) {
	m, err := p.metrics(ctx)
	u := usage{m["process_cpu_seconds_total"], m["go_memstats_mallocs_total"], m["stampede_events_total"], m["process_resident_memory_bytes"]}
	if err == nil && (u.cpu == 0 || u.resident == 0) {
		err = errors.New("this operating system does not tell what a process uses")
	}
	return u, err
}

// stop asks the processor to end, and waits.
func (p *process) stop() error { return p.end(syscall.SIGTERM) }

// kill is kill -9.
func (p *process) kill() error {
	if err := p.end(syscall.SIGKILL); err != nil && p.cmd.ProcessState == nil {
		return err
	}
	return nil
}

func (p *process) end(signal syscall.Signal) error {
	var errs []error
	if p.profile != nil {
		errs = append(errs, <-p.profile)
	}
	errs = append(errs, p.cmd.Process.Signal(signal), p.cmd.Wait(), p.log.Close())
	return errors.Join(errs...)
}

// thisMachine says where figures are from.
func thisMachine() string {
	model := runtime.GOARCH
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if _, name, found := strings.Cut(line, "model name\t: "); found {
				model = strings.TrimSpace(name)
				break
			}
		}
	}
	return fmt.Sprintf("%s, %d cores, %s/%s", model, runtime.NumCPU(), runtime.GOOS, runtime.GOARCH)
}
