package stream

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/stampede-rewards/stampede/internal/partner"
	"github.com/stampede-rewards/stampede/pkg/campaign"
	"github.com/stampede-rewards/stampede/pkg/state"
)

// partition is the task of one partition of events: its engine, its position and its overlay, the ledgers in memory. Within a cycle one goroutine works
// on it.
type partition struct {
	number   int32
	inForce  *campaign.InForce
	stale    bool // the log has told what the engine does not work by yet
	engine   *campaign.Engine
	decoder  campaign.Decoder
	event    campaign.Event
	record   campaign.Record
	store    *state.Store
	records  records
	position state.Position

	overlay      overlay
	untold       map[string][]byte // what the log has told of campaigns and erased users since the last checkpoint, by name
	untoldBytes  int64
	recalled     bool            // an erased user's claims are among what was deleted since then
	timers       campaign.Timers // of the users of whom the store does not have what is known
	stored       storedTimers    // of all others
	maxFired     int             // in a cycle
	checkpointAt time.Time
	checkpointed point     // of the last checkpoint
	heard        time.Time // when the last record came, or the last tick was asked for

	// What this cycle has brought so far.
	next          state.Position // the position behind the records applied
	highWatermark int64
	changed       []*entry          // ledgers changed in this cycle, in the order of their first change
	told          []campaign.Stored // of campaigns, budgets and erased users, each once, in the order of their first change
	toldAt        map[string]int    // where, by name
	prepared      []state.Change    // what was changed and told, as the changelog has it
	outputs       []*kgo.Record     // rewards, claims, answers and dead letters, in order
	tally         tally
	fired         int  // how much was due
	held          bool // more is due than a cycle fires: the record at next.Input is to be polled again

	neighbours []int32 // partitions in which a new user is looked for: see isElsewhere
}

const (
	// maxNeighbours bounds in how many other partitions a new user is looked for.
	maxNeighbours = 8
	// lookedFor is of how many new users of a cycle one is looked for: a backlog of new users would cost a sixth more if it were each.
	lookedFor = 16
)

// apply takes records of this partition, in order, through the engine.
func (p *partition) apply(records []*kgo.Record, highWatermark int64) error {
	p.heard = time.Now()
	for _, r := range records {
		if p.held {
			break
		}
		if r.Offset < p.next.Input {
			return fmt.Errorf("BUG: events/%d@%d was delivered, the position is %d", p.number, r.Offset, p.next.Input)
		}
		if !r.Attrs.IsControl() { // the end of a transaction: it moves the position, and no clock
			done, err := p.applyOne(r)
			if err != nil {
				return fmt.Errorf("apply events/%d@%d: %w", p.number, r.Offset, err)
			}
			if !done {
				p.next.Step++
				p.held = true
				break
			}
		}
		p.next.Input, p.next.Step = r.Offset+1, 0
	}
	p.highWatermark = highWatermark
	return p.renew() // what is told at the end of a cycle is refused before it is committed
}

// renew lets the engine work by what the log has told. Between publishes that follow each other nobody asks what is in force, so a directory of a thousand
// campaigns is put together once and not a thousand times.
func (p *partition) renew() error {
	if !p.stale {
		return nil
	}
	set := p.inForce.Set()
	if err := partner.Unknown(set.Campaigns(), p.next.Clock, p.records.partners.Names()); err != nil {
		return err // before it is committed: nothing is lost, and who knows the partner goes on from here
	}
	p.engine.Use(set)
	p.stale = false
	return nil
}

// applyOne applies a record, and what is due before it. It is not done where that is more than a cycle takes.
func (p *partition) applyOne(r *kgo.Record) (done bool, err error) {
	clock := max(p.next.Clock, r.Timestamp.UnixMilli()) // E2: it never runs backwards
	if !campaign.IsControl(r.Key) || p.engine.ForgetsErasedAt() != 0 {
		if err := p.renew(); err != nil {
			return false, err
		}
	}
	if done, err := p.advance(r, clock); !done || err != nil {
		return false, err
	}
	p.record.Key, p.record.Value, p.record.Clock = r.Key, r.Value, clock
	p.record.Headers = p.record.Headers[:0]
	for _, h := range r.Headers {
		p.record.Headers = append(p.record.Headers, campaign.Header{Key: h.Key, Value: h.Value})
	}
	for _, s := range p.engine.ForgetErased(clock) {
		p.tell(s)
	}
	for _, s := range p.inForce.ForgetDenied(clock) {
		p.tell(s)
	}
	if campaign.IsControl(r.Key) {
		return true, p.control(r)
	}
	p.tally.record(r.Timestamp.UnixMilli(), len(r.Value))
	rejection := p.decoder.Decode(&p.record, &p.event)
	if rejection == nil && p.records.isOthers(r, p.event.Type) {
		p.tally.others++
		return true, nil
	}
	if dropped := p.engine.Drop(&p.event, rejection, clock); dropped != nil {
		p.tally.result(dropped, r.Timestamp.UnixMilli())
		return true, nil
	}
	if rejection != nil {
		p.reject(r, rejection)
		return true, nil
	}
	e, err := p.lookUp(p.event.User)
	if err != nil {
		return false, err
	}
	result := p.engine.Apply(e.ledger, &p.event, clock)
	if result.Rejection != nil {
		p.reject(r, result.Rejection)
		return true, nil //nolint:nilerr // a rejection is an outcome
	}
	if p.event.Type == campaign.TypeErased {
		e.erased = true
		p.tally.erased++
	}
	p.took(e, result, r)
	return true, nil
}

// took notes what an event, or the passing of time, has led to. r is the record that caused it.
func (p *partition) took(e *entry, result *campaign.Result, r *kgo.Record) {
	p.tally.result(result, r.Timestamp.UnixMilli())
	p.tally.follow(result.Rewards, r)
	for i := range result.Rewards {
		p.outputs = append(p.outputs, p.records.reward(&result.Rewards[i], r))
	}
	for i := range result.Outcomes {
		shared := p.records.outcomes(&result.Outcomes[i])
		p.outputs = append(p.outputs, shared...)
		p.tally.shared += len(shared)
	}
	for i := range result.Claims {
		p.outputs = append(p.outputs, p.records.claim(&result.Claims[i], r))
	}
	for i := range result.Recalls {
		p.outputs = append(p.outputs, p.records.recall(&result.Recalls[i], r))
	}
	for _, s := range result.Stored {
		p.tell(s)
	}
	if !result.Changed {
		return
	}
	e.ahead = true
	p.timers.Set(&e.timer, e.ledger.Due())
	if !e.changed {
		e.changed = true
		p.changed = append(p.changed, e)
	}
}

// control applies a record that speaks to the partition: from the next one on, the engine works with what it says (L1).
func (p *partition) control(r *kgo.Record) error {
	if rejection := p.decoder.DecodeControl(&p.record, &p.event); rejection != nil {
		p.reject(r, rejection)
		return nil
	}
	if p.records.isOthers(r, p.event.Type) {
		p.tally.others++
		return nil
	}
	result, rejection, err := p.inForce.Apply(&p.event, p.next.Clock)
	if err != nil {
		return err
	}
	if rejection != nil {
		p.reject(r, rejection)
		return nil
	}
	p.stale = true
	for _, c := range result.Stored {
		p.tell(c)
	}
	p.recalled = p.recalled || p.event.Type == campaign.TypeRecalled && len(result.Stored) > 0
	for i := range result.Rewards {
		p.outputs = append(p.outputs, p.records.reward(&result.Rewards[i], r))
	}
	for i := range result.Answers {
		p.outputs = append(p.outputs, p.records.answer(&result.Answers[i], r))
	}
	p.tally.decided(&result, r.Timestamp.UnixMilli())
	p.tally.follow(result.Rewards, r)
	return nil
}

// tell notes a value that is to be stored. A budget's changes with each claim, and its last one is what a cycle stores.
func (p *partition) tell(c campaign.Stored) {
	i, known := p.toldAt[c.Name]
	if known {
		p.told[i] = c
		return
	}
	p.toldAt[c.Name] = len(p.told)
	p.told = append(p.told, c)
}

func (p *partition) reject(r *kgo.Record, rejection *campaign.Rejection) {
	p.tally.rejected(rejection.Reason)
	p.outputs = append(p.outputs, p.records.deadLetters(r, rejection)...)
}

// lookUp returns a user's ledger: from the overlay, else from the store, else a new one.
func (p *partition) lookUp(user string) (*entry, error) {
	e := p.overlay.users[user]
	if e == nil {
		encoded, found, err := p.store.Get(p.number, user, nil)
		if err != nil {
			return nil, fmt.Errorf("read the ledger of %q: %w", user, err)
		}
		e = p.overlay.add(user, encoded)
		if !found {
			if p.tally.newUsers++; p.tally.newUsers%lookedFor == 1 && p.isElsewhere(user) {
				p.tally.split++
			}
		} else if e.due, err = campaign.DueOf(encoded); err != nil {
			return nil, fmt.Errorf("read the ledger of %q: %w", user, err)
		}
		e.stored = e.due
	}
	if err := p.overlay.decode(e); err != nil {
		return nil, fmt.Errorf("read the ledger of %q: %w", user, err)
	}
	return e, nil
}

// isElsewhere says whether a user who is new here has a ledger in another partition, which means that the producers do not
// agree on a partitioner. It looks only where it is cheap: at checkpointed ledgers of a few partitions of this process.
func (p *partition) isElsewhere(user string) bool {
	for _, n := range p.neighbours {
		if _, found, err := p.store.Get(n, user, nil); found && err == nil {
			return true
		}
	}
	return false
}

// touched says whether this cycle has anything of the partition.
func (p *partition) touched() bool { return pointOf(p.position).before(pointOf(p.next)) }

// lag is how many records of the partition are still to be processed, as far as the last fetch knew.
func (p *partition) lag() int64 { return max(0, p.highWatermark-p.next.Input) }

// prepare encodes the ledgers that this cycle changed, and returns the journal's entry.
func (p *partition) prepare(transaction state.TransactionID) state.Prepared {
	p.overlay.encode()
	for _, e := range p.changed {
		p.prepared = append(p.prepared, state.Change{User: e.timer.User, Ledger: e.encoded}) // who replays it reads the due from the ledger
	}
	for _, c := range p.told {
		p.prepared = append(p.prepared, state.Change{User: c.Name, Ledger: c.Value})
	}
	return state.Prepared{Partition: p.number, Transaction: transaction, Position: p.next, Edits: &p.overlay.edits, Changes: p.prepared[len(p.changed):]}
}

// committed makes the cycle's state the partition's: the transaction has committed. changelog is the offset behind its
// position record.
func (p *partition) committed(changelog int64, now time.Time) {
	p.overlay.committed(p.changed)
	for _, c := range p.told {
		p.untoldBytes += int64(len(c.Value) - len(p.untold[c.Name]))
		p.untold[c.Name] = c.Value
	}
	p.told = p.told[:0]
	clear(p.toldAt)
	p.next.Changelog, p.next.CaughtUp = changelog, now.UnixMilli()
	p.position = p.next
	clear(p.prepared)
	p.changed, p.prepared, p.outputs = p.changed[:0], p.prepared[:0], p.outputs[:0]
	p.fired = 0
}

// checkpoint moves the overlay's changes to their keys (S2). It runs between cycles.
func (p *partition) checkpoint() error {
	if pointOf(p.position) == p.checkpointed {
		return nil
	}
	changes := p.overlay.changes()
	for _, name := range slices.Sorted(maps.Keys(p.untold)) { // behind every user
		changes = append(changes, state.Change{User: name, Ledger: p.untold[name], Erased: p.recalled && p.untold[name] == nil})
	}
	if err := p.store.Checkpoint(p.number, p.position, changes); err != nil {
		return fmt.Errorf("checkpoint events/%d: %w", p.number, err)
	}
	p.timers.Clear()
	p.overlay.checkpointed()
	clear(p.untold)
	p.stored = storedTimers{}
	p.untoldBytes, p.recalled, p.checkpointed = 0, false, pointOf(p.position)
	p.tally.budgets = true // the clock may have reached another period
	return nil
}
