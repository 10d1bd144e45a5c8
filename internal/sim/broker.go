//go:build synctests

package sim

import (
	"context"
	"encoding/binary"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// What is done to the broker in memory: faults, and help where it has defects (upstream_test.go).

// compact compacts topics, if the broker in memory does so faithfully: TestTheBrokerHidesWhatFollowsACompactedAbort.
func (w *world) compact() {
	ctx, name := context.Background(), w.topics.Changelog.Name
	undecided, err := w.connection().Undecided(ctx, name)
	if err != nil {
		w.trace("world", "does not compact: "+err.Error())
		return
	}
	ends, err := w.connection().Ends(ctx, name)
	if err != nil || len(undecided) > 0 || w.aborted(ctx, ends) {
		w.trace("world", "does not compact: something is open, or was aborted")
		return
	}
	w.cluster.Compact()
	w.compacted.Store(true)
	w.cover(string(Compact))
	w.trace("fault", string(Compact))
}

// aborted says whether a transaction that wrote to the changelog was ever aborted, or is open by now.
func (w *world) aborted(ctx context.Context, ends map[int32]int64) bool {
	left := int64(0)
	assigned := map[int32]kgo.Offset{}
	for n, end := range ends {
		left += end
		assigned[n] = kgo.NewOffset().At(0)
	}
	cl, err := kgo.NewClient(append(w.connection().Options(), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{w.topics.Changelog.Name: assigned}), kgo.KeepControlRecords())...)
	if err != nil {
		return true
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(ctx, observed)
	defer cancel()
	aborted := false
	for left > 0 && ctx.Err() == nil {
		cl.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			left--
			aborted = aborted || r.Attrs.IsControl() && binary.BigEndian.Uint16(r.Key[2:]) == 0
		})
	}
	return aborted || left > 0
}

// reject lets the brokers answer requests of processes by an error. Upstream and the judge make none of those.
func (w *world) reject(f *Fault) {
	fault := kfake.Fault{Keys: []kmsg.Key{f.Request}, Err: f.Error, Count: f.Times}
	switch f.Request {
	case kmsg.InitProducerID, kmsg.AddOffsetsToTxn, kmsg.EndTxn:
		fault.TxnID = group + "-" + w.processes[f.Process].name
	case kmsg.TxnOffsetCommit, kmsg.JoinGroup, kmsg.SyncGroup, kmsg.Heartbeat, kmsg.OffsetFetch:
		fault.Group = group
	case kmsg.Produce, kmsg.ListOffsets:
		fault.Topic = w.topics.Changelog.Name
	case kmsg.Fetch:
		fault.Topic = w.topics.Events.Name
	default:
	}
	handle := w.cluster.Fault(fault)
	w.mu.Lock()
	w.rejections = append(w.rejections, handle)
	w.mu.Unlock()
}

// unstick helps the broker in memory out of a rebalance that would never end (TestTheBrokerMiscountsAReplacedMember): one member alone can end it.
// A group that is not in one is not helped.
func (w *world) unstick(ctx context.Context) bool {
	groups, err := kadm.NewClient(w.upstream).DescribeGroups(ctx, group)
	if err != nil || groups[group].State != "PreparingRebalance" || len(w.processes) < 2 {
		return false
	}
	w.cover("broker helped out of a rebalance")
	w.trace("world", "helps the broker out of a rebalance")
	for _, p := range w.processes[1:] {
		p.newest().stop(unstuck)
	}
	return true
}
