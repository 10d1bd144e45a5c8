package kafka_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stampede-rewards/stampede/internal/kafka"
	"github.com/stampede-rewards/stampede/internal/kafka/kafkatest"
)

// embeddedDir makes the test binary run an embedded broker on a directory until it is killed.
const embeddedDir = "STAMPEDE_TEST_EMBEDDED_DIR"

// settingsPatience bounds the wait for a setting to be in force.
const settingsPatience = 30 * time.Second

func TestMain(m *testing.M) {
	if dir := os.Getenv(embeddedDir); dir != "" {
		broker, err := kafka.StartEmbedded(kafka.EmbeddedConfig{Dir: dir})
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		defer runtime.KeepAlive(broker) // its lock ends when the file is collected
		fmt.Println(broker.Brokers()[0])
		select {}
	}
	kafkatest.Main(m)
}

// onBoth runs a test on the embedded broker and on a real one: what differs between them is found here.
func onBoth(t *testing.T, test func(t *testing.T, c kafka.Connection, names kafka.Topics)) {
	t.Run("embedded", func(t *testing.T) {
		broker, err := kafka.StartEmbedded(kafka.EmbeddedConfig{})
		if err != nil {
			t.Fatal(err)
		}
		defer broker.Close()
		test(t, kafka.Connection{Brokers: broker.Brokers()}, kafka.Topics{})
	})
	t.Run("real", func(t *testing.T) {
		c := kafka.Connection{Brokers: kafkatest.Shared(t).Addresses()}
		prefix := fmt.Sprintf("t%d-", time.Now().UnixNano())
		test(t, c, kafka.Topics{Events: prefix + "events", Rewards: prefix + "rewards", Changelog: prefix + "changelog", DeadLetters: prefix + "dead-letters", Campaigns: prefix + "campaigns"})
	})
}

func connect(t *testing.T, c kafka.Connection, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := c.Client(t.Context(), options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

func TestMissingTopicsAreMade(t *testing.T) {
	onBoth(t, func(t *testing.T, c kafka.Connection, names kafka.Topics) {
		cl := connect(t, c)
		made, err := kafka.EnsureTopics(t.Context(), cl, kafka.TopicsConfig{Names: names, Partitions: 3})
		if err != nil {
			t.Fatal(err)
		}
		if made.Events.Partitions != 3 || made.Changelog.Partitions != 3 || made.Campaigns.Partitions != 1 || made.Changelog.DeleteRetention != 7*24*time.Hour {
			t.Errorf("made %+v", made)
		}
		// A second time they are found, whatever number of partitions is asked for.
		found, err := kafka.EnsureTopics(t.Context(), cl, kafka.TopicsConfig{Names: names, Partitions: 5})
		if diff := cmp.Diff(made, found); err != nil || diff != "" {
			t.Errorf("found others than made: %v %s", err, diff)
		}
		// The broker's time is the record's, whatever the producer says (E2).
		wrong := time.Unix(1, 0)
		r := &kgo.Record{Topic: made.Events.Name, Timestamp: wrong, Value: []byte("x")}
		if err := cl.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
		err = c.ReadCommitted(t.Context(), []kafka.Span{{Topic: r.Topic, Partition: r.Partition, End: 1}}, func(r *kgo.Record) (bool, error) {
			if time.Since(r.Timestamp) > time.Hour && names.Events != "" { // the embedded broker keeps what it is given, as its comment says
				t.Errorf("the record's time is the producer's, %s", r.Timestamp)
			}
			return true, nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}

func TestWrongTopicsAreRefusedWithWhatToDo(t *testing.T) {
	onBoth(t, func(t *testing.T, c kafka.Connection, names kafka.Topics) {
		cl := connect(t, c)
		events, changelog := "events", "changelog"
		if names.Events != "" {
			events, changelog = names.Events, names.Changelog
		}
		admin := kadm.NewClient(cl)
		create := func(topic string, partitions int32, settings map[string]*string) {
			t.Helper()
			if _, err := admin.CreateTopic(t.Context(), partitions, -1, settings, topic); err != nil {
				t.Fatal(err)
			}
		}
		create(events, 4, nil)
		create(changelog, 2, nil)
		_, err := kafka.EnsureTopics(t.Context(), cl, kafka.TopicsConfig{Names: names})
		if err == nil {
			t.Fatal("wrong topics were taken")
		}
		for _, want := range []string{
			"topic " + events + `: message.timestamp.type is "CreateTime" and must be "LogAppendTime"`,
			"--entity-name " + events + " --add-config message.timestamp.type=LogAppendTime",
			"topic " + changelog + `: cleanup.policy is "delete" and must be "compact"`,
			"--entity-name " + changelog + " --add-config max.message.bytes=",
		} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("the error does not say %q:\n%v", want, err)
			}
		}
		// What the error says mends it.
		var alter []kadm.AlterConfig
		for command := range strings.SplitSeq(err.Error(), "\n") {
			if _, setting, ok := strings.Cut(command, "--entity-name "+changelog+" --add-config "); ok {
				name, value, _ := strings.Cut(setting, "=")
				alter = append(alter, kadm.AlterConfig{Name: name, Value: &value})
			}
		}
		if _, err := admin.AlterTopicConfigs(t.Context(), alter, changelog); err != nil {
			t.Fatal(err)
		}
		value := "LogAppendTime"
		if _, err := admin.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Name: "message.timestamp.type", Value: &value}}, events); err != nil {
			t.Fatal(err)
		}
		// The broker answers before it has applied a setting.
		for deadline := time.Now().Add(settingsPatience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
			if _, err = kafka.EnsureTopics(t.Context(), cl, kafka.TopicsConfig{Names: names}); !strings.Contains(fmt.Sprint(err), "--add-config") {
				break
			}
		}
		if err == nil || !strings.Contains(err.Error(), "has 4 partitions and "+changelog+" has 2") {
			t.Errorf("unequal partitions: %v", err)
		}
	})
}

func TestFirstProduceDoesNotWaitForMetadata(t *testing.T) {
	onBoth(t, func(t *testing.T, c kafka.Connection, names kafka.Topics) {
		topics, err := kafka.EnsureTopics(t.Context(), connect(t, c), kafka.TopicsConfig{Names: names})
		if err != nil {
			t.Fatal(err)
		}
		cl := connect(t, c)
		for _, topic := range []string{topics.Events.Name, topics.Rewards.Name} {
			began := time.Now()
			if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Value: []byte("x")}).FirstErr(); err != nil {
				t.Fatal(err)
			}
			// The library's own bound on asking again is 5 s; ours is 100 ms. A noisy machine is far from the first.
			if took := time.Since(began); took > 4*time.Second {
				t.Errorf("the first record to %s took %s: its metadata was waited for", topic, took)
			}
		}
	})
}

func TestNoBrokerIsSaid(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err := kafka.Connection{Brokers: []string{"127.0.0.1:1"}}.Client(ctx)
	if err == nil || !strings.Contains(err.Error(), "no broker answers at 127.0.0.1:1") || !strings.Contains(err.Error(), "refused") {
		t.Errorf("got %v", err)
	}
}

func TestParseBrokers(t *testing.T) {
	f := func(list, want, wantErr string) {
		t.Helper()
		brokers, err := kafka.ParseBrokers(list)
		if wantErr != "" {
			if err == nil || !strings.Contains(err.Error(), wantErr) {
				t.Errorf("ParseBrokers(%q): %v, wanted %q", list, err, wantErr)
			}
			return
		}
		if err != nil || strings.Join(brokers, " ") != want {
			t.Errorf("ParseBrokers(%q) = %v, %v, wanted %s", list, brokers, err, want)
		}
	}
	f("a:9092", "a:9092", "")
	f("a:9092, b:9093,", "a:9092 b:9093", "")
	f("", "", "no broker given")
	f("localhost", "", `"localhost" is not host:port`)
	f("a:9092,b:x,:3", "", `"b:x"`)
	f("a:9092,b:x,:3", "", `":3"`)
}

// TestEmbeddedSurvives shows that the data of the embedded broker outlive an orderly stop and a killed process.
func TestEmbeddedSurvives(t *testing.T) {
	dir := t.TempDir()
	start := func() (string, func()) {
		t.Helper()
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), embeddedDir+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(out).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(line), func() {
			cmd.Process.Kill()
			cmd.Wait()
		}
	}
	transact := func(c kafka.Connection, value string) {
		t.Helper()
		cl := connect(t, c, kgo.TransactionalID("id"))
		topics, err := kafka.EnsureTopics(t.Context(), cl, kafka.TopicsConfig{Partitions: 1})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(cl.BeginTransaction(),
			cl.ProduceSync(t.Context(), &kgo.Record{Topic: topics.Rewards.Name, Value: []byte(value)}).FirstErr(),
			cl.EndTransaction(t.Context(), kgo.TryCommit)); err != nil {
			t.Fatal(err)
		}
		offsets := kadm.Offsets{}
		offsets.Add(kadm.Offset{Topic: topics.Events.Name, At: int64(len(value)), Metadata: value})
		if err := kadm.NewClient(cl).CommitAllOffsets(t.Context(), "group", offsets); err != nil {
			t.Fatal(err)
		}
		cl.Close()
	}
	address, kill := start()
	transact(kafka.Connection{Brokers: []string{address}}, "one")
	if _, err := kafka.StartEmbedded(kafka.EmbeddedConfig{Dir: dir}); !errors.Is(err, kafka.ErrEmbeddedInUse) {
		t.Errorf("a second broker on the directory: %v", err)
	}
	kill()
	broker, err := kafka.StartEmbedded(kafka.EmbeddedConfig{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	transact(kafka.Connection{Brokers: broker.Brokers()}, "three")
	if err := broker.Close(); err != nil {
		t.Fatal(err)
	}
	address, kill = start()
	defer kill()
	c := kafka.Connection{Brokers: []string{address}}
	var values []string
	if err := c.ReadTopic(t.Context(), "rewards", func(r *kgo.Record) error {
		values = append(values, string(r.Value))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	offsets, err := kadm.NewClient(connect(t, c)).FetchOffsets(t.Context(), "group")
	if err != nil {
		t.Fatal(err)
	}
	o, _ := offsets.Lookup("events", 0)
	if diff := cmp.Diff([]string{"one", "three"}, values); diff != "" || o.At != 5 || o.Metadata != "three" {
		t.Errorf("after a kill and a stop: offset %d %q, rewards %s", o.At, o.Metadata, diff)
	}
}
