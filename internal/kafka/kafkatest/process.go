package kafkatest

import (
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
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

// process is a broker as a Java process.
type process struct {
	dir, jars string
	ports     []int // clients' own, and that of each address of Config.Advertise
	ended     chan error
	running   *exec.Cmd // nil when it is killed
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
	ports, err := freePorts(2 + len(cfg.Advertise))
	if err != nil {
		return nil, err
	}
	controller, ports := ports[0], ports[1:]
	p := &process{dir: dir, jars: jars, ports: ports}
	listeners := fmt.Sprintf("PLAINTEXT://127.0.0.1:%d,CONTROLLER://127.0.0.1:%d", ports[0], controller)
	told := fmt.Sprintf("PLAINTEXT://127.0.0.1:%d", ports[0])
	for i, address := range cfg.Advertise {
		listeners += fmt.Sprintf(",%s://127.0.0.1:%d", advertised(i), ports[1+i])
		told += fmt.Sprintf(",%s://%s", advertised(i), address)
	}
	settings := properties(cfg, map[string]string{
		"listeners":                listeners,
		"advertised.listeners":     told,
		"controller.quorum.voters": fmt.Sprintf("1@127.0.0.1:%d", controller),
		"log.dirs":                 filepath.Join(dir, "log"),
	})
	var lines strings.Builder
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&lines, "%s=%s\n", name, settings[name])
	}
	err = errors.Join(
		os.WriteFile(filepath.Join(dir, "server.properties"), []byte(lines.String()), 0o600),
		os.WriteFile(filepath.Join(dir, "log4j2.yaml"), logging, 0o600))
	if err == nil {
		err = p.format()
	}
	if err == nil {
		err = p.start()
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return p, nil
}

// clusterID is any: 16 bytes in base64.
const clusterID = "c3RhbXBlZGUtdGVzdHMhIQ"

func (p *process) java(class string, args ...string) *exec.Cmd {
	return exec.Command("java", append([]string{heap, "-Dlog4j2.configurationFile=" + filepath.Join(p.dir, "log4j2.yaml"), //nolint:gosec // our own words
		"-cp", filepath.Join(p.jars, "*"), class}, args...)...)
}

func (p *process) format() error {
	out, err := p.java("kafka.tools.StorageTool", "format", "-t", clusterID, "-c", filepath.Join(p.dir, "server.properties")).CombinedOutput()
	if err != nil {
		return fmt.Errorf("format: %w\n%s", err, out)
	}
	return nil
}

func (p *process) start() error {
	logFile, err := os.OpenFile(filepath.Join(p.dir, "kafka.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	cmd := p.java("kafka.Kafka", filepath.Join(p.dir, "server.properties"))
	cmd.Stdout, cmd.Stderr = logFile, logFile
	defer logFile.Close() //nolint:errcheck // the child has its own
	if p.ended, err = StartChild(cmd); err != nil {
		return fmt.Errorf("start java: %w", err)
	}
	p.running = cmd
	return nil
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
	if p.running == nil {
		return nil
	}
	if err := p.running.Process.Kill(); err == nil || errors.Is(err, os.ErrProcessDone) {
		<-p.ended //nolint:errcheck // it was killed
	}
	p.running = nil
	return nil
}

func (p *process) pause() error { return p.running.Process.Signal(syscall.SIGSTOP) }

func (p *process) resume() error { return p.running.Process.Signal(syscall.SIGCONT) }

func (p *process) stop() error {
	return errors.Join(p.kill(), os.RemoveAll(p.dir))
}

func (p *process) log() string { return tail(filepath.Join(p.dir, "kafka.log")) }

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

// freePorts finds ports that were free a moment ago, all different.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() //nolint:errcheck // the port is all that we want
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}
