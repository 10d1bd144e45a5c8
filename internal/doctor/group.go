package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/stampede-rewards/stampede/internal/stream"
)

const (
	// openLong is for how long a transaction may be open before it is told: ours take a second at most.
	openLong = time.Minute
	// defaultLongest is the longest that a broker lets a transaction be open, where it does not tell its setting: Kafka's default.
	defaultLongest = 15 * time.Minute
)

// examineGroup looks at the members of the group and at how far it is.
func (l *kafkaLook) examineGroup(ctx context.Context) []Finding {
	name := "group " + l.Group
	if l.noOffsets {
		return []Finding{{Severity: OK, Area: Group, Place: name, What: "there is no group in this cluster yet"}}
	}
	var found []Finding
	events := l.topic(eventsTopic)
	g, err := l.describeGroup(ctx)
	switch {
	case err == nil && g.State == "Dead" || errors.Is(err, kerr.GroupIDNotFound):
		found = append(found, Finding{Severity: OK, Area: Group, Place: name, What: "it is not there yet"})
	case err != nil:
		found = append(found, unchecked(Group, name, "its members", err))
	default:
		topic := l.Topics.Names.Events
		if events != nil {
			topic = events.Name
		}
		found = append(found, members(name, topic, g)...)
	}
	if events == nil {
		return found
	}
	bounded, cancel := asked(ctx)
	defer cancel()
	progress, err := l.askProgress(bounded, events.Name)
	if err != nil {
		return append(found, unchecked(Group, name, "how far it is", err))
	}
	return append(found, offsets(name, events.Name, progress)...)
}

// members judges who is in the group. Processors read the events and nothing else.
func members(name, events string, g kadm.DescribedGroup) []Finding {
	other := func(what string) Finding {
		return Finding{
			Severity: Wrong, Area: Group, Place: name, What: what, Why: "partitions that another program is given are not processed, and what it commits is taken for processed",
			Mend: "give that program, or the processors (--group), a group of its own; partitions for which it has committed are refused until their offset is put right",
		}
	}
	if g.ProtocolType != "" && g.ProtocolType != "consumer" {
		return []Finding{other(fmt.Sprintf("it is one of another kind (%s)", g.ProtocolType))}
	}
	var found []Finding
	for _, m := range g.Members {
		joined, ok := m.Join.AsConsumer()
		if !ok || len(joined.Topics) == 1 && joined.Topics[0] == events {
			continue // of one whose first join is under way nothing is told
		}
		found = append(found, other(fmt.Sprintf("its member %s at %s reads %q, so it is no processor of this installation", m.ClientID, m.ClientHost, joined.Topics)))
	}
	if len(found) > 0 {
		return found
	}
	if len(g.Members) == 0 {
		return []Finding{{Severity: OK, Area: Group, Place: name, What: "no processor runs"}}
	}
	return []Finding{{Severity: OK, Area: Group, Place: name, What: counted(len(g.Members), "processor") + ", and nobody else (" + g.State + ")"}}
}

// progress is how far the group is in a partition.
type progress struct {
	committed  int64 // -1 where there is none
	metadata   string
	start, end int64
	processed  bool // the changelog has something
}

func (l *kafkaLook) askProgress(ctx context.Context, events string) (map[int32]progress, error) {
	starts, err := l.admin.ListStartOffsets(ctx, events)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return nil, err
	}
	ends, err := l.ends(ctx, events)
	if err != nil {
		return nil, err
	}
	changelog := map[int32]int64{}
	if t := l.topic(changelogTopic); t != nil {
		if changelog, err = l.ends(ctx, t.Name); err != nil {
			return nil, err
		}
	}
	fetched, err := l.admin.FetchOffsets(ctx, l.Group)
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return nil, err
	}
	of := map[int32]progress{}
	for n, end := range ends {
		p := progress{committed: -1, end: end, processed: changelog[n] > 0}
		if o, ok := starts.Lookup(events, n); ok {
			p.start = o.Offset
		}
		if o, ok := fetched.Lookup(events, n); ok {
			if o.Err != nil {
				return nil, o.Err
			}
			p.committed, p.metadata = o.At, o.Metadata
		}
		of[n] = p
	}
	return of, nil
}

// offsets judges how far the group is.
func offsets(name, events string, of map[int32]progress) []Finding {
	var expired, gone, ahead, foreign []int32
	lag, begun := int64(0), 0
	for n, p := range of {
		switch _, err := stream.ParseCommit(p.metadata); {
		case p.committed < 0:
			lag += p.end - p.start
			if p.processed {
				expired = append(expired, n)
			}
			continue
		case p.committed < p.start:
			gone = append(gone, n)
		case p.committed > p.end:
			ahead = append(ahead, n)
		case p.metadata != "" && err != nil:
			foreign = append(foreign, n)
		}
		begun++
		lag += max(0, p.end-p.committed)
	}
	var found []Finding
	say := func(partitions []int32, what, why, mend string) {
		if len(partitions) > 0 {
			found = append(found, Finding{Severity: Wrong, Area: Group, Place: name, What: fmt.Sprintf("partitions %s of %s: %s", numbers(partitions), events, what), Why: why, Mend: mend})
		}
	}
	say(expired, "it has no offset, and the changelog says that they were processed",
		"the offsets have expired (offsets.retention.minutes) or were deleted, or processors ran with another --group; to begin at the oldest event would issue rewards again, so the partitions are refused",
		"start a processor: for each partition it says which offset is to be committed, and by which command")
	say(gone, "the events at its offset are gone", "the topic's retention was shorter than the time in which nothing was processed: events are lost, and a processor stops there",
		"find out which were lost, then commit a new offset for the group by kafka-consumer-groups.sh --reset-offsets")
	say(ahead, "its offset is behind the topic's end", "the topic was deleted and made anew, or the offset was set by hand; nothing is processed until as many events have come, and then from the middle",
		"if the topic was made anew: delete the changelog topic and the group's offsets, too, and start anew")
	say(foreign, "another program has committed", "a processor can't tell what was processed, and refuses the partitions", "give each program a group of its own; then put the offsets right as the refusal says")
	if len(found) > 0 {
		return found
	}
	if begun == 0 {
		return []Finding{{Severity: OK, Area: Group, Place: name, What: fmt.Sprintf("nothing is processed yet, and %s", waiting(lag))}}
	}
	return []Finding{{Severity: OK, Area: Group, Place: name, What: fmt.Sprintf("it has offsets of %d of %d partitions, and %s", begun, len(of), waiting(lag))}}
}

// waiting is a lag for people. Offsets count more than events: a transaction's end has one, too.
func waiting(lag int64) string {
	if lag == 0 {
		return "nothing waits"
	}
	return fmt.Sprintf("%d offsets wait", lag)
}

// examineTransactions looks for transactions that nobody ends. Partners' topics are left out: their records' times are dates, and every
// transaction with such a record has changelog records, too.
func (l *kafkaLook) examineTransactions(ctx context.Context) []Finding {
	set := kadm.TopicsSet{}
	for i, t := range l.topics {
		if i < firstOutcomes && t.Detail.Err == nil {
			set.Add(t.Name, t.Detail.Partitions.Numbers()...)
		}
	}
	if len(set) == 0 {
		return nil
	}
	bounded, cancel := asked(ctx)
	defer cancel()
	var open []kadm.DescribedProducer
	told, err := l.admin.DescribeProducers(bounded, set)
	told.EachProducer(func(p kadm.DescribedProducer) {
		if p.CurrentTxnStartOffset >= 0 {
			open = append(open, p)
		}
	})
	found := transactions(open, l.longest(), l.Now())
	if err != nil {
		found = append(found, unchecked(Group, "transactions", "whether any hangs in the topics", err))
	}
	if len(found) == 0 {
		found = append(found, Finding{Severity: OK, Area: Group, Place: "transactions", What: "none hangs"})
	}
	return found
}

// longest is for how long the brokers let a transaction be open.
func (l *kafkaLook) longest() time.Duration {
	longest := time.Duration(0)
	for _, settings := range l.settings {
		if ms, err := strconv.ParseInt(settings["transaction.max.timeout.ms"], 10, 64); err == nil {
			longest = max(longest, time.Duration(ms)*time.Millisecond)
		}
	}
	if longest == 0 {
		return defaultLongest
	}
	return longest
}

// transactions judges those that are open.
func transactions(open []kadm.DescribedProducer, longest time.Duration, now time.Time) []Finding {
	slices.SortFunc(open, func(a, b kadm.DescribedProducer) int {
		if a.Less(&b) {
			return -1
		}
		return 1
	})
	var found []Finding
	for _, p := range open {
		idle := now.Sub(time.UnixMilli(p.LastTimestamp))
		if idle <= openLong {
			continue
		}
		f := Finding{
			Severity: Advice, Area: Group, Place: placeOf(p.Topic, p.Partition),
			What: fmt.Sprintf("a transaction is open since offset %d, and its producer (%d, epoch %d) has written nothing for %s", p.CurrentTxnStartOffset, p.ProducerID, p.ProducerEpoch, idle.Round(time.Second)),
			Why:  "who reads committed records waits behind it: processors, fulfilment, restores",
			Mend: "wait: the broker aborts it when its timeout is over",
		}
		if idle > longest {
			f.Severity = Wrong
			f.Why += fmt.Sprintf("; no timeout is longer than %s, so nobody will end it", longest)
			f.Mend = fmt.Sprintf("kafka-transactions.sh --bootstrap-server BROKER abort --topic %s --partition %d --start-offset %d", p.Topic, p.Partition, p.CurrentTxnStartOffset)
		}
		found = append(found, f)
	}
	return found
}
