package judge

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stampede-rewards/stampede/internal/kafka"
	"github.com/stampede-rewards/stampede/internal/model"
	"github.com/stampede-rewards/stampede/pkg/campaign"
)

// fold is what the engine makes of a partition's events, and the model if there is one.
type fold struct {
	events    int
	told      int
	failures  int                // outcomes that are failures
	exhausted int                // outcomes that are of a budget
	shared    []campaign.Outcome // of campaigns that are shared, in order
	rewards   []*kgo.Record
	letters   []letter
	at        map[int64]kept  // by offset: the end, and where else it was asked for
	model     *model.Log      // nil for none
	budgets   []Budget        // of the campaigns that were published
	messages  []message       // claims and answers, in order
	claims    map[string]bool // ids of the rewards that were claimed
	answers   map[string]bool // and of those whose claims were decided
}

// kept is what is kept of a partition by an offset.
type kept struct {
	clock   int64
	ledgers map[string][]byte // and what is kept of campaigns and erased users, under names that no user has
}

// letter is what a dead letter is compared by.
type letter struct {
	Offset     string
	Reason     string
	Key, Value []byte
	Headers    []kgo.RecordHeader
}

// folding is the engine on its way through a partition's events, with the campaigns that its log tells.
type folding struct {
	*fold
	inForce *campaign.InForce
	replay  *campaign.Replay
	decoder campaign.Decoder
	event   campaign.Event
	others  []int64 // offsets that are still to come, in order
}

// fold runs the engine alone over each partition's events up to what is committed, and keeps what is kept there and at others before it.
func (c Case) fold(ctx context.Context, committed map[int32]commit, others map[int32][]int64) (map[int32]*fold, error) {
	var spans []kafka.Span
	foldings := map[int32]*folding{}
	for n, to := range committed {
		spans = append(spans, kafka.Span{Topic: c.Topics.Events.Name, Partition: n, End: to.offset})
		foldings[n] = c.newFolding(others[n])
	}
	err := c.Connection.ReadCommitted(ctx, spans, func(r *kgo.Record) (bool, error) {
		r = c.mine(r)
		f := foldings[r.Partition]
		f.keepBefore(r.Offset)
		if err := f.readModel(r); err != nil {
			return false, fmt.Errorf("%s: %w", at(r), err)
		}
		return true, f.apply(r)
	})
	folds := map[int32]*fold{}
	for n, f := range foldings {
		f.keepBefore(math.MaxInt64)
		f.keep(committed[n].offset)
		folds[n] = f.fold
	}
	return folds, err
}

func (c Case) newFolding(others []int64) *folding {
	inForce := campaign.NewInForce()
	f := &folding{
		fold:    &fold{at: map[int64]kept{}, claims: map[string]bool{}, answers: map[string]bool{}},
		inForce: inForce, replay: campaign.NewReplay(campaign.NewEngine(inForce.Set(), 0)),
		others: slices.Compact(slices.Sorted(slices.Values(others))),
	}
	if c.Model != nil {
		f.model = model.NewLog(c.Model...)
	}
	return f
}

// keepBefore keeps what is kept at the offsets that are wanted, up to that of the next record.
func (f *folding) keepBefore(next int64) {
	for len(f.others) > 0 && f.others[0] <= next {
		f.keep(f.others[0])
		f.others = f.others[1:]
	}
}

func (f *folding) keep(offset int64) {
	k := kept{clock: f.replay.Clock(), ledgers: map[string][]byte{}}
	for user, l := range f.replay.Ledgers {
		k.ledgers[user] = l.Append(nil)
	}
	for _, s := range append(f.inForce.Stored(), f.replay.Erased().Stored()...) {
		k.ledgers[s.Name] = s.Value
	}
	f.at[offset] = k
}

// apply applies a record, and what is due before it.
func (f *folding) apply(r *kgo.Record) error {
	took := func(_ string, _ int64, result *campaign.Result) error {
		passing := *r
		passing.Headers = nil // what is due by the clock is no part of the trace of the record that moves it
		f.took(&passing, result)
		return nil
	}
	f.replay.Use(f.inForce.Set())
	if err := f.replay.Advance(r.Timestamp.UnixMilli(), took); err != nil {
		return err
	}
	f.inForce.ForgetDenied(f.replay.Clock())
	record := campaign.Record{Key: r.Key, Value: r.Value, Clock: f.replay.Clock()}
	for _, h := range r.Headers {
		record.Headers = append(record.Headers, campaign.Header{Key: h.Key, Value: h.Value})
	}
	if campaign.IsControl(r.Key) {
		f.told++
		return f.control(r, &record)
	}
	f.events++
	why := f.decoder.Decode(&record, &f.event)
	if f.replay.Drop(&f.event, why) != nil {
		return nil
	}
	if why != nil {
		f.reject(r, why)
		return nil
	}
	result := f.replay.Apply(&f.event)
	f.reject(r, result.Rejection)
	f.took(r, result)
	return nil
}

// control applies a record that speaks to the partition.
func (f *folding) control(r *kgo.Record, record *campaign.Record) error {
	if why := f.decoder.DecodeControl(record, &f.event); why != nil {
		f.reject(r, why)
		return nil
	}
	result, why, err := f.inForce.Apply(&f.event, f.replay.Clock())
	if err != nil {
		return err
	}
	f.reject(r, why)
	for _, s := range result.Stored {
		if id, ok := campaign.StoredCampaign(s.Name); ok {
			f.published(id)
		}
	}
	f.issued(r, result.Rewards)
	f.claimed(r, nil, result.Answers)
	return nil
}

// issued notes the rewards that a record has led to.
func (f *folding) issued(r *kgo.Record, rewards []campaign.Reward) {
	for i := range rewards {
		f.rewards = append(f.rewards, &kgo.Record{
			Key: []byte(rewards[i].User), Value: rewards[i].AppendJSON(nil),
			Headers: append([]kgo.RecordHeader{{Key: "stampede_offset", Value: []byte(fmt.Sprint(r.Offset))}}, traceOf(r)...),
		})
	}
}

// took notes what a record has led to.
func (f *folding) took(r *kgo.Record, result *campaign.Result) {
	f.issued(r, result.Rewards)
	f.claimed(r, result.Claims, nil)
	for i := range result.Recalls {
		rc := &result.Recalls[i]
		f.messages = append(f.messages, message{rc.Home, fmt.Sprint(r.Offset), campaign.ControlKey, string(rc.Append(nil)), traceBecauseOf(r), true})
	}
	for _, e := range result.Outcomes {
		switch e.Kind {
		case campaign.Failed:
			f.failures++
		case campaign.BudgetExhausted:
			f.exhausted++
		case campaign.Achieved, campaign.Withdrawn:
		}
		if len(e.Campaign.Share) > 0 && e.Kind != campaign.BudgetExhausted {
			e.User = strings.Clone(e.User) // the record's bytes are used again
			f.shared = append(f.shared, e)
		}
	}
}

// reject notes a dead letter, if there is a reason for one.
func (f *folding) reject(r *kgo.Record, why *campaign.Rejection) {
	if why != nil {
		f.letters = append(f.letters, letter{fmt.Sprint(r.Offset), string(why.Reason), r.Key, r.Value, r.Headers})
	}
}
