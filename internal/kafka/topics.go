package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Topics are the names of the topics.
type Topics struct {
	Events      string // default "events"
	Rewards     string // default "rewards"
	Changelog   string // default "changelog"
	DeadLetters string // default "dead-letters"
	Campaigns   string // default "campaigns"
	// Outcomes are those of partners, one each; default none.
	Outcomes []string
}

// WithDefaults gives each topic that has no name its default one.
func (t Topics) WithDefaults() Topics {
	for name, standard := range map[*string]string{
		&t.Events: "events", &t.Rewards: "rewards", &t.Changelog: "changelog", &t.DeadLetters: "dead-letters", &t.Campaigns: "campaigns",
	} {
		if *name == "" {
			*name = standard
		}
	}
	return t
}

// TopicsConfig says what topics are made like where they are missing.
type TopicsConfig struct {
	Names             Topics
	Partitions        int32 // of events and changelog, default 6; the others get as many
	ReplicationFactor int16 // default -1: the broker's own default
	EventBytes        int   // the largest event's value (E6), default 1 MiB; a topic that exists may differ
	LedgerBytes       int   // the largest ledger (E7), default 1 MiB

	// Reads and Writes are the topics that the caller is going to read and to write. Where brokers control access and don't allow it, that is told
	// before anything is done. Default none.
	Reads, Writes []string
	Principal     string // who that is, for the error: [Security.Principal]
}

func (c TopicsConfig) withDefaults() TopicsConfig {
	c.Names = c.Names.WithDefaults()
	if c.Partitions == 0 {
		c.Partitions = 6
	}
	if c.ReplicationFactor == 0 {
		c.ReplicationFactor = -1
	}
	if c.EventBytes == 0 {
		c.EventBytes = 1 << 20
	}
	if c.LedgerBytes == 0 {
		c.LedgerBytes = 1 << 20
	}
	return c
}

// Topic is a topic as it is.
type Topic struct {
	Name            string
	ID              [16]byte
	Partitions      int32
	MaxMessageBytes int32         // of a batch
	DeleteRetention time.Duration // how long a compacted topic keeps the mark of a deleted key
	Retention       time.Duration // how long a topic that is not compacted keeps records; below 0 is for ever
}

// TopicsState is what the topics are like; a topic that was not asked for is zero.
type TopicsState struct {
	Events, Rewards, Changelog, DeadLetters, Campaigns Topic

	Outcomes []Topic // as they were asked for
}

// Outcome is one of the partners' topics, zero if it was not asked for.
func (s TopicsState) Outcome(name string) Topic {
	for _, t := range s.Outcomes {
		if t.Name == name {
			return t
		}
	}
	return Topic{}
}

const (
	// recordOverhead is room for a record's key, headers and framing beside its value.
	recordOverhead = 64 << 10
	// LetterHeaderBytes is the room in the dead-letters topic's largest record for what is not the value.
	LetterHeaderBytes = recordOverhead
	// registeredBytes is room for the largest campaign in the registry.
	registeredBytes = 1<<20 + recordOverhead
	// smallestLetter is how much of a value one dead letter must be able to hold.
	smallestLetter = 64 << 10

	week = 7 * 24 * time.Hour
	// deadLetterRetention gives people time to look.
	deadLetterRetention = 90 * 24 * time.Hour
	// changelogSegment bounds what compaction can't touch yet: the newest segment of a partition.
	changelogSegment = 64 << 20

	// leadersTimeout bounds the wait for a new topic's partitions to have leaders.
	leadersTimeout   = 30 * time.Second
	leadersRetryWait = 50 * time.Millisecond
)

// spec is one topic: how it is made and what it must be like.
type spec struct {
	name       string
	partitions int32
	settings   map[string]string // at creation
	required   []requirement
}

// requirement is a setting that decides between right and wrong.
type requirement struct {
	setting string
	holds   func(value string) bool
	mend    string // the value to set
	why     string
}

func exactly(setting, value, why string) requirement {
	return requirement{setting, func(v string) bool { return v == value }, value, why}
}

func atLeastBytes(setting string, bytes int, why string) requirement {
	return requirement{setting, func(v string) bool {
		n, err := strconv.Atoi(v)
		return err == nil && n >= bytes
	}, strconv.Itoa(bytes), why}
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

func (c TopicsConfig) events() spec {
	return spec{
		name: c.Names.Events, partitions: c.Partitions,
		settings: map[string]string{
			"message.timestamp.type": "LogAppendTime",
			"cleanup.policy":         "delete",
			"retention.ms":           milliseconds(week),
			"max.message.bytes":      strconv.Itoa(c.EventBytes + recordOverhead),
		},
		required: []requirement{
			exactly("message.timestamp.type", "LogAppendTime", "the broker's time of arrival is the only clock; a producer's own could be wrong or run backwards"),
			exactly("cleanup.policy", "delete", "a compacted topic loses all but the last event of a user"),
		},
	}
}

func (c TopicsConfig) rewards() spec {
	return spec{
		name: c.Names.Rewards, partitions: c.Partitions,
		settings: map[string]string{
			"cleanup.policy": "delete",
			"retention.ms":   "-1", // a reward that nobody has read yet must not vanish; whoever wants it otherwise sets it
		},
		required: []requirement{
			exactly("cleanup.policy", "delete", "a compacted topic loses all but the last reward of a user"),
		},
	}
}

func (c TopicsConfig) changelog() spec {
	size := c.LedgerBytes + recordOverhead
	return spec{
		name: c.Names.Changelog, partitions: c.Partitions,
		settings: map[string]string{
			"cleanup.policy":      "compact",
			"retention.ms":        "-1", // a compacted topic has none, but the embedded broker applies one
			"delete.retention.ms": milliseconds(week),
			"segment.bytes":       strconv.Itoa(changelogSegment),
			"max.message.bytes":   strconv.Itoa(size),
		},
		required: []requirement{
			exactly("cleanup.policy", "compact", "a ledger that has not changed for long would be deleted, and with it the user's progress"),
			atLeastBytes("max.message.bytes", size, "the largest ledger must fit in a record"),
		},
	}
}

func (c TopicsConfig) deadLetters() spec {
	return spec{
		name: c.Names.DeadLetters, partitions: c.Partitions,
		settings: map[string]string{
			"cleanup.policy": "delete",
			"retention.ms":   milliseconds(deadLetterRetention),
		},
		required: []requirement{
			exactly("cleanup.policy", "delete", "a compacted topic loses all but the last dead letter of a user"),
			atLeastBytes("max.message.bytes", LetterHeaderBytes+smallestLetter, "a part of a record and its headers must fit"),
		},
	}
}

// campaigns is the registry: what publishers compare with. It has one partition, so that a publish is read whole and in order.
func (c TopicsConfig) campaigns() spec {
	return spec{
		name: c.Names.Campaigns, partitions: 1,
		settings: map[string]string{
			"cleanup.policy":    "compact",
			"retention.ms":      "-1", // as for the changelog
			"max.message.bytes": strconv.Itoa(registeredBytes),
		},
		required: []requirement{
			exactly("cleanup.policy", "compact", "a campaign that has not changed for long would be deleted, and the next publish would take it for a new one"),
			atLeastBytes("max.message.bytes", registeredBytes, "the largest campaign must fit in a record"),
		},
	}
}

// outcomes is a partner's topic. Of a record on it nothing but the civil date may be told.
func (c TopicsConfig) outcomes(name string) spec {
	return spec{
		name: name, partitions: c.Partitions,
		settings: map[string]string{
			"message.timestamp.type": "CreateTime",
			"cleanup.policy":         "delete",
			"retention.ms":           "-1", // as for rewards
		},
		required: []requirement{
			exactly("message.timestamp.type", "CreateTime", "the broker's time of arrival would tell a partner when exactly a user did something (O1)"),
			exactly("cleanup.policy", "delete", "a compacted topic loses all but the last outcome of a pseudonym"),
		},
	}
}

// specs are all topics, those of partners last.
func (c TopicsConfig) specs() []spec {
	specs := []spec{c.events(), c.rewards(), c.changelog(), c.deadLetters(), c.campaigns()}
	for _, name := range c.Names.Outcomes {
		specs = append(specs, c.outcomes(name))
	}
	return specs
}

// eachOnce wants every topic to be used for one thing.
func eachOnce(specs []spec) error {
	var errs []error
	for i, s := range specs {
		if slices.ContainsFunc(specs[:i], func(other spec) bool { return other.name == s.name }) {
			errs = append(errs, fmt.Errorf("topic %s is named for two uses: give each its own", s.name))
		}
	}
	return errors.Join(errs...)
}

// EnsureTopics makes the topics that are missing and checks those that exist. The error lists everything that is wrong with
// any of them, and for each what to do.
func EnsureTopics(ctx context.Context, cl *kgo.Client, cfg TopicsConfig) (TopicsState, error) {
	cfg = cfg.withDefaults()
	specs := cfg.specs()
	if err := eachOnce(specs); err != nil {
		return TopicsState{}, err
	}
	topics, err := ensure(ctx, cl, cfg, specs...)
	if err != nil {
		return TopicsState{}, err
	}
	state := TopicsState{Events: topics[0], Rewards: topics[1], Changelog: topics[2], DeadLetters: topics[3], Campaigns: topics[4], Outcomes: topics[5:]}
	if mistakes := misfits(state.Events, state.Changelog, state.Campaigns); len(mistakes) > 0 {
		return TopicsState{}, mistakes[0] // to mend one makes a topic anew
	}
	return state, nil
}

// misfits are the numbers of partitions that are wrong; of topics that are not there, which are zero, nothing is said.
func misfits(events, changelog, campaigns Topic) (mistakes []TopicMistake) {
	if changelog.Partitions != events.Partitions && changelog.Partitions > 0 && events.Partitions > 0 {
		mistakes = append(mistakes, TopicMistake{
			Topic: events.Name,
			What:  fmt.Sprintf("it has %d partitions and %s has %d: they must have the same number", events.Partitions, changelog.Name, changelog.Partitions),
			Why:   "a user's ledger is found under the partition of the user's events",
			Mend: fmt.Sprintf("delete %s (it is rebuilt only by reading all events again) or make %s anew with %d partitions",
				changelog.Name, events.Name, changelog.Partitions),
		})
	}
	if campaigns.Partitions > 1 {
		mistakes = append(mistakes, TopicMistake{
			Topic: campaigns.Name,
			What:  fmt.Sprintf("it has %d partitions and must have one", campaigns.Partitions),
			Why:   "a publish must be read in the order in which it was written",
			Mend:  "delete it, it is made again, and publish your campaigns in versions that are higher than those in force",
		})
	}
	return mistakes
}

// EnsureOutcomes does the same for topics of outcomes alone.
func EnsureOutcomes(ctx context.Context, cl *kgo.Client, cfg TopicsConfig, names ...string) (TopicsState, error) {
	cfg = cfg.withDefaults()
	var specs []spec
	for _, name := range names {
		specs = append(specs, cfg.outcomes(name))
	}
	topics, err := ensure(ctx, cl, cfg, specs...)
	return TopicsState{Outcomes: topics}, err
}

// EnsureEvents does the same for the events topic alone, to write to it: all that a producer needs.
func EnsureEvents(ctx context.Context, cl *kgo.Client, cfg TopicsConfig) (TopicsState, error) {
	cfg = cfg.withDefaults()
	cfg.Writes = []string{cfg.Names.Events}
	topics, err := ensure(ctx, cl, cfg, cfg.events())
	if err != nil {
		return TopicsState{}, err
	}
	return TopicsState{Events: topics[0]}, nil
}

func ensure(ctx context.Context, cl *kgo.Client, cfg TopicsConfig, specs ...spec) ([]Topic, error) {
	admin := kadm.NewClient(cl)
	if err := create(ctx, cl, cfg, specs); err != nil {
		return nil, err
	}
	details, err := awaitLeaders(ctx, admin, specs)
	if err != nil {
		return nil, err
	}
	return check(ctx, admin, cfg, specs, details)
}

// create makes the topics that are missing. Somebody else may make them at the same time.
func create(ctx context.Context, cl *kgo.Client, cfg TopicsConfig, specs []spec) error {
	told, err := access(ctx, cl, names(specs))
	if err != nil {
		return err
	}
	errs := []error{cfg.denied(specs, told)}
	created := false
	for _, s := range specs {
		switch err := told[s.name].err; {
		case errors.Is(err, kerr.UnknownTopicOrPartition):
			errs = append(errs, cfg.createOne(ctx, kadm.NewClient(cl), s))
			created = true
		case err != nil && !errors.Is(err, kerr.TopicAuthorizationFailed):
			errs = append(errs, fmt.Errorf("look up topic %s: %w", s.name, err))
		}
	}
	if err := errors.Join(errs...); err != nil || !created {
		return err
	}
	if told, err = access(ctx, cl, names(specs)); err != nil {
		return err
	}
	return cfg.denied(specs, told)
}

// createOne makes one topic.
func (c TopicsConfig) createOne(ctx context.Context, admin *kadm.Client, s spec) error {
	settings := make(map[string]*string, len(s.settings))
	for name, value := range s.settings {
		settings[name] = &value
	}
	_, err := admin.CreateTopic(ctx, s.partitions, c.ReplicationFactor, settings, s.name)
	switch {
	case err == nil || errors.Is(err, kerr.TopicAlreadyExists):
		return nil
	case isDenied(err) || errors.Is(err, kerr.PolicyViolation):
		return fmt.Errorf("topic %s does not exist, and making it was refused (%w): have it made.\n    %s", s.name, err, s.command(c.ReplicationFactor))
	}
	return fmt.Errorf("create topic %s: %w", s.name, err)
}

// command makes the topic by hand.
func (s spec) command(replicas int16) string {
	var text strings.Builder
	fmt.Fprintf(&text, "kafka-topics.sh --bootstrap-server BROKER --create --topic %s --partitions %d", s.name, s.partitions)
	if replicas > 0 {
		fmt.Fprintf(&text, " --replication-factor %d", replicas)
	}
	for _, name := range slices.Sorted(maps.Keys(s.settings)) {
		fmt.Fprintf(&text, " --config %s=%s", name, s.settings[name])
	}
	return text.String()
}

func names(specs []spec) []string {
	names := make([]string, len(specs))
	for i, s := range specs {
		names[i] = s.name
	}
	return names
}

// awaitLeaders waits until every partition can be produced to.
func awaitLeaders(ctx context.Context, admin *kadm.Client, specs []spec) (kadm.TopicDetails, error) {
	deadline := time.Now().Add(leadersTimeout)
	for {
		details, err := admin.ListTopics(ctx, names(specs)...)
		if err != nil {
			return nil, fmt.Errorf("list topics: %w", err)
		}
		missing := ""
		for _, s := range specs {
			t := details[s.name]
			if t.Err != nil || len(t.Partitions) == 0 {
				missing = s.name
			}
			for _, p := range t.Partitions {
				if p.Err != nil || p.Leader < 0 {
					missing = fmt.Sprintf("%s/%d", s.name, p.Partition)
				}
			}
		}
		if missing == "" {
			return details, nil
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("%s has had no leader for %s: look at the brokers' state", missing, leadersTimeout)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(leadersRetryWait):
		}
	}
}

// check compares the topics with what they must be.
func check(ctx context.Context, admin *kadm.Client, cfg TopicsConfig, specs []spec, details kadm.TopicDetails) ([]Topic, error) {
	looks, err := look(ctx, admin, specs, details)
	if err != nil {
		return nil, err
	}
	topics := make([]Topic, len(looks))
	var errs []error
	for i, l := range looks {
		if isDenied(l.Err) {
			return nil, &DeniedError{Principal: cfg.Principal, Missing: []Permission{OnTopic(l.Name, DescribeConfigs)}, cause: l.Err}
		}
		if l.Err != nil {
			return nil, fmt.Errorf("describe topic %s: %w", l.Name, l.Err)
		}
		for _, mistake := range l.Mistakes {
			errs = append(errs, mistake)
		}
		topics[i] = l.Topic
	}
	return topics, errors.Join(errs...)
}

// number reads a setting that Kafka itself has checked; 0 where it is absent.
func number(value string) int64 {
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// retention is retention.ms as a duration; what is longer than one can be is for ever.
func retention(ms int64) time.Duration {
	if ms < 0 || ms > math.MaxInt64/int64(time.Millisecond) {
		return -1
	}
	return time.Duration(ms) * time.Millisecond
}

// BatchBytes bounds a producer's batches by what their topics take.
func (s TopicsState) BatchBytes() kgo.Opt {
	return kgo.ProducerBatchMaxBytesFn(func(topic string) int32 {
		for _, t := range append([]Topic{s.Events, s.Rewards, s.Changelog, s.DeadLetters, s.Campaigns}, s.Outcomes...) {
			if t.Name == topic && topic != "" {
				return t.MaxMessageBytes
			}
		}
		return smallestLetter // the library asks about the empty name, for its own bounds' sake
	})
}
