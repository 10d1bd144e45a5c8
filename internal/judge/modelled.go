package judge

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stampede-rewards/stampede/internal/model"
	"github.com/stampede-rewards/stampede/pkg/campaign"
)

// readModel lets the model, if there is one, read a record of events.
func (f *folding) readModel(r *kgo.Record) error {
	if f.model == nil {
		return nil
	}
	e := model.Entry{Offset: r.Offset, Timestamp: r.Timestamp.UnixMilli(), Key: r.Key, Value: r.Value}
	for _, h := range r.Headers {
		e.Headers = append(e.Headers, model.Header{Key: h.Key, Value: h.Value})
	}
	return f.model.Read(e)
}

// compareModel wants the rewards that were issued for a partition of events to be the model's, and the engine's dead letters too: those that
// were written are compared with the engine's.
func (f *fold) compareModel(n int32, issued []*kgo.Record, v *Verdict) error {
	if f.model == nil {
		return nil
	}
	var findings []error
	var got []model.Reward
	for _, r := range issued {
		_, cause, err := causeOf(r)
		if err != nil {
			return err
		}
		reward, err := model.ParseReward(cause, r.Value)
		if err != nil {
			findings = append(findings, broken(ModelEquality, "%s: %v", at(r), err))
		}
		got = append(got, reward)
	}
	want := f.model.Rewards()
	v.Modelled += len(want)
	if diff := firstDifferences(lines(want), lines(model.Arrange(want, got))); diff != "" {
		findings = append(findings, broken(ModelEquality, "rewards of events/%d: the model has %d, %d were issued\n%s", n, len(want), len(got), diff))
	}
	findings = append(findings, f.compareClaims(n))
	var letters []string
	for _, l := range f.letters {
		letters = append(letters, l.Offset+" "+l.Reason)
	}
	var wanted []string
	for _, l := range f.model.Letters() {
		wanted = append(wanted, fmt.Sprint(l.Offset, " ", l.Reason))
	}
	if diff := firstDifferences(wanted, letters); diff != "" {
		findings = append(findings, broken(ModelEquality, "dead letters of events/%d are not the model's\n%s", n, diff))
	}
	return errors.Join(findings...)
}

// compareClaims wants the engine's claims to be the model's: those that were written are compared with the engine's.
func (f *fold) compareClaims(n int32) error {
	var got []model.Reward
	for _, m := range f.messages {
		if m.key != campaign.ControlKey || m.recall {
			continue
		}
		offset, err := strconv.ParseInt(m.cause, 10, 64)
		if err != nil {
			return err
		}
		claim, err := model.ParseClaim(offset, []byte(m.value))
		if err != nil {
			return broken(ModelEquality, "a claim because of events/%d@%d: %v", n, offset, err)
		}
		got = append(got, claim)
	}
	want := f.model.Claims()
	if diff := firstDifferences(lines(want), lines(model.Arrange(want, got))); diff != "" {
		return broken(ModelEquality, "claims because of events/%d: the model has %d, the engine %d\n%s", n, len(want), len(got), diff)
	}
	return nil
}

func lines(rewards []model.Reward) []string {
	text := make([]string, len(rewards))
	for i, r := range rewards {
		text[i] = r.String()
	}
	return text
}
