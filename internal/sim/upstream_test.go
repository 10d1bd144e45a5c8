//go:build synctests

package sim

import (
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// brokerInMemory is one in the bubble, and how to connect to it.
func brokerInMemory(t *testing.T, more ...kfake.Opt) (*kfake.Cluster, []kgo.Opt) {
	t.Helper()
	var virtual kfake.VirtualNetwork
	cluster, err := kfake.NewCluster(append(more, kfake.ListenFn(virtual.Listen), kfake.Ports(1))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	return cluster, slices.Clip([]kgo.Opt{kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.Dialer(virtual.DialContext), kgo.DisableClientMetrics()})
}

// brokerWithCompacted has a topic, compacted, whose policy says so.
func brokerWithCompacted(t *testing.T) (*kfake.Cluster, []kgo.Opt, *kadm.Client) {
	t.Helper()
	cluster, options := brokerInMemory(t)
	admin, err := kadm.NewOptClient(options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(admin.Close)
	if _, err := admin.CreateTopic(t.Context(), 1, 1, map[string]*string{"cleanup.policy": new("compact")}, "compacted"); err != nil {
		t.Fatal(err)
	}
	return cluster, options, admin
}

// A defect of the broker in memory: a static member that is replaced while it waits for SyncGroup is taken off the count of those that wait for
// JoinGroup, where it never was. The next rebalance waits for one more than there are, until its timeout; and each JoinGroup sets that timeout
// anew, so that members who give up and ask again within it wait for ever. The world helps (see unstick). When this test fails the defect is
// gone, and unstick can go too.
func TestTheBrokerMiscountsAReplacedMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, options := brokerInMemory(t)
		const timeout = 20 * time.Second
		join := func(instance, member string) (*kmsg.JoinGroupResponse, time.Duration) {
			began := time.Now()
			cl, err := kgo.NewClient(options...)
			if err != nil {
				t.Error(err)
				return nil, 0
			}
			defer cl.Close()
			r := kmsg.NewPtrJoinGroupRequest()
			r.Group, r.MemberID, r.InstanceID, r.ProtocolType = "g", member, &instance, "consumer"
			r.SessionTimeoutMillis, r.RebalanceTimeoutMillis = 30_000, int32(timeout.Milliseconds())
			r.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "p", Metadata: []byte(member)}}
			answer, err := r.RequestWith(context.Background(), cl)
			if err != nil {
				t.Error(err)
				return nil, 0
			}
			return answer, time.Since(began)
		}
		sync := func(instance string, joined *kmsg.JoinGroupResponse) {
			cl, err := kgo.NewClient(options...)
			if err != nil {
				t.Error(err)
				return
			}
			defer cl.Close()
			r := kmsg.NewPtrSyncGroupRequest()
			r.Group, r.MemberID, r.Generation, r.InstanceID = "g", joined.MemberID, joined.Generation, &instance
			_, _ = r.RequestWith(context.Background(), cl) // it is told that it was replaced
		}

		first, _ := join("a", "") // alone: generation 1, in which a is the leader, and has not synced yet
		both := make(chan *kmsg.JoinGroupResponse, 1)
		go func() {
			b, _ := join("b", "")
			both <- b
		}()
		synctest.Wait()
		first, _ = join("a", first.MemberID)
		b := <-both // generation 2: both have joined
		go sync("b", b)
		synctest.Wait() // b waits for the leader, and is replaced
		go join("b", "")
		synctest.Wait()
		if _, waited := join("a", first.MemberID); waited < timeout {
			t.Errorf("the broker waited %s for a member that does not exist: it has been mended", waited)
		}
	})
}

// Another: compaction takes away an aborted transaction's records and its marker, and goes on telling readers of it. They wait for the
// marker and pass over everything that the same producer commits later. And it lets a record that is not decided yet take the place of a committed
// one. So the world compacts only where nothing is open and nothing was aborted (see compact).
func TestTheBrokerHidesWhatFollowsACompactedAbort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster, options, _ := brokerWithCompacted(t)
		transactor := func(id string) func(string, kgo.TransactionEndTry) {
			producer, err := kgo.NewClient(append(options, kgo.TransactionalID(id))...)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(producer.Close)
			return func(key string, end kgo.TransactionEndTry) {
				if err := errors.Join(producer.BeginTransaction(),
					producer.ProduceSync(t.Context(), &kgo.Record{Topic: "compacted", Key: []byte(key), Value: []byte("v")}).FirstErr(),
					producer.EndTransaction(t.Context(), end)); err != nil {
					t.Fatal(err)
				}
			}
		}
		one, other := transactor("one"), transactor("other")
		one("a", kgo.TryCommit)
		other("aborted", kgo.TryAbort)
		one("b", kgo.TryCommit)
		cluster.Compact()
		other("c", kgo.TryCommit)

		reader, err := kgo.NewClient(append(options, kgo.ConsumeTopics("compacted"), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
			kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()))...)
		if err != nil {
			t.Fatal(err)
		}
		defer reader.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		var read []string
		for ctx.Err() == nil {
			reader.PollFetches(ctx).EachRecord(func(r *kgo.Record) { read = append(read, string(r.Key)) })
		}
		if slices.Equal(read, []string{"a", "b", "c"}) {
			t.Error("what was committed is read: it has been mended")
		}
	})
}

// A defect of the client: a member that the group has thrown out, and that hears of it in the answer to JoinGroup, joins again under a new id and
// keeps its partitions. It says neither that they were lost nor that they were assigned anew, and goes on from the offsets that it knew. What
// others committed meanwhile is processed again. internal/stream looks at the member's id after each rebalance (errForgotten).
func TestTheClientKeepsThePartitionsOfAForgottenMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster, options := brokerInMemory(t, kfake.SeedTopics(1, "topic"))
		var told []string
		tell := func(what string) func(context.Context, *kgo.Client, map[string][]int32) {
			return func(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
				if len(partitions["topic"]) > 0 {
					told = append(told, what)
				}
			}
		}
		cl, err := kgo.NewClient(append(options,
			kgo.ConsumerGroup("g"), kgo.InstanceID("a"), kgo.ConsumeTopics("topic"), kgo.Balancers(kgo.CooperativeStickyBalancer()),
			kgo.OnPartitionsAssigned(tell("assigned")), kgo.OnPartitionsRevoked(tell("revoked")), kgo.OnPartitionsLost(tell("lost")))...)
		if err != nil {
			t.Fatal(err)
		}
		defer cl.CloseAllowingRebalance()
		time.Sleep(10 * time.Second)
		before, _ := cl.GroupMetadata()
		cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.JoinGroup}, Group: "g", Err: kerr.UnknownMemberID})
		cl.ForceRebalance()
		time.Sleep(time.Minute)
		after, _ := cl.GroupMetadata()
		if before == after {
			t.Fatalf("the member was not thrown out: it is still %s", after)
		}
		if !slices.Equal(told, []string{"assigned"}) {
			t.Errorf("the client told %v: it has been mended", told)
		}
	})
}

// Another: compaction lets a log begin at the first record that it keeps. Whoever reads on from an offset before that is told that the log does not
// have it, where Kafka gives the next record that there is. A store whose position lies there is rebuilt, which is right and takes longer.
func TestTheBrokerMovesTheBeginningOfACompactedLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cluster, options, admin := brokerWithCompacted(t)
		producer, err := kgo.NewClient(append(options, kgo.DefaultProduceTopic("compacted"))...)
		if err != nil {
			t.Fatal(err)
		}
		defer producer.Close()
		for range 3 {
			if err := producer.ProduceSync(t.Context(), &kgo.Record{Key: []byte("a"), Value: []byte("v")}).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		cluster.Compact()
		starts, err := admin.ListStartOffsets(t.Context(), "compacted")
		if err != nil {
			t.Fatal(err)
		}
		if at, _ := starts.Lookup("compacted", 0); at.Offset == 0 {
			t.Error("the log begins where it began: it has been mended")
		}
	})
}

// Another: where AddPartitionsToTxn, which brokers before KIP-890 are asked, finds nobody at the coordinator's address, the client tries again
// without any pause, as fast as it is refused. It costs a core until the broker is back, and in virtual time it would be for ever: so a refusal
// takes a moment here (noRouteAfter).
func TestTheClientTriesWithoutAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var virtual kfake.VirtualNetwork
		cluster, err := kfake.NewCluster(kfake.ListenFn(virtual.Listen), kfake.Ports(1), kfake.SeedTopics(1, "topic"), kfake.MaxVersions(kversion.V3_7_0()))
		if err != nil {
			t.Fatal(err)
		}
		defer cluster.Close()
		var mu sync.Mutex
		var conns []net.Conn
		refusing, refused := false, 0
		dial := func(ctx context.Context, network, address string) (net.Conn, error) {
			mu.Lock()
			refuse := refusing
			if refuse {
				refused++
			}
			mu.Unlock()
			if refuse {
				time.Sleep(time.Millisecond)
				return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
			}
			c, err := virtual.DialContext(ctx, network, address)
			mu.Lock()
			defer mu.Unlock()
			conns = append(conns, c)
			return c, err
		}
		cl, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.Dialer(dial), kgo.DisableClientMetrics(), kgo.TransactionalID("t"))
		if err != nil {
			t.Fatal(err)
		}
		record := &kgo.Record{Topic: "topic"}
		if err := errors.Join(cl.BeginTransaction(), cl.ProduceSync(t.Context(), record).FirstErr(), cl.EndTransaction(t.Context(), kgo.TryCommit), cl.BeginTransaction()); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		refusing = true
		for _, c := range conns {
			c.Close()
		}
		mu.Unlock()
		cl.Produce(t.Context(), &kgo.Record{Topic: "topic"}, nil)
		time.Sleep(10 * time.Second)
		mu.Lock()
		n := refused
		refusing = false
		mu.Unlock()
		time.Sleep(time.Minute)
		cl.Close()
		time.Sleep(time.Minute)
		if n < 1000 {
			t.Errorf("in 10 seconds the client tried %d times: it has been mended", n)
		}
	})
}
