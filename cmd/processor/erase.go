package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stampede-rewards/stampede/internal/kafka"
	"github.com/stampede-rewards/stampede/internal/partner"
	"github.com/stampede-rewards/stampede/internal/stream"
	"github.com/stampede-rewards/stampede/pkg/campaign"
)

// erase has a user erased (C4): it writes a record to the events, which processors obey. With --report it writes nothing and tells what Kafka still has.
type erase struct {
	kafka.Flags
	User      string  `required:"" help:"The user's id, the key of the user's events."`
	Partition []int32 `of:"!report" placeholder:"N" help:"The partitions of the user's events (default: those in which something is known of the user, and the one to which a producer sends by default)."`
	Partners  string  `env:"STAMPEDE_PARTNERS" of:"report" type:"existingfile" placeholder:"FILE" help:"The processors' file of partners: the report then has their topics, too, in which the user is a pseudonym (default: none)."`
	Report    bool    `help:"Erase nothing: list what Kafka's topics still have of the user, and what there is to do about each."`
}

// Run is called by main.
func (e *erase) Run(ctx context.Context) error {
	if why := userProblem(e.User); why != "" {
		return errors.New(why)
	}
	partners, err := loadPartners(e.Partners)
	if err != nil {
		return err
	}
	cfg := e.Topics()
	if e.Report {
		cfg.Names.Outcomes = partners.Topics()
		cfg.Reads = append([]string{e.EventsTopic, e.RewardsTopic, e.DeadLettersTopic}, partners.Topics()...)
	} else {
		cfg.Writes = []string{e.EventsTopic}
	}
	connection, topics, err := connectAll(ctx, e.Flags, cfg, e.ChangelogTopic)
	if err != nil {
		return err
	}
	if e.Report {
		return e.report(ctx, connection, topics, partners)
	}
	partitions := e.Partition
	if len(partitions) == 0 {
		if partitions, err = partitionsOf(ctx, connection, topics, e.User); err != nil {
			return err
		}
	}
	for _, n := range partitions {
		if n < 0 || n >= topics.Events.Partitions {
			return fmt.Errorf("--partition is %d, and topic %s has the partitions 0 to %d", n, topics.Events.Name, topics.Events.Partitions-1)
		}
	}
	for _, n := range partitions {
		offset, err := stream.Erase(ctx, connection, topics, n, e.User)
		if err != nil {
			return err
		}
		fmt.Printf("asked for at %s/%d@%d: whoever processes that forgets the user; records that come within the largest lateness are dropped\n", topics.Events.Name, n, offset)
	}
	fmt.Println("what was written to Kafka's topics before stays there for a while: `processor erase --report` with the same --user lists it")
	return nil
}

// loadPartners loads the processors' file of partners, if there is one.
func loadPartners(file string) (*partner.Partners, error) {
	if file == "" {
		return &partner.Partners{}, nil
	}
	return partner.Load(file)
}

// userProblem says why an id can be no user's, empty where it can (E1).
func userProblem(user string) string {
	var decoder campaign.Decoder
	// Of the whole record only the key is wrong, if anything is.
	if r := decoder.Decode(&campaign.Record{Key: []byte(user), Value: campaign.ErasedEvent(user, "1", "", time.Unix(0, 0))}, &campaign.Event{}); r != nil {
		return "--user is no user's id: " + r.Detail
	}
	return ""
}

// partitionsOf are those in which something is known of a user, and the one that our producers choose.
func partitionsOf(ctx context.Context, c kafka.Connection, topics kafka.TopicsState, user string) ([]int32, error) {
	partitions := []int32{stream.PartitionOf(topics, user)}
	states, err := stream.ReadUser(ctx, c, topics, user)
	if err != nil {
		return nil, err
	}
	for _, s := range states {
		if s.Ledger != nil && s.Partition != partitions[0] {
			partitions = append(partitions, s.Partition)
		}
	}
	slices.Sort(partitions)
	return partitions, nil
}

// remains is what a topic has of a user.
type remains struct {
	topic      kafka.Topic
	records    int
	tombstones int // of them
	newest     time.Time
}

func (r *remains) see(record *kgo.Record) {
	r.records++
	if record.Value == nil {
		r.tombstones++
	}
	if record.Timestamp.After(r.newest) {
		r.newest = record.Timestamp
	}
}

// report tells for every topic with records of the user how much there is, and what becomes of it.
func (e *erase) report(ctx context.Context, c kafka.Connection, topics kafka.TopicsState, partners *partner.Partners) error {
	all, err := e.reportOutcomes(ctx, c, topics, partners)
	if err != nil {
		return err
	}
	for _, t := range []struct {
		kafka.Topic
		advice func(remains) string
	}{
		{topics.Events, deletedAdvice}, {topics.Rewards, rewardsAdvice}, {topics.Changelog, changelogAdvice}, {topics.DeadLetters, deletedAdvice},
	} {
		fmt.Fprintf(os.Stderr, "reading %s ...\n", t.Name)
		left := remains{topic: t.Topic}
		err := stream.RecordsOf(ctx, c, topics, t.Topic, e.User, func(r *kgo.Record) error {
			left.see(r)
			return nil
		})
		if err != nil {
			return err
		}
		if all += left.records; left.records == 0 {
			fmt.Printf("%s: nothing\n", t.Name)
			continue
		}
		fmt.Printf("%s: %d records, the newest of %s. %s\n", t.Name, left.records, left.newest.UTC().Format("2006-01-02 15:04 UTC"), t.advice(left))
	}
	if all == 0 {
		fmt.Println("No topic has records of the user.")
	}
	fmt.Println("Not searched: other topics, what has read these (fulfilment, for example) and what waits for Kafka (the spool of `producer serve`); values of events under other users' keys; " +
		"outcomes of partners whom --partners does not name, and the dead letters of `processor push`. A processor's store is rid of the user about ten minutes after the erasure; one that has given the " +
		"partition away since keeps what it had: delete its --state directory.")
	return nil
}

// reportOutcomes tells of the partners' topics: there the user is a pseudonym, another one for each key.
func (e *erase) reportOutcomes(ctx context.Context, c kafka.Connection, topics kafka.TopicsState, partners *partner.Partners) (all int, err error) {
	for _, name := range partners.Names() {
		p := partners.Find(name)
		topic := topics.Outcome(p.Topic)
		fmt.Fprintf(os.Stderr, "reading %s ...\n", topic.Name)
		for _, key := range p.Keys {
			pseudonym := key.Pseudonym(e.User)
			left := remains{topic: topic}
			if err := stream.RecordsOf(ctx, c, topics, topic, pseudonym, func(r *kgo.Record) error {
				left.see(r)
				return nil
			}); err != nil {
				return all, err
			}
			if all += left.records; left.records == 0 {
				fmt.Printf("%s, pseudonym %s: nothing\n", topic.Name, pseudonym)
				continue
			}
			fmt.Printf("%s, pseudonym %s: %d records. The partner may have them: ask for what there is under this pseudonym to be deleted. %s\n",
				topic.Name, pseudonym, left.records, outcomesAdvice(topic))
		}
	}
	return all, nil
}

// outcomesAdvice says nothing of when: the records' timestamps are dates.
func outcomesAdvice(t kafka.Topic) string {
	if t.Retention < 0 {
		return fmt.Sprintf("In the topic they stay for ever: set retention.ms of %s.", t.Name)
	}
	return fmt.Sprintf("In the topic they stay for %s (retention.ms).", t.Retention)
}

// deletedAdvice is for a topic that Kafka deletes from by age.
func deletedAdvice(r remains) string {
	if r.topic.Retention < 0 {
		return fmt.Sprintf("They stay for ever: set a limit (kafka-configs.sh --alter --entity-type topics --entity-name %s --add-config retention.ms=MILLISECONDS), "+
			"or delete what is before an offset (kafka-delete-records.sh).", r.topic.Name)
	}
	return fmt.Sprintf("They go by themselves (retention.ms is %d): the newest on %s, plus the time until its segment is closed (segment.ms, segment.bytes).",
		r.topic.Retention.Milliseconds(), r.newest.Add(r.topic.Retention).UTC().Format(time.DateOnly))
}

// rewardsAdvice is for what was issued: an erasure takes nothing back.
func rewardsAdvice(r remains) string {
	return "What was issued stays issued, and you may have to keep it for the books. " + deletedAdvice(r)
}

func changelogAdvice(r remains) string {
	rest := fmt.Sprintf("the tombstone goes %s after that (delete.retention.ms). To hurry it, lower segment.ms and min.cleanable.dirty.ratio of the topic for a while.", r.topic.DeleteRetention)
	if r.tombstones == 0 {
		return "The user's progress: the user is not erased there, or the processor has not come to it yet (its lag says how far it is)."
	}
	return "Compaction removes the progress of before when it next comes by, once the segment is closed; " + rest
}
