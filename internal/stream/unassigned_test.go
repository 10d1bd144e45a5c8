package stream_test

import (
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/stampede-rewards/stampede/internal/stream"
)

// A process dies between the two halves of a rebalance: it has given a partition away, and the group hands it on when the process comes
// to say so. It comes back under its name, the group takes it for the one that it knew, and changes nothing: the partition is nobody's.
func TestAPartitionThatIsNobodysIsAssigned(t *testing.T) {
	b := newRealBench(t)
	b.produce(1000)
	leader, dead := b.rawMember("leader"), b.rawMember("dead")
	// give is what the leader decides: the other one gets the first n partitions, and nobody gets the rest.
	give := func(to string, n int32) []kmsg.SyncGroupRequestGroupAssignment {
		a := kmsg.NewConsumerMemberAssignment()
		topic := kmsg.NewConsumerMemberAssignmentTopic()
		topic.Topic = b.topics.Events.Name
		for p := range n {
			topic.Partitions = append(topic.Partitions, p)
		}
		a.Topics = append(a.Topics, topic)
		given := kmsg.NewSyncGroupRequestGroupAssignment()
		given.MemberID, given.MemberAssignment = to, a.AppendTo(nil)
		return []kmsg.SyncGroupRequestGroupAssignment{given}
	}
	leader.join()
	leader.sync(nil)
	joined := make(chan struct{})
	go func() {
		defer close(joined)
		dead.join()
	}()
	b.eventually("the group wants to rebalance", func() bool { return errors.Is(leader.heartbeat(), kerr.RebalanceInProgress) })
	leader.join()
	<-joined
	leader.sync(give(dead.id, 5))

	began := time.Now()
	w := b.start(b.dir("a"), func(cfg *stream.Config) { cfg.Instance = dead.name })
	b.eventually("the worker has what its name was given", func() bool { return w.Status().Open == 5 })
	b.eventually("the group is asked to rebalance", func() bool { return errors.Is(leader.heartbeat(), kerr.RebalanceInProgress) })
	for _, m := range leader.join() {
		if m.MemberID != leader.id {
			leader.sync(give(m.MemberID, 6))
		}
	}
	b.eventually("the worker has the partition that was nobody's", func() bool { return w.Status().Open == 6 })
	t.Logf("all partitions were open after %s", time.Since(began).Round(time.Millisecond))
	b.processed()
	leader.leave()
	b.end(w)
	b.judge(b.dir("a"))
}

// rawMember is a member of the group as the broker sees it, with no process behind it.
type rawMember struct {
	*bench
	connected  *kgo.Client // its own: a join that waits holds up a connection
	name, id   string
	generation int32
}

func (b *bench) rawMember(name string) *rawMember {
	cl, err := kgo.NewClient(b.connection.Options()...)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(cl.Close)
	return &rawMember{bench: b, connected: cl, name: name}
}

const rawProtocol = "cooperative-sticky"

func (m *rawMember) join() []kmsg.JoinGroupResponseMember {
	request := kmsg.NewPtrJoinGroupRequest()
	request.Group, request.MemberID, request.InstanceID, request.ProtocolType = m.group, m.id, &m.name, "consumer"
	request.SessionTimeoutMillis, request.RebalanceTimeoutMillis = 60_000, 60_000 // it is not to be missed
	protocol := kmsg.NewJoinGroupRequestProtocol()
	protocol.Name = rawProtocol
	protocol.Metadata = kgo.CooperativeStickyBalancer().JoinGroupMetadata([]string{m.topics.Events.Name}, nil, -1)
	request.Protocols = append(request.Protocols, protocol)
	response, err := request.RequestWith(m.Context(), m.connected)
	if err == nil {
		err = kerr.ErrorForCode(response.ErrorCode)
	}
	if err != nil {
		m.Errorf("%s joins: %v", m.name, err)
		return nil
	}
	m.id, m.generation = response.MemberID, response.Generation
	return response.Members
}

func (m *rawMember) sync(plan []kmsg.SyncGroupRequestGroupAssignment) {
	m.Helper()
	request := kmsg.NewPtrSyncGroupRequest()
	request.Group, request.Generation, request.MemberID, request.InstanceID = m.group, m.generation, m.id, &m.name
	request.ProtocolType, request.Protocol = new("consumer"), new(rawProtocol)
	request.GroupAssignment = plan
	response, err := request.RequestWith(m.Context(), m.connected)
	if err == nil {
		err = kerr.ErrorForCode(response.ErrorCode)
	}
	if err != nil {
		m.Fatalf("%s syncs: %v", m.name, err)
	}
}

func (m *rawMember) heartbeat() error {
	request := kmsg.NewPtrHeartbeatRequest()
	request.Group, request.Generation, request.MemberID, request.InstanceID = m.group, m.generation, m.id, &m.name
	response, err := request.RequestWith(m.Context(), m.connected)
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(response.ErrorCode)
}

func (m *rawMember) leave() {
	request := kmsg.NewPtrLeaveGroupRequest()
	request.Group = m.group
	member := kmsg.NewLeaveGroupRequestMember()
	member.MemberID, member.InstanceID = m.id, &m.name
	request.Members = append(request.Members, member)
	if _, err := request.RequestWith(m.Context(), m.connected); err != nil {
		m.Errorf("%s leaves: %v", m.name, err)
	}
}
