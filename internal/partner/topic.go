package partner

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/stampede-rewards/stampede/internal/kafka"
)

// NoTopicError means that there is no topic of a name. Whoever reads does not make it: with a name that is misspelt nothing would ever come.
type NoTopicError struct{ Topic string }

// Error says who makes it.
func (e *NoTopicError) Error() string {
	return fmt.Sprintf("there is no topic %s. Processors make a partner's when they start with the partner in the file of --partners, and a push makes the topic of its dead letters: "+
		"is --partner, or --topic, spelt as there, and have they been started?", e.Topic)
}

// lookUp looks at a topic that is to be read. The error of one that is not there is a NoTopicError.
func lookUp(ctx context.Context, c kafka.Connection, topic string) (kadm.TopicDetail, error) {
	cl, done, err := c.Asker()
	if err != nil {
		return kadm.TopicDetail{}, err
	}
	defer done()
	details, err := kadm.NewClient(cl).ListTopics(ctx, topic)
	if err == nil {
		err = details[topic].Err
	}
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return kadm.TopicDetail{}, &NoTopicError{topic}
	}
	if err != nil {
		return kadm.TopicDetail{}, fmt.Errorf("look up topic %s: %w", topic, c.Denied(err, kafka.OnTopic(topic, kafka.Read)))
	}
	return details[topic], nil
}

// mustExist wants a topic to be there, before anything is done about it: a group that waits for it would wait for ever.
func mustExist(ctx context.Context, c kafka.Connection, topic string) error {
	cl, err := c.Client(ctx) // says it well where no broker answers
	if err != nil {
		return err
	}
	defer cl.Close()
	c.Asks = cl
	if _, err = lookUp(ctx, c, topic); errors.As(err, new(*kafka.DeniedError)) {
		return nil // whoever goes on says that, with all that is missing besides
	}
	return err
}

// passes says whether a look that failed can be otherwise later: no broker was there, or one was not ready. Another answer does not change by itself.
func passes(err error) bool {
	if errors.As(err, new(*NoTopicError)) {
		return false
	}
	if answer := (*kerr.Error)(nil); errors.As(err, &answer) {
		return answer.Retriable
	}
	return true
}
