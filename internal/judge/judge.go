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
	"github.com/stampede-rewards/stampede/internal/model"
	"github.com/stampede-rewards/stampede/internal/partner"
	"github.com/stampede-rewards/stampede/internal/stream"
	"github.com/stampede-rewards/stampede/pkg/state"
)

// Case is what to judge. Nothing may run on it any more.
type Case struct {
	Connection kafka.Connection
	Topics     kafka.TopicsState
	Group      string
	Stores     []*state.Store    // what they hold of each partition is compared, wherever they are
	Partners   *partner.Partners // if any: their topics are compared, too
	Model      []*model.Campaign // if any: all that was published, in every version; then the rewards are the model's, too
	Erased     []string          // users who may be erased: an id of theirs is issued again where they begin anew, and fold_equality alone says whether it may be
	Budgets    []Budget          // for an Observer: Judge learns them from the log
	Earlier    bool              // an earlier release has worked on a part of the log: what that did otherwise is not looked at (earlier.go)
	Settle     time.Duration     // how long open transactions are waited for, default a minute
}

// Verdict counts what was compared.
type Verdict struct {
	Events, Rewards, DeadLetters, Ledgers int     // ledgers and what is kept of campaigns
	Told                                  int     // records that spoke to partitions: campaigns, ticks
	Shared                                int     // records on the partners' topics
	Claims, Messages                      int     // rewards claimed of budgets; records of claims and answers
	Exhausted                             int     // claims denied, by the users' outcomes
	Failures                              int     // outcomes that the engine tells beside rewards
	InStores, Behind                      int     // partitions found in stores at the committed offset, and before it
	Modelled                              int     // rewards that the model expected
	Committed                             []int64 // offsets of events, by partition
	Uncommitted                           int64   // events behind them
}

// String is for a test's log.
func (v Verdict) String() string {
	return fmt.Sprintf("%d events (%d uncommitted) and %d control records, %d rewards, %d dead letters, %d ledgers, %d partitions found in stores, %d there behind",
		v.Events, v.Uncommitted, v.Told, v.Rewards, v.DeadLetters, v.Ledgers, v.InStores, v.Behind)
}

const (
	// settleTimeout bounds the wait for the markers of the last transactions, unless the case says something else.
	settleTimeout = time.Minute
	settleWait    = 100 * time.Millisecond
	processedWait = 20 * time.Millisecond
	// maxFindings bounds what is told of one partition.
	maxFindings = 5
)

// Judge compares. The error lists what is wrong; Invariants names it.
func Judge(ctx context.Context, c Case) (Verdict, error) {
	var v Verdict
	if err := c.awaitNoOpenTransaction(ctx); err != nil {
		return v, err
	}
	committed, err := c.committed(ctx)
	if err != nil {
		return v, err
	}
	positions, ahead, err := c.positions(committed)
	if err != nil {
		return v, err
	}
	expected, err := c.fold(ctx, committed, positions)
	if err != nil {
		return v, err
	}
	for n := range c.Topics.Events.Partitions {
		v.Committed = append(v.Committed, committed[n].offset)
		v.Events += expected[n].events
		v.Told += expected[n].told
		v.Failures += expected[n].failures
		v.Exhausted += expected[n].exhausted
	}
	if v.Uncommitted, err = c.Remaining(ctx); err != nil {
		return v, err
	}
	c.Budgets = budgetsIn(expected)
	order := newOrder(c)
	left, err := c.read(ctx, order)
	if err != nil {
		return v, err
	}
	err = errors.Join(
		ahead,
		left.err(),
		compareRewards(left, expected, committed, &v),
		compareDeadLetters(left, expected, &v),
		c.compareOutcomes(left, expected, &v),
		c.compareMessages(left, expected, committed, &v),
		c.compareChangelog(left, expected, committed, &v),
		order.err(),
		c.compareStores(positions, expected, committed, &v),
	)
	return v, err
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
		remaining += end - committed[n].offset
	}
	return remaining, nil
}

// AwaitProcessed waits until the group has committed every event, when nothing goes wrong any more. That ctx ends before breaks Liveness.
func (c Case) AwaitProcessed(ctx context.Context) error {
	last := errors.New("it was not asked")
	for {
		remaining, err := c.Remaining(ctx)
		if err == nil && remaining == 0 {
			return nil
		}
		if ctx.Err() == nil {
			if last = err; err == nil {
				last = fmt.Errorf("%d events are not processed", remaining)
			}
		}
		select {
		case <-ctx.Done():
			return broken(Liveness, "%v (%v)", last, context.Cause(ctx))
		case <-time.After(processedWait):
		}
	}
}

// awaitNoOpenTransaction holds when everything in every topic is decided.
func (c Case) awaitNoOpenTransaction(ctx context.Context) error {
	settle := c.Settle
	if settle == 0 {
		settle = settleTimeout
	}
	deadline := time.Now().Add(settle)
	topics := []string{c.Topics.Rewards.Name, c.Topics.Changelog.Name, c.Topics.DeadLetters.Name, c.Topics.Events.Name}
	for _, t := range c.Topics.Outcomes {
		topics = append(topics, t.Name)
	}
	for {
		undecided, err := c.Connection.Undecided(ctx, topics...)
		if err != nil {
			return err
		}
		if len(undecided) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			var open []string
			for _, s := range undecided {
				open = append(open, fmt.Sprintf("%s/%d from offset %d", s.Topic, s.Partition, s.From))
			}
			return broken(NoOpenTransaction, "transactions are left open in %s", strings.Join(open, ", "))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(settleWait):
		}
	}
}

// committed are the group's offsets; 0 where it has none.
func (c Case) committed(ctx context.Context) (map[int32]commit, error) {
	cl, done, err := c.Connection.Asker()
	if err != nil {
		return nil, err
	}
	defer done()
	told, err := c.offsets(ctx, kadm.NewClient(cl))
	if err != nil {
		return nil, err
	}
	committed := map[int32]commit{}
	for n, o := range told {
		if o.Err != nil {
			return nil, fmt.Errorf("offset of group %s in partition %d: %w", c.Group, n, o.Err)
		}
		named := stream.Commit{}
		if o.Metadata != "" { // none where somebody has put the offset there by hand
			if named, err = stream.ParseCommit(o.Metadata); err != nil {
				return nil, fmt.Errorf("offset of group %s in partition %d: %w", c.Group, n, err)
			}
		}
		committed[n] = commit{max(0, o.At), o.Metadata, named}
	}
	return committed, nil
}

// compareRewards wants the same rewards in the same order, record for record: those of the engine, and of the model if there is one.
func compareRewards(left *left, expected map[int32]*fold, committed map[int32]commit, v *Verdict) error {
	issued := left.rewards
	var findings []error
	for _, n := range slices.Sorted(maps.Keys(expected)) {
		o := expected[n]
		v.Rewards += len(issued[n])
		for _, r := range issued[n] {
			if _, cause, err := causeOf(r); err == nil && cause >= committed[n].offset {
				findings = append(findings, broken(NothingUncommitted, "%s is for events/%d@%d, and the committed offset is %d", at(r), n, cause, committed[n].offset))
				break
			}
		}
		want, got := rewardLines(o.rewards), rewardLines(issued[n])
		if diff := firstDifferences(want, got); diff != "" {
			findings = append(findings, broken(FoldEquality, "rewards of events/%d: %d wanted, %d issued\n%s", n, len(want), len(got), diff))
		}
		findings = append(findings, o.compareModel(n, issued[n], v))
	}
	return errors.Join(findings...)
}

func rewardLines(rewards []*kgo.Record) []string {
	lines := make([]string, len(rewards))
	for i, r := range rewards {
		lines[i] = fmt.Sprintf("because of %s: %s %s%s", stream.Header(r, "stampede_offset"), r.Key, r.Value, traceIn(r))
	}
	return lines
}

// compareDeadLetters wants every record that can't be processed, once, with its bytes and its reason.
func compareDeadLetters(left *left, expected map[int32]*fold, v *Verdict) error {
	var findings []error
	for _, n := range slices.Sorted(maps.Keys(expected)) {
		o := expected[n]
		var got []letter
		for rest := left.letters[n]; len(rest) > 0; {
			parts := 1
			for parts < len(rest) && stream.Header(rest[parts], "stampede_offset") == stream.Header(rest[0], "stampede_offset") {
				parts++
			}
			whole, err := stream.WholeRecord(rest[:parts])
			if err != nil {
				findings = append(findings, broken(DeadLetters, "%v", err))
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
			findings = append(findings, broken(DeadLetters, "those of events/%d differ: %d wanted, %d written", n, len(o.letters), len(got)))
		}
	}
	return errors.Join(findings...)
}

// compareChangelog wants the changelog's fold to be the engine's ledgers, byte for byte.
func (c Case) compareChangelog(left *left, expected map[int32]*fold, committed map[int32]commit, v *Verdict) error {
	var findings []error
	for _, n := range slices.Sorted(maps.Keys(expected)) {
		v.Ledgers += len(left.changelog[n].ledgers)
		findings = append(findings, c.compareFolded(n, left.changelog[n], expected[n], committed[n].offset))
	}
	return errors.Join(findings...)
}

func (c Case) compareFolded(n int32, log *folded, o *fold, committed int64) error {
	var findings []error
	if diff := c.ledgerDifferences(o.at[committed].ledgers, log.ledgers); diff != "" {
		findings = append(findings, broken(ChangelogFold, "the ledgers of changelog/%d are not the engine's:\n%s", n, diff))
	}
	if committed == 0 {
		return errors.Join(findings...)
	}
	want := stream.PositionRecord{Input: committed, Clock: o.at[committed].clock, EventsTopic: c.Topics.Events.ID}
	if log.position == nil {
		return errors.Join(append(findings, broken(ChangelogPosition, "changelog/%d has no position record", n))...)
	}
	if got, err := stream.ParsePosition(log.position); err != nil || got != want {
		findings = append(findings, broken(ChangelogPosition, "the last position record of changelog/%d says %+v, wanted %+v", n, got, want))
	}
	return errors.Join(findings...)
}

func (c Case) ledgerDifferences(want, got map[string][]byte) string {
	lines := func(ledgers map[string][]byte) []string {
		if c.Earlier {
			ledgers = asEarlier(ledgers)
		}
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
