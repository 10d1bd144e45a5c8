package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"
)

// job is users with their events, and campaigns for them. Events are CloudEvents of 250 to 300 bytes with UUIDs for ids, of ten types: one in a hundred is a birth, which
// is a reward; 79 in a hundred are of seven types that campaigns count, and the others concern nobody.
type job struct {
	users, events int
	zipf          float64 // the exponent of Zipf's law; 0 is each user as likely
	partitions    int     // default 6
	memory        string  // --memory; default the processor's own
	pairs         int     // instead of the ten campaigns: so many pairs, each of an event type of its own
	claims        bool    // instead of the ten campaigns: one whose every event is a reward, out of one budget
	processor     string  // the program; default the one that users have
}

func (j job) memoryFlag() []string {
	if j.memory == "" {
		return nil
	}
	return []string{"--memory", j.memory}
}

// small is an n-th of a job.
func (j job) small(n int) job {
	j.users, j.events = max(1, j.users/n), max(1, j.events/n)
	return j
}

// backlogDays is over how many days the events of a backlog happen.
const backlogDays = 6

// tenCampaigns are of mixed kinds: one event, a streak of five days, four counts with a filter, two sums, a count a week, distinct values a month.
var tenCampaigns = map[string]string{
	"birth":       "goal: {event: birth.reported}\nrepeat: always\nreward: {kind: gift_card, amount: 25.00 USD}",
	"five-days":   "goal: {streak: 5, of: data.logged}\nreward: {kind: gift_card, amount: 10.00 USD}",
	"weights":     "goal: {count: 400, of: data.logged, where: 'event.data.metric in [\"weight\", \"sleep\"]'}\nreward: {kind: badge}",
	"long-runs":   "goal: {count: 400, of: workout.done, where: event.data.value >= 30}\nreward: {kind: badge}",
	"big-meals":   "goal: {count: 400, of: meal.logged, where: 'event.data.value > 100 && event.data.metric != \"steps\"'}\nreward: {kind: badge}",
	"lessons":     "goal: {count: 400, of: lesson.done, where: event.data.value >= 50}\nreward: {kind: badge}",
	"many-steps":  "goal: {sum: 1000000, of: steps.synced, value: event.data.value}\nreward: {kind: badge}",
	"much-water":  "goal: {sum: 1000000, of: water.logged, value: event.data.value}\nreward: {kind: badge}",
	"busy-week":   "goal: {count: 200, of: workout.done, per: week}\nreward: {kind: badge}",
	"all-metrics": "goal: {distinct: 60, of: sleep.logged, value: event.data.place, per: month}\nreward: {kind: badge}",
}

// counted are the types that campaigns count; otherTypes concern nobody.
var (
	counted    = []string{"data.logged", "workout.done", "meal.logged", "lesson.done", "steps.synced", "water.logged", "sleep.logged"}
	otherTypes = []string{"page.viewed", "app.opened"}
	metrics    = []string{"weight", "sleep", "steps", "water", "mood"}
)

// writeCampaigns writes the job's campaigns into a directory.
func (j job) writeCampaigns(dir string) error {
	campaigns := tenCampaigns
	if j.claims {
		campaigns = map[string]string{"gifts": "goal: {event: data.logged}\nrepeat: always\nlimits: {budget: {rewards: 2000000000}}\nreward: {kind: gift_card, amount: 25.00 USD}"}
	}
	if j.pairs > 0 {
		campaigns = map[string]string{}
		for n := range j.pairs {
			campaigns[fmt.Sprintf("count-%03d", n)] = fmt.Sprintf("goal: {count: 400, of: type.n%03d, where: event.data.value >= 30}\nreward: {kind: badge}", n)
			campaigns[fmt.Sprintf("streak-%03d", n)] = fmt.Sprintf("goal: {streak: 5, of: type.n%03d}\nreward: {kind: badge}", n)
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for id, text := range campaigns {
		text = fmt.Sprintf("campaign: %s\nversion: 1\nstarts: 2020-01-01\n%s\n", id, text)
		if err := os.WriteFile(filepath.Join(dir, id+".yaml"), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// generator draws the events of a job in their order.
type generator struct {
	job  job
	r    *rand.Rand
	zipf *rand.Zipf
}

func (j job) generator(seed uint64) *generator {
	g := &generator{job: j, r: rand.New(rand.NewPCG(seed, 1))}
	if j.zipf > 0 {
		g.zipf = rand.NewZipf(g.r, j.zipf, 1, uint64(j.users-1)) //nolint:gosec // positive
	}
	return g
}

// user draws a user. Popular ones of Zipf's law are spread over the names, and so over the partitions.
func (g *generator) user() string {
	n := 0
	if g.zipf != nil {
		const prime = 2_147_483_647
		n = int(g.zipf.Uint64() * prime % uint64(g.job.users)) //nolint:gosec // below users
	} else {
		n = g.r.IntN(g.job.users)
	}
	return fmt.Sprintf("user-%08d", n)
}

// event draws the next event, which happens at a moment. The id is drawn, too, where none is given.
func (g *generator) event(at time.Time, id uuid.UUID) *kgo.Record {
	kind := ""
	switch n := g.r.IntN(100); {
	case g.job.claims:
		kind = "data.logged"
	case g.job.pairs > 0:
		kind = fmt.Sprintf("type.n%03d", g.r.IntN(g.job.pairs))
	case n == 0:
		kind = "birth.reported"
	case n < 80:
		kind = counted[g.r.IntN(len(counted))]
	default:
		kind = otherTypes[g.r.IntN(len(otherTypes))]
	}
	if id == uuid.Nil {
		id = idOf(g.r.Uint64(), g.r.Uint64())
	}
	user := g.user()
	value := make([]byte, 0, 320)
	value = fmt.Appendf(value, `{"specversion":"1.0","id":"%s","source":"/app","type":"%s","subject":"%s","time":"`, id, kind, user)
	value = at.UTC().AppendFormat(value, time.RFC3339Nano)
	value = fmt.Appendf(value, `","datacontenttype":"application/json","data":{"metric":"%s","value":%d,"place":"place-%03d","device":"phone","confirmed":true}}`,
		metrics[g.r.IntN(len(metrics))], g.r.IntN(200), g.r.IntN(1000))
	return &kgo.Record{Key: []byte(user), Value: value, Timestamp: at}
}

// idOf is an id that says two numbers.
func idOf(first, second uint64) (id uuid.UUID) {
	binary.BigEndian.PutUint64(id[:8], first)
	binary.BigEndian.PutUint64(id[8:], second)
	return id
}

// produce writes the job's events to a topic as fast as the broker takes them. They happen over the days to come, and so do their records: the campaigns
// were published just now, and a partition's clock never runs backwards (E2), so all that had happened days before would be too late to count.
func (j job) produce(ctx context.Context, cl *kgo.Client, topic string) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	g := j.generator(1)
	begun := time.Now()
	step := backlogDays * 24 * time.Hour / time.Duration(j.events)
	for k := range j.events {
		r := g.event(begun.Add(time.Duration(k)*step), uuid.Nil)
		r.Topic = topic
		cl.Produce(ctx, r, func(_ *kgo.Record, err error) {
			if err != nil {
				fail(err)
			}
		})
	}
	if err := cl.Flush(ctx); err != nil {
		return fmt.Errorf("produce the backlog: %w", context.Cause(ctx))
	}
	return context.Cause(ctx)
}
