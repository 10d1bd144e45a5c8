package endtoend

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stampede-rewards/stampede/internal/judge"
	"github.com/stampede-rewards/stampede/internal/kafka"
	"github.com/stampede-rewards/stampede/internal/kafka/kafkatest"
)

// pullTimeout bounds the pull of an image and the build of another.
const pullTimeout = 10 * time.Minute

// containers is a project of docker-compose.yml, with names, ports and volumes of its own.
type containers struct {
	t       *testing.T
	compose []string // the command, with the files
	env     []string
}

// run runs a command at the repository's root and returns what it says.
func run(ctx context.Context, env []string, words ...string) (string, error) {
	cmd := exec.CommandContext(ctx, words[0], words[1:]...) //nolint:gosec // our own words
	cmd.Dir, cmd.Env = "../..", append(os.Environ(), env...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w %.2000s", strings.Join(words, " "), err, said.String())
	}
	return strings.TrimSpace(out.String()), nil
}

// dockerHere is how compose is called here, and whether the image of Kafka has a user of its own, as the official one. Where there is no Docker
// the test is skipped; with STAMPEDE_TEST_REQUIRE_DOCKER=1, as in CI, it fails.
func dockerHere(t *testing.T) (compose []string, official bool) {
	t.Helper()
	missing := func(what string, err error) {
		t.Helper()
		message := fmt.Sprintf("no containers here: %s (%v)", what, err)
		if os.Getenv("STAMPEDE_TEST_REQUIRE_DOCKER") == "1" {
			t.Fatal(message)
		}
		t.Skip(message)
	}
	ctx, cancel := context.WithTimeout(t.Context(), pullTimeout)
	defer cancel()
	if _, err := run(ctx, nil, "docker", "info"); err != nil {
		missing("install Docker, and start it", err)
	}
	compose = []string{"docker", "compose"}
	if _, err := run(ctx, nil, "docker", "compose", "version"); err != nil {
		compose = []string{"docker-compose"}
		if _, err := run(ctx, nil, "docker-compose", "version"); err != nil {
			missing("install docker compose, or docker-compose 1.28 or newer", err)
		}
	}
	image := "apache/kafka:" + kafkatest.Version
	user, err := run(ctx, nil, "docker", "image", "inspect", "--format", "{{.Config.User}}", image)
	if err != nil {
		if _, err := run(ctx, nil, "docker", "pull", image); err != nil {
			missing("the image "+image+" is not here and can't be pulled", err)
		}
		if user, err = run(ctx, nil, "docker", "image", "inspect", "--format", "{{.Config.User}}", image); err != nil {
			t.Fatal(err)
		}
	}
	return compose, user != ""
}

// freePorts are two that were free a moment ago.
func freePorts(t *testing.T) (a, b string) {
	t.Helper()
	var ports []string
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		_, port, err := net.SplitHostPort(l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		ports = append(ports, port)
	}
	return ports[0], ports[1]
}

// do runs compose, and fails the test when that fails.
func (c *containers) do(args ...string) string {
	c.t.Helper()
	out, err := run(context.Background(), c.env, slices.Concat(c.compose, args)...)
	if err != nil {
		c.t.Fatal(err)
	}
	return out
}

// health is what Docker says of a service: healthy, starting and so on, or that it does not run.
func (c *containers) health(service string) string {
	c.t.Helper()
	id := c.do("ps", "-q", service)
	if id == "" {
		return "absent"
	}
	out, err := run(context.Background(), nil, "docker", "inspect", "--format", "{{if .State.Running}}{{.State.Health.Status}}{{else}}{{.State.Status}}{{end}}", id)
	if err != nil {
		c.t.Fatal(err)
	}
	return out
}

func (c *containers) healthy(services ...string) {
	c.t.Helper()
	for _, service := range services {
		eventually(c.t, service+" is healthy", func() bool { return c.health(service) == "healthy" })
	}
}

// left is what Docker still has of a project.
func left(t *testing.T, project string) (all []string) {
	t.Helper()
	for _, kind := range [][]string{{"ps", "-a"}, {"volume", "ls"}, {"network", "ls"}} {
		out, err := run(context.Background(), nil, slices.Concat([]string{"docker"}, kind, []string{"-q", "--filter", "label=com.docker.compose.project=" + project})...)
		if err != nil {
			t.Error(err)
		}
		for id := range strings.FieldsSeq(out) {
			all = append(all, kind[0]+" "+id)
		}
	}
	return all
}

// birthsOf are the events of some users, as a batch.
func birthsOf(t *testing.T, from, to int) []byte {
	t.Helper()
	var batch []map[string]any
	for n := from; n < to; n++ {
		batch = append(batch, map[string]any{
			"specversion": "1.0", "id": fmt.Sprintf("birth-%d", n), "source": "/test", "type": "birth.reported",
			"subject": fmt.Sprintf("user-%d", n), "time": time.Now().UTC().Format(time.RFC3339Nano),
		})
	}
	body, err := json.Marshal(batch)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// postBatch sends a batch by HTTP, and says whether all of it was accepted.
func postBatch(url string, batch []byte) error {
	request, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(batch)) //nolint:noctx // asking has a bound
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/cloudevents-batch+json")
	request.Header.Set("Authorization", "Bearer stampede-example-key") // deploy/example-keys.yaml
	answer, err := asking.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusAccepted {
		return fmt.Errorf("%s", answer.Status)
	}
	return nil
}

// What docker-compose.yml starts does what it is for: events that are sent by HTTP become rewards, each once, while a processor is killed and stays
// away and the gateway is killed and comes back. And it goes away without a rest.
func TestContainers(t *testing.T) {
	if testing.Short() {
		t.Skip("starts containers")
	}
	compose, official := dockerHere(t)
	const (
		users = 1200
		batch = 20
	)
	project := fmt.Sprintf("stampede-test-%d", os.Getpid())
	image := project + ":test"
	kafkaPort, gatewayPort := freePorts(t)
	c := &containers{t: t, compose: append(compose, "-p", project, "-f", "docker-compose.yml"), env: []string{
		"STAMPEDE_IMAGE=" + image, "STAMPEDE_KAFKA_PORT=" + kafkaPort, "STAMPEDE_GATEWAY_PORT=" + gatewayPort,
	}}
	if !official {
		t.Log("the image of Kafka here is not the official one: it runs as root, and may write into its root file system")
		override := filepath.Join(t.TempDir(), "override.yml")
		if err := os.WriteFile(override, []byte("services: {kafka: {user: '0:0', read_only: false}}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		c.compose = append(c.compose, "-f", override)
	}
	building, cancel := context.WithTimeout(t.Context(), pullTimeout)
	defer cancel()
	said, err := run(building, nil, "deploy/package", "image", image)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(said)
	t.Cleanup(func() {
		if t.Failed() {
			log, err := run(context.Background(), c.env, slices.Concat(c.compose, []string{"logs", "--no-color", "--tail", "30"})...)
			t.Logf("the containers' logs end (%v):\n%s", err, log)
		}
		c.do("down", "-v", "--remove-orphans")
		if rest := left(t, project); len(rest) > 0 {
			t.Errorf("compose has taken all down, and there is still %v", rest)
		}
		if _, err := run(context.Background(), nil, "docker", "rmi", image); err != nil {
			t.Error(err)
		}
	})

	c.do("--profile", "demo", "config", "-q") // the whole file, with what is not started here

	services := []string{"kafka", "gateway", "processor-1", "processor-2"}
	c.do(append([]string{"up", "-d"}, services...)...)
	c.healthy(services...)
	if rest := left(t, project); len(rest) < len(services) {
		t.Fatalf("the project is %v: what finds its rest finds too little", rest)
	}

	of := judge.Case{Connection: kafka.Connection{Brokers: []string{"localhost:" + kafkaPort}}, Group: "stampede"}
	client, err := of.Connection.Client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	names := kafka.Topics{Events: "events", Rewards: "rewards", Changelog: "changelog", DeadLetters: "dead-letters", Campaigns: "campaigns"}
	if of.Topics, err = kafka.EnsureTopics(t.Context(), client, kafka.TopicsConfig{Names: names}); err != nil {
		t.Fatal(err)
	}
	fulfilment, err := of.Observe()
	if err != nil {
		t.Fatal(err)
	}
	for from := 0; from < users; from += batch {
		switch from {
		case users / 3:
			c.do("kill", "processor-1") // which nobody starts: the other takes over
		case 2 * users / 3:
			c.do("kill", "gateway")
			c.do("start", "gateway")
		}
		events := birthsOf(t, from, from+batch)
		eventually(t, "the gateway takes events", func() bool { return postBatch("http://127.0.0.1:"+gatewayPort+"/v1/events", events) == nil })
	}
	eventually(t, "each user has a reward, though one processor is away", func() bool { return fulfilment.Count() >= users })
	if state := c.health("processor-1"); state == "healthy" {
		t.Error("the processor that was killed is healthy: nobody had to take over")
	}
	c.do("start", "processor-1")
	c.healthy("processor-1", "processor-2", "gateway")

	c.do("stop", "processor-1", "processor-2", "gateway")
	if err := fulfilment.Stop(); err != nil {
		t.Error(err)
	}
	verdict, err := judge.Judge(t.Context(), of)
	t.Logf("judged: %s", verdict)
	if err != nil {
		t.Error(err)
	}
	if verdict.Rewards != users || verdict.Uncommitted != 0 || verdict.DeadLetters != 0 {
		t.Errorf("%d users have had a birth: %s", users, verdict)
	}
}
