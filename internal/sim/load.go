//go:build synctests

package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stampede-rewards/stampede/internal/judge"
	"github.com/stampede-rewards/stampede/internal/kafka"
	"github.com/stampede-rewards/stampede/internal/model"
	"github.com/stampede-rewards/stampede/internal/partner"
	"github.com/stampede-rewards/stampede/internal/stream"
	"github.com/stampede-rewards/stampede/internal/workload"
	"github.com/stampede-rewards/stampede/pkg/campaign"
)

// load is what upstream and authors do in a scenario: it is drawn before anything runs.
type load struct {
	campaigns []*model.Campaign   // all that are ever in force, in all versions
	inForce   [][]*model.Campaign // at first, and after each publish that comes later
	raised    []*model.Campaign   // in force in the end, with larger budgets; nil where there is none to raise
	records   []model.Record      // in the order of their clocks
	budgets   []judge.Budget      // as large as they ever are
	wall      time.Time           // what time it is when the processes start: the log's clock is ahead of it, or behind
}

// published is when the first campaigns are, before anything happens.
var published = model.Start.Add(-30 * 24 * time.Hour)

const (
	maxCampaigns = 4
	maxUsers     = 8
)

func drawLoad(s *Scenario) *load {
	r := rand.New(rand.NewPCG(s.Seed, 0x10ad))
	d := model.Rand(r)
	l := &load{}
	for i := range 1 + r.IntN(maxCampaigns) {
		c := model.DrawCampaign(d, fmt.Sprintf("c%d", i))
		model.DrawBudget(d, c)
		l.campaigns = append(l.campaigns, c)
	}
	l.inForce = [][]*model.Campaign{slices.Clone(l.campaigns)}
	for _, f := range s.Faults {
		if f.Kind == Publish {
			l.drawPublish(d)
		}
	}
	for _, c := range l.campaigns {
		c.Share = partners.Names()[0]
	}
	users := make([]string, 1+r.IntN(maxUsers))
	for i := range users {
		users[i] = fmt.Sprintf("user-%d", i)
	}
	l.records = model.DrawErasures(d, model.DrawRecords(d, l.campaigns, users, s.Events))
	l.wall = published // no tick is ever due
	if r.IntN(3) == 0 {
		l.wall = model.Start.Add(time.Duration(r.IntN(14*24)) * time.Hour)
	}
	l.drawRaise(d)
	versions := make([]*campaign.Campaign, len(l.campaigns))
	for i, c := range l.campaigns {
		var err error
		if versions[i], err = compile(c); err != nil {
			panic(err) // it is drawn as the loader takes it
		}
	}
	l.budgets = judge.BudgetsOf(versions...)
	return l
}

// erased are the users who are erased.
func (l *load) erased() (users []string) {
	for _, r := range l.records {
		if r.Kind == "stampede.erased" {
			users = append(users, r.User)
		}
	}
	return users
}

// drawPublish draws what comes into force next: a new campaign, a higher version, another goal, or one campaign less. The model can't judge a
// `none` that comes late, nor a withdrawal where a close pays.
func (l *load) drawPublish(d model.Draw) {
	now := slices.Clone(l.inForce[len(l.inForce)-1])
	i := d.Between(0, len(now)-1, "which campaign")
	switch d.Between(0, 3, "what is published") {
	case 0:
		if next := model.DrawRestart(d, now[i]); next != nil {
			now[i] = next
			l.campaigns = append(l.campaigns, next)
		}
	case 1:
		now[i] = model.DrawVersion(d, now[i])
		l.campaigns = append(l.campaigns, now[i])
	case 2:
		if len(now) > 1 && !now[i].Goal.Waits() {
			now = slices.Delete(now, i, i+1)
		}
	default:
		next := model.DrawCampaign(d, fmt.Sprintf("c%d", len(l.campaigns)))
		if model.DrawBudget(d, next); !next.Goal.Watches() {
			now, l.campaigns = append(now, next), append(l.campaigns, next)
		}
	}
	l.inForce = append(l.inForce, now)
}

// drawRaise draws the last publish: it raises the budgets of campaigns that never end, so that claims are re-opened which were denied when time
// had passed, whatever the versions before it said.
func (l *load) drawRaise(d model.Draw) {
	now := slices.Clone(l.inForce[len(l.inForce)-1])
	for i, c := range now {
		if c.Budget > 0 && c.Ends.IsZero() {
			now[i] = c.Raise(d)
			l.campaigns = append(l.campaigns, now[i])
			l.raised = now
		}
	}
}

// send produces the records, spread over the time of the load. Those whose acknowledgement is lost come twice, or not at all: what is in
// the log is what counts.
func (w *world) send() {
	defer close(w.sent)
	pause := w.Load / time.Duration(len(w.load.records))
	for i, r := range w.load.records {
		time.Sleep(pause)
		w.produce(&kgo.Record{Topic: w.topics.Events.Name, Key: []byte(r.User), Value: r.CloudEvent(), Timestamp: r.Clock.Add(w.jump()), Headers: traceOf(i)})
	}
}

// traceOf are the headers of a record of events: some say of which trace it is, and some of those say it wrong.
func traceOf(n int) []kgo.RecordHeader {
	switch n % 4 {
	case 0:
		return []kgo.RecordHeader{{Key: "traceparent", Value: fmt.Appendf(nil, "00-%032x-%016x-01", n+1, n+1)}}
	case 1:
		return []kgo.RecordHeader{{Key: "traceparent", Value: fmt.Appendf(nil, "00-%032X-%016x-ff", n+0xa0, n)}}
	}
	return nil
}

func (w *world) produce(r *kgo.Record) {
	if err := w.upstream.ProduceSync(context.Background(), r).FirstErr(); err != nil {
		w.violated("world", fmt.Errorf("upstream can't produce: %w", err))
	}
}

// poison produces a record that can't be processed.
func (w *world) poison(n int) {
	if len(poisons) == 0 {
		w.violated("world", errors.New("the model agrees with no broken record"))
		return
	}
	b := poisons[n%len(poisons)]
	r := &kgo.Record{Topic: w.topics.Events.Name, Partition: int32(n) % w.Partitions, Key: b.Key, Value: b.Value, Timestamp: w.load.records[0].Clock} //nolint:gosec // any
	for k, v := range b.Headers {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: k, Value: []byte(v)})
	}
	w.produce(r)
}

// poisonBytes bounds a poison record: megabytes belong to other tests.
const poisonBytes = 100_000

// poisons are the broken records for which the model has the same word. Where two things are wrong with a record, it may name the other.
var poisons = func() (poisons []workload.BrokenRecord) {
	all, err := workload.Broken()
	if err != nil {
		panic(err) // it is embedded
	}
	for _, b := range all {
		log := model.NewLog()
		e := model.Entry{Timestamp: workload.BrokenClock.UnixMilli(), Key: b.Key, Value: b.Value}
		for k, v := range b.Headers {
			e.Headers = append(e.Headers, model.Header{Key: k, Value: []byte(v)})
		}
		if len(b.Value) > poisonBytes || log.Read(e) != nil {
			continue
		}
		if letters := log.Letters(); len(letters) == 1 && letters[0].Reason == b.Reason && b.Reason != "future" { // the clock is another
			poisons = append(poisons, b)
		}
	}
	return poisons
}()

// pass lets time pass in every partition, until everything that could close has.
func (w *world) pass() {
	end := w.load.records[len(w.load.records)-1].Clock.Add(w.jump())
	if wall := w.load.wall; wall.After(end) {
		end = wall
	}
	end = end.Add(60 * 24 * time.Hour)
	for n := range w.topics.Events.Partitions {
		w.produce(&kgo.Record{Topic: w.topics.Events.Name, Partition: n, Key: []byte(campaign.ControlKey), Value: campaign.Tick(end), Timestamp: end})
	}
}

const (
	publishTries = 10
	publishWait  = time.Second
)

// publish puts campaigns in force, as authors do.
func (w *world) publish(campaigns []*model.Campaign) {
	w.publishing <- struct{}{} // a publish that meets another is told so, and two versions would come in any order
	defer func() { <-w.publishing }()
	set, err := compiled(campaigns)
	if err == nil {
		again := stream.Publish{Connection: w.connection(), Topics: w.topicsConfig(), Campaigns: set, Partners: partners.Names()}
		for range publishTries {
			if _, err = again.Run(context.Background()); !kerr.IsRetriable(err) {
				break
			}
			time.Sleep(publishWait) // a fault that is meant for processors has met the publisher, who reads the changelog, too: to publish again is safe
		}
	}
	switch {
	case err == nil:
	case strings.Contains(err.Error(), "has ended and is closed"): // the wall is ahead of the load: authors are told, and nothing is written
		w.trace("world", "publish refused: "+err.Error())
	default:
		w.violated("world", fmt.Errorf("publish: %w", err))
	}
}

// partners has the one whom every campaign is shared with: outcomes are to be exactly once, too.
var partners = func() *partner.Partners {
	key, wrongKey := partner.NewKey("k1", []byte("a key of the simulation, of 32 bytes and more"))
	all, wrong := partner.New(&partner.Partner{Name: "acme", Topic: partner.TopicPrefix + "acme", Keys: []partner.Key{key}})
	if err := errors.Join(wrongKey, wrong); err != nil {
		panic(err)
	}
	return all
}()

func compiled(campaigns []*model.Campaign) (*campaign.Set, error) {
	compiled := make([]*campaign.Campaign, len(campaigns))
	for i, c := range campaigns {
		var err error
		if compiled[i], err = compile(c); err != nil {
			return nil, err
		}
	}
	return campaign.NewSet(compiled)
}

func compile(c *model.Campaign) (*campaign.Campaign, error) {
	compiled, err := campaign.Definition{Language: campaign.Language, Source: c.YAML()}.Compile()
	if err != nil {
		return nil, fmt.Errorf("%s\n%w", c.YAML(), err)
	}
	return compiled, nil
}

// connection is that of everybody but the processes: nothing strikes at it.
func (w *world) connection() kafka.Connection {
	return kafka.Connection{Brokers: w.brokers, Dial: w.virtual.DialContext, Asks: w.upstream}
}
