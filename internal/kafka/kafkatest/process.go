package kafkatest

import (
	"cmp"
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// pom names the broker and its tools; Maven finds the jars that they need.
//
//go:embed pom.xml
var pom []byte

// logging sends the broker's log to its standard output, from warnings up.
//
//go:embed log4j2.yaml
var logging []byte

const (
	cacheVariable = "STAMPEDE_CACHE" // where downloads are kept; default .cache at the module's root
	heap          = "-Xmx512m"
)

// process is a broker as a Java process, with a controller inside or beside it.
type process struct {
	dir        string
	ports      []int // clients' own, and that of each address of Config.Advertise
	broker     *jvm
	controller *jvm // nil if it is inside
	killed     time.Time
}

// startProcess fetches the jars if they are not there, formats a directory and starts the broker in it.
func startProcess(cfg Config) (node, error) {
	for _, program := range []string{"java", "mvn"} {
		if _, err := exec.LookPath(program); err != nil {
			return nil, fmt.Errorf("%w: %w", errUnavailable, err)
		}
	}
	jars, err := fetchJars()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "stampede-kafka-")
	if err != nil {
		return nil, err
	}
	p := &process{dir: dir}
	if err := p.begin(cfg, jars); err != nil {
		return nil, errors.Join(err, p.stop())
	}
	return p, nil
}

// begin starts the broker and, if it is wanted, a controller of its own.
func (p *process) begin(cfg Config, jars string) error {
	ports, err := freePorts(2 + len(cfg.Advertise))
	if err != nil {
		return err
	}
	quorum := local(ports[0])
	p.ports = ports[1:]
	listeners := []string{"PLAINTEXT://" + local(p.ports[0])}
	told := slices.Clone(listeners)
	for i, address := range cfg.Advertise {
		address = cmp.Or(address, local(p.ports[1+i]))
		listeners = append(listeners, advertised(i)+"://"+local(p.ports[1+i]))
		told = append(told, advertised(i)+"://"+address)
	}
	settings := properties(cfg, map[string]string{
		"listeners":                strings.Join(append(listeners, "CONTROLLER://"+quorum), ","),
		"advertised.listeners":     strings.Join(told, ","),
		"controller.quorum.voters": "1@" + quorum,
	})
	if cfg.Controller {
		of := maps.Clone(settings)
		maps.Copy(of, map[string]string{"process.roles": "controller", "node.id": "2", "listeners": "CONTROLLER://" + quorum, "controller.quorum.voters": "2@" + quorum})
		delete(of, "advertised.listeners")
		delete(of, "inter.broker.listener.name")
		if p.controller, err = newJVM(p.dir, "controller", jars, of); err != nil {
			return err
		}
		if err := p.controller.start(); err != nil {
			return err
		}
		maps.Copy(settings, map[string]string{"process.roles": "broker", "listeners": strings.Join(listeners, ","), "controller.quorum.voters": "2@" + quorum})
	}
	if p.broker, err = newJVM(p.dir, "broker", jars, settings); err != nil {
		return err
	}
	return p.broker.start()
}

// jvm is one Java process. It keeps its directory over its lives.
type jvm struct {
	dir, jars string
	running   *exec.Cmd // nil when it is killed
	ended     chan error
}

// newJVM writes the settings of a process and formats its directory.
func newJVM(dir, name, jars string, settings map[string]string) (*jvm, error) {
	j := &jvm{dir: filepath.Join(dir, name), jars: jars}
	settings["log.dirs"] = filepath.Join(j.dir, "log")
	var lines strings.Builder
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&lines, "%s=%s\n", name, settings[name])
	}
	if err := errors.Join(
		os.Mkdir(j.dir, 0o700),
		os.WriteFile(j.properties(), []byte(lines.String()), 0o600),
		os.WriteFile(j.logging(), logging, 0o600)); err != nil {
		return nil, err
	}
	out, err := j.java("kafka.tools.StorageTool", "format", "-t", clusterID, "-c", j.properties()).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("format: %w\n%s", err, out)
	}
	return j, nil
}

// clusterID is any: 16 bytes in base64.
const clusterID = "c3RhbXBlZGUtdGVzdHMhIQ"

func (j *jvm) properties() string { return filepath.Join(j.dir, "server.properties") }
func (j *jvm) logging() string    { return filepath.Join(j.dir, "log4j2.yaml") }
func (j *jvm) logFile() string    { return filepath.Join(j.dir, "kafka.log") }

func (j *jvm) java(class string, args ...string) *exec.Cmd {
	return exec.Command("java", append([]string{heap, "-Dlog4j2.configurationFile=" + j.logging(), //nolint:gosec // our own words
		"-cp", filepath.Join(j.jars, "*"), class}, args...)...)
}

func (j *jvm) start() error {
	logFile, err := os.OpenFile(j.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer logFile.Close() //nolint:errcheck // the child has its own
	cmd := j.java("kafka.Kafka", j.properties())
	cmd.Stdout, cmd.Stderr = logFile, logFile
	if j.ended, err = StartChild(cmd); err != nil {
		return fmt.Errorf("start java: %w", err)
	}
	j.running = cmd
	return nil
}

func (j *jvm) kill() {
	if j == nil || j.running == nil {
		return
	}
	if err := j.running.Process.Kill(); err == nil || errors.Is(err, os.ErrProcessDone) {
		<-j.ended //nolint:errcheck // it was killed
	}
	j.running = nil
}

// StartChild starts a command that the kernel kills when the test ends, however that ends. The channel gives what became of it, once.
func StartChild(cmd *exec.Cmd) (ended chan error, err error) {
	dieWithParent(cmd)
	started := make(chan error)
	ended = make(chan error, 1)
	go func() {
		// The kernel ends the child when the thread that started it does, so this one must not be given back.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			ended <- cmd.Wait()
		}
	}()
	return ended, <-started
}

func (p *process) addresses() []string { return []string{local(p.ports[0])} }

func (p *process) listeners() []string {
	var addresses []string
	for _, port := range p.ports[1:] {
		addresses = append(addresses, local(port))
	}
	return addresses
}

func local(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

func (p *process) kill() error {
	p.broker.kill()
	p.killed = time.Now()
	return nil
}

// start waits until a controller of its own has given the broker up. One that comes back before is not let in, and works for a moment by what
// it was when it died: see [Config.Controller] for what becomes of transactions then.
func (p *process) start() error {
	if p.controller != nil {
		time.Sleep(time.Until(p.killed.Add(brokerSession + time.Second)))
	}
	return p.broker.start()
}

func (p *process) pause() error { return p.broker.running.Process.Signal(syscall.SIGSTOP) }

func (p *process) resume() error { return p.broker.running.Process.Signal(syscall.SIGCONT) }

func (p *process) stop() error {
	p.broker.kill()
	p.controller.kill()
	return os.RemoveAll(p.dir)
}

func (p *process) log() string { return tail(p.broker.logFile()) }

// fetchJars returns the directory of the broker's jars. Of several test processes one fetches and the others wait.
func fetchJars() (string, error) {
	cache := os.Getenv(cacheVariable)
	if cache == "" {
		root, err := moduleRoot()
		if err != nil {
			return "", err
		}
		cache = filepath.Join(root, ".cache")
	}
	wanted := sha256.Sum256(pom)
	jars := filepath.Join(cache, "kafka", fmt.Sprintf("%s-%x", Version, wanted[:4]))
	if err := os.MkdirAll(filepath.Dir(jars), 0o755); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(jars+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", err
	}
	defer lock.Close()                                                     //nolint:errcheck // nothing is written
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil { //nolint:gosec // a descriptor is an int
		return "", err
	}
	if _, err := os.Stat(jars); err == nil {
		return jars, nil
	}
	part := jars + ".part"
	if err := errors.Join(os.RemoveAll(part), os.MkdirAll(part, 0o755)); err != nil {
		return "", err
	}
	project := filepath.Join(part, "pom.xml")
	if err := os.WriteFile(project, pom, 0o600); err != nil {
		return "", err
	}
	out, err := exec.Command("mvn", "-q", "-B", "-f", project, "-Dkafka.version="+Version, "dependency:copy-dependencies", "-DoutputDirectory="+part).CombinedOutput() //nolint:gosec // our own words
	if err != nil {
		return "", fmt.Errorf("fetch Kafka's jars with Maven: %w\n%s", err, out)
	}
	return jars, os.Rename(part, jars)
}

func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("no go.mod above the working directory: run the tests inside the module, or set " + cacheVariable)
		}
		dir = filepath.Dir(dir)
	}
}

// Ports are drawn from those that no operating system gives to whoever asks for any: one of these would be given to somebody else before the broker has
// it, as connections are made all the time by tests that run beside.
const (
	firstPort = 20_000
	lastPort  = 32_000
	portTries = 1000
)

// freePorts are some that nobody listens at.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range portTries {
		port := firstPort + rand.IntN(lastPort-firstPort) //nolint:gosec // no secret
		l, err := net.Listen("tcp", local(port))
		if err != nil {
			continue // somebody does
		}
		defer l.Close() //nolint:errcheck // nothing was accepted
		if ports = append(ports, port); len(ports) == n {
			return ports, nil
		}
	}
	return nil, fmt.Errorf("no %d ports are free from %d to %d", n, firstPort, lastPort)
}
