package deploy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/stampede-rewards/stampede/internal/kafka"
)

// needs is a program of Prometheus' that a test can't do without.
func needs(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err == nil {
		return path
	}
	if os.Getenv("STAMPEDE_TEST_REQUIRE_PROMETHEUS") == "1" {
		t.Fatalf("%s is not here: apt-get install prometheus", program)
	}
	t.Skipf("%s is not here: apt-get install prometheus", program)
	return ""
}

func TestAlerts(t *testing.T) {
	promtool := needs(t, "promtool")
	for _, args := range [][]string{{"check", "rules", "alerts.yaml"}, {"test", "rules", "alerts.test.yaml"}, {"check", "config", "prometheus.yml"}} {
		cmd := exec.Command(promtool, args...)
		cmd.Dir = "prometheus"
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// rules are those of alerts.yaml.
func rules(t *testing.T) (all []struct{ Alert, Expr string }) {
	t.Helper()
	text, err := os.ReadFile("prometheus/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Rules []struct{ Alert, Expr string }
		}
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

// Every alert is seen firing in alerts.test.yaml.
func TestEveryAlertFires(t *testing.T) {
	text, err := os.ReadFile("prometheus/alerts.test.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Tests []struct {
			AlertRuleTest []struct {
				Alertname string
				ExpAlerts []any `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		}
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	fired := map[string]bool{}
	for _, test := range file.Tests {
		for _, c := range test.AlertRuleTest {
			fired[c.Alertname] = fired[c.Alertname] || len(c.ExpAlerts) > 0
		}
	}
	for _, r := range rules(t) {
		if !fired[r.Alert] {
			t.Errorf("no test makes %s fire", r.Alert)
		}
	}
}

// Every alert has its chapter in the runbook, which says what it means, what to look at and what to do; and there is no other chapter.
func TestEveryAlertIsInTheRunbook(t *testing.T) {
	text, err := os.ReadFile("RUNBOOK.md")
	if err != nil {
		t.Fatal(err)
	}
	chapters := regexp.MustCompile(`(?m)^### (Stampede\w+)$`).FindAllStringSubmatchIndex(string(text), -1)
	told := map[string]bool{}
	for i, c := range chapters {
		name, end := string(text[c[2]:c[3]]), len(text)
		if i+1 < len(chapters) {
			end = chapters[i+1][0]
		}
		told[name] = true
		for _, part := range []string{"**Means:**", "**Look at:**", "**Do:**"} {
			if !strings.Contains(string(text[c[0]:end]), part) {
				t.Errorf("%s: the runbook has no %s", name, part)
			}
		}
	}
	for _, r := range rules(t) {
		if !told[r.Alert] {
			t.Errorf("%s is not in the runbook", r.Alert)
		}
		delete(told, r.Alert)
	}
	for name := range told {
		t.Errorf("the runbook tells of %s, which is no alert", name)
	}
}

// installation is a broker, a processor, a gateway and a Prometheus that scrapes them.
type installation struct {
	t          *testing.T
	dir        string
	prometheus string // its address
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// start runs a program until the test ends.
func (in *installation) start(name string, args ...string) {
	in.t.Helper()
	log, err := os.Create(filepath.Join(in.dir, fmt.Sprintf("%s-%d.log", filepath.Base(name), len(args))))
	if err != nil {
		in.t.Fatal(err)
	}
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		in.t.Fatal(err)
	}
	in.t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
		if in.t.Failed() {
			text, _ := os.ReadFile(log.Name())
			in.t.Logf("%s %s:\n%.3000s", name, args[0], text)
		}
		log.Close()
	})
}

func (in *installation) eventually(what string, holds func() bool) {
	in.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !holds(); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(deadline) {
			in.t.Fatalf("it is not so that %s", what)
		}
	}
}

// get is Prometheus' answer to a path.
func (in *installation) get(path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(in.t.Context(), 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+in.prometheus+path, nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	return io.ReadAll(answer.Body)
}

// ask asks Prometheus, and returns how many series there are.
func (in *installation) ask(query string) (int, error) {
	text, err := in.get("/api/v1/query?query=" + url.QueryEscape(query))
	if err != nil {
		return 0, err
	}
	var told struct {
		Status, Error string
		Data          struct{ Result []json.RawMessage }
	}
	if err := json.Unmarshal(text, &told); err != nil {
		return 0, fmt.Errorf("%w: %s", err, text)
	}
	if told.Status != "success" {
		return 0, fmt.Errorf("%s", told.Error)
	}
	return len(told.Data.Result), nil
}

// firstThree has a budget, which is exhausted at once.
const firstThree = "{campaign: first-three, version: 1, starts: 2026-01-01, goal: {event: data.logged}, limits: {budget: {rewards: 3}}, reward: {kind: badge}}"

// A real run is scraped by a real Prometheus: every query of every dashboard, and every metric that an alert asks for, has data.
func TestEveryQueryHasData(t *testing.T) {
	if testing.Short() {
		t.Skip("starts programs")
	}
	prometheus := needs(t, "prometheus")
	in := &installation{t: t, dir: t.TempDir(), prometheus: freeAddress(t)}
	for _, program := range []string{"processor", "producer"} {
		if out, err := exec.Command("go", "build", "-o", filepath.Join(in.dir, program), "../cmd/"+program).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	broker, err := kafka.StartEmbedded(kafka.EmbeddedConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := broker.Close(); err != nil {
			t.Error(err)
		}
	})
	brokers := "--brokers=" + strings.Join(broker.Brokers(), ",")
	processor, producer := filepath.Join(in.dir, "processor"), filepath.Join(in.dir, "producer")
	campaigns := filepath.Join(in.dir, "campaigns")
	if err := os.CopyFS(campaigns, os.DirFS("campaigns")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(campaigns, "first-three.yaml"), []byte(firstThree), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(processor, "publish", campaigns, brokers).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	listen, gateway, admin := freeAddress(t), freeAddress(t), freeAddress(t)
	nobody := "--traces-endpoint=http://" + freeAddress(t) // a collector that is away, which nothing here minds
	in.start(processor, "run", brokers, "--state", filepath.Join(in.dir, "state"), "--listen", listen, nobody)
	in.start(producer, "serve", brokers, "--spool", filepath.Join(in.dir, "spool"), "--listen", gateway, "--admin-listen", admin, nobody)
	in.start(producer, "generate", brokers, "--rate", "300", "--users", "200", "--odd")
	config := fmt.Sprintf("global: {scrape_interval: 1s}\nscrape_configs:\n  - {job_name: stampede-processor, static_configs: [{targets: [%q]}]}\n  - {job_name: stampede-gateway, static_configs: [{targets: [%q]}]}\n", listen, admin)
	if err := os.WriteFile(filepath.Join(in.dir, "prometheus.yml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	in.start(prometheus, "--config.file="+filepath.Join(in.dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(in.dir, "tsdb"), "--web.listen-address="+in.prometheus, "--enable-feature=exemplar-storage")
	in.eventually("Prometheus is ready", func() bool { // before that it answers that it is not available
		text, err := in.get("/-/ready")
		return err == nil && strings.Contains(string(text), "is Ready")
	})
	in.eventually("the gateway takes an event", func() bool {
		body := `{"specversion":"1.0","id":"1","source":"/test","type":"birth.reported","subject":"ann","time":"` + time.Now().UTC().Format(time.RFC3339) + `"}`
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+gateway+"/v1/events", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/cloudevents+json")
		r.Header.Set("traceparent", "00-"+exampleTrace+"-b7ad6b7169203331-01")
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			return false
		}
		defer answer.Body.Close()
		return answer.StatusCode == http.StatusAccepted
	})

	for where, queries := range in.queries() {
		for _, query := range queries {
			in.eventually(fmt.Sprintf("%s has data for %s", where, query), func() bool {
				n, err := in.ask(query)
				if err != nil && !strings.Contains(err.Error(), "connection refused") {
					t.Fatalf("%s: %s: %v", where, query, err)
				}
				return n > 0
			})
		}
	}
	for _, histogram := range []string{"stampede_gateway_request_seconds_bucket", "stampede_reward_latency_seconds_bucket"} {
		in.eventually(histogram+" has the trace of the event as an example", func() bool {
			text, err := in.get("/api/v1/query_exemplars?start=0&end=" + strconv.FormatInt(time.Now().Unix()+60, 10) + "&query=" + histogram)
			return err == nil && strings.Contains(string(text), `"trace_id":"`+exampleTrace+`"`)
		})
	}
	for _, address := range []string{listen, admin} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		problems, err := promlint.New(bytes.NewReader(text)).Lint()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problems {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
		for _, series := range regexp.MustCompile(`(?m)^stampede_\w+\{(.+)\} `).FindAllSubmatch(text, -1) {
			for _, label := range regexp.MustCompile(`(\w+)="`).FindAllSubmatch(series[1], -1) {
				if bounded[string(label[1])] == "" {
					t.Errorf("what bounds the label %s? %s", label[1], series[0])
				}
			}
		}
	}
}

// bounded is every label that there may be, and what bounds it.
var bounded = map[string]string{
	"partition": "the partitions of the events topic", "topic": "the topics", "node_id": "Kafka's brokers",
	"campaign": "1000 names", "budget": "1000 names", "key": "the file of keys",
	"decision": "a list in the program", "outcome": "a list in the program", "reason": "a list in the program", "stage": "a list in the program", "result": "a list in the program",
	"le": "the buckets", "version": "it is one", "revision": "it is one", "go": "it is one",
}

// exampleTrace is the trace of the event that the gateway is sent.
const exampleTrace = "0af7651916cd43dd8448eb211c80319c"

// queries are those of the dashboards, and the metrics of the dashboards and the alerts.
func (in *installation) queries() map[string][]string {
	in.t.Helper()
	all := map[string][]string{}
	files, err := filepath.Glob("grafana/dashboards/*.json")
	if err != nil || len(files) == 0 {
		in.t.Fatal("no dashboards", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			in.t.Fatal(err)
		}
		var dashboard struct {
			Panels []struct {
				Title   string
				Targets []struct{ Expr string }
			}
		}
		if err := json.Unmarshal(text, &dashboard); err != nil {
			in.t.Fatal(err)
		}
		for _, p := range dashboard.Panels {
			for _, target := range p.Targets {
				query := strings.NewReplacer("$__rate_interval", "1m", "$__range", "1h", "$campaign", ".*", "$instance", ".*").Replace(target.Expr)
				where := file + ": " + p.Title
				// And what the query asks for, each by itself: "or" has data when the other side has.
				all[where] = append(append(all[where], query), metrics(query)...)
			}
		}
	}
	for _, r := range rules(in.t) {
		all[r.Alert] = metrics(r.Expr)
	}
	return all
}

// metrics are those that a query names.
func metrics(query string) []string {
	names := regexp.MustCompile(`\bstampede_\w+`).FindAllString(query, -1)
	slices.Sort(names)
	return slices.Compact(names)
}
