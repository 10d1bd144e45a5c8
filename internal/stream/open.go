package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/stampede-rewards/stampede/internal/kafka"
	"github.com/stampede-rewards/stampede/pkg/campaign"
	"github.com/stampede-rewards/stampede/pkg/state"
)

// committed is what the group knows of a partition: the offset, -1 where there is none, and what was written beside it.
type committed struct {
	offset   int64
	metadata string
}

// opening is a partition on its way to being processed.
type opening struct {
	number int32
	cancel context.CancelFunc
	done   chan struct{}

	position state.Position
	inForce  *campaign.InForce
	erased   *campaign.Erased
	err      error // a *RefusedError, fatal, or one that a new client may mend
}

// RefusedError says that a partition's state can't be made right without somebody's decision.
type RefusedError struct {
	Partition int32
	Why       string // and what to do
}

// Error names the partition and the reason.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("partition %d is refused: %s", e.Partition, e.Why)
}

// errOutdated means that the group has committed something else since an opening was told what it had: others have the partition now, and the
// group has not said so yet.
var errOutdated = errors.New("the group has committed another offset since this worker was told one")

// opener brings the store's state of a partition to the committed offset: design, "Opening a partition".
type opener struct {
	connection kafka.Connection
	store      *state.Store
	topics     kafka.TopicsState
	group      string
	partners   []string // that are configured
	metrics    *Metrics
	log        *slog.Logger
	restores   chan struct{} // holds who reads the changelog: each needs a fetch and a buffer, and a core
}

// open returns the position from which the partition goes on. The committed offset is the truth; the store is brought to it, or
// dropped and rebuilt from the changelog, or the partition is refused. It never goes on from anything else.
func (o *opener) open(ctx context.Context, n int32, c committed) (state.Position, error) {
	began := time.Now()
	log := o.log.With("partition", n, "committed", c.offset)
	if n >= o.topics.Events.Partitions {
		return state.Position{}, &RefusedError{n, fmt.Sprintf("topic %s had %d partitions when this worker started and has more now: "+
			"give %s as many (kafka-topics.sh --alter), then restart the processors", o.topics.Events.Name, o.topics.Events.Partitions, o.topics.Changelog.Name)}
	}
	if c.offset < 0 {
		return o.begin(ctx, n)
	}
	named, err := c.transaction(n)
	if err != nil {
		return state.Position{}, err
	}
	target, err := o.target(ctx, n, c, named)
	if err != nil {
		return state.Position{}, err
	}
	position, err := o.replay(n, target, named, log)
	if err != nil {
		return state.Position{}, err
	}
	if position.Restoring || pointOf(position).before(target) {
		if position, err = o.catchUp(ctx, n, target, position, log); err != nil {
			return state.Position{}, err
		}
	}
	if named != nil && position.Clock != named.Clock {
		return state.Position{}, &RefusedError{n, fmt.Sprintf("the changelog says that the clock at offset %d was %d and the offset's metadata say %d: "+
			"topic %s was changed by hand, or belongs to another installation", c.offset, position.Clock, named.Clock, o.topics.Changelog.Name)}
	}
	position.CaughtUp = time.Now().UnixMilli() // also where the changelog was not read: what the next cycle prepares is of now
	log.Info("partition open", "took", time.Since(began).Round(time.Millisecond))
	return position, nil
}

// stands returns a refusal if it is one of what the group has committed now, and not of what it had when this worker was told.
func (o *opener) stands(ctx context.Context, refused *RefusedError, c committed) error {
	cl, done, err := o.connection.Asker()
	if err != nil {
		return err
	}
	defer done()
	fetched, err := kadm.NewClient(cl).FetchOffsetsForTopics(ctx, o.group, o.topics.Events.Name)
	if err != nil {
		return fmt.Errorf("offsets of group %s: %w", o.group, err)
	}
	now, ok := fetched.Lookup(o.topics.Events.Name, refused.Partition)
	switch {
	case ok && now.Err != nil:
		return fmt.Errorf("offset of group %s in partition %d: %w", o.group, refused.Partition, now.Err)
	case ok && (committed{now.At, now.Metadata}) != c:
		return errOutdated
	}
	return refused
}

// transaction is what the metadata name; nil if nothing was written, as by kafka-consumer-groups.sh.
func (c committed) transaction(n int32) (*Commit, error) {
	if c.metadata == "" {
		return nil, nil
	}
	named, err := ParseCommit(c.metadata)
	if err != nil {
		return nil, &RefusedError{n, err.Error() + "; does another program use the same consumer group?"}
	}
	return &named, nil
}

// target is the point that the group has committed. Where nobody wrote beside the offset which one that is, it is the last one of that
// offset that the changelog knows.
func (o *opener) target(ctx context.Context, n int32, c committed, named *Commit) (point, error) {
	if named != nil {
		return point{c.offset, named.Step}, nil
	}
	end, err := o.changelogEnd(ctx, n)
	if err != nil {
		return point{}, err
	}
	last, found, err := o.lastPosition(ctx, n, end, func(p PositionRecord) bool { return p.Input == c.offset && p.EventsTopic == o.topics.Events.ID })
	if err != nil || !found {
		return point{c.offset, 0}, err
	}
	return last.point(), nil
}

// begin is for a partition of which the group knows nothing. That is right for a new installation, and wrong if anything was
// processed before: then the group's offsets have expired or were deleted, and to start from the oldest event would issue
// rewards a second time.
func (o *opener) begin(ctx context.Context, n int32) (state.Position, error) {
	end, err := o.changelogEnd(ctx, n)
	if err != nil {
		return state.Position{}, err
	}
	last, found, err := o.lastPosition(ctx, n, end, func(PositionRecord) bool { return true })
	if err != nil {
		return state.Position{}, err
	}
	if found && last.EventsTopic != o.topics.Events.ID {
		return state.Position{}, &RefusedError{n, fmt.Sprintf("topic %s was deleted and made anew, and topic %s is of the old one: to begin anew, delete %[2]s too, and restart",
			o.topics.Events.Name, o.topics.Changelog.Name)}
	}
	if found {
		return state.Position{}, &RefusedError{n, fmt.Sprintf("the group has no committed offset, but by topic %s everything up to offset %d was processed: "+
			"the group's offsets have expired or were deleted, or another group name was in use. Commit that offset "+
			"(kafka-consumer-groups.sh --reset-offsets --to-offset %d --topic %s:%d --group GROUP --execute), then restart",
			o.topics.Changelog.Name, last.Input, last.Input, o.topics.Events.Name, n)}
	}
	// Of this partition nothing was ever committed. The store may have the one entry that a first cycle prepared.
	position, _, err := o.store.Position(n)
	entries := 0
	if err == nil {
		err = o.store.Journal(n, func(state.Prepared) error { entries++; return nil })
	}
	if errors.Is(err, state.ErrBroken) || errors.Is(err, state.ErrNewer) {
		return o.unreadable(n, err)
	}
	if err != nil || position.Input > 0 || entries > 1 {
		return o.quarantine(n, "nothing was ever processed: what the store has is of another installation")
	}
	position = o.position()
	position.CaughtUp = time.Now().UnixMilli()
	if err := o.store.Checkpoint(n, position, nil); err != nil {
		return state.Position{}, fatal{fmt.Errorf("open events/%d: %w", n, err)}
	}
	return position, nil
}

// position is the one before the first event.
func (o *opener) position() state.Position {
	return state.Position{
		EventsTopic: o.topics.Events.ID, ChangelogTopic: o.topics.Changelog.ID, Partitions: o.topics.Events.Partitions,
	}
}

// replay brings the ledgers forward by the journal, and returns the position that they are then at. A store that can't be what it
// should be is dropped, and the position is the one before the first event.
func (o *opener) replay(n int32, target point, named *Commit, log *slog.Logger) (state.Position, error) {
	position, ok, err := o.store.Position(n)
	if err != nil {
		return o.unreadable(n, err)
	}
	if !ok {
		// The store may hold the journal of a partition that was never checkpointed.
		position = o.position()
	}
	if why := o.foreign(position); why != "" {
		return o.quarantine(n, why)
	}
	changes := map[string]state.Change{}
	var entries int
	var newest *state.Prepared
	take := func(p *state.Prepared) error {
		for _, ch := range p.Changes {
			change, err := changeOf(ch.User, ch.Ledger)
			if err != nil {
				return err
			}
			// That a ledger was deleted can mean that its user was erased, also where the user has begun anew since; a denied claim, that its was.
			change.Erased = changes[ch.User].Erased || ch.Ledger == nil
			changes[ch.User] = change
		}
		// Its changelog offset is the one before the transaction, whose own end was not known yet: who reads from there meets
		// some ledgers a second time, which changes nothing.
		position = p.Position
		entries++
		return nil
	}
	if err := o.store.Journal(n, func(p state.Prepared) error {
		decided := newest // S1: every entry but the newest is decided, and it was committed: an abort is not followed by another entry
		newest = &p
		if decided == nil {
			return nil
		}
		return take(decided)
	}); err != nil {
		return o.unreadable(n, err)
	}
	became := "none"
	switch {
	case newest == nil:
	case named != nil && newest.Transaction == named.Transaction:
		became = "committed"
		if err := take(newest); err != nil {
			return o.quarantine(n, err.Error())
		}
	default:
		became = "dropped" // it was not committed, or others have gone on since, and the changelog has it
		o.metrics.journalDropped.Inc()
	}
	if why := o.foreign(position); why != "" {
		return o.quarantine(n, why)
	}
	if target.before(pointOf(position)) {
		return o.quarantine(n, fmt.Sprintf("it is at offset %d, ahead of what the group has committed: the topics or the group's offsets were put back", position.Input))
	}
	if err := o.store.Checkpoint(n, position, slices.Collect(maps.Values(changes))); err != nil {
		return state.Position{}, fatal{fmt.Errorf("replay the journal of events/%d: %w", n, err)}
	}
	o.metrics.journalReplayed.Add(float64(entries))
	log.Info("journal replayed", "entries", entries, "newest", became, "position", position.Input)
	return position, nil
}

// foreign says why a position can't be one in the topics that there are; empty if it can.
func (o *opener) foreign(p state.Position) string {
	switch {
	case p.EventsTopic != o.topics.Events.ID:
		return "the events topic was deleted and made anew since"
	case p.ChangelogTopic != o.topics.Changelog.ID:
		return "the changelog topic was deleted and made anew since"
	case p.Partitions != o.topics.Events.Partitions:
		return fmt.Sprintf("the events topic had %d partitions", p.Partitions)
	}
	return ""
}

// changeOf is a ledger, or what is kept of a campaign, as it goes into the store: with the instant at which it is due, which the
// ledger itself says. Under which one the store has it now is not known.
func changeOf(name string, value []byte) (state.Change, error) {
	change := state.Change{User: name, Ledger: value}
	if value == nil || state.IsNoUser(name) {
		return change, nil
	}
	due, err := campaign.DueOf(value)
	if err != nil {
		return change, fmt.Errorf("the ledger of %q: %w", name, err)
	}
	change.Due = due
	return change, nil
}

// catchUp reads the changelog from where the store is. If that does not lead to the committed offset, the store is dropped and
// everything read; if that does not either, the partition is refused.
func (o *opener) catchUp(ctx context.Context, n int32, target point, from state.Position, log *slog.Logger) (state.Position, error) {
	if why := outdated(from, time.Now(), o.topics.Changelog.DeleteRetention); why != "" {
		var err error
		if from, err = o.quarantine(n, why); err != nil {
			return state.Position{}, err
		}
	}
	if pointOf(from) == (point{}) && !from.Restoring {
		from.CaughtUp = time.Now().UnixMilli() // if this is cut off, its ledgers stay, and are of now
	}
	position, found, err := o.restore(ctx, n, target, from, log)
	if err != nil {
		return state.Position{}, err
	}
	if !found && from.Changelog > 0 {
		if from, err = o.quarantine(n, fmt.Sprintf("topic %s does not lead from its position to the committed offset", o.topics.Changelog.Name)); err != nil {
			return state.Position{}, err
		}
		if position, found, err = o.restore(ctx, n, target, from, log); err != nil {
			return state.Position{}, err
		}
	}
	if !found {
		return state.Position{}, &RefusedError{n, fmt.Sprintf("topic %s has been read whole and does not lead to offset %d, which the group has committed: "+
			"it was deleted or made anew, or the offset was set by hand; put back the topic, or reset the group's offset to one that the changelog names and accept what follows from that",
			o.topics.Changelog.Name, target.input)}
	}
	return position, nil
}

// unreadable is for a store whose state of a partition can't be read. A disk that refuses is for people, and so is a newer version's store: what is on
// it may be right.
func (o *opener) unreadable(n int32, err error) (state.Position, error) {
	if errors.Is(err, state.ErrBroken) || errors.Is(err, state.ErrNewer) {
		return state.Position{}, fatal{fmt.Errorf("read the store of events/%d: %w", n, err)}
	}
	return o.quarantine(n, err.Error())
}

// outdated says why ledgers are too old to be brought up to date: what the changelog has forgotten since can't be told. Empty if they are not.
func outdated(p state.Position, now time.Time, retention time.Duration) string {
	if p.Changelog == 0 && pointOf(p) == (point{}) && !p.Restoring {
		return "" // there are none
	}
	age := now.Sub(time.UnixMilli(p.CaughtUp))
	if age <= retention/2 {
		return ""
	}
	return fmt.Sprintf("it was last up to date %s ago; users deleted since might come back, the changelog remembers them for %s", age.Round(time.Second), retention)
}

// quarantine gives the store's state of a partition up, because it can't be right, and says why. The changelog has all of it.
// The position is the one before the first event.
func (o *opener) quarantine(n int32, why string) (state.Position, error) {
	o.log.Error("the store of a partition is dropped and rebuilt from the changelog", "partition", n, "why", why)
	o.metrics.quarantined.Inc()
	if err := o.store.Drop(n); err != nil {
		return state.Position{}, fatal{fmt.Errorf("drop the store of events/%d: %w", n, err)}
	}
	return o.position(), nil
}
