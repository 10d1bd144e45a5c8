package stream

import "github.com/stampede-rewards/stampede/pkg/campaign"

// tally is what a partition's task counted in a cycle. It reaches the metrics when the cycle has committed, so that they
// count what happened and nothing twice.
type tally struct {
	records      int
	bytes        int64
	newUsers     int
	split        int // users new here who have a ledger in another partition
	unknownZones int
	erased       int // users
	dropped      int // records of users who had been erased
	others       int // records of other groups' claims
	decisions    map[decisionOf]int
	rejections   map[campaign.Reason]int
	rewards      map[string]int    // by campaign
	outcomes     map[outcomeOf]int // but of rewards
	shared       int               // records for partners
	claims       map[claimOf]int   // that were decided
	budgets      bool              // what is left of them may be another than was told
	fired        int               // ledgers of which something was due
	arrivals     []arrival         // of all records
	dues         []arrival         // of the records that made rewards due
	followed     []followed        // rewards of which a trace is kept
	unfollowed   int               // those beyond what is followed of a cycle
}

type decisionOf struct {
	campaign string
	decision campaign.Decision
}

type outcomeOf struct {
	campaign string
	kind     campaign.OutcomeKind
}

type claimOf struct {
	budget   string
	decision string // granted, denied, or reopened: granted after it was denied
}

// arrival is how many records came with one timestamp, Unix ms: those of one batch share it.
type arrival struct {
	ms int64
	n  int
}

func newTally() tally {
	return tally{decisions: map[decisionOf]int{}, rejections: map[campaign.Reason]int{}, rewards: map[string]int{}, outcomes: map[outcomeOf]int{}, claims: map[claimOf]int{}, budgets: true}
}

func (t *tally) reset() {
	clear(t.decisions)
	clear(t.rejections)
	clear(t.rewards)
	clear(t.outcomes)
	clear(t.claims)
	*t = tally{decisions: t.decisions, rejections: t.rejections, rewards: t.rewards, outcomes: t.outcomes, claims: t.claims, arrivals: t.arrivals[:0], dues: t.dues[:0], followed: t.followed[:0]}
}

func (t *tally) record(ms int64, bytes int) {
	t.records++
	t.bytes += int64(bytes)
	t.arrivals = arrived(t.arrivals, ms)
}

func arrived(arrivals []arrival, ms int64) []arrival {
	if last := len(arrivals) - 1; last >= 0 && arrivals[last].ms == ms {
		arrivals[last].n++
		return arrivals
	}
	return append(arrivals, arrival{ms, 1})
}

func (t *tally) result(r *campaign.Result, ms int64) {
	t.unknownZones += r.UnknownZones
	if r.Dropped {
		t.dropped++
	}
	for _, d := range r.Decisions {
		t.decisions[decisionOf{d.Campaign.ID, d.Decision}]++
	}
	for i := range r.Rewards {
		t.rewards[r.Rewards[i].Campaign.ID]++
		t.dues = arrived(t.dues, ms)
	}
	for _, o := range r.Outcomes {
		if o.Kind != campaign.Achieved {
			t.outcomes[outcomeOf{o.Campaign.ID, o.Kind}]++
		}
	}
}

// decided counts what a record under ControlKey has led to.
func (t *tally) decided(r *campaign.ControlResult, ms int64) {
	t.budgets = t.budgets || len(r.Stored) > 0
	for i := range r.Rewards {
		t.rewards[r.Rewards[i].Campaign.ID]++
		t.dues = arrived(t.dues, ms)
	}
	for i := range r.Answers {
		t.claims[claimOf{r.Answers[i].Budget, r.Answers[i].Decision()}]++
	}
}

func (t *tally) rejected(reason campaign.Reason) { t.rejections[reason]++ }
