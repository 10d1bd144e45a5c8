package kafka

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TopicMistake is something about a topic that decides between right and wrong, and is wrong.
type TopicMistake struct {
	Topic string
	What  string // what is, and what must be
	Why   string
	Mend  string // a command to copy, or what to do
}

// Error is all of it, the way to mend it on a line of its own.
func (m TopicMistake) Error() string {
	return fmt.Sprintf("topic %s: %s: %s.\n    %s", m.Topic, m.What, m.Why, m.Mend)
}

// SetTopic is the command that gives a topic a setting.
func SetTopic(topic, setting, value string) string {
	return fmt.Sprintf("kafka-configs.sh --bootstrap-server BROKER --alter --entity-type topics --entity-name %s --add-config %s=%s", topic, setting, value)
}

// TopicLook is what a topic is like.
type TopicLook struct {
	Topic
	Err      error             // why not all can be told; of one that is not there kerr.UnknownTopicOrPartition
	Detail   kadm.TopicDetail  // its partitions, and with kadm.WithAuthorizedOps what may be done with it; zero if it may not be seen
	Settings map[string]string // all of them, by Kafka's names
	Mistakes []TopicMistake
}

// LookAtTopics tells of all topics what EnsureTopics would refuse, and makes and changes nothing. They are in the order of [Topics], those of
// partners last. The error means that the configuration names one twice.
func LookAtTopics(ctx context.Context, cl *kgo.Client, cfg TopicsConfig) ([]TopicLook, error) {
	cfg = cfg.withDefaults()
	specs := cfg.specs()
	if err := eachOnce(specs); err != nil {
		return nil, err
	}
	admin := kadm.NewClient(cl)
	looks := make([]TopicLook, 0, len(specs))
	for _, s := range specs { // one at a time: one that we may not see must not hide the others
		looks = append(looks, lookAt(ctx, admin, s))
	}
	for _, mistake := range misfits(looks[0].Topic, looks[2].Topic, looks[4].Topic) {
		for i := range looks {
			if looks[i].Name == mistake.Topic {
				looks[i].Mistakes = append(looks[i].Mistakes, mistake)
			}
		}
	}
	return looks, nil
}

// lookAt looks at one topic.
func lookAt(ctx context.Context, admin *kadm.Client, s spec) TopicLook {
	l := TopicLook{Topic: Topic{Name: s.name}}
	details, err := admin.ListTopics(ctx, s.name)
	if err != nil {
		l.Err = err
		return l
	}
	looks, err := look(ctx, admin, []spec{s}, details)
	if err != nil {
		l.Err, l.Detail = err, details[s.name]
		return l
	}
	return looks[0]
}

// look compares the topics that there are with what they must be.
func look(ctx context.Context, admin *kadm.Client, specs []spec, details kadm.TopicDetails) ([]TopicLook, error) {
	var present []string
	for _, s := range specs {
		if details[s.name].Err == nil {
			present = append(present, s.name)
		}
	}
	var described kadm.ResourceConfigs
	if len(present) > 0 { // to ask for none is to ask for all
		var err error
		if described, err = admin.DescribeTopicConfigs(ctx, present...); err != nil {
			return nil, fmt.Errorf("describe topics: %w", err)
		}
	}
	looks := make([]TopicLook, len(specs))
	for i, s := range specs {
		looks[i] = TopicLook{Topic: Topic{Name: s.name}, Detail: details[s.name], Err: details[s.name].Err, Settings: map[string]string{}}
		for _, d := range described {
			if d.Name != s.name {
				continue
			}
			looks[i].Err = d.Err
			for _, c := range d.Configs {
				looks[i].Settings[c.Key] = c.MaybeValue()
			}
		}
		if looks[i].Err == nil {
			looks[i].compare(s)
		}
	}
	return looks, nil
}

// compare fills in what the settings say, and what is wrong with them.
func (l *TopicLook) compare(s spec) {
	for _, r := range s.required {
		if value := l.Settings[r.setting]; !r.holds(value) {
			l.Mistakes = append(l.Mistakes, TopicMistake{
				Topic: s.name, What: fmt.Sprintf("%s is %q and must be %q", r.setting, value, r.mend), Why: r.why, Mend: SetTopic(s.name, r.setting, r.mend),
			})
		}
	}
	l.Topic = Topic{
		Name: s.name, ID: l.Detail.ID, Partitions: int32(len(l.Detail.Partitions)), //nolint:gosec // Kafka counts them in 32 bits
		MaxMessageBytes: int32(number(l.Settings["max.message.bytes"])), //nolint:gosec // Kafka's own type
		DeleteRetention: time.Duration(number(l.Settings["delete.retention.ms"])) * time.Millisecond,
		Retention:       retention(number(l.Settings["retention.ms"])),
	}
}
