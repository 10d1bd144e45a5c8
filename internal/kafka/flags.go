package kafka

import "errors"

// BrokerFlags are the command-line flags of every program. The tags are kong's.
type BrokerFlags struct {
	Brokers           string `env:"STAMPEDE_BROKERS" default:"localhost:9092" placeholder:"HOST:PORT,..." help:"Kafka's brokers (${env}; default ${default})."`
	Partitions        int32  `env:"STAMPEDE_PARTITIONS" default:"6" help:"Partitions of topics that are missing and are made (${default})."`
	ReplicationFactor int16  `env:"STAMPEDE_REPLICATION_FACTOR" default:"-1" placeholder:"N" help:"Replicas of topics that are made; -1 is the brokers' own default (${default})."`
	SecurityFlags
}

// EventsFlags are the command-line flags of a program that only writes events.
type EventsFlags struct {
	BrokerFlags
	EventsTopic string `env:"STAMPEDE_EVENTS_TOPIC" default:"events" placeholder:"NAME" help:"The topic of events (${default})."`
}

// Connection is how to reach the brokers that were named, and to be let in.
func (f BrokerFlags) Connection() (Connection, error) {
	brokers, wrong := ParseBrokers(f.Brokers)
	security, err := f.Security()
	return Connection{Brokers: brokers, Security: security}, errors.Join(wrong, err)
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

// Topics is all topics and how they are made.
func (f Flags) Topics() TopicsConfig {
	cfg := f.EventsFlags.Topics()
	cfg.Names = Topics{Events: f.EventsTopic, Rewards: f.RewardsTopic, Changelog: f.ChangelogTopic, DeadLetters: f.DeadLettersTopic, Campaigns: f.CampaignsTopic}
	return cfg
}
