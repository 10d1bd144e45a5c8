package stream

import (
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stampede-rewards/stampede/internal/kafka"
	"github.com/stampede-rewards/stampede/internal/partner"
	"github.com/stampede-rewards/stampede/pkg/campaign"
	"github.com/stampede-rewards/stampede/pkg/state"
)

// records makes the records that a cycle produces.
type records struct {
	topics   kafka.TopicsState
	partners *partner.Partners
}

// rewardBytes is what most rewards have room in: the evidence of a dozen events, named by UUIDs.
const rewardBytes = 1 << 10

// contentType is the value of that header. Nobody writes to it.
var contentType = []byte(campaign.RewardContentType)

// reward is the record of a reward (R2). Its headers say which event made it due: fulfilment can ignore them, an audit can't.
func (rs records) reward(r *campaign.Reward, cause *kgo.Record) *kgo.Record {
	return &kgo.Record{
		Topic:     rs.topics.Rewards.Name,
		Partition: cause.Partition % rs.topics.Rewards.Partitions,
		Key:       []byte(r.User),
		Value:     r.AppendJSON(make([]byte, 0, rewardBytes)),
		Headers:   because(cause),
	}
}

// outcomes are the records of an outcome, one for each partner whom its campaign is shared with (O1). They have no cause in their headers: it would say when
// the user did something.
func (rs records) outcomes(o *campaign.Outcome) []*kgo.Record {
	if o.Kind == campaign.BudgetExhausted {
		return nil // O1 lists what partners are told of
	}
	var out []*kgo.Record
	for _, name := range o.Campaign.Share {
		p := rs.partners.Find(name)
		if p == nil {
			panic("BUG: an outcome is shared with partner " + name + ", who is not known: the campaign should have been refused")
		}
		out = append(out, p.Record(o, rs.topics.Outcome(p.Topic).Partitions))
	}
	return out
}

// claim is the record of a claim, to the home of its budget (O2). Its headers say which record made it due.
func (rs records) claim(cl *campaign.Claim, cause *kgo.Record) *kgo.Record {
	return rs.control(cl.Home, campaign.ControlKey, cl.Append(nil, cause.Partition), cause)
}

// recall is the record that has a budget forget an erased user (C4), to its home.
func (rs records) recall(rc *campaign.Recall, cause *kgo.Record) *kgo.Record {
	return rs.control(rc.Home, campaign.ControlKey, rc.Append(nil), cause)
}

// answer is the record of an answer, to the partition that the claim has named: which one a user's events go to is the producers' choice.
func (rs records) answer(a *campaign.Answer, cause *kgo.Record) *kgo.Record {
	return rs.control(a.Partition, a.User, a.Append(nil), cause)
}

// control is a record of the events topic that a processor writes. A partition that there is not is named by records that nobody of ours has
// written; it must stop nothing.
func (rs records) control(partition int32, key string, value []byte, cause *kgo.Record) *kgo.Record {
	return &kgo.Record{
		Topic: rs.topics.Events.Name, Partition: partition % rs.topics.Events.Partitions, Key: []byte(key), Value: value,
		Headers: append(because(cause), kgo.RecordHeader{Key: headerChangelog, Value: []byte(topicID(rs.topics.Changelog))}),
	}
}

// headerChangelog says of a claim, an answer or a recall of whose ledgers it is: of those in the changelog with this id of Kafka's, in hex. Each group on an
// events topic has a changelog of its own and reads what the others have written, too: a claim that two of them decided would be rewarded by both.
const headerChangelog = "stampede_changelog"

// isOthers says whether a record of a type is another group's, for whose ledgers it is meant. One that doesn't say was written by a version that
// didn't, and is ours.
func (rs records) isOthers(r *kgo.Record, kind string) bool {
	switch kind {
	case campaign.TypeClaimed, campaign.TypeAnswered, campaign.TypeRecalled:
		of := Header(r, headerChangelog)
		return of != "" && of != topicID(rs.topics.Changelog)
	}
	return false
}

// because are the headers of a record that another has led to: where that one is, and of which trace, if it says so.
func because(cause *kgo.Record) []kgo.RecordHeader {
	headers := make([]kgo.RecordHeader, 0, 1+placeHeaders+1)
	headers = appendPlace(append(headers, kgo.RecordHeader{Key: "content-type", Value: contentType}), cause)
	if header, of := traceOf(cause); of.IsValid() {
		headers = append(headers, header)
	}
	return headers
}

// placeHeaders is how many headers name a place, maxDigits what a number in them takes at most.
const (
	placeHeaders = 3
	maxDigits    = 20
)

// appendPlace names a record of the events topic in headers. Their values are pieces of one text.
func appendPlace(headers []kgo.RecordHeader, r *kgo.Record) []kgo.RecordHeader {
	text := append(make([]byte, 0, len(r.Topic)+2*maxDigits), r.Topic...)
	topic := len(text)
	text = strconv.AppendInt(text, int64(r.Partition), 10)
	partition := len(text)
	text = strconv.AppendInt(text, r.Offset, 10)
	return append(headers,
		kgo.RecordHeader{Key: headerTopic, Value: text[:topic:topic]},
		kgo.RecordHeader{Key: headerPartition, Value: text[topic:partition:partition]},
		kgo.RecordHeader{Key: headerOffset, Value: text[partition:]})
}

// ledgers are the changelog's records of what a cycle has changed. They are most of what is produced, so they and their keys are made at once.
func (rs records) ledgers(partition int32, changes []state.Change) []kgo.Record {
	size := 0
	for i := range changes {
		size += len(changes[i].User)
	}
	keys, out := make([]byte, 0, size), make([]kgo.Record, len(changes))
	for i := range changes {
		from := len(keys)
		keys = append(keys, changes[i].User...)
		out[i] = kgo.Record{Topic: rs.topics.Changelog.Name, Partition: partition, Key: keys[from:len(keys):len(keys)], Value: changes[i].Ledger}
	}
	return out
}

// position is the changelog's position record (S4).
func (rs records) position(partition int32, p PositionRecord) *kgo.Record {
	return &kgo.Record{Topic: rs.topics.Changelog.Name, Partition: partition, Key: []byte(positionKey), Value: []byte(p.String())}
}
