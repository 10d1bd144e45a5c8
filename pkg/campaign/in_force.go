package campaign

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ControlKey is the key of the records that speak to a partition and to no user: campaigns, ticks. It can't be a user's, as it is not UTF-8.
const ControlKey = "\xffstampede"

// The types of the records under ControlKey. Under a user's key they are unknown.
const (
	TypePublished = "stampede.campaign_published" // data is a Definition
	TypeWithdrawn = "stampede.campaign_withdrawn" // data.campaign is an id
	TypeTick      = "stampede.tick"               // no data: it only moves the clock
)

// IsControl says whether a record speaks to a partition. It is asked before the record is decoded.
func IsControl(key []byte) bool { return string(key) == ControlKey }

// Tick is a record's value that only moves a partition's clock (T5): that of the record. at is for people who look at it.
func Tick(at time.Time) []byte {
	dst := appendJSONString([]byte(`{"specversion":"1.0","id":"tick","source":"/stampede/processor","type":`), TypeTick)
	return append(formatTime(append(dst, `,"time":"`...), at.UnixNano()), `"}`...)
}

// DecodeControl reads a record under ControlKey into ev, which then has no user.
func (d *Decoder) DecodeControl(rec *Record, ev *Event) *Rejection {
	*ev = Event{}
	if most := d.most(); len(rec.Value) > most {
		return &Rejection{ReasonTooLarge, fmt.Sprintf("the value has %d bytes, event.max_bytes is %d", len(rec.Value), most)}
	}
	return d.structured(rec, ev)
}

// InForce is the campaigns of one partition, as the partition's log has told them. It is a pure function of the records that were applied:
// partitions that were told the same have the same campaigns, whoever owns them. It is not for concurrent use.
type InForce struct {
	told    map[string]*told // by id
	raises  raises           // of the largest lateness
	set     *Set             // nil: to be made
	budgets *Budgets
}

// told is what the log has said of one campaign. It is never forgotten: an id belongs to one campaign for ever.
type told struct {
	campaign  *Campaign // as it was published
	first     int64     // the clock of the publish of the first version, Unix ms
	since     int64     // and of this one
	epoch     uint64
	units     []string // by epoch: see Campaign.cycleUnit
	revision  uint64   // how many versions there were before this one
	withdrawn int64    // the clock of the withdrawal, Unix ms; never where it was not
	raises    raises   // of the campaign's own lateness
}

// inForce is the campaign as the engine sees it: with the end that a withdrawal gives it.
func (t *told) inForce() *Campaign {
	c := *t.campaign
	c.since, c.epoch, c.units, c.revision = t.first, t.epoch, t.units, t.revision
	c.raises, c.withdrawn, c.endedEarly = t.raises, t.withdrawn != never, msToNs(t.withdrawn) < c.Ends
	c.Ends = min(c.Ends, msToNs(t.withdrawn))
	return &c
}

// latenessAt is the campaign's lateness for an event by its time (Unix ns).
func (c *Campaign) latenessAt(at int64) time.Duration {
	return c.raises.bound(floorDiv(at, int64(time.Millisecond)), c.Late)
}

// ClosedAt says whether the campaign is closed by a clock, Unix ms (T4): nothing that could still count can arrive.
func (c *Campaign) ClosedAt(clock int64) bool {
	return clock >= c.closes(noUnit, 0)
}

// maxInForce bounds the campaigns of a partition, those that are closed included.
const maxInForce = maxCampaigns

// StoredCampaign is the id of the campaign that a stored value's name says it is of.
func StoredCampaign(name string) (id string, ok bool) { return strings.CutPrefix(name, storedCampaign) }

// NewInForce returns the campaigns of a partition that was told nothing.
func NewInForce() *InForce { return &InForce{told: map[string]*told{}, budgets: NewBudgets()} }

// Stored is a value that belongs to a partition's state, beside the users' ledgers. Its name is no user's. A nil value deletes it.
type Stored struct {
	Name  string
	Value []byte
}

// What the names of stored values begin with, all of them with 0xff.
const (
	storedCampaign = "\xffcampaign/" // and the id
	storedRaises   = "\xfflateness"
)

// Apply applies a record under ControlKey. clock is rule E2's, Unix ms. It returns what that has led to, or why the record goes to the dead
// letters and changes nothing. The error is one that nobody may go on from: a NewerLanguageError.
func (f *InForce) Apply(ev *Event, clock int64) (ControlResult, *Rejection, error) {
	switch ev.Type {
	case TypePublished:
		return f.published(ev, clock)
	case TypeWithdrawn:
		id := ev.Data.Get("campaign")
		if id.Kind() != String {
			return ControlResult{}, badControl("data.campaign must be the id of a campaign"), nil
		}
		changed, rejection := f.Withdraw(strings.Clone(id.Text()), clock)
		return ControlResult{Stored: changed}, rejection, nil
	case TypeClaimed:
		claim, err := readClaim(ev.Data)
		if err != nil {
			return ControlResult{}, badControl(err.Error()), nil
		}
		told, rejection := f.budgets.Decide(claim, clock)
		return told, rejection, nil
	case TypeRecalled:
		changed, rejection := f.budgets.recall(ev.Data)
		return ControlResult{Stored: changed}, rejection, nil
	case TypeTick:
		return ControlResult{}, nil, nil
	}
	return ControlResult{}, &Rejection{ReasonUnknownControl, "no record under the key of control records has the type " + excerpt(ev.Type)}, nil
}

// published applies a publish, and re-opens denied claims of a budget that it raises.
func (f *InForce) published(ev *Event, clock int64) (ControlResult, *Rejection, error) {
	d, err := readDefinition(ev.Data)
	if err != nil {
		_, rejection, err := refused(err)
		return ControlResult{}, rejection, err
	}
	changed, raised, rejection, err := f.publish(d, clock)
	told := ControlResult{Stored: changed}
	if raised != "" {
		reopened := f.budgets.reopen(raised, clock)
		told.Stored = append(told.Stored, reopened.Stored...)
		told.Rewards, told.Answers = reopened.Rewards, reopened.Answers
	}
	return told, rejection, err
}

// refused tells an error that everybody has from one that only this program has.
func refused(err error) ([]Stored, *Rejection, error) {
	if newer := (*NewerLanguageError)(nil); errors.As(err, &newer) {
		return nil, nil, newer
	}
	return nil, badControl(err.Error()), nil
}

// Publish puts a campaign in force, or a new version of one (L1, L2). It returns what is to be stored.
func (f *InForce) Publish(d Definition, clock int64) ([]Stored, *Rejection, error) {
	changed, _, rejection, err := f.publish(d, clock)
	return changed, rejection, err
}

// publish does so, and names the budget that it raises, if any.
func (f *InForce) publish(d Definition, clock int64) (changed []Stored, raised string, rejection *Rejection, err error) {
	c, err := d.Compile()
	if err != nil {
		_, rejection, err := refused(err)
		return nil, "", rejection, err
	}
	next := &told{campaign: c, first: clock, since: clock, units: []string{c.cycleUnit()}, withdrawn: never}
	was := f.told[c.ID]
	if was != nil {
		if was.campaign.definition == d && was.withdrawn == never {
			return nil, "", nil, nil // the same again
		}
		if rejection := was.refuses(c, clock); rejection != nil {
			return nil, "", rejection, nil
		}
		next.first, next.epoch, next.units, next.revision = was.first, was.epoch, was.units, was.revision+1
		next.raises = was.raises.without(clock, was.campaign.Late)
		if was.campaign.counts() != c.counts() {
			next.epoch++
			next.units = append(slices.Clone(was.units), c.cycleUnit())
		}
		if c.Late > was.campaign.Late {
			next.raises = next.raises.with(clock, was.campaign.Late)
		}
	} else if len(f.told) >= maxInForce {
		return nil, "", badControl(fmt.Sprintf("%d campaigns are known, which is the most that a partition keeps", maxInForce)), nil
	}
	before, clash := f.largest(c)
	if clash != nil {
		return nil, "", badControl(clash.Error()), nil
	}
	if c.Budget != nil {
		if rejection := f.budgets.refuses(c.Budget); rejection != nil {
			return nil, "", rejection, nil
		}
	}
	raises := f.raises.without(clock, before)
	known := len(f.told)
	f.told[c.ID], f.set = next, nil
	changed = []Stored{f.stored(c.ID)}
	if after, _ := f.largest(c); known > 0 && after > before { // with none in force before, there is nothing to protect
		raises = raises.with(clock, before)
	}
	if !slices.Equal(raises, f.raises) {
		f.raises = raises
		changed = append(changed, f.storedRaises())
	}
	if c.Budget != nil {
		stored, more := f.budgets.tell(*c.Budget)
		if changed = append(changed, stored...); more {
			raised = c.Budget.ID
		}
	}
	return changed, raised, nil, nil
}

// largest is the largest lateness of the campaigns that are known, and whether ledgers could not tell one of them from c.
func (f *InForce) largest(c *Campaign) (lateness time.Duration, clash error) {
	for id, t := range f.told {
		lateness = max(lateness, t.campaign.Late)
		if t.campaign.key == c.key && id != c.ID {
			clash = errSameKey(t.campaign, c)
		}
	}
	return lateness, clash
}

// refuses says why a campaign can't take the place of what is known under its id; nil if it can.
func (t *told) refuses(c *Campaign, clock int64) *Rejection {
	was := t.inForce()
	switch {
	case was.ClosedAt(clock):
		return &Rejection{ReasonClosed, fmt.Sprintf("campaign `%s` has ended and is closed, and what the users had in it is gone: an id is never used again, publish it under another", c.ID)}
	case c.Version < was.Version && t.withdrawn != never:
		return &Rejection{ReasonNotRaised, fmt.Sprintf("campaign `%s` was withdrawn in version %d, and this is version %d: raise `version` above %[2]d", c.ID, was.Version, c.Version)}
	case c.Version < was.Version:
		return &Rejection{ReasonNotRaised, fmt.Sprintf("campaign `%s` is in force in version %d, and this is version %d: raise `version` above %[2]d", c.ID, was.Version, c.Version)}
	case c.Version == was.Version && t.withdrawn != never:
		return &Rejection{ReasonNotRaised, fmt.Sprintf("campaign `%s` was withdrawn in version %d: raise `version` to publish it again", c.ID, was.Version)}
	case c.Version == was.Version:
		return &Rejection{ReasonNotRaised, fmt.Sprintf("campaign `%s` is in force in version %d with another content: raise `version` with every change", c.ID, was.Version)}
	case was.counts() != c.counts() && !c.restart:
		return &Rejection{ReasonNeedsRestart, fmt.Sprintf("version %d of campaign `%s` changes what counts, and what the users have done so far is counted by version %d: "+
			"write `on_change: restart` if they are to begin anew, or give it another id", c.Version, c.ID, was.Version)}
	case c.cycleUnit() != "" && c.cycleUnit() != was.cycleUnit() && slices.Contains(t.units, c.cycleUnit()):
		return badControl(fmt.Sprintf("campaign `%s` has paid each %s before, and then something else: which %[2]ss a user was paid is not known any more. Give it another id", c.ID, c.cycleUnit()))
	}
	return nil
}

// Withdraw ends a campaign at a clock. It is not gone: what happened before may still arrive for as long as its lateness, and then it
// is closed like one that has ended by itself.
func (f *InForce) Withdraw(id string, clock int64) ([]Stored, *Rejection) {
	t := f.told[id]
	switch {
	case t == nil:
		return nil, badControl("no campaign with the id of data.campaign is in force: " + excerpt(id))
	case t.withdrawn != never || t.campaign.ClosedAt(clock):
		return nil, nil // the same again
	}
	withdrawn := *t
	withdrawn.withdrawn = clock
	f.told[id], f.set = &withdrawn, nil
	return []Stored{f.stored(id)}, nil
}

// Set is what the engine works with. It is the same until a record changes it.
func (f *InForce) Set() *Set {
	if f.set != nil {
		return f.set
	}
	campaigns := make([]*Campaign, 0, len(f.told))
	for _, t := range f.told {
		campaigns = append(campaigns, t.inForce())
	}
	set, err := NewSet(campaigns)
	if err != nil {
		panic("BUG: campaigns that can't be in force together are: " + err.Error())
	}
	set.raises, set.homes = f.raises, f.budgets.homes()
	f.set = set
	return set
}

// Standings are what is known of every campaign, by id.
func (f *InForce) Standings() []InForceCampaign {
	all := make([]InForceCampaign, 0, len(f.told))
	for _, id := range slices.Sorted(maps.Keys(f.told)) {
		all = append(all, f.told[id].standing())
	}
	return all
}

// Find is what is known of one campaign.
func (f *InForce) Find(id string) (InForceCampaign, bool) {
	t := f.told[id]
	if t == nil {
		return InForceCampaign{}, false
	}
	return t.standing(), true
}

// InForceCampaign is what the log has said of one campaign.
type InForceCampaign struct {
	*Campaign
	Since     int64 // the clock at which this version was published, Unix ms
	Withdrawn bool  // Ends is then the clock of the withdrawal, at the latest
}

func (t *told) standing() InForceCampaign {
	return InForceCampaign{t.inForce(), t.since, t.withdrawn != never}
}

// Budgets are the budgets that the partition was told of, by id. What is granted from one is known to its home only.
func (f *InForce) Budgets() []BudgetStanding { return f.budgets.Standings() }

// Paying are the ids of the budgets that a campaign names which is not closed by a clock, Unix ms.
func (f *InForce) Paying(clock int64) map[string]bool {
	paying := map[string]bool{}
	for _, c := range f.Set().campaigns {
		if c.Budget != nil && !c.ClosedAt(clock) {
			paying[c.Budget.ID] = true
		}
	}
	return paying
}

// TellBudget takes a budget that partitions were told of, and that no campaign's version in force names: what was granted of it is counted by its terms, should
// it come back. One that is known stays as it is.
func (f *InForce) TellBudget(b Budget) {
	if f.budgets.byID[b.ID] == nil {
		f.budgets.tell(b)
		f.set = nil
	}
}

// BudgetHome is the partition of events that decides a budget's claims, where that is known.
func (f *InForce) BudgetHome(id string) (home int32, known bool) {
	s := f.budgets.byID[id]
	if s == nil {
		return 0, false
	}
	return s.terms.Home, true
}

// ForgetDenied forgets the denied claims that no budget could re-open any more by a clock, Unix ms. It returns what of the partition's state has changed.
func (f *InForce) ForgetDenied(clock int64) []Stored { return f.budgets.forget(clock) }

// ForgetsDeniedAt is a clock (Unix ms) at which it is worth asking, 0 where no denied claim is kept.
func (f *InForce) ForgetsDeniedAt() int64 { return f.budgets.forgets }

// Running counts the campaigns that are not closed by a clock, Unix ms.
func (f *InForce) Running(clock int64) int {
	n := 0
	for _, c := range f.Set().campaigns {
		if !c.ClosedAt(clock) {
			n++
		}
	}
	return n
}

// Stored is all that is to be stored, by name.
func (f *InForce) Stored() []Stored {
	var all []Stored
	for _, id := range slices.Sorted(maps.Keys(f.told)) {
		all = append(all, f.stored(id))
	}
	if len(f.raises) > 0 {
		all = append(all, f.storedRaises())
	}
	return append(all, f.budgets.all()...)
}

// storedForm is the form of stored values. Every later version reads this one.
const storedForm = 1

// errNewer is told of what this version can't know.
var errNewer = errors.New("it was written by a newer version of this program: run that version")

// readStored reads a stored value of the form that this version knows.
func readStored(value []byte) (Value, error) {
	var d document
	if err := d.parse(value); err != nil {
		return Value{}, err
	}
	if form, ok := wholeOf(d.root().Get("form")); !ok || form != storedForm {
		return Value{}, errNewer
	}
	return d.root(), nil
}

func (f *InForce) stored(id string) Stored {
	t := f.told[id]
	v := appendMember([]byte{'{'}, "form", storedForm)
	v = appendMember(append(v, ','), "since", t.since)
	if t.first != t.since {
		v = appendMember(append(v, ','), "first", t.first)
	}
	if t.epoch > 0 {
		v = appendMember(append(v, ','), "epoch", int64(t.epoch)) //nolint:gosec // a version each
		v = append(v, `,"units":[`...)
		for i, unit := range t.units {
			if i > 0 {
				v = append(v, ',')
			}
			v = appendJSONString(v, unit)
		}
		v = append(v, ']')
	}
	if t.revision > 0 {
		v = appendMember(append(v, ','), "revision", int64(t.revision)) //nolint:gosec // a version each
	}
	if t.withdrawn != never {
		v = appendMember(append(v, ','), "withdrawn", t.withdrawn)
	}
	if len(t.raises) > 0 {
		v = t.raises.append(append(v, `,"raises":`...))
	}
	v = t.campaign.definition.Append(append(v, `,"definition":`...))
	return Stored{storedCampaign + id, append(v, '}')}
}

func (f *InForce) storedRaises() Stored {
	if len(f.raises) == 0 {
		return Stored{storedRaises, nil}
	}
	v := appendMember([]byte{'{'}, "form", storedForm)
	return Stored{storedRaises, append(f.raises.append(append(v, `,"raises":`...)), '}')}
}

func appendMember(dst []byte, name string, n int64) []byte {
	return strconv.AppendInt(append(dst, `"`+name+`":`...), n, 10)
}

// Restore takes a value that was stored. All of them together make what was stored.
func (f *InForce) Restore(name string, value []byte) error {
	if err := f.restore(name, value); err != nil {
		return fmt.Errorf("read what is stored of %q: %w", name, err)
	}
	f.set = nil
	return nil
}

func (f *InForce) restore(name string, value []byte) error {
	v, err := readStored(value)
	if err != nil {
		return err
	}
	if id, ok := strings.CutPrefix(name, storedBudget); ok {
		return f.budgets.restoreBudget(id, v)
	}
	if name, ok := strings.CutPrefix(name, storedDenied); ok {
		return f.budgets.restoreDenied(name, v)
	}
	list, err := readRaises(v.Get("raises"))
	if err != nil {
		return err
	}
	id, ok := strings.CutPrefix(name, storedCampaign)
	if !ok {
		if name != storedRaises {
			return errNewer
		}
		f.raises = list
		return nil
	}
	definition, err := readDefinition(v.Get("definition"))
	if err != nil {
		return err
	}
	t := &told{withdrawn: never, raises: list}
	if t.campaign, err = definition.Compile(); err != nil {
		return err
	}
	if t.campaign.ID != id {
		return fmt.Errorf("it is of campaign `%s`", t.campaign.ID)
	}
	if t.since, ok = wholeOf(v.Get("since")); !ok {
		return errors.New("`since` is no clock")
	}
	t.first = t.since
	if first := v.Get("first"); first.Kind() != Absent {
		if t.first, ok = wholeOf(first); !ok {
			return errors.New("`first` is no clock")
		}
	}
	if epoch := v.Get("epoch"); epoch.Kind() != Absent {
		t.epoch = uint64(epoch.Number())
	}
	if revision := v.Get("revision"); revision.Kind() != Absent {
		t.revision = uint64(revision.Number())
	}
	for unit := range v.Get("units").Elements() {
		t.units = append(t.units, strings.Clone(unit.Text()))
	}
	for uint64(len(t.units)) <= t.epoch {
		t.units = append(t.units, t.campaign.cycleUnit())
	}
	if withdrawn := v.Get("withdrawn"); withdrawn.Kind() != Absent {
		if t.withdrawn, ok = wholeOf(withdrawn); !ok {
			return errors.New("`withdrawn` is no clock")
		}
	}
	f.told[id] = t
	return nil
}

// InProgress returns the campaigns in which a user has done something that counts, and not yet earned all that there is.
func (s *Set) InProgress(l *Ledger) []*Campaign {
	var in []*Campaign
	for _, at := range s.AppendParts(nil, l) {
		if at.InProgress {
			in = append(in, at.Campaign)
		}
	}
	return in
}

// Part is where a user stands in a campaign in which the user takes part or took part.
type Part struct {
	Campaign   *Campaign
	InProgress bool // something counts, and not all is earned that there is
	Achieved   bool // a reward was issued or claimed
}

// AppendParts appends where a user stands in the campaigns. Who has failed in a campaign that is closed is not known any more.
func (s *Set) AppendParts(parts []Part, l *Ledger) []Part {
	for i := range l.progress {
		p := &l.progress[i]
		c := s.byKey[p.campaign]
		if c == nil {
			continue
		}
		at := Part{c, slices.ContainsFunc(p.buckets, func(b bucket) bool { return b.count > 0 }), p.paid > 0}
		if at.InProgress || at.Achieved || p.tried || p.part == in {
			parts = append(parts, at)
		}
	}
	return parts
}
