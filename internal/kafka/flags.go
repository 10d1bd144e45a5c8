package kafka

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// BrokerFlags are the command-line flags of every program. The tags are kong's.
type BrokerFlags struct {
	Brokers           []string `env:"STAMPEDE_BROKERS" default:"localhost:9092" placeholder:"HOST:PORT" help:"Kafka's brokers (${env}; default ${default})."`
	Partitions        int32    `env:"STAMPEDE_PARTITIONS" default:"6" help:"Partitions of topics that are missing and are made (${default})."`
	ReplicationFactor int16    `env:"STAMPEDE_REPLICATION_FACTOR" default:"-1" placeholder:"N" help:"Replicas of topics that are made; -1 is the brokers' own default (${default})."`
	SecurityFlags
}

// EventsFlags are the command-line flags of a program that only writes events.
type EventsFlags struct {
	BrokerFlags
	EventsTopic string `env:"STAMPEDE_EVENTS_TOPIC" default:"events" placeholder:"NAME" help:"The topic of events (${default})."`
}

// Validate is called by kong.
func (f BrokerFlags) Validate() error {
	_, err := f.Connection()
	errs := []error{err}
	if f.Partitions < 1 {
		errs = append(errs, fmt.Errorf("--partitions must be at least 1, not %d", f.Partitions))
	}
	if f.ReplicationFactor < 1 && f.ReplicationFactor != -1 {
		errs = append(errs, fmt.Errorf("--replication-factor must be at least 1, or -1 for the brokers' own default, not %d", f.ReplicationFactor))
	}
	return errors.Join(errs...)
}

// Connection is how to reach the brokers that were named, and to be let in.
func (f BrokerFlags) Connection() (Connection, error) {
	brokers, wrong := ParseBrokers(strings.Join(f.Brokers, ","))
	security, err := f.Security()
	return Connection{Brokers: brokers, Security: security}, errors.Join(wrong, err)
}

// Validate is called by kong.
func (f EventsFlags) Validate() error {
	return errors.Join(f.BrokerFlags.Validate(), topicName("events-topic", f.EventsTopic))
}

// topicNames are what Kafka lets topics be called.
var topicNames = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`)

func topicName(flag, name string) error {
	if topicNames.MatchString(name) && name != "." && name != ".." {
		return nil
	}
	return fmt.Errorf("--%s: %q is no topic's name: use a-z, A-Z, 0-9, `.`, `_` and `-`, at most 249 of them", flag, name)
}

// Topics is the events topic and how it is made.
func (f EventsFlags) Topics() TopicsConfig {
	return TopicsConfig{Names: Topics{Events: f.EventsTopic}, Partitions: f.Partitions, ReplicationFactor: f.ReplicationFactor}
}

// Flags are the flags of a program that needs all topics.
type Flags struct {
	EventsFlags
	RewardsTopic     string `env:"STAMPEDE_REWARDS_TOPIC" default:"rewards" placeholder:"NAME" help:"The topic of rewards (${default})."`
	ChangelogTopic   string `env:"STAMPEDE_CHANGELOG_TOPIC" default:"changelog" placeholder:"NAME" help:"The topic of ledgers (${default})."`
	DeadLettersTopic string `env:"STAMPEDE_DEAD_LETTERS_TOPIC" default:"dead-letters" placeholder:"NAME" help:"The topic of records that can't be processed (${default})."`
	CampaignsTopic   string `env:"STAMPEDE_CAMPAIGNS_TOPIC" default:"campaigns" placeholder:"NAME" help:"The topic that says which campaigns are in force, for whoever publishes (${default})."`
}

// Validate is called by kong.
func (f Flags) Validate() error {
	errs := []error{f.EventsFlags.Validate()}
	flags := map[string]string{f.EventsTopic: "events-topic"}
	for _, topic := range []struct{ flag, name string }{
		{"rewards-topic", f.RewardsTopic}, {"changelog-topic", f.ChangelogTopic}, {"dead-letters-topic", f.DeadLettersTopic}, {"campaigns-topic", f.CampaignsTopic},
	} {
		if other, taken := flags[topic.name]; taken {
			errs = append(errs, fmt.Errorf("--%s and --%s both name the topic %s: give each its own", other, topic.flag, topic.name))
		}
		flags[topic.name] = topic.flag
		errs = append(errs, topicName(topic.flag, topic.name))
	}
	return errors.Join(errs...)
}

// Topics is all topics and how they are made.
func (f Flags) Topics() TopicsConfig {
	cfg := f.EventsFlags.Topics()
	cfg.Names = Topics{Events: f.EventsTopic, Rewards: f.RewardsTopic, Changelog: f.ChangelogTopic, DeadLetters: f.DeadLettersTopic, Campaigns: f.CampaignsTopic}
	return cfg
}
