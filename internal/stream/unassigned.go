package stream

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// A rebalance has two halves: who is to give a partition away does so and joins again, and only then does somebody else get it. Who dies
// between the two comes back under its name, and the group takes a name that it knows for the member that it knew: it hands out what was
// decided in the first half, and the second never comes. The partition is nobody's, and every member is content. So each of them looks
// now and then at what the group has handed out, and asks for another rebalance if something is missing.

const (
	// unassignedInterval is how often a member looks.
	unassignedInterval = time.Second
	// unassignedPatience is how many times in a row the same must be missing: between the halves of a rebalance it always is, for as long as
	// the slowest member takes to end its cycle.
	unassignedPatience = 2
	// describeTimeout bounds the question. It is asked again.
	describeTimeout = 2 * time.Second
)

// watchUnassigned looks until the session ends.
func (s *session) watchUnassigned() {
	defer s.watching.Done()
	ticks := time.NewTicker(unassignedInterval)
	defer ticks.Stop()
	missing := 0
	for {
		select {
		case <-s.life.Done():
			return
		case <-ticks.C:
		}
		n, known := s.unassigned(s.life)
		switch {
		case !known:
			continue
		case n == 0:
			missing = 0
			continue
		}
		if missing++; missing < unassignedPatience {
			continue
		}
		missing = 0
		s.cfg.Log.Warn("the group has given partitions to nobody, and is asked to do so again", "partitions", n, "group", s.cfg.Group)
		s.client.Client().ForceRebalance()
	}
}

// unassigned is how many partitions of events no member of the group has. That is not known while the group rebalances.
func (s *session) unassigned(ctx context.Context) (n int, known bool) {
	ctx, cancel := context.WithTimeout(ctx, describeTimeout)
	defer cancel()
	groups, err := kadm.NewClient(s.client.Client()).DescribeGroups(ctx, s.cfg.Group)
	group := groups[s.cfg.Group]
	if err != nil || group.Err != nil || group.State != "Stable" {
		return 0, false
	}
	assigned := group.AssignedPartitions()[s.topics.Events.Name]
	for p := range s.topics.Events.Partitions {
		if _, ok := assigned[p]; !ok {
			n++
		}
	}
	return n, true
}
