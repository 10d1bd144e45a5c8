package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Kafka's protocol has no question for the time. Three of its answers have one in them all the same, and nothing is written for any:
//
//   - what the controller says of its quorum has the controller's time of the answer (DescribeQuorum, from Kafka 3.3 with KRaft);
//   - the newest record of a partition of events has the time at which its leader appended it, so the leader's clock is not behind that;
//   - and if a record is appended while we watch, its time was the leader's between two of our looks.

const (
	// adviceSkew is how far clocks may be apart before it is told, and wrongSkew how far before it is wrong.
	adviceSkew = time.Second
	wrongSkew  = time.Minute
	// watchWait is the wait between two looks at the newest records.
	watchWait = 200 * time.Millisecond
)

// skew is how far a broker's clock is ahead of ours: at least, and where it is bounded at most. Behind is negative.
type skew struct {
	least, most time.Duration
	bounded     bool
}

// between is the skew of a clock that showed a time, in whole milliseconds, at some moment between two of ours.
func between(at, from, to time.Time) skew {
	return skew{at.Sub(to), at.Add(time.Millisecond).Sub(from), true}
}

// notBehind is the skew of a clock that had shown a time before a moment of ours.
func notBehind(at, to time.Time) skew { return skew{least: at.Sub(to)} }

// examineClocks compares this machine's clock with those of the controller and of the events' leaders.
func (l *kafkaLook) examineClocks(ctx context.Context) []Finding {
	found := []Finding{l.examineController(ctx)}
	events := l.topic(eventsTopic)
	if events == nil || events.Settings["message.timestamp.type"] != "LogAppendTime" {
		return append(found, Finding{Severity: Unchecked, Area: Clocks, Place: "leaders", What: "the clocks of the brokers: only a topic of events that has the brokers' times tells them"})
	}
	skews, err := l.watch(ctx, events.Name, events.Detail.Partitions)
	if err != nil {
		return append(found, unchecked(Clocks, "leaders", "the clocks of the brokers that lead partitions of events", err))
	}
	for _, node := range sortedKeys(skews) {
		found = append(found, clock(fmt.Sprintf("broker %d", node), skews[node], l.Watch))
	}
	return found
}

// examineController asks for the quorum, in which the leader's own line has its time.
func (l *kafkaLook) examineController(ctx context.Context) Finding {
	mend := "to have it looked at: " + allow(l.Principal, "Describe", "--cluster")
	if c := l.askCluster(ctx); c.err == nil && !slices.Contains(c.operations, kadm.OpDescribe) { // who asks all the same is told in the controller's log as an error
		return Finding{Severity: Unchecked, Area: Clocks, Place: "controller", What: "its clock: Describe of the cluster is not allowed", Mend: mend}
	}
	request := kmsg.NewPtrDescribeQuorumRequest()
	topic, partition := kmsg.NewDescribeQuorumRequestTopic(), kmsg.NewDescribeQuorumRequestTopicPartition()
	topic.Topic, topic.Partitions = "__cluster_metadata", []kmsg.DescribeQuorumRequestTopicPartition{partition}
	request.Topics = []kmsg.DescribeQuorumRequestTopic{topic}
	bounded, cancel := asked(ctx)
	defer cancel()
	from := l.Now()
	answer, err := request.RequestWith(bounded, l.client)
	to := l.Now()
	if err == nil {
		err = kerr.ErrorForCode(answer.ErrorCode)
	}
	var at time.Time
	var leader int32
	if err == nil {
		leader, at, err = leaderTime(answer)
	}
	if err != nil {
		return unchecked(Clocks, "controller", "its clock", err)
	}
	return clock(fmt.Sprintf("controller %d", leader), between(at, from, to), 0)
}

func leaderTime(answer *kmsg.DescribeQuorumResponse) (leader int32, at time.Time, err error) {
	for _, t := range answer.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return 0, time.Time{}, err
			}
			for _, voter := range p.CurrentVoters {
				if voter.ReplicaID == p.LeaderID && voter.LastFetchTimestamp > 0 {
					return p.LeaderID, time.UnixMilli(voter.LastFetchTimestamp), nil
				}
			}
		}
	}
	return 0, time.Time{}, errors.New("the answer has no time in it")
}

// watch looks at the newest records of the events until there was a new one of each leader, or for as long as is configured.
func (l *kafkaLook) watch(ctx context.Context, topic string, partitions kadm.PartitionDetails) (map[int32]skew, error) {
	skews := map[int32]skew{}
	ends := map[int32]int64{} // at the first look
	var first time.Time       // when that was asked for
	deadline := time.Now().Add(l.Watch)
	for {
		bounded, cancel := asked(ctx)
		newest, err := l.admin.ListMaxTimestampOffsets(bounded, topic)
		to := l.Now()
		if err == nil {
			err = newest.Error()
		}
		if err == nil && first.IsZero() {
			first = l.Now()
			ends, err = l.ends(bounded, topic)
		}
		cancel()
		if err != nil {
			return nil, err
		}
		newest.Each(func(o kadm.ListedOffset) {
			leader := partitions[o.Partition].Leader
			if s, known := skews[leader]; o.Timestamp > 0 && !s.bounded {
				at := time.UnixMilli(o.Timestamp)
				switch n := notBehind(at, to); {
				case o.Offset >= ends[o.Partition]:
					// A record that was not replicated yet at the first look is older than that; by then brokers are apart by more than clocks.
					skews[leader] = between(at, first, to)
				case !known || n.least > s.least:
					skews[leader] = n
				}
			}
		})
		if time.Now().After(deadline) || allBounded(skews, partitions) {
			return skews, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(watchWait):
		}
	}
}

func (l *kafkaLook) ends(ctx context.Context, topic string) (map[int32]int64, error) {
	listed, err := l.admin.ListEndOffsets(ctx, topic)
	if err == nil {
		err = listed.Error()
	}
	ends := map[int32]int64{}
	listed.Each(func(o kadm.ListedOffset) { ends[o.Partition] = o.Offset })
	return ends, err
}

func allBounded(skews map[int32]skew, partitions kadm.PartitionDetails) bool {
	for _, p := range partitions {
		if !skews[p.Leader].bounded {
			return false
		}
	}
	return true
}

// clock judges a broker's clock. Watched is how long nothing new came where its skew is not bounded.
func clock(place string, s skew, watched time.Duration) Finding {
	f := Finding{Area: Clocks, Place: place}
	by := time.Duration(0)
	switch {
	case s.least > adviceSkew:
		by = s.least
		f.What = fmt.Sprintf("this machine's clock is behind its by at least %s", s.least.Truncate(time.Millisecond))
	case s.bounded && s.most < -adviceSkew:
		by = -s.most
		f.What = fmt.Sprintf("this machine's clock is ahead of its by at least %s", by.Truncate(time.Millisecond))
	case !s.bounded:
		f.Severity = Unchecked
		f.What = fmt.Sprintf("this machine's clock is not behind its; whether it is ahead can't be told, no event came for %s", watched)
		return f
	default:
		f.Severity = OK
		f.What = fmt.Sprintf("this machine's clock and its are apart by %s at most", max(s.most, -s.least, time.Millisecond).Round(time.Millisecond))
		return f
	}
	if f.Severity = Advice; by > wrongSkew {
		f.Severity = Wrong
	}
	f.Why = "by the brokers' clocks campaigns and days end, and events that are more than 5 minutes ahead of them become dead letters; by this machine's a processor sees that something is due"
	f.Mend = "look at both machines' time: chronyc tracking, or timedatectl timesync-status"
	return f
}
