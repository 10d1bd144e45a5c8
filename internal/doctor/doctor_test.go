package doctor_test

import (
	"context"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stampede-rewards/stampede/internal/doctor"
	"github.com/stampede-rewards/stampede/internal/kafka"
	"github.com/stampede-rewards/stampede/internal/kafka/kafkatest"
)

func TestMain(m *testing.M) { kafkatest.Main(m) }

// patience bounds an examination; one that reaches it has failed.
const patience = 3 * time.Minute

// examine returns all that is found.
func examine(t *testing.T, cfg doctor.Config) []doctor.Finding {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var found []doctor.Finding
	doctor.Examine(ctx, cfg, func(f doctor.Finding) { found = append(found, f) })
	if ctx.Err() != nil {
		t.Fatal(ctx.Err())
	}
	for _, f := range found {
		if (f.Severity == doctor.Wrong || f.Severity == doctor.Advice) && (f.Why == "" || f.Mend == "") {
			t.Errorf("it is not said why or how to mend it: %+v", f)
		}
	}
	return found
}

// wants looks for findings by their severity, place and words.
func wants(t *testing.T, found []doctor.Finding, wanted ...[3]string) {
	t.Helper()
	missed := false
	for _, want := range wanted {
		if !has(found, want) {
			missed = true
			t.Errorf("it is not found: %s at %s: %s", want[0], want[1], want[2])
		}
	}
	if missed {
		for _, f := range found {
			t.Logf("%s %s: %s\n  %s\n  %s", f.Severity, f.Place, f.What, f.Why, f.Mend)
		}
	}
}

// eventually examines until all is found: a broker answers before all of it knows what was changed.
func eventually(t *testing.T, cfg doctor.Config, wanted ...[3]string) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		found := examine(t, cfg)
		all := !slices.ContainsFunc(wanted, func(want [3]string) bool { return !has(found, want) })
		if all || time.Now().After(deadline) {
			wants(t, found, wanted...)
			return
		}
	}
}

func has(found []doctor.Finding, want [3]string) bool {
	for _, f := range found {
		if string(f.Severity) == want[0] && f.Place == want[1] && strings.Contains(f.What+"\n"+f.Mend, want[2]) {
			return true
		}
	}
	return false
}

// ofSeverity are the findings of one severity, for a test that wants none.
func ofSeverity(found []doctor.Finding, s doctor.Severity) (texts []string) {
	for _, f := range found {
		if f.Severity == s {
			texts = append(texts, f.Place+": "+f.What)
		}
	}
	return texts
}

// topicsOf are the names of one test on a shared broker.
func topicsOf() kafka.Topics {
	prefix := fmt.Sprintf("d%d-", time.Now().UnixNano())
	return kafka.Topics{Events: prefix + "events", Rewards: prefix + "rewards", Changelog: prefix + "changelog", DeadLetters: prefix + "dead-letters", Campaigns: prefix + "campaigns"}
}

func connect(t *testing.T, brokers []string, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kafka.Connection{Brokers: brokers}.Client(t.Context(), options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

func made(t *testing.T, brokers []string, names kafka.Topics) kafka.TopicsState {
	t.Helper()
	topics, err := kafka.EnsureTopics(t.Context(), connect(t, brokers), kafka.TopicsConfig{Names: names})
	if err != nil {
		t.Fatal(err)
	}
	return topics
}

// event is one of a user, as a source tells it.
func event(topic, source, user string) *kgo.Record {
	return &kgo.Record{Topic: topic, Key: []byte(user), Value: fmt.Appendf(nil,
		`{"specversion":"1.0","id":"%s","source":%q,"type":"walk","subject":%q,"time":%q}`, user, source, user, time.Now().UTC().Format(time.RFC3339))}
}

func send(t *testing.T, cl *kgo.Client, records ...*kgo.Record) {
	t.Helper()
	if err := cl.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// users sends an event of each of many users.
func users(t *testing.T, cl *kgo.Client, topic, source string, n int, partition func(user string) int32) {
	t.Helper()
	var records []*kgo.Record
	for i := range n {
		r := event(topic, source, fmt.Sprintf("%s-%d", source, i))
		if partition != nil {
			r.Partition = partition(string(r.Key))
		}
		records = append(records, r)
	}
	send(t, cl, records...)
}

func byCRC32(user string) int32 { return int32(crc32.ChecksumIEEE([]byte(user)) % 6) }

// flow sends an event to every partition now and then, until the test ends.
func flow(t *testing.T, brokers []string, topic string) {
	cl := connect(t, brokers, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			for n := range int32(6) {
				r := event(topic, "/flow", "\xffstampede") // a record of ours, whose partition is not chosen by the user
				r.Partition = n
				cl.Produce(ctx, r, nil)
			}
			time.Sleep(50 * time.Millisecond)
		}
	}()
	t.Cleanup(func() { stop(); <-ended })
}

func TestARealClusterThatIsWell(t *testing.T) {
	brokers := kafkatest.Shared(t).Addresses()
	names := topicsOf()
	made(t, brokers, names)
	cl := connect(t, brokers)
	users(t, cl, names.Events, "/app", 200, nil)
	users(t, cl, names.Events, "/hr", 200, nil)
	flow(t, brokers, names.Events)
	before := allTopics(t, brokers)

	cfg := doctor.Config{Connection: kafka.Connection{Brokers: brokers}, Topics: kafka.TopicsConfig{Names: names}, Group: names.Events, State: t.TempDir(), Watch: time.Minute}
	found := examine(t, cfg)
	if wrong := ofSeverity(found, doctor.Wrong); len(wrong) > 0 {
		t.Errorf("found wrong: %q", wrong)
	}
	ok := string(doctor.OK)
	wants(t, found,
		[3]string{ok, brokers[0], "a broker answers"},
		[3]string{ok, "topic " + names.Events, "its settings are as they must be"},
		[3]string{ok, "topic " + names.Events, "what `processor run` does with it is allowed"},
		[3]string{ok, "controller 1", "are apart by"},
		[3]string{ok, "broker 1", "are apart by"},
		[3]string{ok, "source /app", "murmur2 (200 of 200 users)"},
		[3]string{ok, "source /hr", "murmur2 (200 of 200 users)"},
		[3]string{ok, "transactions", "none hangs"},
		[3]string{"advice", "topic " + names.Rewards, "one replica"},
	)
	if has(found, [3]string{"not checked", "source /flow", ""}) || has(found, [3]string{"wrong", "source /flow", ""}) {
		t.Error("records of ours are taken for a producer's")
	}
	if diff := cmp.Diff(before, allTopics(t, brokers)); diff != "" {
		t.Errorf("topics were made: %s", diff)
	}

	// The same with a clock that is two hours ahead.
	cfg.Now = func() time.Time { return time.Now().Add(2 * time.Hour) }
	wants(t, examine(t, cfg),
		[3]string{"wrong", "controller 1", "this machine's clock is ahead of its by at least 1h59m"},
		[3]string{"wrong", "broker 1", "this machine's clock is ahead of its by at least 1h59m"})
	cfg.Now = func() time.Time { return time.Now().Add(-10 * time.Second) }
	wants(t, examine(t, cfg),
		[3]string{"advice", "controller 1", "this machine's clock is behind its by at least 9"},
		[3]string{"advice", "broker 1", "this machine's clock is behind its by at least 9"})
}

func allTopics(t *testing.T, brokers []string) []string {
	t.Helper()
	details, err := kadm.NewClient(connect(t, brokers)).ListTopicsWithInternal(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return details.Names()
}

func TestProducersThatDisagreeOnARealCluster(t *testing.T) {
	brokers := kafkatest.Shared(t).Addresses()
	names := topicsOf()
	made(t, brokers, names)
	cl, by := connect(t, brokers), connect(t, brokers, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	users(t, cl, names.Events, "/app", 100, nil)
	users(t, by, names.Events, "/legacy", 100, byCRC32)
	users(t, cl, names.Events, "/new", 2, nil)
	send(t, cl, event(names.Events, "/app", "ann"))
	away := event(names.Events, "/legacy", "ann")
	away.Partition = (byCRC32("ann") + 1) % 6
	send(t, by, away)
	away.Partition = byCRC32("ann")
	send(t, by, away)

	found := examine(t, doctor.Config{Connection: kafka.Connection{Brokers: brokers}, Topics: kafka.TopicsConfig{Names: names}, Group: names.Events, Watch: time.Millisecond})
	wants(t, found,
		[3]string{"ok", "source /app", "murmur2 (101 of 101 users)"},
		[3]string{"wrong", "source /legacy", "CRC32"},
		[3]string{"wrong", "source /legacy", "partitioner=murmur2_random"},
		[3]string{"not checked", "source /new", "too few"},
		[3]string{"wrong", "topic " + names.Events, "of users who are in two partitions, such as " + names.Events + "/"})
}

func TestTopicsThatAreWrongOnARealCluster(t *testing.T) {
	brokers := kafkatest.Shared(t).Addresses()
	names := topicsOf()
	cl := connect(t, brokers)
	admin := kadm.NewClient(cl)
	settings := func(of ...string) map[string]*string {
		m := map[string]*string{}
		for _, s := range of {
			name, value, _ := strings.Cut(s, "=")
			m[name] = &value
		}
		return m
	}
	for topic, of := range map[string]map[string]*string{
		names.Events:    settings("message.timestamp.type=CreateTime", "retention.ms=3600000", "unclean.leader.election.enable=true"),
		names.Changelog: settings("cleanup.policy=compact", "delete.retention.ms=1000", "max.message.bytes=2000000"),
		names.Rewards:   settings("retention.ms=60000"),
	} {
		partitions := int32(4)
		if topic == names.Changelog {
			partitions = 2
		}
		if _, err := admin.CreateTopic(t.Context(), partitions, -1, of, topic); err != nil {
			t.Fatal(err)
		}
	}
	events := "topic " + names.Events
	eventually(t, doctor.Config{Connection: kafka.Connection{Brokers: brokers}, Topics: kafka.TopicsConfig{Names: names}, Group: names.Events, Watch: time.Millisecond},
		[3]string{"wrong", events, "--entity-name " + names.Events + " --add-config message.timestamp.type=LogAppendTime"},
		[3]string{"wrong", events, "it has 4 partitions and " + names.Changelog + " has 2"},
		[3]string{"wrong", events, "unclean.leader.election.enable is true"},
		[3]string{"advice", events, "it keeps events for 1h0m0s"},
		[3]string{"advice", "topic " + names.Rewards, "it keeps rewards for 1m0s"},
		[3]string{"wrong", "topic " + names.Changelog, "it remembers for 1s that a user was deleted"},
		[3]string{"advice", "topic " + names.DeadLetters, "it is not there"},
		[3]string{"not checked", "leaders", "only a topic of events that has the brokers' times tells them"})
}

// A broker that nobody has used yet, and whose settings do not fit. Its second listener asks for logins, and not all is allowed to who comes by it.
func TestARealBrokerThatIsNewAndStrict(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a broker")
	}
	b := kafkatest.Start(t, kafkatest.Config{Advertise: []string{"", "nowhere.invalid:9092"}, Properties: map[string]string{
		"listener.security.protocol.map":                   "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,OUTSIDE:PLAINTEXT,ADVERTISED0:SASL_PLAINTEXT,ADVERTISED1:PLAINTEXT",
		"sasl.enabled.mechanisms":                          "PLAIN",
		"listener.name.advertised0.plain.sasl.jaas.config": `org.apache.kafka.common.security.plain.PlainLoginModule required user_stampede="secret";`,
		"authorizer.class.name":                            "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
		"super.users":                                      "User:ANONYMOUS",
		"add.partitions.to.txn.retry.backoff.ms":           "20",
		"transaction.max.timeout.ms":                       "20000",
		"group.max.session.timeout.ms":                     "6000",
		"offsets.retention.minutes":                        "60",
		"transaction.state.log.replication.factor":         "3",
	}})
	if !b.Ours() {
		t.Skip("a broker that was given has no settings of ours")
	}
	logins := b.Listener(0)
	inside := kafka.Connection{Brokers: b.Addresses()}
	cfg := doctor.Config{Connection: inside, Group: "stampede", Watch: time.Millisecond}

	found := examine(t, cfg)
	wants(t, found,
		[3]string{"advice", "broker 1", "add.partitions.to.txn.retry.backoff.ms is 20"},
		[3]string{"wrong", "broker 1", "transaction.max.timeout.ms is 20000, and 30000 is asked for"},
		[3]string{"wrong", "broker 1", "group.max.session.timeout.ms is 6000, and processors ask for 10000"},
		[3]string{"wrong", "broker 1", "transaction.state.log.replication.factor is 3, and there is only 1 broker"},
		[3]string{"advice", "broker 1", "offsets.retention.minutes is 60"},
		[3]string{"advice", "topic events", "it is not there"},
		[3]string{"ok", "cluster", "may be made"},
		[3]string{"ok", "group stampede", "there is no group in this cluster yet"})
	if topics := allTopics(t, b.Addresses()); len(topics) > 0 {
		t.Errorf("topics were made: %q", topics)
	}

	cfg.Connection.Brokers = []string{b.Listener(1)}
	wants(t, examine(t, cfg),
		[3]string{"ok", b.Listener(1), "a broker answers"},
		[3]string{"wrong", "broker 1", "it sends its clients to nowhere.invalid:9092, and no such name is known here"},
		[3]string{"wrong", "broker 1", "set advertised.listeners"})

	login := func(password string) doctor.Config {
		security, err := kafka.SecurityFlags{SASL: "plain", SASLUser: "stampede", SASLPassword: password}.Security()
		if err != nil {
			t.Fatal(err)
		}
		return doctor.Config{Connection: kafka.Connection{Brokers: []string{logins}, Security: security}, Principal: "User:stampede", Watch: time.Millisecond}
	}
	wants(t, examine(t, login("nonsense")), [3]string{"wrong", logins, "the login is refused"})
	wants(t, examine(t, doctor.Config{Connection: kafka.Connection{Brokers: []string{logins}}}),
		[3]string{"wrong", logins, "does not answer as a broker does"})

	// Where nothing is allowed, nothing is told, and nothing is taken for right.
	made(t, b.Addresses(), kafka.Topics{})
	denied := examine(t, login("secret"))
	wants(t, denied,
		[3]string{"wrong", "topic events", "kafka-acls.sh --bootstrap-server BROKER --add --allow-principal User:stampede --operation Read --operation Write --operation Describe --operation DescribeConfigs --topic events"},
		[3]string{"not checked", "broker 1", "its settings"},
		[3]string{"not checked", "controller", "its clock"},
		[3]string{"not checked", "topic events", "its settings"})
	inCluster := kadm.NewClient(connect(t, b.Addresses()))
	// What the commands say, done for everything but writing rewards and reading the changelog's settings.
	for _, acl := range []*kadm.ACLBuilder{
		kadm.NewACLs().Topics("events").Operations(kadm.OpRead, kadm.OpWrite, kadm.OpDescribe, kadm.OpDescribeConfigs),
		kadm.NewACLs().Topics("rewards").Operations(kadm.OpDescribe, kadm.OpDescribeConfigs),
		kadm.NewACLs().Topics("changelog").Operations(kadm.OpRead, kadm.OpWrite, kadm.OpDescribe),
		kadm.NewACLs().Groups("stampede").Operations(kadm.OpDescribe),
	} {
		created, err := inCluster.CreateACLs(t.Context(), acl.Allow("User:stampede").AllowHosts().ResourcePatternType(kadm.ACLPatternLiteral))
		if err != nil || created[0].Err != nil {
			t.Fatal(err, created)
		}
	}
	// The group's coordinator is known from here on; the topic of transactions can't be made, so its ids are not asked about.
	for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		if _, err := inCluster.DescribeGroups(t.Context(), "stampede"); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the group has no coordinator")
		}
	}
	eventually(t, login("secret"),
		[3]string{"ok", "topic events", "what `processor run` does with it is allowed"},
		[3]string{"wrong", "topic rewards", "not allowed: Write"},
		[3]string{"wrong", "topic changelog", "--operation DescribeConfigs --topic changelog"},
		[3]string{"wrong", "group stampede", "--operation Read --group stampede"},
		[3]string{"wrong", "transactional ids stampede-...", "--transactional-id stampede- --resource-pattern-type prefixed"})
}

// What a group tells, on the embedded broker: there it is quick.
func TestAGroupThatOthersUse(t *testing.T) {
	brokers := embedded(t)
	made(t, brokers, kafka.Topics{})
	send(t, connect(t, brokers), event("events", "/app", "ann"), &kgo.Record{Topic: "other", Value: []byte("x")})
	cfg := doctor.Config{Connection: kafka.Connection{Brokers: brokers}, Watch: time.Millisecond}
	wants(t, examine(t, cfg), [3]string{"ok", "group stampede", "there is no group in this cluster yet"})

	// A member that reads something else, and an offset that it has committed.
	other := connect(t, brokers, kgo.ConsumerGroup("stampede"), kgo.ConsumeTopics("events", "other"), kgo.DisableAutoCommit(), kgo.ClientID("mailer"))
	fetches := other.PollFetches(t.Context())
	if err := fetches.Err(); err != nil {
		t.Fatal(err)
	}
	admin := kadm.NewClient(other)
	at := kadm.OffsetsFromRecords(kgo.Record{Topic: "events", Partition: 2, Offset: 0})
	committed := at["events"][2]
	committed.At, committed.Metadata = 0, "mailer's"
	at["events"][2] = committed
	if err := admin.CommitAllOffsets(t.Context(), "elsewhere", at); err != nil {
		t.Fatal(err)
	}
	wants(t, examine(t, cfg), [3]string{"wrong", "group stampede", "its member mailer at"})
	cfg.Group = "elsewhere"
	wants(t, examine(t, cfg), [3]string{"wrong", "group elsewhere", "partitions 2 of events: another program has committed"})
}

// A worker that was killed leaves a transaction open, which the broker ends in time. By the clock of who looks later than any timeout, nobody will.
func TestATransactionThatHangsOnARealCluster(t *testing.T) {
	brokers := kafkatest.Shared(t).Addresses()
	names := topicsOf()
	made(t, brokers, names)
	cl := connect(t, brokers, kgo.TransactionalID(names.Events), kgo.TransactionTimeout(10*time.Minute))
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	send(t, cl, &kgo.Record{Topic: names.Changelog, Key: []byte("ann"), Value: []byte("x")})
	cfg := doctor.Config{Connection: kafka.Connection{Brokers: brokers}, Topics: kafka.TopicsConfig{Names: names}, Group: names.Events, Watch: time.Millisecond}
	for ahead, severity := range map[time.Duration]string{0: "ok", 5 * time.Minute: "advice", 20 * time.Minute: "wrong"} {
		cfg.Now = func() time.Time { return time.Now().Add(ahead) }
		place, what := fmt.Sprintf("topic %s, partition %d", names.Changelog, stickyPartition("ann")), "a transaction is open since offset 0"
		if severity == "ok" {
			place, what = "transactions", "none hangs"
		}
		wants(t, examine(t, cfg), [3]string{severity, place, what})
	}
	if err := cl.EndTransaction(t.Context(), kgo.TryAbort); err != nil {
		t.Fatal(err)
	}
}

// stickyPartition is where the client puts a key of 6 partitions.
func stickyPartition(key string) int {
	return kgo.StickyKeyPartitioner(nil).ForTopic("").Partition(&kgo.Record{Key: []byte(key)}, 6)
}

func embedded(t *testing.T) []string {
	t.Helper()
	broker, err := kafka.StartEmbedded(kafka.EmbeddedConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { broker.Close() })
	cl := connect(t, broker.Brokers())
	if _, err := kadm.NewClient(cl).CreateTopic(t.Context(), 1, -1, nil, "other"); err != nil {
		t.Fatal(err)
	}
	return broker.Brokers()
}
