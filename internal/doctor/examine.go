package doctor

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/stampede-rewards/stampede/internal/kafka"
)

// Config says what to look at. It is what a processor would be run with.
type Config struct {
	Connection kafka.Connection
	Topics     kafka.TopicsConfig
	Group      string
	Instance   string // of a processor, where it is given one; default none
	Principal  string // who the brokers take us for, for commands to copy; default "User:NAME"

	State       string // the store's directory; without it the disk is not looked at
	MemoryBytes int64  // what the store may hold in memory

	Sample int           // how many of the newest events are looked at, default 10,000
	Watch  time.Duration // how long new events are waited for, to compare the clocks; default 3 s

	Now func() time.Time // default time.Now; a clock that is wrong, in tests
}

func (c Config) withDefaults() Config {
	c.Group = cmp.Or(c.Group, "stampede")
	c.Principal = cmp.Or(c.Principal, "User:NAME")
	c.MemoryBytes = cmp.Or(c.MemoryBytes, 256<<20)
	c.Sample = cmp.Or(c.Sample, 10_000)
	c.Watch = cmp.Or(c.Watch, 3*time.Second)
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

const (
	// answerTimeout bounds a question to the brokers, with all that the client tries for it.
	answerTimeout = 10 * time.Second
	// groupsBeforeNotFound is the newest version of the question for a group to which one that is not there is no error: what we may do with it is told all the same.
	groupsBeforeNotFound = 5
	// sampleTimeout bounds how long the sample of the events is read.
	sampleTimeout = time.Minute
)

// Examine looks at everything and tells each finding as soon as there is one, until ctx ends.
func Examine(ctx context.Context, cfg Config, tell func(Finding)) {
	cfg = cfg.withDefaults()
	all := func(found []Finding) {
		for _, f := range found {
			tell(f)
		}
	}
	if answered := addresses(ctx, cfg, all); answered {
		examineKafka(ctx, cfg, all)
	}
	if ctx.Err() != nil {
		return
	}
	all(examineStore(cfg))
	all(limits(thisMachine(), cfg))
}

// kafkaLook is what the brokers have said so far.
type kafkaLook struct {
	Config
	client   *kgo.Client
	admin    *kadm.Client
	brokers  []kgo.BrokerMetadata
	settings map[int32]map[string]string // of brokers that told them
	topics   []kafka.TopicLook
	group    *described // nil before it was asked for
	cluster  *cluster   // the same

	// Kafka has not made its own topics yet. It does when it is asked who coordinates a group or a transaction, and so it is not asked.
	noOffsets, noTransactions bool
}

// examineKafka asks the brokers, of which one has answered.
func examineKafka(ctx context.Context, cfg Config, tell func([]Finding)) {
	known := kversion.Stable()
	known.SetMaxKeyVersion(kmsg.DescribeGroups.Int16(), groupsBeforeNotFound)
	cl, err := kgo.NewClient(append(cfg.Connection.Options(), kgo.RetryTimeout(answerTimeout), kgo.MaxVersions(known))...)
	if err != nil {
		tell([]Finding{{Severity: Wrong, Area: Brokers, Place: "client", What: err.Error()}})
		return
	}
	defer cl.Close()
	l := &kafkaLook{Config: cfg, client: cl, admin: kadm.NewClient(cl), settings: map[int32]map[string]string{}}
	for _, look := range []func(context.Context) []Finding{
		l.examineBrokers, l.examineTopics, l.examinePermissions, l.examineClocks, l.examineGroup, l.examineTransactions, l.examineProducers,
	} {
		if ctx.Err() != nil {
			return
		}
		tell(look(ctx))
	}
}

// asked is a context for one question.
func asked(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, answerTimeout)
}

// The places of the topics among those that are looked at.
const (
	eventsTopic = iota
	rewardsTopic
	changelogTopic
	deadLettersTopic
	campaignsTopic
	firstOutcomes
)

// topic is one of the topics, nil where it is not there or can't be looked at.
func (l *kafkaLook) topic(which int) *kafka.TopicLook {
	if which >= len(l.topics) || l.topics[which].Err != nil {
		return nil
	}
	return &l.topics[which]
}

func place(topic string) string { return "topic " + topic }

func placeOf(topic string, partition int32) string {
	return fmt.Sprintf("topic %s, partition %d", topic, partition)
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
