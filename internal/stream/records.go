package stream

import (
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stampede-rewards/stampede/internal/kafka"
	"github.com/stampede-rewards/stampede/internal/partner"
	"github.com/stampede-rewards/stampede/pkg/campaign"
)

// records makes the records that a cycle produces.
type records struct {
	topics   kafka.TopicsState
	partners *partner.Partners
}

// reward is the record of a reward (R2). Its headers say which event made it due: fulfilment can ignore them, an audit can't.
func (rs records) reward(r *campaign.Reward, cause *kgo.Record) *kgo.Record {
	return &kgo.Record{
		Topic:     rs.topics.Rewards.Name,
		Partition: cause.Partition % rs.topics.Rewards.Partitions,
		Key:       []byte(r.User),
		Value:     r.AppendJSON(nil),
		Headers: append([]kgo.RecordHeader{{Key: "content-type", Value: []byte(campaign.RewardContentType)}},
			placeOf(cause)...),
	}
}

// outcomes are the records of an outcome, one for each partner whom its campaign is shared with (O1). They have no cause in their headers: it would say when
// the user did something.
func (rs records) outcomes(o *campaign.Outcome) []*kgo.Record {
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

// placeOf names a record of the events topic in headers.
func placeOf(r *kgo.Record) []kgo.RecordHeader {
	return []kgo.RecordHeader{
		{Key: headerTopic, Value: []byte(r.Topic)},
		{Key: headerPartition, Value: strconv.AppendInt(nil, int64(r.Partition), 10)},
		{Key: headerOffset, Value: strconv.AppendInt(nil, r.Offset, 10)},
	}
}

// ledger is the changelog's record of a changed ledger.
func (rs records) ledger(partition int32, user string, encoded []byte) *kgo.Record {
	return &kgo.Record{Topic: rs.topics.Changelog.Name, Partition: partition, Key: []byte(user), Value: encoded}
}

// position is the changelog's position record (S4).
func (rs records) position(partition int32, p PositionRecord) *kgo.Record {
	return &kgo.Record{Topic: rs.topics.Changelog.Name, Partition: partition, Key: []byte(positionKey), Value: []byte(p.String())}
}
