package judge

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stampede-rewards/stampede/internal/kafka"
	"github.com/stampede-rewards/stampede/internal/stream"
)

// order holds what the order of committed records must be: of rewards and of the changelog. It is shown the records of each partition in
// order; what it was shown already, by a client that has lost its place, it takes no notice of.
type order struct {
	topics   kafka.TopicsState
	erased   []string
	next     map[place]int64  // offset behind what was shown
	rewards  map[string]place // where each was seen
	at       map[string]int64
	causes   map[int32]int64 // the newest cause by partition of events
	points   map[pointsOf]stream.PositionRecord
	epochs   map[writer]int16
	spending *spending
	findings []error
}

type place struct {
	topic     string
	partition int32
}

type pointsOf struct {
	partition int32
	events    [16]byte
}

// writer is a transactional producer, in a partition that it writes to.
type writer struct {
	place
	id int64
}

func newOrder(c Case) *order {
	return &order{
		topics: c.Topics, erased: c.Erased, next: map[place]int64{}, rewards: map[string]place{}, at: map[string]int64{}, causes: map[int32]int64{},
		points: map[pointsOf]stream.PositionRecord{}, epochs: map[writer]int16{}, spending: newSpending(c.Budgets),
	}
}

// see is shown a record. It says whether the record is new.
func (o *order) see(r *kgo.Record) bool {
	in := place{r.Topic, r.Partition}
	if r.Offset < o.next[in] {
		return false
	}
	o.next[in] = r.Offset + 1
	o.fenced(r, in)
	switch r.Topic {
	case o.topics.Rewards.Name:
		o.reward(r, in)
	case o.topics.Changelog.Name:
		o.changelog(r)
	}
	return true
}

// fenced wants no record of a producer's earlier life behind one of a later life.
func (o *order) fenced(r *kgo.Record, in place) {
	if r.ProducerID < 0 {
		return
	}
	w := writer{in, r.ProducerID}
	if epoch, known := o.epochs[w]; known && r.ProducerEpoch < epoch {
		o.find(broken(Fencing, "%s is of epoch %d of producer %d, and one of epoch %d was committed before", at(r), r.ProducerEpoch, r.ProducerID, epoch))
		return
	}
	o.epochs[w] = r.ProducerEpoch
}

// reward wants each reward once, unless its user was erased and began anew, and those of a partition of events in the order of what they are for.
func (o *order) reward(r *kgo.Record, in place) {
	var reward struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(r.Value, &reward); err != nil || reward.ID == "" {
		o.find(broken(FoldEquality, "%s is no reward: %.100q", at(r), r.Value))
		return
	}
	if before, twice := o.rewards[reward.ID]; twice && !slices.Contains(o.erased, string(r.Key)) {
		o.find(broken(NoDuplicate, "reward %s is at %s/%d@%d and at %s", reward.ID, before.topic, before.partition, o.at[reward.ID], at(r)))
	} else {
		o.rewards[reward.ID], o.at[reward.ID] = in, r.Offset
		if err := o.spending.see(r); err != nil {
			o.find(err)
		}
	}
	source, cause, err := causeOf(r)
	if err != nil {
		o.find(err)
		return
	}
	if before, known := o.causes[source]; known && cause < before {
		o.find(broken(CauseMonotonic, "%s is for events/%d@%d, and the reward before it for %d", at(r), source, cause, before))
		return
	}
	o.causes[source] = cause
}

// changelog wants the position records of a partition to go on.
func (o *order) changelog(r *kgo.Record) {
	if !stream.IsPosition(r) {
		return
	}
	p, err := stream.ParsePosition(r)
	if err != nil {
		o.find(broken(ChangelogPosition, "%s: %v", at(r), err))
		return
	}
	of := pointsOf{r.Partition, p.EventsTopic}
	if before, known := o.points[of]; known && (p.Input < before.Input || p.Input == before.Input && p.Step <= before.Step || p.Clock < before.Clock) {
		o.find(broken(ChangelogMonotonic, "%s says input %d, step %d, clock %d, and the one before it %d, %d, %d",
			at(r), p.Input, p.Step, p.Clock, before.Input, before.Step, before.Clock))
		return
	}
	o.points[of] = p
}

// find keeps a finding. Of one thing that goes wrong again and again the first few are enough.
func (o *order) find(err error) {
	of := Invariants(err)
	same := 0
	for _, f := range o.findings {
		if slices.Equal(Invariants(f), of) {
			same++
		}
	}
	if same < maxFindings {
		o.findings = append(o.findings, err)
	}
}

func (o *order) err() error { return errors.Join(o.findings...) }

// causeOf is the record of events that led to a reward or a dead letter, by its headers.
func causeOf(r *kgo.Record) (partition int32, offset int64, err error) {
	if _, err := fmt.Sscan(stream.Header(r, "stampede_partition")+" "+stream.Header(r, "stampede_offset"), &partition, &offset); err != nil {
		return 0, 0, broken(FoldEquality, "%s does not say where it comes from", at(r))
	}
	return partition, offset, nil
}

func at(r *kgo.Record) string { return fmt.Sprintf("%s/%d@%d", r.Topic, r.Partition, r.Offset) }
