package endtoend

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stampede-rewards/stampede/internal/kafka/kafkatest"
)

// ends waits until a process has ended by itself, and returns what it exited with.
func (p *processor) ends() (code int) {
	p.t.Helper()
	eventually(p.t, p.name+" ends by itself", func() bool { ended, _ := p.exit(); return ended })
	<-p.ended
	code = p.cmd.ProcessState.ExitCode()
	p.cmd = nil
	return code
}

// trace is how the Go runtime tells of a crash. Nobody who operates a processor should ever have to read one.
var trace = regexp.MustCompile(`(?m)^goroutine \d+ \[|^panic: `)

// failed wants a process that has ended to have said why and what to do: by its exit code for whoever started it, and by the end of its log for people.
func (p *processor) failed(code int, sentences ...string) {
	p.t.Helper()
	_, last, found := strings.Cut(p.said(), "\nprocessor: ")
	if !found {
		last = strings.TrimPrefix(p.said(), "processor: ")
	}
	if code != 1 {
		p.t.Errorf("%s exited with %d, wanted 1", p.name, code)
	}
	for _, sentence := range sentences {
		if !strings.Contains(last, sentence) {
			p.t.Errorf("%s does not say at its end %q:\n%s", p.name, sentence, last)
		}
	}
	if found := trace.FindString(p.said()); found != "" {
		p.t.Errorf("%s ends with a trace of the Go runtime", p.name)
	}
	if !p.t.Failed() {
		p.t.Logf("exit code %d: %s", code, last)
	}
}

// What operators do wrong, on a real Kafka with the real program: it ends by itself, its exit code is 1, and the last thing that it says is what is
// wrong, where, and what to do about it.
func TestBadOperations(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a broker")
	}
	s := kafkatest.StartSecured(t)
	s.Users("known")
	wrong := filepath.Join(t.TempDir(), "wrong")
	if err := os.WriteFile(wrong, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}

	for _, c := range []struct {
		name string
		// args prepares what is wrong and returns the flags that come last. in has topics of its own, which are right.
		args func(t *testing.T, in *installation, p *processor) []string
		says []string
	}{
		{
			"nothing listens at the address",
			func(t *testing.T, _ *installation, _ *processor) []string {
				return []string{"--brokers", closedPort(t)}
			},
			[]string{"no broker answers at 127.0.0.1:", "connection refused", "is Kafka running there, and reachable from here?"},
		},
		{
			"no such host",
			func(*testing.T, *installation, *processor) []string {
				return []string{"--brokers", "kafka.invalid:9092"}
			},
			[]string{"no broker answers at kafka.invalid:9092", "lookup kafka.invalid", "is Kafka running there, and reachable from here?"},
		},
		{
			"TLS to a listener without",
			func(*testing.T, *installation, *processor) []string { return []string{"--kafka-tls"} },
			[]string{"no broker answers at", "is TLS misconfigured", "--kafka-tls"},
		},
		{
			"a wrong password",
			func(*testing.T, *installation, *processor) []string {
				return login(s, "known", wrong)
			},
			[]string{"does not let User:known in", "the user or the password", "--kafka-sasl-password-file", "SASL_AUTHENTICATION_FAILED"},
		},
		{
			"no login where one is wanted",
			func(*testing.T, *installation, *processor) []string { return []string{"--brokers", s.Logins} },
			[]string{"no broker answers at", "SASL", "--kafka-sasl"},
		},
		{
			"a topic is missing and may not be made",
			func(t *testing.T, in *installation, _ *processor) []string {
				s.Allow("known", kafkatest.ACL{Resource: "topic", Name: in.Group, Prefixed: true, Operations: []string{"Read", "Write", "DescribeConfigs"}})
				return append(login(s, "known", s.PasswordFile("known")), "--rewards-topic", in.Group+"-new")
			},
			[]string{"topic {}-new does not exist, and making it was refused", "kafka-topics.sh --bootstrap-server BROKER --create --topic {}-new --partitions 6 --config cleanup.policy=delete --config retention.ms=-1"},
		},
		{
			"the changelog has too few partitions",
			func(t *testing.T, in *installation, _ *processor) []string {
				s.MakeTopic(in.Group+"-few", 3, map[string]string{"cleanup.policy": "compact", "max.message.bytes": "1200000"})
				return []string{"--changelog-topic", in.Group + "-few"}
			},
			[]string{"topic {}-events: it has 6 partitions and {}-few has 3: they must have the same number", "delete {}-few"},
		},
		{
			"the changelog is not compacted",
			func(t *testing.T, in *installation, _ *processor) []string {
				s.MakeTopic(in.Group+"-plain", 6, map[string]string{"max.message.bytes": "1200000"})
				return []string{"--changelog-topic", in.Group + "-plain"}
			},
			[]string{
				`topic {}-plain: cleanup.policy is "delete" and must be "compact"`,
				"kafka-configs.sh --bootstrap-server BROKER --alter --entity-type topics --entity-name {}-plain --add-config cleanup.policy=compact",
			},
		},
		{
			"the disk is full at the start",
			func(t *testing.T, _ *installation, p *processor) []string {
				disk := fullableDisk(t, p)
				if err := disk.fill(); err != nil {
					t.Fatal(err)
				}
				return nil
			},
			[]string{"open store", "no space left on device", "repair the disk and start the process again"},
		},
		{
			"another process has the state directory",
			func(t *testing.T, in *installation, p *processor) []string {
				other := in.processor("other")
				other.start()
				eventually(t, "the other is ready", other.ready)
				p.dir = other.dir
				return nil
			},
			[]string{"the store is in use by another process: stop it, or give this one a directory of its own"},
		},
		{
			"a newer version wrote the store",
			func(t *testing.T, in *installation, p *processor) []string {
				p.start()
				eventually(t, "the store is there", p.ready)
				p.stop()
				newer(t, p.dir)
				return nil
			},
			[]string{"the store was written by a newer version of this program: run that version, or drop the directory and let it be restored"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := newInstallationOn(t, s.Broker, "bad")
			p := in.processor("p")
			wrong := c.args(t, in, p)
			if slices.Contains(wrong, "--brokers") { // a second one would be beside the first
				i := slices.Index(p.args, "--brokers")
				p.args = slices.Delete(p.args, i, i+2)
			}
			p.args = append(p.args, wrong...)
			p.start()
			t.Parallel() // some wait for a broker as long as one may take to start
			code := p.ends()
			for i := range c.says {
				c.says[i] = strings.ReplaceAll(c.says[i], "{}", in.Group)
			}
			p.failed(code, c.says...)
		})
	}
}

// login is the flags of a program that logs in as a user.
func login(s *kafkatest.Secured, user, passwordFile string) []string {
	return []string{"--brokers", s.Logins, "--kafka-sasl", "scram-sha-256", "--kafka-sasl-user", user, "--kafka-sasl-password-file", passwordFile}
}

// closedPort is an address at which nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// fullableDisk puts a processor's store on a disk that can be filled.
func fullableDisk(t *testing.T, p *processor) *smallDisk {
	t.Helper()
	disk, err := newSmallDisk(t, smallDiskBytes)
	if err != nil {
		if os.Getenv("STAMPEDE_TEST_REQUIRE_KAFKA") == "1" {
			t.Fatalf("no small disk to fill, and CI must have one: %v", err)
		}
		t.Skipf("no small disk to fill: %v", err)
	}
	p.dir = filepath.Join(disk.dir, "store")
	return disk
}

// newer makes a store look like one of a version that is to come. The name of a file says in which format the files of a store are.
func newer(t *testing.T, dir string) {
	t.Helper()
	markers, err := filepath.Glob(filepath.Join(dir, "marker.format-version.*"))
	if err != nil || len(markers) != 1 {
		t.Fatalf("the store's format is told by %v, %v", markers, err)
	}
	stem := strings.TrimSuffix(markers[0], filepath.Ext(markers[0]))
	if err := os.Rename(markers[0], stem+".999"); err != nil {
		t.Fatal(err)
	}
}

// A disk becomes full under a processor that works. It ends and says so, and goes on where it was when there is space again.
func TestADiskThatBecomesFull(t *testing.T) {
	if testing.Short() {
		t.Skip("needs Apache Kafka")
	}
	in := newInstallation(t, "full")
	in.publish(campaignsDir)
	p := in.processor("p")
	p.args = append(p.args, "--memory", "32MiB")
	disk := fullableDisk(t, p)
	p.start()
	_, end := in.load(2000, 1000, 0)
	eventually(t, "rewards come", func() bool { return p.metric("stampede_rewards_total") > 0 })
	if err := disk.fill(); err != nil {
		t.Fatal(err)
	}
	p.failed(p.ends(), "no space left on device", "repair the disk and start the process again")
	if err := disk.free(); err != nil {
		t.Fatal(err)
	}
	p.start()
	end()
	in.processed()
	p.stop()
	in.judged(p)
}

// Two processors are given one name. Which of them ends is chance; it says which name, and the other one works.
func TestTwoProcessorsOfOneInstanceID(t *testing.T) {
	if testing.Short() {
		t.Skip("needs Apache Kafka")
	}
	in := newInstallation(t, "twins")
	in.publish(campaignsDir)
	twins := []*processor{in.processor("a"), in.processor("b")}
	for _, p := range twins {
		p.args = append(p.args, "--instance", "same")
	}
	twins[0].start()
	eventually(t, "the first is ready", twins[0].ready)
	twins[1].start()
	_, end := in.load(200, 200, 0)
	ended := func(p *processor) bool { is, _ := p.exit(); return is }
	eventually(t, "one has ended", func() bool { return slices.ContainsFunc(twins, ended) })
	if ended(twins[1]) {
		twins[0], twins[1] = twins[1], twins[0]
	}
	twins[0].failed(twins[0].ends(), `two processors run with the same instance id "same" in group `+in.Group, "give each a store of its own")
	end()
	in.processed()
	twins[1].stop()
	in.judged(twins...)
}
