package endtoend

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stampede-rewards/stampede/internal/kafka/kafkatest"
)

// binary is the processor, producer the producer, built once.
var binary, producer string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "stampede-endtoend-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary = filepath.Join(dir, "processor")
	producer = filepath.Join(dir, "producer")
	build := exec.Command("go", "build", "-o", dir, "../../cmd/processor", "../../cmd/producer")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build the programs:", err)
		os.Exit(1)
	}
	code := kafkatest.Run(m)
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

// processor is one process. It keeps its name and its store over its lives.
type processor struct {
	t     *testing.T
	name  string
	dir   string
	words []string // the program and its subcommand; empty is `processor run` on the store
	args  []string
	log   *os.File
	cmd   *exec.Cmd
	ended chan error

	born    int    // where the newest life begins in the log, bytes
	address string // where the newest life listens, empty before it has said so
	reached bool   // the newest life has reached Kafka, as far as is known
}

func newProcessor(t *testing.T, name string, args ...string) *processor {
	t.Helper()
	p := &processor{t: t, name: name, dir: filepath.Join(t.TempDir(), name), args: args}
	var err error
	if p.log, err = os.Create(filepath.Join(t.ArtifactDir(), name+".log")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.cmd != nil {
			p.kill()
		}
		if t.Failed() {
			t.Logf("%s's log ends:\n%s", p.name, p.tail(8<<10))
		}
		p.log.Close()
	})
	return p
}

// start begins a life.
func (p *processor) start() {
	p.t.Helper()
	p.born, p.address, p.reached = len(p.tail(1<<30)), "", false
	words := p.words
	if words == nil {
		words = []string{binary, "run", "--state", p.dir, "--listen", "127.0.0.1:0", "--log-format", "text"}
	}
	p.cmd = exec.Command(words[0], slices.Concat(words[1:], p.args)...) //nolint:gosec // our own words
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	var err error
	if p.ended, err = kafkatest.StartChild(p.cmd); err != nil {
		p.t.Fatal(err)
	}
}

// exit says whether the process has ended, and how.
func (p *processor) exit() (ended bool, err error) {
	select {
	case err := <-p.ended:
		p.ended <- err // for whoever asks next
		return true, err
	default:
		return false, nil
	}
}

// kill is kill -9. A process that had ended by itself is a defect.
func (p *processor) kill() {
	if ended, err := p.exit(); ended {
		p.t.Errorf("%s has ended by itself: %v", p.name, err)
	} else if err := p.cmd.Process.Kill(); err != nil {
		p.t.Errorf("kill %s: %v", p.name, err)
	}
	<-p.ended
	p.cmd = nil
}

func (p *processor) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Errorf("send %s %s: %v", p.name, s, err)
	}
}

// stop ends a process in order. One that has only just begun is waited for: until it has asked for the signal, the signal ends it.
func (p *processor) stop() {
	p.t.Helper()
	eventually(p.t, p.name+" has begun", func() bool { return p.url("/") != "" })
	p.signal(syscall.SIGTERM)
	if err := <-p.ended; err != nil {
		p.t.Errorf("%s did not stop in order: %v", p.name, err)
	}
	p.cmd = nil
}

func (p *processor) tail(bytes int) string {
	log, err := os.ReadFile(p.log.Name())
	if err != nil {
		return err.Error()
	}
	return string(log[max(0, len(log)-bytes):])
}

// said is the log of the newest life.
func (p *processor) said() string { return p.tail(1 << 30)[p.born:] }

var listening = regexp.MustCompile(`listen=(127\.0\.0\.1:\d+)`)

// url is where the newest life serves a path; empty before it does. An earlier one may have been killed before it said where.
func (p *processor) url(path string) string {
	if p.address == "" {
		found := listening.FindStringSubmatch(p.said())
		if found == nil {
			return ""
		}
		p.address = found[1]
	}
	return "http://" + p.address + path
}

// asking gives up on a process that is stopped.
var asking = http.Client{Timeout: 5 * time.Second}

func (p *processor) get(path string) (code int, body string) {
	url := p.url(path)
	if url == "" {
		return 0, ""
	}
	answer, err := asking.Get(url) //nolint:noctx // a test's own process
	if err != nil {
		return 0, ""
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, ""
	}
	return answer.StatusCode, string(b)
}

// connected says whether the newest life has reached Kafka. Until then it gives up when no broker answers: somebody is to be told that the
// address is wrong.
func (p *processor) connected() bool {
	p.reached = p.reached || strings.Contains(p.said(), " msg=connected ")
	return p.reached
}

// ready says whether all that is assigned is processed.
func (p *processor) ready() bool {
	code, _ := p.get("/readyz")
	return code == http.StatusOK
}

// metric is a metric of the newest life, summed over its labels.
func (p *processor) metric(name string) float64 {
	_, body := p.get("/metrics")
	sum := 0.0
	for line := range strings.Lines(body) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest[0] != ' ' && rest[0] != '{' {
			continue
		}
		fields := strings.Fields(line)
		value, err := strconv.ParseFloat(fields[len(fields)-1], 64)
		if err != nil {
			p.t.Fatalf("%s: %v", line, err)
		}
		sum += value
	}
	return sum
}

// eventually waits for a condition. Nothing is expected to take a fraction of the bound.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	const patience = 3 * time.Minute
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s", what, patience)
		}
	}
}
