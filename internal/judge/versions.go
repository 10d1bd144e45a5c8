package judge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stampede-rewards/stampede/internal/stream"
	"github.com/stampede-rewards/stampede/pkg/campaign"
)

// Versions looks at a run in which one campaign that rewards every event was published again and again, and does so without the engine: each
// event that came after the first publish must have exactly one reward, of the version that was in force at its place in its partition.
// It returns how many events there were of each version, 0 being those before the first publish.
func Versions(ctx context.Context, c Case, id string) (map[int]int, error) {
	events := map[int]int{}
	inForce := map[int32]int{}     // by partition
	unrewarded := map[string]int{} // version by place
	var findings []error
	err := c.Connection.ReadTopic(ctx, c.Topics.Events.Name, func(r *kgo.Record) error {
		var event struct{ ID, Type string }
		if err := json.Unmarshal(r.Value, &event); err != nil {
			return fmt.Errorf("%s/%d@%d: %w", r.Topic, r.Partition, r.Offset, err)
		}
		now := inForce[r.Partition]
		switch version, published := strings.CutPrefix(event.ID, id+"@"); {
		case campaign.IsControl(r.Key):
			next, err := strconv.Atoi(version)
			if err != nil || !published || next <= now {
				findings = append(findings, fmt.Errorf("%s/%d@%d: %s comes after version %d", r.Topic, r.Partition, r.Offset, event.ID, now))
			}
			inForce[r.Partition] = next
		case strings.HasPrefix(event.Type, "stampede."):
		default:
			if events[now]++; now > 0 {
				unrewarded[fmt.Sprintf("%d@%d", r.Partition, r.Offset)] = now
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = c.Connection.ReadTopic(ctx, c.Topics.Rewards.Name, func(r *kgo.Record) error {
		var reward struct{ Data struct{ Version int } }
		if err := json.Unmarshal(r.Value, &reward); err != nil {
			return fmt.Errorf("%s/%d@%d: %w", r.Topic, r.Partition, r.Offset, err)
		}
		of := stream.Header(r, "stampede_partition") + "@" + stream.Header(r, "stampede_offset")
		if want := unrewarded[of]; reward.Data.Version != want { // 0 is none: it has one already, or should not have any
			findings = append(findings, fmt.Errorf("the event at %s has a reward of version %d, wanted %d", of, reward.Data.Version, want))
		}
		delete(unrewarded, of)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(unrewarded) > 0 {
		findings = append(findings, fmt.Errorf("%d events have no reward", len(unrewarded)))
	}
	if len(findings) > maxFindings {
		findings = append(findings[:maxFindings], fmt.Errorf("... and %d more", len(findings)-maxFindings))
	}
	return events, errors.Join(findings...)
}
