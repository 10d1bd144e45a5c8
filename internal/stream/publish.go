package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stampede-rewards/stampede/internal/kafka"
	"github.com/stampede-rewards/stampede/internal/partner"
	"github.com/stampede-rewards/stampede/pkg/campaign"
)

// A publish compares a directory's campaigns with the registry, and writes what differs in one transaction: a control record to every
// partition of events, and the registry's records (L1).
//
// All publishers of an events topic have one transactional id. Who asks the broker for it ends whatever another has open, and makes it
// impossible for that one to commit later; then the registry is read. So what a publish was compared with is what it changes.

const (
	// publishTimeout bounds a publish's transaction: while one is open, readers of events wait behind it.
	publishTimeout = 30 * time.Second
	// publishAttempts bounds how often a publish looks again: after an outcome that is not known, or because another was quicker.
	publishAttempts = 10
	// publishRetryWait is the wait before it looks again; each is longer by as much, so that two who began together part.
	publishRetryWait = 100 * time.Millisecond
)

// ErrPublishedMeanwhile means that another process published at the same moment, and that nothing was written.
var ErrPublishedMeanwhile = errors.New("another process published at the same moment, and nothing of this publish was written: run it again, it compares with what is in force then")

// Publish says what to publish and how.
type Publish struct {
	Connection kafka.Connection
	Topics     kafka.TopicsConfig
	Campaigns  *campaign.Set
	// Partners are the names that campaigns may be shared with. One that processors don't know would stop all of them, so it is refused here.
	Partners []string
	DryRun   bool // only say what would be done
	// Again tells every partition what is unchanged, too. Those that know it take no notice. It is for a group that begins anew when the
	// topic's retention has removed what was told.
	Again bool
	// Add only adds: new campaigns and higher versions. What is in force and not among Campaigns stays, what is refused is told and does
	// not keep the rest from being published, and a publish that another was quicker than looks again. It is for a processor that starts:
	// one with yesterday's files must not take down what was published since.
	Add bool
}

// Publication is what a publish did, or would do.
type Publication struct {
	Changes []CampaignChange // by id; what did not change, too
	Left    []CampaignChange // with Add: in force and not among the campaigns
	Refused []error          // with Add or DryRun: why campaigns were not published
}

// CampaignChange is what became of one campaign.
type CampaignChange struct {
	ID      string
	Version int
	Did     string // for people: "raised from version 1 to 2"
	Written bool   // something was, or would be, written for it
}

// String is a line for people.
func (c CampaignChange) String() string { return c.ID + ": " + c.Did }

// Run publishes. An error means that nothing is written, or that it is not known; to run it again is always right. What is refused is told all
// at once.
func (p Publish) Run(ctx context.Context) (*Publication, error) {
	cl, err := p.Connection.Client(ctx)
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	p.Connection.Asks = cl
	topics, err := p.ensureTopics(ctx, cl)
	if err != nil {
		return nil, err
	}
	// Where nothing is to be written, no other publisher is disturbed.
	plan, err := p.plan(ctx, topics)
	if err != nil || p.DryRun || !plan.writes() {
		return plan.told(p, err)
	}
	var tried *publishPlan // the last one, if its commit may have been applied
	for attempt := 1; ; attempt++ {
		plan, err := p.attempt(ctx, topics)
		switch {
		case err == nil && tried != nil && !plan.writes() && len(plan.Refused) == 0:
			return tried.told(p, nil) // it was; what is refused now was overtaken by another publish, before or after
		case errors.Is(err, errUndecided):
			tried = plan
		case errors.Is(err, ErrPublishedMeanwhile) && (p.Add || tried != nil):
		default:
			return plan.told(p, err)
		}
		if attempt == publishAttempts || ctx.Err() != nil {
			return nil, fmt.Errorf("%d attempts to publish: %w", attempt, err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(attempt) * publishRetryWait):
		}
	}
}

func (p Publish) ensureTopics(ctx context.Context, cl *kgo.Client) (kafka.TopicsState, error) {
	cfg, names := p.Topics, p.Topics.Names.WithDefaults()
	cfg.Principal, cfg.Reads = p.Connection.Security.Principal(), []string{names.Campaigns, names.Changelog}
	if !p.DryRun {
		cfg.Writes = []string{names.Campaigns, names.Events}
	}
	return kafka.EnsureTopics(ctx, cl, cfg)
}

// publishPlan is what a publish is to write.
type publishPlan struct {
	Publication
	again    bool
	topics   kafka.TopicsState
	events   []controlRecord
	registry []*kgo.Record
	asked    bool // partition 0's changelog, for budgets
}

// controlRecord goes to the partitions from first to end, which is not included.
type controlRecord struct {
	value      []byte
	first, end int32
	order      time.Duration // see plan
}

// writes says whether there is anything to write. Where something is refused and the rest is not to be published alone, there is not.
func (plan *publishPlan) writes() bool { return len(plan.events)+len(plan.registry) > 0 }

// told is what Run returns.
func (plan *publishPlan) told(p Publish, err error) (*Publication, error) {
	if err != nil {
		return nil, err
	}
	if len(plan.Refused) > 0 && !p.Add && !p.DryRun {
		return nil, errors.Join(plan.Refused...)
	}
	return &plan.Publication, nil
}

// plan compares with the registry. What partitions will say of each record is asked of the same code that they run: InForce.
func (p Publish) plan(ctx context.Context, topics kafka.TopicsState) (*publishPlan, error) {
	r, err := readRegistry(ctx, p.Connection, topics)
	if err != nil {
		return nil, err
	}
	plan := &publishPlan{topics: topics, again: p.Again}
	now := time.Now().UnixMilli()
	wanted := map[string]bool{}
	for _, c := range p.Campaigns.Campaigns() {
		wanted[c.ID] = true
		definition, err := p.definition(ctx, plan, r, c)
		if err != nil {
			return nil, err
		}
		if err := plan.publish(r, c, definition, p.Partners, now); err != nil {
			return nil, err
		}
	}
	for _, c := range r.inForce.Standings() {
		switch {
		case wanted[c.ID] || c.Withdrawn || c.ClosedAt(now):
		case p.Add:
			plan.Left = append(plan.Left, CampaignChange{ID: c.ID, Version: c.Version, Did: fmt.Sprintf("left in force in version %d", c.Version)})
			if err := plan.tellOthers(r, c.ID, nil); err != nil {
				return nil, err
			}
		default:
			if err := plan.withdraw(r, c.Campaign, now); err != nil {
				return nil, err
			}
		}
	}
	if len(plan.Refused) > 0 && !p.Add {
		plan.events, plan.registry = nil, nil
	}
	// The largest lateness comes first: so at most one record of a publish is a raise, and no event of before is judged more strictly than
	// it has to be (E3).
	slices.SortStableFunc(plan.events, func(a, b controlRecord) int { return cmp.Compare(b.order, a.order) })
	slices.SortFunc(plan.Changes, func(a, b CampaignChange) int { return strings.Compare(a.ID, b.ID) })
	return plan, nil
}

// publish plans one campaign of the directory.
func (plan *publishPlan) publish(r *registry, c *campaign.Campaign, definition campaign.Definition, partners []string, now int64) error {
	was, known := r.inForce.Find(c.ID) // zero where it is not
	if !known || was.Definition() != definition {
		if err := partner.Unknown([]*campaign.Campaign{c}, now, partners); err != nil {
			plan.Refused = append(plan.Refused, err)
			return nil
		}
	}
	changed, rejection, err := r.inForce.Publish(definition, now)
	if err != nil {
		return err
	}
	if rejection != nil {
		plan.Refused = append(plan.Refused, errors.New(rejection.Detail))
		return nil //nolint:nilerr // what is refused is told together
	}
	change := CampaignChange{ID: c.ID, Version: c.Version, Written: true}
	switch {
	case len(changed) == 0:
		change.Did, change.Written = fmt.Sprintf("unchanged, version %d", c.Version), false
		if err := plan.tellOthers(r, c.ID, &change); err != nil {
			return err
		}
		plan.Changes = append(plan.Changes, change)
		return nil
	case !known:
		change.Did = fmt.Sprintf("published in version %d", c.Version)
	case was.Withdrawn:
		change.Did = fmt.Sprintf("published again in version %d, after version %d was withdrawn", c.Version, was.Version)
	default:
		change.Did = fmt.Sprintf("raised from version %d to %d", was.Version, c.Version)
	}
	if had := budgetOf(was); had != nil && (c.Budget == nil || c.Budget.ID != had.ID) {
		change.Did += fmt.Sprintf("; its budget was `%s`, of which nothing is granted any more, and is %s", had.ID, nameOf(c.Budget))
	}
	value := published(c, definition, now)
	if len(value) > campaign.DefaultEventBytes {
		plan.Refused = append(plan.Refused, fmt.Errorf("campaign `%s` takes %d bytes in the log, at most %d are read: shorten its file", c.ID, len(value), campaign.DefaultEventBytes))
		return nil
	}
	plan.Changes = append(plan.Changes, change)
	plan.events = append(plan.events, controlRecord{value: value, end: plan.topics.Events.Partitions, order: c.Late})
	return plan.register(c.ID, r.entries[c.ID].next(c, budgetOf(was), definition, now))
}

// budgetOf is the budget of a campaign that is known, nil where there is neither.
func budgetOf(c campaign.InForceCampaign) *campaign.Budget {
	if c.Campaign == nil {
		return nil
	}
	return c.Budget
}

// nameOf tells people which budget it is.
func nameOf(b *campaign.Budget) string {
	if b == nil {
		return "none now"
	}
	return "`" + b.ID + "` now, which counts by itself"
}

// tellOthers plans that partitions which the topic did not have before are told what the others know; or all, if that is wanted.
func (plan *publishPlan) tellOthers(r *registry, id string, change *CampaignChange) error {
	e := r.entries[id]
	did := fmt.Sprintf(", told to %d new partitions", plan.topics.Events.Partitions-e.Partitions)
	if plan.again {
		e.Partitions, did = 0, ", told again"
	}
	if e.Partitions >= plan.topics.Events.Partitions {
		return nil
	}
	c, err := e.Definition.Compile()
	if err != nil {
		return err
	}
	if change != nil {
		change.Did += did
		change.Written = true
	}
	plan.events = append(plan.events, controlRecord{value: published(c, e.Definition, e.Since), first: e.Partitions, end: plan.topics.Events.Partitions, order: c.Late})
	return plan.register(id, e)
}

// withdraw plans the end of a campaign that is in force and not in the directory.
func (plan *publishPlan) withdraw(r *registry, c *campaign.Campaign, now int64) error {
	e := r.entries[c.ID]
	e.Withdrawn = now
	plan.Changes = append(plan.Changes, CampaignChange{ID: c.ID, Version: c.Version, Did: fmt.Sprintf("withdrawn, version %d", c.Version), Written: true})
	value := control(campaign.TypeWithdrawn, fmt.Sprintf("%s@%d", c.ID, c.Version), now, fmt.Appendf(nil, `{"campaign":%q}`, c.ID))
	plan.events = append(plan.events, controlRecord{value: value, end: e.Partitions, order: -1}) // a partition that is new has never had it
	return plan.register(c.ID, e)
}

func (plan *publishPlan) register(id string, e registered) error {
	e.EventsTopic, e.Partitions = topicID(plan.topics.Events), plan.topics.Events.Partitions
	record, err := e.record(plan.topics, id)
	plan.registry = append(plan.registry, record)
	return err
}

// definition is what is published of a campaign. The home of its budget is fixed when the budget is first published, because claims that two
// partitions decide could pass it together; a topic that has more partitions later has the same homes. A registry that was lost, or that has
// forgotten a budget, is not believed: partition 0 was told of every budget there is, and its changelog says where they are at home and what they count.
func (p Publish) definition(ctx context.Context, plan *publishPlan, r *registry, c *campaign.Campaign) (campaign.Definition, error) {
	d := c.Definition()
	if c.Budget == nil {
		return d, nil
	}
	home, known := r.inForce.BudgetHome(c.Budget.ID)
	if !known && !plan.asked {
		if err := p.tellStored(ctx, plan, r); err != nil {
			return d, fmt.Errorf("look for the homes of budgets: %w", err)
		}
		home, known = r.inForce.BudgetHome(c.Budget.ID)
	}
	if d.Home = home; !known {
		d.Home = HomeOf(c.Budget.ID, plan.topics.Events.Partitions)
	}
	return d, nil
}

// tellStored tells the registry of all budgets that partition 0 was told of.
func (p Publish) tellStored(ctx context.Context, plan *publishPlan, r *registry) error {
	logs, err := p.Connection.Spans(ctx, plan.topics.Changelog.Name)
	if err != nil {
		return err
	}
	stored, err := storedBudgets(ctx, p.Connection, logs[0])
	if err != nil {
		return err
	}
	for _, b := range stored {
		r.inForce.TellBudget(b.Budget)
	}
	plan.asked = true
	return nil
}

// HomeOf spreads budgets that are new over the partitions that there are.
func HomeOf(budget string, partitions int32) int32 {
	h := fnv.New32a()
	h.Write([]byte(budget))
	return int32(h.Sum32() % uint32(partitions)) //nolint:gosec // below partitions
}

func published(c *campaign.Campaign, d campaign.Definition, now int64) []byte {
	return control(campaign.TypePublished, fmt.Sprintf("%s@%d", c.ID, c.Version), now, d.Append(nil))
}

// control is a record under ControlKey: a structured CloudEvent. Ids of campaigns need no escape.
func control(kind, id string, now int64, data []byte) []byte {
	return fmt.Appendf(nil, `{"specversion":"1.0","id":%q,"source":"/stampede/publish","type":%q,"time":%q,"datacontenttype":"application/json","data":%s}`,
		id, kind, time.UnixMilli(now).UTC().Format(time.RFC3339Nano), data)
}

// attempt takes the transactional id, compares and writes. The error is ErrPublishedMeanwhile, wraps errUndecided, or says what keeps
// Kafka from being written to.
func (p Publish) attempt(ctx context.Context, topics kafka.TopicsState) (*publishPlan, error) {
	id := "stampede-publish-" + topics.Events.Name
	cl, err := p.Connection.Client(ctx,
		kgo.TransactionalID(id),
		kgo.TransactionTimeout(publishTimeout),
		kgo.RecordDeliveryTimeout(publishTimeout),
		kgo.ConcurrentTransactionsBackoff(concurrentTransactionsWait),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		topics.BatchBytes())
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	if _, _, err := cl.ProducerID(ctx); err != nil {
		return nil, meanwhile(fmt.Errorf("begin to publish: %w", p.Connection.Denied(err, kafka.OnTransactionalID(id))))
	}
	plan, err := p.plan(ctx, topics)
	if err != nil || !plan.writes() {
		return plan, err
	}
	return plan, plan.write(ctx, cl)
}

// write is one transaction.
func (plan *publishPlan) write(ctx context.Context, cl *kgo.Client) error {
	if err := cl.BeginTransaction(); err != nil {
		return meanwhile(fmt.Errorf("begin to publish: %w", err))
	}
	if err := plan.produce(ctx, cl); err != nil {
		// Nothing is committed. To end the transaction at once spares the readers of events the wait for its timeout.
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), endGrace)
		defer cancel()
		return meanwhile(fmt.Errorf("publish: %w", errors.Join(err, cl.EndTransaction(ending, kgo.TryAbort))))
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), publishTimeout)
	defer cancel()
	if err := cl.EndTransaction(ending, kgo.TryCommit); err != nil {
		return fmt.Errorf("end the publish: %w: %w", errUndecided, err)
	}
	return nil
}

func (plan *publishPlan) produce(ctx context.Context, cl *kgo.Client) error {
	var produced kgo.FirstErrPromise
	for _, c := range plan.events {
		for n := c.first; n < c.end; n++ {
			cl.Produce(ctx, &kgo.Record{
				Topic: plan.topics.Events.Name, Partition: n, Key: []byte(campaign.ControlKey), Value: c.value,
				Headers: []kgo.RecordHeader{{Key: "content-type", Value: []byte(campaign.RewardContentType)}},
			}, produced.Promise())
		}
	}
	for _, r := range plan.registry {
		cl.Produce(ctx, r, produced.Promise())
	}
	return errors.Join(cl.Flush(ctx), produced.Err())
}

// meanwhile tells an error that another publisher has led to from every other.
func meanwhile(err error) error {
	for _, fenced := range []error{kerr.ProducerFenced, kerr.InvalidProducerEpoch, kerr.InvalidTxnState, kerr.TransactionalIDNotFound} {
		if errors.Is(err, fenced) {
			return fmt.Errorf("%w (%w)", ErrPublishedMeanwhile, err)
		}
	}
	return err
}
