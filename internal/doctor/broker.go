package doctor

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/stampede-rewards/stampede/internal/kafka"
	"github.com/stampede-rewards/stampede/internal/stream"
)

// examineBrokers asks which brokers there are, what they can do and how they are set, and for the topics that Kafka keeps for itself.
func (l *kafkaLook) examineBrokers(ctx context.Context) []Finding {
	bounded, cancel := asked(ctx)
	cluster, err := l.admin.BrokerMetadata(bounded)
	cancel()
	if err != nil {
		return []Finding{unchecked(Brokers, "cluster", "which brokers there are", err)}
	}
	l.brokers = cluster.Brokers
	var nodes []int32
	for _, b := range l.brokers {
		nodes = append(nodes, b.NodeID)
	}
	found := append(l.advertisedAddresses(ctx), Finding{
		Severity: OK, Area: Brokers, Place: "cluster " + cluster.Cluster,
		What: fmt.Sprintf("it has %s (%s), and %d answers for the controller", counted(len(nodes), "broker"), numbers(nodes), cluster.Controller),
	})
	found = append(found, versions(l.askVersions(ctx))...)

	found = append(found, l.askSettings(ctx, nodes)...)
	bySetting := map[int32][]Finding{}
	for node, settings := range l.settings {
		bySetting[node] = brokerSettings(settings)
	}
	found = append(found, ofBrokers(bySetting)...)
	return append(found, l.internalTopics(ctx)...)
}

// version is what a broker says of itself.
type version struct {
	guess    string          // the release, as far as its requests tell
	most     map[int16]int16 // the newest version of each request that it knows
	features map[string]int16
	err      error
}

func (l *kafkaLook) askVersions(ctx context.Context) map[int32]version {
	bounded, cancel := asked(ctx)
	defer cancel()
	answers, err := l.admin.ApiVersions(bounded)
	of := map[int32]version{}
	for _, b := range l.brokers {
		v := version{most: map[int16]int16{}, features: map[string]int16{}, err: err}
		answer, ok := answers[b.NodeID]
		if ok {
			v.err = answer.Err
		}
		if ok && answer.Err == nil {
			v.guess = answer.VersionGuess()
			answer.EachKeySorted(func(key, _, most int16) { v.most[key] = most })
			for _, f := range answer.Raw().FinalizedFeatures {
				v.features[f.Name] = f.MaxVersionLevel
			}
		}
		of[b.NodeID] = v
	}
	return of
}

// needs are the requests without which a processor can't keep what it promises, and what for. The newest of them are of Kafka 2.8.
var needs = []struct {
	request kmsg.Key
	version int16
	what    string
}{
	{kmsg.Metadata, 10, "topics have ids, so that one that was deleted and made anew is not taken for the old one (Kafka 2.8)"},
	{kmsg.TxnOffsetCommit, 3, "offsets are committed for a member of the group, so that one that the group has forgotten commits nothing (Kafka 2.5)"},
	{kmsg.OffsetFetch, 7, "offsets are read when no transaction is open on them (Kafka 2.5)"},
	{kmsg.JoinGroup, 5, "a processor has the same name after a restart, so that no partition moves (Kafka 2.3)"},
}

const (
	// transactionFeature is the cluster's feature that says how transactions work, and transactionsV2 the level from which each has an epoch of its own (KIP-890).
	transactionFeature = "transaction.version"
	transactionsV2     = 2
)

// versions judges what the brokers say of themselves.
func versions(of map[int32]version) []Finding {
	found := map[int32][]Finding{}
	guesses := map[string][]int32{}
	for node, v := range of {
		if v.err != nil {
			found[node] = []Finding{unchecked(Brokers, "", "its version", v.err)}
			continue
		}
		guesses[v.guess] = append(guesses[v.guess], node)
		found[node] = versionOf(v)
	}
	all := ofBrokers(found)
	if len(guesses) > 1 {
		var texts []string
		for _, guess := range sortedKeys(guesses) {
			texts = append(texts, guess+" ("+numbers(guesses[guess])+")")
		}
		all = append(all, Finding{
			Severity: Advice, Area: Brokers, Place: "cluster", What: "its brokers are of different versions: " + strings.Join(texts, ", "),
			Why: "that is right during an upgrade and at no other time: what is allowed is what the oldest can do", Mend: "end the upgrade",
		})
	}
	return all
}

func versionOf(v version) []Finding {
	var lacks []string
	for _, n := range needs {
		if most, known := v.most[int16(n.request)]; !known || most < n.version {
			lacks = append(lacks, n.what)
		}
	}
	if len(lacks) > 0 {
		return []Finding{{
			Severity: Wrong, Area: Brokers, What: "by the requests that it knows it is of Kafka " + v.guess + ", and can't do what is needed", Why: strings.Join(lacks, "; "), Mend: "upgrade Kafka to 2.8 or later, best to 4",
		}}
	}
	found := []Finding{{Severity: OK, Area: Brokers, What: "by the requests that it knows it is of Kafka " + v.guess}}
	if v.features[transactionFeature] < transactionsV2 {
		found = append(found, Finding{
			Severity: Advice, Area: Brokers, What: fmt.Sprintf("transactions are of before Kafka 4 (%s is %d, not %d)", transactionFeature, v.features[transactionFeature], transactionsV2),
			Why:  "a request of a dead client that arrives late can leave a transaction open for ever, and readers of committed records wait behind it (KIP-890)",
			Mend: fmt.Sprintf("when all brokers are of Kafka 4: kafka-features.sh --bootstrap-server BROKER upgrade --feature %s=%d", transactionFeature, transactionsV2),
		})
	}
	return found
}

// askSettings fills in the settings of the brokers that tell them.
func (l *kafkaLook) askSettings(ctx context.Context, nodes []int32) []Finding {
	found := map[int32][]Finding{}
	for _, node := range nodes { // one at a time: one that is down must not hide the others
		bounded, cancel := asked(ctx)
		described, err := l.admin.DescribeBrokerConfigs(bounded, node)
		cancel()
		var config kadm.ResourceConfig
		if err == nil {
			config, err = described.On(strconv.Itoa(int(node)), nil)
		}
		if err == nil {
			err = config.Err
		}
		if err != nil {
			f := unchecked(Brokers, "", "its settings", err)
			f.Mend = "to have them looked at, allow DescribeConfigs on the cluster: " + allow(l.Principal, "DescribeConfigs", "--cluster")
			found[node] = []Finding{f}
			continue
		}
		l.settings[node] = map[string]string{}
		for _, c := range config.Configs {
			l.settings[node][c.Key] = c.MaybeValue()
		}
	}
	return ofBrokers(found)
}

const (
	retryBackoff = "add.partitions.to.txn.retry.backoff.ms"
	// goodRetryBackoff is what we have measured to be as good as less, ms.
	goodRetryBackoff = 2
	// leastOffsetsRetention is how long a group's offsets should be kept when nobody is in it: Kafka's own default.
	leastOffsetsRetention = 7 * 24 * time.Hour
)

// brokerSettings judges the settings of one broker. A setting that it has not, or does not tell, is passed over.
func brokerSettings(settings map[string]string) []Finding {
	var found []Finding
	number := func(name string) (int64, bool) {
		n, err := strconv.ParseInt(settings[name], 10, 64)
		return n, err == nil
	}
	say := func(severity Severity, what, why, mend string) {
		found = append(found, Finding{Severity: severity, Area: Brokers, What: what, Why: why, Mend: mend})
	}
	inProperties := func(name string, value any) string {
		return fmt.Sprintf("set %s=%v in the server.properties of each broker, and restart them one after the other", name, value)
	}
	if n, ok := number(retryBackoff); ok && n > goodRetryBackoff {
		say(Advice, fmt.Sprintf("%s is %d", retryBackoff, n),
			"it sets the floor of the latency: a transaction that follows another closely waits that long until the broker looks again whether the first one's markers are written",
			inProperties(retryBackoff, goodRetryBackoff))
	} else if ok {
		say(OK, fmt.Sprintf("%s is %d", retryBackoff, n), "", "")
	}
	if n, ok := number("transaction.max.timeout.ms"); ok && n < stream.LongestTransaction.Milliseconds() {
		say(Wrong, fmt.Sprintf("transaction.max.timeout.ms is %d, and %d is asked for", n, stream.LongestTransaction.Milliseconds()),
			"the broker refuses transactions that may take longer", inProperties("transaction.max.timeout.ms", stream.LongestTransaction.Milliseconds()))
	}
	session := stream.SessionTimeout.Milliseconds()
	if n, ok := number("group.min.session.timeout.ms"); ok && n > session {
		say(Wrong, fmt.Sprintf("group.min.session.timeout.ms is %d, and processors ask for %d", n, session), "the group takes no processor in", inProperties("group.min.session.timeout.ms", session))
	}
	if n, ok := number("group.max.session.timeout.ms"); ok && n < session {
		say(Wrong, fmt.Sprintf("group.max.session.timeout.ms is %d, and processors ask for %d", n, session), "the group takes no processor in", inProperties("group.max.session.timeout.ms", session))
	}
	if n, ok := number("offsets.retention.minutes"); ok && time.Duration(n)*time.Minute < leastOffsetsRetention {
		say(Advice, fmt.Sprintf("offsets.retention.minutes is %d", n),
			"when no processor runs for that long, the group's offsets expire; partitions are then refused until somebody commits an offset again (RUNBOOK, StampedePartitionRefused)",
			inProperties("offsets.retention.minutes", int64(leastOffsetsRetention.Minutes())))
	} else if ok {
		say(OK, fmt.Sprintf("a group that nobody is in keeps its offsets for %s", days(time.Duration(n)*time.Minute)), "", "")
	}
	return found
}

// days writes a duration for people: "7 days", or as Go does.
func days(d time.Duration) string {
	const day = 24 * time.Hour
	if d >= day && d%day == 0 {
		return counted(int(d/day), "day")
	}
	return d.String()
}

// The topics that Kafka keeps for itself.
const (
	offsetsTopic      = "__consumer_offsets"
	transactionsTopic = "__transaction_state"
)

// internal says what those topics have, and by which setting of the broker they get their replicas when Kafka makes them.
var internal = []struct{ name, what, replicas string }{
	{transactionsTopic, "what became of each transaction", "transaction.state.log.replication.factor"},
	{offsetsTopic, "how far the events are processed", "offsets.topic.replication.factor"},
}

// internalTopics judges the replication of what Kafka keeps for itself.
func (l *kafkaLook) internalTopics(ctx context.Context) []Finding {
	var found []Finding
	for _, t := range internal {
		bounded, cancel := asked(ctx)
		details, err := l.admin.ListTopicsWithInternal(bounded, t.name)
		detail := details[t.name]
		if err = cmp.Or(err, detail.Err); unknown(err) {
			l.notThere(bounded, t.name)
			found = append(found, l.willBeMade(t.name, t.what, t.replicas)...)
			cancel()
			continue
		}
		var configs kadm.ResourceConfigs
		if err == nil {
			configs, err = l.admin.DescribeTopicConfigs(bounded, t.name)
		}
		if err == nil && len(configs) == 1 {
			err = configs[0].Err
		}
		cancel()
		if err != nil || len(configs) != 1 {
			found = append(found, unchecked(Brokers, place(t.name), "its replication", err))
			continue
		}
		settings := map[string]string{}
		for _, c := range configs[0].Configs {
			settings[c.Key] = c.MaybeValue()
		}
		for _, f := range replication(t.name, detail, settings, len(l.brokers)) {
			f.Area = Brokers
			if f.Why != "" {
				f.Why += "; the topic says " + t.what
			}
			found = append(found, f)
		}
	}
	return found
}

// notThere notes that Kafka has not made one of its own topics yet, unless there is something that would stand in it: the embedded broker has no such topics.
// To list what there is makes none.
func (l *kafkaLook) notThere(ctx context.Context, name string) {
	switch name {
	case offsetsTopic:
		groups, err := l.admin.ListGroups(ctx)
		l.noOffsets = err == nil && len(groups) == 0
	case transactionsTopic:
		transactions, err := l.admin.ListTransactions(ctx, nil, nil)
		l.noTransactions = err == nil && len(transactions) == 0
	}
}

// willBeMade judges a topic that Kafka makes at first use: with more replicas than there are brokers it can't.
func (l *kafkaLook) willBeMade(name, what, setting string) []Finding {
	found := map[int32][]Finding{}
	for node, settings := range l.settings {
		replicas, err := strconv.Atoi(settings[setting])
		if err != nil || replicas <= len(l.brokers) {
			continue
		}
		found[node] = []Finding{{
			Severity: Wrong, Area: Brokers, What: fmt.Sprintf("%s is %d, and there is only %s", setting, replicas, counted(len(l.brokers), "broker")),
			Why:  fmt.Sprintf("topic %s, which says %s, is made at first use and can't be: whoever begins a transaction or joins a group waits for ever", name, what),
			Mend: "start more brokers, or set it to what there is in the server.properties of each",
		}}
	}
	return ofBrokers(found)
}

// replication judges the copies of a topic.
func replication(topic string, detail kadm.TopicDetail, settings map[string]string, brokers int) []Finding {
	var found []Finding
	say := func(severity Severity, what, why, mend string) {
		found = append(found, Finding{Severity: severity, Area: Topics, Place: place(topic), What: what, Why: why, Mend: mend})
	}
	least, err := strconv.Atoi(settings["min.insync.replicas"])
	if err != nil {
		least = 1
	}
	var leaderless, closed, behind []int32
	fewest := 0
	for _, p := range detail.Partitions.Sorted() {
		if n := len(p.Replicas); fewest == 0 || n < fewest {
			fewest = n
		}
		switch {
		case p.Leader < 0:
			leaderless = append(leaderless, p.Partition)
		case len(p.ISR) < least:
			closed = append(closed, p.Partition)
		case len(p.ISR) < len(p.Replicas):
			behind = append(behind, p.Partition)
		}
	}
	which := func(partitions []int32) string {
		if len(partitions) == 1 {
			return "partition " + numbers(partitions)
		}
		return "partitions " + numbers(partitions)
	}
	if len(leaderless) > 0 {
		say(Wrong, which(leaderless)+" without a leader", "nothing can be read there or written", "look at the brokers that have its replicas: kafka-topics.sh --bootstrap-server BROKER --describe --topic "+topic)
	}
	if len(closed) > 0 {
		say(Wrong, fmt.Sprintf("%s: fewer replicas in sync than min.insync.replicas, %d, asks for", which(closed), least), "nothing can be written there",
			"bring back the brokers that have its replicas: kafka-topics.sh --bootstrap-server BROKER --describe --topic "+topic)
	}
	if len(behind) > 0 {
		say(Advice, which(behind)+": not all replicas in sync", "one broker more that fails can take it away, or the newest of what was written",
			"look at the brokers that lag or are down: kafka-topics.sh --bootstrap-server BROKER --describe --under-replicated-partitions --topic "+topic)
	}
	switch {
	case fewest == 1 && brokers > 1:
		say(Advice, "it has one replica", "a broker that fails takes it away for as long, and a disk that is lost for ever",
			"kafka-reassign-partitions.sh gives each partition more replicas; three, with min.insync.replicas=2, is what is usual")
	case fewest == 1:
		say(Advice, "it has one replica, as there is only one broker", "a disk that is lost takes it away for ever", "for what counts, run three brokers, and give each topic three replicas and min.insync.replicas=2")
	case fewest > 1 && least == 1:
		say(Advice, fmt.Sprintf("it has %d replicas, and min.insync.replicas is 1", fewest), "what one broker alone has acknowledged is lost with its disk", kafka.SetTopic(topic, "min.insync.replicas", "2"))
	case fewest > 1 && least >= fewest:
		say(Advice, fmt.Sprintf("it has %d replicas, and min.insync.replicas is %d", fewest, least), "one broker that is down stops all writing", "one more replica than min.insync.replicas lets a broker be restarted")
	}
	if settings["unclean.leader.election.enable"] == "true" {
		say(Wrong, "unclean.leader.election.enable is true", "a replica that was behind can become the leader, and what others had is gone without a word: events, rewards and what is known of both",
			kafka.SetTopic(topic, "unclean.leader.election.enable", "false"))
	}
	if !slices.ContainsFunc(found, func(f Finding) bool { return f.Severity == Wrong || f.Severity == Advice }) {
		say(OK, fmt.Sprintf("%s of %s, min.insync.replicas is %d", counted(len(detail.Partitions), "partition"), counted(fewest, "replica"), least), "", "")
	}
	return found
}
