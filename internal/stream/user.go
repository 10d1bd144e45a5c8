package stream

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stampede-rewards/stampede/internal/kafka"
	"github.com/stampede-rewards/stampede/pkg/campaign"
	"github.com/stampede-rewards/stampede/pkg/state"
)

// What Kafka has of one user, found by reading topics whole: for whoever asks about the user or has the user erased. Nothing that runs is disturbed by it, and
// no store is needed.

// UserState is what a partition of the changelog says of a user.
type UserState struct {
	Partition int32
	Ledger    *campaign.Ledger // nil where nothing is known
	Engine    *campaign.Engine // with the campaigns of the partition in force, and the erased users
	Clock     int64            // of the partition, Unix ms
	Denied    [][]byte         // claims that budgets at home there have denied and keep, as JSON
}

// ReadUser reads in every partition of the changelog what is known of a user.
func ReadUser(ctx context.Context, c kafka.Connection, topics kafka.TopicsState, user string) ([]UserState, error) {
	ends, err := c.StableEnds(ctx, topics.Changelog.Name)
	if err != nil {
		return nil, err
	}
	var states []UserState
	for n := range topics.Changelog.Partitions {
		state, err := readUserIn(ctx, c, kafka.Span{Topic: topics.Changelog.Name, Partition: n, End: ends[n]}, user)
		if err != nil {
			return nil, err
		}
		states = append(states, state)
	}
	return states, nil
}

func readUserIn(ctx context.Context, c kafka.Connection, log kafka.Span, user string) (UserState, error) {
	s := UserState{Partition: log.Partition}
	own := map[string][]byte{} // what is no user's, by name
	var encoded []byte
	var place string
	err := c.ReadCommitted(ctx, []kafka.Span{log}, func(r *kgo.Record) (bool, error) {
		switch {
		case IsPosition(r):
			p, err := ParsePosition(r)
			if err != nil {
				return false, err
			}
			s.Clock = p.Clock
		case string(r.Key) == user:
			encoded, place = r.Value, fmt.Sprintf("%s/%d@%d", r.Topic, r.Partition, r.Offset)
		case len(r.Key) > 0 && r.Key[0] == 0xff:
			own[string(r.Key)] = r.Value
		}
		return true, nil
	})
	if err != nil {
		return s, err
	}
	inForce, erased := campaign.NewInForce(), campaign.NewErased()
	for _, name := range slices.Sorted(maps.Keys(own)) {
		restore := inForce.Restore
		if campaign.IsErased(name) {
			restore = erased.Restore
		}
		if own[name] == nil {
			continue
		}
		if err := restore(name, bytes.Clone(own[name])); err != nil {
			return s, fmt.Errorf("%s/%d: %w", log.Topic, log.Partition, err)
		}
		if mentions(own[name], user) {
			s.Denied = append(s.Denied, own[name])
		}
	}
	s.Engine = campaign.NewEngine(inForce.Set(), 0)
	s.Engine.UseErased(erased)
	if encoded == nil {
		return s, nil
	}
	if s.Ledger, err = campaign.Decode(encoded); err != nil {
		return s, fmt.Errorf("%s: the ledger of %q: %w", place, user, err)
	}
	return s, nil
}

// mentions says whether a value that has a name of ours is of a user: a claim or a recall among the events, a denied claim in the changelog.
func mentions(value []byte, user string) bool {
	if !bytes.Contains(value, []byte(`"user":`)) {
		return false
	}
	type named struct{ User string }
	var v struct{ Data, Claim named }
	return json.Unmarshal(value, &v) == nil && (v.Data.User == user || v.Claim.User == user)
}

// isOf says whether a record is of a user.
func isOf(r *kgo.Record, user string) bool {
	return string(r.Key) == user || state.IsNoUser(r.Key) && mentions(r.Value, user)
}

// RecordsOf visits the committed records of a topic that are of a user, partition after partition: those whose key is the user, and what processors have
// written about the user under a key of their own. A dead letter that came in parts is put together, and has its reason among its headers.
func RecordsOf(ctx context.Context, c kafka.Connection, topics kafka.TopicsState, t kafka.Topic, user string, visit func(*kgo.Record) error) error {
	letters := t.Name == topics.DeadLetters.Name
	if letters {
		if err := (Letters{c, topics}).Read(ctx, func(l *Letter) error {
			if !isOf(l.Record, user) {
				return nil
			}
			r := *l.Record
			r.Topic, r.Partition, r.Offset, r.Timestamp = t.Name, l.partition, l.offset, l.written
			r.Headers = append(slices.Clone(r.Headers), kgo.RecordHeader{Key: headerReason, Value: []byte(l.Reason)}, kgo.RecordHeader{Key: headerDetail, Value: []byte(l.Detail)})
			return visit(&r)
		}); err != nil {
			return err
		}
	}
	ends, err := c.StableEnds(ctx, t.Name)
	if err != nil {
		return err
	}
	for n := range t.Partitions {
		err := c.ReadCommitted(ctx, []kafka.Span{{Topic: t.Name, Partition: n, End: ends[n]}}, func(r *kgo.Record) (bool, error) {
			if !isOf(r, user) || letters && Header(r, headerReason) != "" { // beside the letters are the notes that one was sent again
				return true, nil
			}
			return true, visit(r)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

const (
	saltBytes = 32
	idBytes   = 16
	// eraseTimeout bounds how long the record that erases is tried.
	eraseTimeout = 30 * time.Second
)

// Erase writes the record that erases a user (C4) to a partition of events, and returns its offset.
func Erase(ctx context.Context, c kafka.Connection, topics kafka.TopicsState, partition int32, user string) (offset int64, err error) {
	var random [saltBytes + idBytes]byte
	if _, err := rand.Read(random[:]); err != nil {
		return 0, fmt.Errorf("draw a salt: %w", err)
	}
	cl, err := c.Client(ctx, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.RecordDeliveryTimeout(eraseTimeout))
	if err != nil {
		return 0, err
	}
	defer cl.Close()
	now := time.Now()
	record := &kgo.Record{
		Topic: topics.Events.Name, Partition: partition, Key: []byte(user), Timestamp: now,
		Value: campaign.ErasedEvent(user, hex.EncodeToString(random[saltBytes:]), hex.EncodeToString(random[:saltBytes]), now),
	}
	if err := cl.ProduceSync(ctx, record).FirstErr(); err != nil {
		return 0, fmt.Errorf("write to %s/%d: %w", topics.Events.Name, partition, c.Denied(err, kafka.OnTopic(topics.Events.Name, kafka.Write)))
	}
	return record.Offset, nil
}

// PartitionOf is where producers that partition as ours do send a user's events.
func PartitionOf(topics kafka.TopicsState, user string) int32 {
	record := &kgo.Record{Key: []byte(user)}
	partitions := int(topics.Events.Partitions)
	return int32(kgo.StickyKeyPartitioner(nil).ForTopic(topics.Events.Name).Partition(record, partitions)) //nolint:gosec // Kafka counts them in 32 bits
}
