package doctor

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/stampede-rewards/stampede/internal/kafka"
)

const (
	// leastEvents is how long events should be kept at least: what an outage of the processors may last.
	leastEvents = 24 * time.Hour
	// leastRewards is how long rewards should be kept at least: what an outage of fulfilment may last.
	leastRewards = 7 * 24 * time.Hour
	// leastTombstones is how long the changelog should remember deleted users at least. A store is rebuilt if it was not up to date for half as long.
	leastTombstones = 24 * time.Hour
	// wrongTombstones is so short that one can be forgotten while the changelog is being read.
	wrongTombstones = 10 * time.Minute
)

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

func unknown(err error) bool { return errors.Is(err, kerr.UnknownTopicOrPartition) }

// examineTopics asks for our topics.
func (l *kafkaLook) examineTopics(ctx context.Context) []Finding {
	bounded, cancel := asked(ctx)
	defer cancel()
	var err error
	if l.topics, err = kafka.LookAtTopics(kadm.WithAuthorizedOps(bounded), l.client, l.Topics); err != nil {
		return []Finding{unchecked(Topics, "all", "the topics", err)}
	}
	var found []Finding
	for i, t := range l.topics {
		switch {
		case unknown(t.Err):
			found = append(found, missing(t.Name, i == eventsTopic))
		case t.Err != nil:
			found = append(found, unchecked(Topics, place(t.Name), "its settings", t.Err))
		default:
			found = append(found, mistakes(t)...)
			found = append(found, replication(t.Name, t.Detail, t.Settings, len(l.brokers))...)
		}
	}
	if t := l.topic(eventsTopic); t != nil {
		found = append(found, eventsRetention(t.Topic))
	}
	if t := l.topic(rewardsTopic); t != nil {
		found = append(found, rewardsRetention(t.Topic))
	}
	if t := l.topic(changelogTopic); t != nil {
		found = append(found, tombstones(t.Topic))
	}
	return found
}

func missing(topic string, events bool) Finding {
	f := Finding{
		Severity: Advice, Area: Topics, Place: place(topic), What: "it is not there",
		Why:  "`processor run` makes it with the right settings, and whoever writes to it before that may make it with wrong ones",
		Mend: "start `processor run` before the first producer",
	}
	if events {
		f.Mend += "; choose --partitions first, for the number can't be changed later"
	}
	return f
}

// mistakes are what a processor refuses.
func mistakes(t kafka.TopicLook) []Finding {
	var found []Finding
	for _, m := range t.Mistakes {
		found = append(found, Finding{Severity: Wrong, Area: Topics, Place: place(t.Name), What: m.What, Why: m.Why + "; `processor run` refuses it", Mend: m.Mend})
	}
	if len(found) == 0 {
		found = append(found, Finding{Severity: OK, Area: Topics, Place: place(t.Name), What: "its settings are as they must be"})
	}
	return found
}

// eventsRetention judges how long events are kept.
func eventsRetention(t kafka.Topic) Finding {
	if t.Retention >= 0 && t.Retention < leastEvents {
		return Finding{
			Severity: Advice, Area: Topics, Place: place(t.Name), What: fmt.Sprintf("it keeps events for %s (retention.ms)", days(t.Retention)),
			Why:  "that is how long processors may be down: events that are gone before they are processed are lost, and processors stop there until somebody decides",
			Mend: kafka.SetTopic(t.Name, "retention.ms", milliseconds(7*24*time.Hour)),
		}
	}
	return Finding{Severity: OK, Area: Topics, Place: place(t.Name), What: "it keeps events " + kept(t.Retention) + ", which is how long processors may be down"}
}

func rewardsRetention(t kafka.Topic) Finding {
	if t.Retention >= 0 && t.Retention < leastRewards {
		return Finding{
			Severity: Advice, Area: Topics, Place: place(t.Name), What: fmt.Sprintf("it keeps rewards for %s (retention.ms)", days(t.Retention)),
			Why: "a reward that fulfilment has not read by then is gone, and is not issued again", Mend: kafka.SetTopic(t.Name, "retention.ms", "-1"),
		}
	}
	return Finding{Severity: OK, Area: Topics, Place: place(t.Name), What: "it keeps rewards " + kept(t.Retention)}
}

// tombstones judges how long the changelog remembers that a user was deleted: by it a store that was not up to date for some time is brought there.
func tombstones(t kafka.Topic) Finding {
	f := Finding{
		Severity: Advice, Area: Topics, Place: place(t.Name), What: fmt.Sprintf("it remembers for %s that a user was deleted (delete.retention.ms)", days(t.DeleteRetention)),
		Why:  fmt.Sprintf("a store that was not up to date for more than half of that, %s, is dropped and rebuilt from the whole changelog", t.DeleteRetention/2),
		Mend: kafka.SetTopic(t.Name, "delete.retention.ms", milliseconds(7*24*time.Hour)),
	}
	switch {
	case t.DeleteRetention < wrongTombstones:
		f.Severity, f.Why = Wrong, "reading the changelog takes longer where there are many users: one who was deleted could come back, and be issued a reward again"
	case t.DeleteRetention >= leastTombstones:
		f.Severity, f.Why, f.Mend = OK, "", ""
	}
	return f
}

func kept(retention time.Duration) string {
	if retention < 0 {
		return "for ever"
	}
	return "for " + days(retention)
}
