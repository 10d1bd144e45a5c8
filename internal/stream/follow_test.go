package stream

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stampede-rewards/stampede/pkg/campaign"
)

// A record that says nothing of a trace costs no memory for one, whatever it leads to; one that says so costs its reward's header.
func TestWithoutATraceNothingIsAllocatedForOne(t *testing.T) {
	untraced := &kgo.Record{Topic: "events", Headers: []kgo.RecordHeader{{Key: "content-type", Value: []byte("application/json")}}}
	tally := newTally()
	rewards := []campaign.Reward{{ID: "r", Campaign: &campaign.Campaign{ID: "c"}}}
	if n := testing.AllocsPerRun(100, func() {
		tally.follow(rewards, untraced)
		if passing(untraced) != untraced {
			t.Error("it is copied")
		}
	}); n != 0 || len(tally.followed) != 0 {
		t.Errorf("%g allocations", n)
	}
}

// Of a cycle with many traced rewards some are followed, and the others counted.
func TestFollowedRewardsAreBounded(t *testing.T) {
	r := &kgo.Record{Timestamp: time.Now(), Headers: []kgo.RecordHeader{{Key: "traceparent", Value: []byte("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")}}}
	tally := newTally()
	for n := range maxFollowed + 7 {
		tally.follow([]campaign.Reward{{ID: fmt.Sprint(n), Campaign: &campaign.Campaign{ID: "c"}}}, r)
	}
	if len(tally.followed) != maxFollowed || tally.unfollowed != 7 {
		t.Errorf("%d are followed, %d not", len(tally.followed), tally.unfollowed)
	}
	if tally.reset(); len(tally.followed) != 0 || tally.unfollowed != 0 {
		t.Error("they are followed in the next cycle, too")
	}
}
