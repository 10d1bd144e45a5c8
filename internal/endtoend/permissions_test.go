package endtoend

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/stampede-rewards/stampede/internal/kafka"
	"github.com/stampede-rewards/stampede/internal/kafka/kafkatest"
)

const securityChapter = "../../deploy/SECURITY.md"

// documented lists the commands that the table of deploy/SECURITY.md has rows of.
func documented(t *testing.T) (commands []string) {
	t.Helper()
	text, err := os.ReadFile(securityChapter)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| (?:topic|group|transactional-id) \\|").FindAllSubmatch(text, -1) {
		if command := string(row[1]); !slices.Contains(commands, command) {
			commands = append(commands, command)
		}
	}
	return commands
}

// permissions are what deploy/acls.sh gives for a command, one operation on one resource each: what people paste is what is tested.
func permissions(t *testing.T, commands ...string) (all []kafkatest.ACL) {
	t.Helper()
	for _, command := range commands {
		out, err := exec.Command("../../deploy/acls.sh", command, "User:test").Output()
		if err != nil {
			t.Fatalf("deploy/acls.sh %q: %v", command, err)
		}
		for line := range strings.Lines(string(out)) {
			all = append(all, parseACLs(t, line)...)
		}
	}
	return all
}

// parseACLs reads a command of kafka-acls.sh.
func parseACLs(t *testing.T, line string) (all []kafkatest.ACL) {
	t.Helper()
	words := strings.Fields(line)
	var operations []string
	prefixed := false
	type resource struct{ kind, name string }
	var resources []resource
	for i := 0; i+1 < len(words); i++ {
		switch words[i] {
		case "--operation":
			operations = append(operations, words[i+1])
		case "--topic", "--group", "--transactional-id":
			resources = append(resources, resource{words[i][2:], words[i+1]})
		case "--resource-pattern-type":
			prefixed = words[i+1] == "prefixed"
		}
	}
	for _, r := range resources {
		for _, o := range operations {
			all = append(all, kafkatest.ACL{Resource: r.kind, Name: r.name, Prefixed: prefixed, Operations: []string{o}})
		}
	}
	if len(all) == 0 {
		t.Fatalf("deploy/acls.sh prints no permission: %s", line)
	}
	return all
}

// usage is how the test uses a documented command.
type usage struct {
	command string
	words   []string
	says    string // on stdout
	ends    bool   // by itself; one that does not is ended when done says so
	done    func() bool
}

// user is the login that a command has.
func (u usage) user() string {
	return strings.NewReplacer(" --", "-", " ", "-").Replace(u.command)
}

// missing is how an error names a permission.
func missing(a kafkatest.ACL) *regexp.Regexp {
	if a.Operations[0] == "Create" {
		return regexp.MustCompile("topic " + regexp.QuoteMeta(a.Name) + `\S* does not exist, and making it was refused`)
	}
	return regexp.MustCompile(`(: |; |and )` + a.Operations[0] + `( and \w+)* on ` + a.Resource + ` ` + regexp.QuoteMeta(a.Name))
}

// Every command works with just what deploy/SECURITY.md gives it on a Kafka that allows nothing else, and without any one of these permissions it fails
// and says which one it is.
func TestEachCommandWorksWithJustItsPermissions(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a broker")
	}
	s := kafkatest.StartSecured(t)
	c := newCommands(t, s)
	var users []string
	for _, u := range c.usages {
		users = append(users, u.user())
	}
	const processors, gateway = "processor-run", "producer-serve"
	s.Users(append(users, processors, gateway)...)

	// Before anything is there: whoever may not make topics is told how they are made.
	publish := c.usages[0]
	for _, a := range permissions(t, publish.command) {
		if a.Operations[0] != "Create" {
			s.Allow(publish.user(), a)
		}
	}
	code, said := c.run(publish, publish.user())
	for _, topic := range []string{"events", "rewards", "changelog", "dead-letters", "campaigns"} {
		if a := (kafkatest.ACL{Resource: "topic", Name: topic, Operations: []string{"Create"}}); code != 1 || !missing(a).MatchString(said) {
			t.Errorf("`%s` without %s exits with %d and says\n%s", publish.command, a, code, said)
		}
	}
	for _, a := range permissions(t, publish.command) {
		if a.Operations[0] == "Create" {
			s.Allow(publish.user(), a)
		}
	}
	c.works(publish)

	// Events come in by the gateway and are worked on, and rewards come out.
	s.Allow(gateway, permissions(t, "producer serve")...)
	serve := newProcessor(t, "gateway", login(s, gateway, s.PasswordFile(gateway))...)
	serve.words = []string{producer, "serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--log-format", "text"}
	serve.start()
	eventually(t, "the gateway takes an event", func() bool { return post(serve) == http.StatusAccepted })
	s.Allow(processors, permissions(t, "processor run", "processor run --partners")...)
	p := newProcessor(t, "processor", append(login(s, processors, s.PasswordFile(processors)), "--partners", c.partners, "--commit-interval", "20ms", "--checkpoint-interval", "500ms", "--log-repeats", "0")...)
	p.start()
	for _, u := range c.usages[1:3] { // they send events
		s.Allow(u.user(), permissions(t, u.command)...)
		c.works(u)
	}
	for _, topic := range []string{"rewards", "dead-letters", "outcomes.acme"} {
		eventually(t, "something is in "+topic, func() bool { return c.records(topic) > 0 })
	}
	for _, u := range c.usages[3:] {
		s.Allow(u.user(), permissions(t, u.command)...)
		c.works(u)
	}
	if t.Failed() {
		t.FailNow()
	}

	t.Run("each is needed at the start", func(t *testing.T) { c.eachIsNeeded(t) })
	t.Run("each is needed by a gateway at work", func(t *testing.T) {
		write := kafkatest.ACL{Resource: "topic", Name: "events", Operations: []string{"Write"}}
		s.Revoke(gateway, write)
		eventually(t, "an event is not taken", func() bool { return post(serve) == http.StatusServiceUnavailable })
		eventually(t, "the gateway says why", func() bool { return strings.Contains(serve.said(), "topic events: TOPIC_AUTHORIZATION_FAILED") })
		s.Allow(gateway, write)
		eventually(t, "events are taken again", func() bool { return post(serve) == http.StatusAccepted })
	})
	t.Run("each is needed by a processor at work", func(t *testing.T) { c.eachIsNeededAtWork(t, p, processors) })
	serve.stop()
	p.stop()
}

// commands are the documented commands, with what they work on.
type commands struct {
	t        *testing.T
	s        *kafkatest.Secured
	kafka    kafka.Connection // the administrator's
	partners string           // the file
	usages   []usage
}

func newCommands(t *testing.T, s *kafkatest.Secured) *commands {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("campaigns/once.yaml", once)
	write("campaigns/shared.yaml", "campaign: shared\nversion: 1\nstarts: 2000-01-01\nlateness: 35 days\ngoal: {event: [data.logged, birth.reported, page.viewed]}\nlimits: {per_user: 50}\nreward: {kind: points}\nshare: [acme]\n")
	write("acme.key", strings.Repeat("k", 32))
	c := &commands{t: t, s: s, kafka: kafka.Connection{Brokers: s.Addresses()}, partners: write("partners.yaml", "partners: {acme: {keys: [{id: k1, file: acme.key}]}}\n")}
	event := write("event.ndjson", `{"specversion":"1.0","id":"1","source":"/test","type":"data.logged","subject":"ann","time":"`+time.Now().UTC().Format(time.RFC3339)+`","data":{}}`+"\n")
	secret := write("secret", "whsec_"+strings.Repeat("c2VjcmV0", 6)+"\n")
	files := filepath.Join(dir, "files")
	var delivered atomic.Int64
	receiver := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { delivered.Add(1) }))
	t.Cleanup(receiver.Close)

	p := func(words ...string) []string { return append([]string{binary}, words...) }
	c.usages = []usage{
		{command: "processor publish", words: p("publish", "--again", "--partners", c.partners, filepath.Join(dir, "campaigns")), says: "shared: published in version 1", ends: true},
		{command: "producer send", words: []string{producer, "send", event}, ends: true},
		{command: "producer generate", words: []string{producer, "generate", "--count", "3000", "--rate", "0", "--users", "300", "--odd"}, ends: true},
		{command: "processor campaigns", words: p("campaigns"), says: "shared", ends: true},
		{command: "processor budgets", words: p("budgets"), says: "once", ends: true},
		{command: "processor export", words: p("export", "--user", "ann"), says: `"stampede.reward.issued"`, ends: true},
		{command: "processor erase --report", words: p("erase", "--report", "--user", "ann"), says: "rewards: 1 records", ends: true},
		{command: "processor dead-letters list", words: p("dead-letters", "list"), says: "PLACE", ends: true},
		{command: "processor dead-letters replay", words: p("dead-letters", "replay", "--all"), says: "events/", ends: true},
		{command: "processor report", words: p("report", "--partner", "acme"), says: "shared", ends: true},
		{
			command: "processor push", words: p("push", "--partner", "acme", "--url", receiver.URL, "--secret-file", secret),
			done: func() bool { return delivered.Load() > 0 },
		},
		{
			command: "processor push --to parquet", words: p("push", "--partner", "acme", "--to", "parquet", "--file-every", "1s", files),
			done: func() bool {
				written, err := filepath.Glob(filepath.Join(files, "*.parquet"))
				return err == nil && len(written) > 0
			},
		},
		{command: "processor erase", words: p("erase", "--user", "ann"), says: "asked for at events/", ends: true},
	}
	tested := []string{"processor run", "processor run --partners", "producer serve"}
	for _, u := range c.usages {
		tested = append(tested, u.command)
	}
	for _, command := range documented(t) {
		if !slices.Contains(tested, command) {
			t.Errorf("%s has rows of `%s`, which this test does not run", securityChapter, command)
		}
	}
	return c
}

// records counts what is in a topic.
func (c *commands) records(topic string) (n int64) {
	ends, err := c.kafka.Ends(context.Background(), topic)
	if err != nil {
		return 0
	}
	for _, end := range ends {
		n += end
	}
	return n
}

// run runs a command as a user until it ends by itself, and returns what it wrote. One that hangs is ended, and fails.
func (c *commands) run(u usage, user string) (code int, said string) {
	const patience = 2 * time.Minute
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, u.words[0], slices.Concat(u.words[1:], login(c.s, user, c.s.PasswordFile(user)))...) //nolint:gosec // our own words
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if ctx.Err() != nil {
		return -1, fmt.Sprintf("it was still running after %s, having said:\n%s", patience, out.String())
	}
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		return -1, err.Error()
	}
	return cmd.ProcessState.ExitCode(), out.String()
}

// works wants a command to do what it is there for.
func (c *commands) works(u usage) {
	c.t.Helper()
	if !u.ends {
		p := newProcessor(c.t, u.user(), login(c.s, u.user(), c.s.PasswordFile(u.user()))...)
		p.words = u.words
		p.start()
		eventually(c.t, "`"+u.command+"` has done something", u.done)
		p.kill()
		return
	}
	if code, said := c.run(u, u.user()); code != 0 || !strings.Contains(said, u.says) {
		c.t.Errorf("`%s` exits with %d and says\n%s", u.command, code, said)
	}
}

// eachIsNeeded runs every command without each one of its permissions, each time as a user who has all the others.
func (c *commands) eachIsNeeded(t *testing.T) {
	type without struct {
		usage
		gone kafkatest.ACL
		user string
	}
	var all []without
	var users []string
	add := func(u usage, commands ...string) {
		granted := permissions(t, commands...)
		for i, gone := range granted {
			if gone.Operations[0] == "Create" { // what there is needs not be made
				continue
			}
			w := without{u, gone, fmt.Sprintf("%s-without-%d", u.user(), i)}
			all, users = append(all, w), append(users, w.user)
		}
	}
	for _, u := range c.usages {
		add(u, u.command)
	}
	add(usage{command: "processor run", words: []string{binary, "run", "--listen", "127.0.0.1:0", "--partners", c.partners}}, "processor run", "processor run --partners")
	add(usage{command: "producer serve", words: []string{producer, "serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"}}, "producer serve")
	c.s.Users(users...)
	var tasks errgroup.Group
	tasks.SetLimit(4)
	for _, w := range all {
		granted := permissions(t, w.command)
		if w.command == "processor run" {
			granted = permissions(t, "processor run", "processor run --partners")
			w.words = append(slices.Clone(w.words), "--state", t.TempDir())
		}
		c.s.Allow(w.user, slices.DeleteFunc(granted, func(a kafkatest.ACL) bool { return a.String() == w.gone.String() })...)
		tasks.Go(func() error {
			if code, said := c.run(w.usage, w.user); code != 1 || !missing(w.gone).MatchString(said) || !strings.Contains(said, "--allow-principal 'User:"+w.user+"'") {
				t.Errorf("`%s` without %s exits with %d and says\n%s", w.command, w.gone, code, said)
			}
			return nil
		})
	}
	if err := tasks.Wait(); err != nil {
		t.Error(err)
	}
	t.Logf("%d permissions of %d commands, each is needed", len(all), len(c.usages)+2)
}

// eachIsNeededAtWork takes a working processor's permissions away, one after the other. It must say which one it was, and go on when it is given back.
func (c *commands) eachIsNeededAtWork(t *testing.T, p *processor, user string) {
	load := newProcessor(t, "load", login(c.s, "producer-generate", c.s.PasswordFile("producer-generate"))...)
	load.words = []string{producer, "generate", "--from", "3000", "--rate", "200", "--users", "100000", "--odd"}
	load.start()
	working := func() bool { return p.ready() && p.metric("stampede_events_total") > 0 }
	for _, a := range permissions(t, "processor run", "processor run --partners") {
		if o := a.Operations[0]; o != "Read" && o != "Write" {
			continue // settings are looked at when the processor begins
		}
		eventually(t, "the processor works", working)
		mark := len(p.said())
		c.s.Revoke(user, a)
		if a.Name == "changelog" && a.Operations[0] == "Read" { // it is read by whoever has lost a store
			p.kill()
			if err := os.RemoveAll(p.dir); err != nil {
				t.Fatal(err)
			}
			p.start()
			if p.failed(p.ends()); !missing(a).MatchString(p.said()) {
				t.Errorf("without %s a store can be restored:\n%s", a, p.said())
			}
			c.s.Allow(user, a)
			p.start()
			continue
		}
		began := time.Now()
		eventually(t, fmt.Sprintf("the processor misses %s", a), func() bool { return missing(a).MatchString(p.said()[mark:]) })
		t.Logf("%s: missed after %s", a, time.Since(began).Round(time.Millisecond))
		if p.ready() {
			t.Errorf("/readyz is true without %s", a)
		}
		c.s.Allow(user, a)
	}
	eventually(t, "the processor works", working)
	load.kill()
}

// post sends an event to a gateway, of a new user each time, and returns the answer's status; 0 is none.
func post(gateway *processor) int {
	url := gateway.url("/v1/events")
	if url == "" {
		return 0
	}
	id := time.Now().UnixNano()
	body := fmt.Sprintf(`{"specversion":"1.0","id":"%d","source":"/test","type":"data.logged","subject":"user-%d","time":%q,"data":{}}`, id, id, time.Now().UTC().Format(time.RFC3339))
	request, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body)) //nolint:noctx // a test's own process
	if err != nil {
		return 0
	}
	request.Header.Set("content-type", "application/cloudevents+json")
	patient := http.Client{Timeout: time.Minute}
	answer, err := patient.Do(request)
	if err != nil {
		return 0
	}
	answer.Body.Close()
	return answer.StatusCode
}
