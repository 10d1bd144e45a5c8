package judge

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stampede-rewards/stampede/internal/stream"
)

// left is what a run has left behind on all topics.
type left struct {
	// By the partition of events that they say they come from, in order.
	rewards, letters, messages map[int32][]*kgo.Record
	outcomes                   map[string]map[string][]string // by topic and pseudonym, as lines
	changelog                  map[int32]*folded
	findings                   []error // records that don't say where they come from
}

// folded is what a partition of the changelog says.
type folded struct {
	ledgers  map[string][]byte
	position *kgo.Record
}

// read reads all topics at once. What a partition of events has led to is in one partition of each topic, so its order is the order in which it is read.
func (c Case) read(ctx context.Context, order *order) (*left, error) {
	l := &left{
		rewards: map[int32][]*kgo.Record{}, letters: map[int32][]*kgo.Record{}, messages: map[int32][]*kgo.Record{},
		outcomes: map[string]map[string][]string{}, changelog: map[int32]*folded{},
	}
	for n := range c.Topics.Events.Partitions {
		l.changelog[n] = &folded{ledgers: map[string][]byte{}}
	}
	topics := []string{c.Topics.Rewards.Name, c.Topics.DeadLetters.Name, c.Topics.Changelog.Name}
	if len(c.Budgets) > 0 {
		topics = append(topics, c.Topics.Events.Name)
	}
	for _, name := range c.Partners.Names() {
		topic := c.Topics.Outcome(c.Partners.Find(name).Topic).Name
		topics = append(topics, topic)
		l.outcomes[topic] = map[string][]string{}
	}
	spans, err := c.Connection.Spans(ctx, topics...)
	if err != nil {
		return nil, err
	}
	err = c.Connection.ReadCommitted(ctx, spans, func(r *kgo.Record) (bool, error) {
		switch r.Topic {
		case c.Topics.Events.Name:
			if stream.Header(r, "stampede_offset") != "" && !c.isOthers(r) { // else it is an event, or what somebody has published
				l.add(l.messages, r)
			}
			return true, nil
		case c.Topics.Rewards.Name:
			l.add(l.rewards, r)
		case c.Topics.DeadLetters.Name:
			l.add(l.letters, r)
		case c.Topics.Changelog.Name:
			l.changelog[r.Partition].add(r)
		default:
			of := l.outcomes[r.Topic]
			of[string(r.Key)] = append(of[string(r.Key)], outcomeLine(r))
		}
		order.see(r)
		return true, nil
	})
	return l, err
}

// add sorts a record by where it comes from.
func (l *left) add(bySource map[int32][]*kgo.Record, r *kgo.Record) {
	source, _, err := causeOf(r)
	if err != nil {
		l.findings = append(l.findings, err)
		return
	}
	bySource[source] = append(bySource[source], r)
}

func (l *left) err() error {
	return errors.Join(l.findings[:min(len(l.findings), maxFindings)]...)
}

func (f *folded) add(r *kgo.Record) {
	switch {
	case stream.IsPosition(r):
		f.position = r
	case r.Value == nil:
		delete(f.ledgers, string(r.Key))
	default:
		f.ledgers[string(r.Key)] = r.Value
	}
}
