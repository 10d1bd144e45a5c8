package stream_test

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/stampede-rewards/stampede/internal/kafka"
)

// The group has thrown a worker out, and the worker hears of it when it asks to join a rebalance. Its client joins again under a new id, keeps
// the partitions that it is assigned again, and tells nobody: what it knows of them is from before somebody else had them. So the worker
// throws the client away.
func TestAWorkerThatTheGroupForgotBeginsAnew(t *testing.T) {
	broker, err := kafka.StartEmbedded(kafka.EmbeddedConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { broker.Close() })
	b := newBenchOn(t, kafka.Connection{Brokers: broker.Brokers()}, kafka.TopicsConfig{})
	b.publish()
	b.produce(500)
	first := b.work("a")
	forgotten := broker.Cluster().Fault(kfake.Fault{
		Keys: []kmsg.Key{kmsg.JoinGroup}, Group: "stampede", Err: kerr.UnknownMemberID,
		When: func(r kmsg.Request) bool { return r.(*kmsg.JoinGroupRequest).MemberID != "" },
	})
	second := b.start(b.dir("b"))
	b.eventually("the first was told", func() bool { return forgotten.Hits() > 0 })
	b.eventually("its client is thrown away", func() bool { return first.metric("stampede_clients_discarded_total") > 0 })
	b.produce(500)
	b.processed()
	b.end(first)
	b.end(second)
	b.judge(b.dir("a"), b.dir("b"))
}
