// Package judge says whether rewards were issued exactly once. It reads what a run left behind, in Kafka and in the stores, and
// holds it against what the pure engine makes of the same events. Every test that kills, cuts or delays something ends here.
package judge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stampede-rewards/stampede/internal/kafka"
	"github.com/stampede-rewards/stampede/internal/stream"
	"github.com/stampede-rewards/stampede/pkg/campaign"
	"github.com/stampede-rewards/stampede/pkg/state"
)

// Case is what to judge. Nothing may run on it any more.
type Case struct {
	Connection kafka.Connection
	Topics     kafka.TopicsState
	Group      string
	Stores     []*state.Store // each partition's state is looked for in the one that is at the committed offset
}

// Verdict counts what was compared.
type Verdict struct {
	Events, Rewards, DeadLetters, Ledgers int     // ledgers and what is kept of campaigns
	Told                                  int     // records that spoke to partitions: campaigns, ticks
	Failures                              int     // outcomes that the engine tells beside rewards
	InStores                              int     // partitions whose ledgers were compared with a store's
	Committed                             []int64 // offsets of events, by partition
	Uncommitted                           int64   // events behind them
}

// String is for a test's log.
func (v Verdict) String() string {
	return fmt.Sprintf("%d events (%d uncommitted) and %d control records, %d rewards, %d dead letters, %d ledgers, %d partitions found in stores",
		v.Events, v.Uncommitted, v.Told, v.Rewards, v.DeadLetters, v.Ledgers, v.InStores)
}

const (
	// settleTimeout bounds the wait for the markers of the last transactions.
	settleTimeout = time.Minute
	settleWait    = 100 * time.Millisecond
	// maxFindings bounds what is told of one partition.
	maxFindings = 5
)

// Judge compares. The error lists what is wrong.
func Judge(ctx context.Context, c Case) (Verdict, error) {
	var v Verdict
	if err := c.awaitNoOpenTransaction(ctx); err != nil {
		return v, err
	}
	committed, err := c.committed(ctx)
	if err != nil {
		return v, err
	}
	expected := map[int32]*outcome{}
	for n := range c.Topics.Events.Partitions {
		v.Committed = append(v.Committed, committed[n])
		if expected[n], err = c.expect(ctx, n, committed[n]); err != nil {
			return v, err
		}
		v.Events += expected[n].events
		v.Told += expected[n].told
		v.Failures += expected[n].failures
	}
	if v.Uncommitted, err = c.Remaining(ctx); err != nil {
		return v, err
	}
	var findings []error
	findings = append(findings, c.compareRewards(ctx, expected, &v), c.compareDeadLetters(ctx, expected, &v))
	for n := range c.Topics.Events.Partitions {
		findings = append(findings, c.compareChangelog(ctx, n, expected[n], committed[n], &v))
		findings = append(findings, c.compareStores(n, expected[n], committed[n], &v))
	}
	return v, errors.Join(findings...)
}

// Remaining is how many offsets of events the group has not committed yet. Nothing is compared; it may be asked at any time.
func (c Case) Remaining(ctx context.Context) (int64, error) {
	committed, err := c.committed(ctx)
	if err != nil {
		return 0, err
	}
	ends, err := c.Connection.Ends(ctx, c.Topics.Events.Name)
	if err != nil {
		return 0, err
	}
	remaining := int64(0)
	for n, end := range ends {
		remaining += end - committed[n]
	}
	return remaining, nil
}

// awaitNoOpenTransaction holds when everything in every topic is decided.
func (c Case) awaitNoOpenTransaction(ctx context.Context) error {
	deadline := time.Now().Add(settleTimeout)
	for {
		var open []string
		for _, t := range []kafka.Topic{c.Topics.Rewards, c.Topics.Changelog, c.Topics.DeadLetters} {
			stable, err := c.Connection.StableEnds(ctx, t.Name)
			if err != nil {
				return err
			}
			ends, err := c.Connection.Ends(ctx, t.Name)
			if err != nil {
				return err
			}
			for n, end := range ends {
				if stable[n] < end {
					open = append(open, fmt.Sprintf("%s/%d from offset %d", t.Name, n, stable[n]))
				}
			}
		}
		if len(open) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			slices.Sort(open)
			return fmt.Errorf("transactions are left open in %s", strings.Join(open, ", "))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(settleWait):
		}
	}
}

// committed are the group's offsets; 0 where it has none.
func (c Case) committed(ctx context.Context) (map[int32]int64, error) {
	cl, err := kgo.NewClient(c.Connection.Options()...)
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	fetched, err := kadm.NewClient(cl).FetchOffsetsForTopics(ctx, c.Group, c.Topics.Events.Name)
	if err != nil {
		return nil, fmt.Errorf("offsets of group %s: %w", c.Group, err)
	}
	committed := map[int32]int64{}
	for n := range c.Topics.Events.Partitions {
		o, ok := fetched.Lookup(c.Topics.Events.Name, n)
		if !ok || o.Err != nil {
			return nil, fmt.Errorf("offset of group %s in partition %d: %w", c.Group, n, o.Err)
		}
		committed[n] = max(0, o.At)
	}
	return committed, nil
}

// outcome is what the engine makes of a partition's events.
type outcome struct {
	events   int
	told     int
	failures int // outcomes that are failures
	clock    int64
	rewards  []*kgo.Record
	letters  []letter
	ledgers  map[string][]byte // and what is kept of campaigns, under names that no user has
}

// letter is what a dead letter is compared by.
type letter struct {
	Offset     string
	Reason     string
	Key, Value []byte
	Headers    []kgo.RecordHeader
}

// expect runs the engine alone over a partition's events, with the campaigns that its log tells.
func (c Case) expect(ctx context.Context, n int32, end int64) (*outcome, error) {
	inForce := campaign.NewInForce()
	replay := campaign.NewReplay(campaign.NewEngine(inForce.Set(), 0))
	var decoder campaign.Decoder
	var event campaign.Event
	o := &outcome{ledgers: map[string][]byte{}}
	reject := func(r *kgo.Record, why *campaign.Rejection) {
		o.letters = append(o.letters, letter{fmt.Sprint(r.Offset), string(why.Reason), r.Key, r.Value, r.Headers})
	}
	err := c.Connection.ReadCommitted(ctx, kafka.Span{Topic: c.Topics.Events.Name, Partition: n, End: end}, func(r *kgo.Record) (bool, error) {
		took := func(user string, _ int64, result *campaign.Result) error {
			for i := range result.Rewards {
				o.rewards = append(o.rewards, &kgo.Record{Key: []byte(user), Value: result.Rewards[i].AppendJSON(nil), Offset: r.Offset})
			}
			for _, e := range result.Outcomes {
				if e.Kind == campaign.Failed {
					o.failures++
				}
			}
			return nil
		}
		replay.Use(inForce.Set())
		if err := replay.Advance(r.Timestamp.UnixMilli(), took); err != nil {
			return false, err
		}
		record := campaign.Record{Key: r.Key, Value: r.Value, Clock: replay.Clock()}
		for _, h := range r.Headers {
			record.Headers = append(record.Headers, campaign.Header{Key: h.Key, Value: h.Value})
		}
		if campaign.IsControl(r.Key) {
			o.told++
			why := decoder.DecodeControl(&record, &event)
			if why == nil {
				var err error
				if _, why, err = inForce.Apply(&event, replay.Clock()); err != nil {
					return false, err
				}
			}
			if why != nil {
				reject(r, why)
			}
			return true, nil
		}
		o.events++
		if why := decoder.Decode(&record, &event); why != nil {
			reject(r, why)
			return true, nil
		}
		result := replay.Apply(&event)
		if result.Rejection != nil {
			reject(r, result.Rejection)
			return true, nil //nolint:nilerr // a rejection is an outcome
		}
		return true, took(event.User, 0, result)
	})
	o.clock = replay.Clock()
	for user, l := range replay.Ledgers {
		o.ledgers[user] = l.Append(nil)
	}
	for _, s := range inForce.Stored() {
		o.ledgers[s.Name] = s.Value
	}
	return o, err
}

// compareRewards wants the same rewards in the same order, record for record.
func (c Case) compareRewards(ctx context.Context, expected map[int32]*outcome, v *Verdict) error {
	issued, err := c.bySource(ctx, c.Topics.Rewards)
	if err != nil {
		return err
	}
	var findings []error
	for n, o := range expected {
		v.Rewards += len(issued[n])
		want, got := rewardLines(o.rewards), rewardLines(issued[n])
		if diff := firstDifferences(want, got); diff != "" {
			findings = append(findings, fmt.Errorf("rewards of events/%d: %d wanted, %d issued\n%s", n, len(want), len(got), diff))
		}
	}
	return errors.Join(findings...)
}

func rewardLines(rewards []*kgo.Record) []string {
	lines := make([]string, len(rewards))
	for i, r := range rewards {
		lines[i] = fmt.Sprintf("%s %s", r.Key, r.Value)
	}
	return lines
}

// compareDeadLetters wants every record that can't be processed, once, with its bytes and its reason.
func (c Case) compareDeadLetters(ctx context.Context, expected map[int32]*outcome, v *Verdict) error {
	written, err := c.bySource(ctx, c.Topics.DeadLetters)
	if err != nil {
		return err
	}
	var findings []error
	for n, o := range expected {
		var got []letter
		for rest := written[n]; len(rest) > 0; {
			parts := 1
			for parts < len(rest) && stream.Header(rest[parts], "stampede_offset") == stream.Header(rest[0], "stampede_offset") {
				parts++
			}
			whole, err := stream.WholeRecord(rest[:parts])
			if err != nil {
				findings = append(findings, err)
				break
			}
			got = append(got, letter{stream.Header(rest[0], "stampede_offset"), stream.Header(rest[0], "stampede_reason"), whole.Key, whole.Value, whole.Headers})
			rest = rest[parts:]
		}
		v.DeadLetters += len(got)
		if !slices.EqualFunc(o.letters, got, func(a, b letter) bool {
			return a.Offset == b.Offset && a.Reason == b.Reason && bytes.Equal(a.Key, b.Key) && bytes.Equal(a.Value, b.Value) &&
				slices.EqualFunc(a.Headers, b.Headers, func(a, b kgo.RecordHeader) bool { return a.Key == b.Key && bytes.Equal(a.Value, b.Value) })
		}) {
			findings = append(findings, fmt.Errorf("dead letters of events/%d differ: %d wanted, %d written", n, len(o.letters), len(got)))
		}
	}
	return errors.Join(findings...)
}

// bySource reads a topic and sorts its records by the events partition that they say they come from, keeping their order.
func (c Case) bySource(ctx context.Context, t kafka.Topic) (map[int32][]*kgo.Record, error) {
	ends, err := c.Connection.Ends(ctx, t.Name)
	if err != nil {
		return nil, err
	}
	bySource := map[int32][]*kgo.Record{}
	for _, n := range slices.Sorted(maps.Keys(ends)) {
		err := c.Connection.ReadCommitted(ctx, kafka.Span{Topic: t.Name, Partition: n, End: ends[n]}, func(r *kgo.Record) (bool, error) {
			var source int32
			if _, err := fmt.Sscan(stream.Header(r, "stampede_partition"), &source); err != nil {
				return false, fmt.Errorf("%s/%d@%d does not say where it comes from", r.Topic, r.Partition, r.Offset)
			}
			bySource[source] = append(bySource[source], r)
			return true, nil
		})
		if err != nil {
			return nil, err
		}
	}
	return bySource, nil
}

// compareChangelog folds a partition of the changelog and wants the engine's ledgers, byte for byte.
func (c Case) compareChangelog(ctx context.Context, n int32, o *outcome, committed int64, v *Verdict) error {
	ends, err := c.Connection.Ends(ctx, c.Topics.Changelog.Name)
	if err != nil {
		return err
	}
	folded := map[string][]byte{}
	var position string
	err = c.Connection.ReadCommitted(ctx, kafka.Span{Topic: c.Topics.Changelog.Name, Partition: n, End: ends[n]}, func(r *kgo.Record) (bool, error) {
		switch {
		case stream.IsPosition(r):
			position = string(r.Value)
		case r.Value == nil:
			delete(folded, string(r.Key))
		default:
			folded[string(r.Key)] = r.Value
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	v.Ledgers += len(folded)
	var findings []error
	if diff := ledgerDifferences(o.ledgers, folded); diff != "" {
		findings = append(findings, fmt.Errorf("changelog/%d: its ledgers are not the engine's:\n%s", n, diff))
	}
	want := fmt.Sprintf(" %d 0 %d ", committed, o.clock)
	if committed > 0 && !strings.Contains(position, want) {
		findings = append(findings, fmt.Errorf("changelog/%d: the last position record is %q, wanted offset and clock%s", n, position, want))
	}
	return errors.Join(findings...)
}

// compareStores wants the same ledgers in every store that is at the committed offset.
func (c Case) compareStores(n int32, o *outcome, committed int64, v *Verdict) error {
	var findings []error
	for _, store := range c.Stores {
		position, ok, err := store.Position(n)
		if err != nil {
			return err
		}
		if !ok || position.Input != committed {
			continue
		}
		stored := map[string][]byte{}
		keep := func(name string, value []byte) error {
			stored[name] = bytes.Clone(value)
			return nil
		}
		if err := errors.Join(store.Each(n, keep), store.Campaigns(n, keep)); err != nil {
			return err
		}
		v.InStores++
		if diff := ledgerDifferences(o.ledgers, stored); diff != "" {
			findings = append(findings, fmt.Errorf("store %s, partition %d: its ledgers are not the engine's:\n%s", store.ID(), n, diff))
		}
	}
	return errors.Join(findings...)
}

func ledgerDifferences(want, got map[string][]byte) string {
	lines := func(ledgers map[string][]byte) []string {
		lines := make([]string, 0, len(ledgers))
		for _, user := range slices.Sorted(maps.Keys(ledgers)) {
			lines = append(lines, fmt.Sprintf("%q %x", user, ledgers[user]))
		}
		return lines
	}
	return firstDifferences(lines(want), lines(got))
}

// firstDifferences shows where two lists part, and what only one of them has.
func firstDifferences(want, got []string) string {
	if slices.Equal(want, got) {
		return ""
	}
	count := map[string]int{}
	for _, line := range want {
		count[line]--
	}
	for _, line := range got {
		count[line]++
	}
	var findings []string
	for _, line := range slices.Sorted(maps.Keys(count)) {
		switch n := count[line]; {
		case n < 0:
			findings = append(findings, fmt.Sprintf("  missing %d times: %.300s", -n, line))
		case n > 0:
			findings = append(findings, fmt.Sprintf("  too many by %d: %.300s", n, line))
		}
	}
	if len(findings) == 0 {
		return "  the order differs:\n" + cmp.Diff(want[:min(len(want), 20)], got[:min(len(got), 20)])
	}
	if len(findings) > maxFindings {
		findings = append(findings[:maxFindings], fmt.Sprintf("  ... and %d more", len(findings)-maxFindings))
	}
	return strings.Join(findings, "\n")
}
