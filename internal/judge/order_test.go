package judge

import (
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stampede-rewards/stampede/internal/kafka"
)

// A broker fences a producer's earlier life, so none can be made to write behind a later one: the records are shown by hand.
func TestAnEarlierLifeOfAProducerIsFencing(t *testing.T) {
	topics := kafka.TopicsState{Rewards: kafka.Topic{Name: "rewards"}, Changelog: kafka.Topic{Name: "changelog"}}
	record := func(offset, producer int64, epoch int16) *kgo.Record {
		return &kgo.Record{Topic: "changelog", Offset: offset, ProducerID: producer, ProducerEpoch: epoch}
	}
	for _, c := range []struct {
		name    string
		records []*kgo.Record
		wanted  []Invariant
	}{
		{"lives one after the other", []*kgo.Record{record(0, 1, 0), record(1, 1, 1), record(2, 1, 1)}, nil},
		{"of other producers", []*kgo.Record{record(0, 1, 5), record(1, 2, 0), record(2, 1, 5)}, nil},
		{"no producer", []*kgo.Record{record(0, -1, -1), record(1, -1, -1)}, nil},
		{"read again", []*kgo.Record{record(0, 1, 0), record(1, 1, 1), record(0, 1, 0), record(1, 1, 1)}, nil},
		{"an earlier one", []*kgo.Record{record(0, 1, 1), record(1, 1, 0)}, []Invariant{Fencing}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := newOrder(Case{Topics: topics})
			for _, r := range c.records {
				o.see(r)
			}
			if got := Invariants(o.err()); !slices.Equal(got, c.wanted) {
				t.Errorf("found %v, wanted %v", got, c.wanted)
			}
		})
	}
}

// What one answer tells of several partitions has no order: only what comes after it is held against it.
func TestCommitsOfOneAnswerHaveNoOrder(t *testing.T) {
	answer := func(offset int64, life string) kadm.OffsetResponse {
		r := kadm.OffsetResponse{}
		r.At, r.Metadata = offset, "stampede/1 w/"+life+"/1 0 0"
		return r
	}
	c := newCommits()
	c.see(map[int32]kadm.OffsetResponse{0: answer(1, "1"), 1: answer(1, "2"), 2: answer(1, "2")}) // of both lives, nobody knows which came first
	c.see(map[int32]kadm.OffsetResponse{0: answer(1, "1"), 1: answer(2, "2"), 2: answer(1, "2")}) // it is the second
	c.see(map[int32]kadm.OffsetResponse{0: answer(1, "1"), 1: answer(3, "3"), 2: answer(1, "2")}) // and now a third
	if c.err() != nil {
		t.Error(c.err())
	}
	c.see(map[int32]kadm.OffsetResponse{0: answer(1, "1"), 1: answer(3, "3"), 2: answer(2, "2")})
	if got := Invariants(c.err()); !slices.Equal(got, []Invariant{Fencing}) {
		t.Errorf("the second life goes on behind the third, and it is said: %v", c.err())
	}
}

// No worker leaves a claim without an answer, so one is shown by hand.
func TestAClaimWithoutAnAnswerIsNamed(t *testing.T) {
	folds := map[int32]*fold{
		0: {claims: map[string]bool{"a": true, "b": true}, answers: map[string]bool{"c": true}},
		1: {claims: map[string]bool{"c": true}, answers: map[string]bool{"a": true, "b": true}},
	}
	if err := allAnswered(folds); err != nil {
		t.Error(err)
	}
	delete(folds[1].answers, "b")
	if got := Invariants(allAnswered(folds)); !slices.Equal(got, []Invariant{BudgetHeld}) {
		t.Errorf("found %v", got)
	}
}
