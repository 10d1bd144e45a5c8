//go:build synctests

package sim

// mutants are the negative controls. The first nine are those that any program of this kind could be (research: an engine that writes before it
// commits, a restore that stops too early, ...); the others are each a line of ours. What would only cost time is no mutant.
var mutants = []mutant{
	{
		name: "the store is written before the commit is decided", file: "internal/stream/cycle.go",
		old: "\tends, err := s.transact(ctx, transaction, touched)\n",
		new: `	for _, p := range touched {
		var changes []state.Change
		for _, e := range p.changed {
			changes = append(changes, state.Change{User: e.timer.User, Ledger: e.encoded, Due: e.due})
		}
		if err := p.store.Checkpoint(p.number, p.next, changes); err != nil {
			return fatal{err}
		}
	}
	ends, err := s.transact(ctx, transaction, touched)
`,
		cheap: true,
	},
	{
		name: "a restore reads to the last stable offset only", file: "internal/stream/restore.go",
		old: "o.connection.Ends(ctx, o.topics.Changelog.Name)", new: "o.connection.StableEnds(ctx, o.topics.Changelog.Name)",
	},
	{
		name: "the client is kept after an unknown outcome", file: "internal/stream/cycle.go",
		old: `	ends, err := s.transact(ctx, transaction, touched)
	if err != nil {
`,
		new: `	ends, err := s.transact(ctx, transaction, touched)
	if errors.Is(err, errUndecided) && ctx.Err() == nil {
		for _, p := range touched {
			p.next, p.changed, p.outputs, p.told, p.fired, p.held = p.position, nil, nil, nil, 0, false
			p.overlay, p.toldAt, p.prepared = newOverlay(), map[string]int{}, nil
			p.timers.Clear()
			p.stored = storedTimers{}
		}
		return nil
	}
	if err != nil {
`,
	},
	{
		name: "what the client says was not committed counts as committed", file: "internal/stream/cycle.go",
		old: "\tif !committed {\n", new: "\tif !committed && ctx.Err() != nil {\n",
	},
	{
		name: "offsets are committed without the group's generation and against its heartbeat", file: "internal/stream/cycle.go",
		old: "\t\toffsets := 0\n", new: "\t\trequest.Generation, request.MemberID, request.InstanceID = -1, \"\", nil\n\t\toffsets := 0\n",
		client: &edit{ // which would refuse the member that was thrown out
			"pkg/kgo/txn.go", "tryCommit := !s.failed() && commitErr == nil && !hasAbortableCommitErr && (okHeartbeat || canCommitDespiteRebalance)",
			"tryCommit := commitErr == nil && !hasAbortableCommitErr && (okHeartbeat || canCommitDespiteRebalance || true)",
		},
	},
	{
		name: "the position is stored in a write of its own", file: "pkg/state/ledger.go",
		old: "\tif err := batch.Set(positionKey(p), encodePosition(nil, pos), nil); err != nil {\n\t\treturn 0, err\n\t}\n",
		new: "\tif err := s.db.Set(positionKey(p), encodePosition(nil, pos), pebble.Sync); err != nil {\n\t\treturn 0, err\n\t}\n",
	},
	{
		name: "an old store is brought up to date however old it is", file: "internal/stream/open.go",
		old: "age <= retention/2", new: "age <= 1000*retention",
	},
	{
		name: "the wall clock is the clock", file: "internal/stream/partition.go",
		old: "clock := max(p.next.Clock, r.Timestamp.UnixMilli())", new: "clock := max(p.next.Clock, r.Timestamp.UnixMilli(), time.Now().UnixMilli())",
		cheap: true,
	},
	{
		name: "errors of what was produced are not looked at", file: "internal/stream/cycle.go",
		old: "\tif err := failed.Load(); err != nil {\n", new: "\tif err := failed.Load(); err != nil && ctx.Err() != nil {\n",
	},

	{
		name: "the newest journal entry is taken without asking", file: "internal/stream/open.go",
		old: "case named != nil && newest.Transaction == named.Transaction:", new: "case named != nil:",
	},
	{
		name: "the journal is not deleted at a checkpoint", file: "pkg/state/journal.go",
		old: "return batch.DeleteRange(journalKey(p, j.first), journalKey(p, j.next), nil)", new: "return nil",
	},
	{
		name: "the journal has one partition of a cycle", file: "internal/stream/cycle.go",
		old: "s.cfg.Store.Prepare(entries)", new: "s.cfg.Store.Prepare(entries[:min(1, len(entries))])",
	},
	{
		name: "the journal has no campaigns", file: "internal/stream/partition.go",
		old: ", Changes: p.prepared[len(p.changed):]}", new: "}",
	},
	{
		name: "the journal has the edits of the cycles before", file: "internal/stream/overlay.go",
		old: "\to.edits.Reset()\n", new: "",
	},
	{
		name: "the changelog has no campaigns", file: "internal/stream/cycle.go",
		old: "s.records.ledgers(p.number, p.prepared)", new: "s.records.ledgers(p.number, p.prepared[:len(p.changed)])",
		cheap: true,
	},
	{
		name: "the changelog does not tell what is deleted", file: "internal/stream/cycle.go",
		old: "\t\t\tproduce(&ledgers[i])\n", new: "\t\t\tif ledgers[i].Value != nil {\n\t\t\t\tproduce(&ledgers[i])\n\t\t\t}\n",
		cheap: true,
	},
	{
		name: "the position record comes first", file: "internal/stream/cycle.go",
		old: "\tfor _, p := range touched {\n\t\tfor _, r := range p.outputs {\n",
		new: "\tfor _, p := range touched {\n\t\tproduce(s.records.position(p.number, PositionRecord{p.next.Input, p.next.Step, p.next.Clock, s.topics.Events.ID}))\n\t\tfor _, r := range p.outputs {\n",
	},
	{
		name: "rewards are produced beside the transaction", file: "internal/stream/cycle.go",
		old: "\t\tfor _, r := range p.outputs {\n\t\t\tproduce(r)\n", new: "\t\tfor _, r := range p.outputs {\n\t\t\ts.ticker.client.Produce(ctx, r, promise)\n",
	},
	{
		name: "a restore reads what was not committed", file: "internal/kafka/log.go",
		old: "kgo.FetchIsolationLevel(kgo.ReadCommitted())", new: "kgo.FetchIsolationLevel(kgo.ReadUncommitted())",
	},
	{
		name: "the clock begins anew when a partition is opened", file: "internal/stream/session.go",
		old: "\tfor n := range s.partitions {\n\t\tif n != o.number", new: "\tp.next.Clock = 0\n\tfor n := range s.partitions {\n\t\tif n != o.number",
		cheap: true,
	},
	{
		name: "timers fire by the wall clock", file: "internal/stream/timers.go",
		old: "due == 0 || due > clock {", new: "due == 0 || due > max(clock, time.Now().UnixMilli()) {", imports: "time",
	},
	{
		name: "a timer is forgotten when its user leaves memory", file: "internal/stream/overlay.go",
		old: "Ledger: e.encoded, Due: e.due, Was: e.stored, Erased: e.erased}", new: "Ledger: e.encoded, Was: e.stored, Erased: e.erased}",
	},
	{
		name: "a ledger that waits for its checkpoint leaves memory", file: "internal/stream/overlay.go",
		old: "\t\tcase e.dirty:\n\t\t\to.hand++\n", new: "",
	},
	{
		name: "a ledger is written down when it is new and never again", file: "internal/stream/overlay.go",
		old: "if e.ahead {", new: "if e.ahead && !e.changed || e.encoded == nil {",
	},
	{
		name: "the record that waits for timers is passed over", file: "internal/stream/cycle.go",
		old: "\ts.pollAgain(touched)\n", new: "",
	},
	{
		name: "offsets say no step", file: "internal/stream/cycle.go",
		old: "Commit{transaction, p.next.Step, p.next.Clock}", new: "Commit{transaction, 0, p.next.Clock}",
	},
	{
		name: "an event that is sent twice counts twice", file: "pkg/campaign/seen.go",
		old: "s.list[i].id == id && clock <= ", new: "s.list[i].id == id && i > 0 && clock <= ",
	},
	{
		name: "a partition is handed over without its memory being written", file: "internal/stream/rebalance.go",
		old: "\t\tif err := p.checkpoint(); err != nil && s.failed == nil {", new: "\t\tif err := p.store.Checkpoint(n, p.position, nil); err != nil && s.failed == nil {",
	},
	{
		name: "a rejected event leaves no dead letter", file: "internal/stream/partition.go",
		old: "\tp.outputs = append(p.outputs, p.records.deadLetters(r, rejection)...)\n", new: "",
	},
	{
		name: "records of erased users are processed", file: "internal/stream/partition.go",
		old: "dropped := p.engine.Drop(&p.event, rejection, clock); dropped != nil {", new: "dropped := p.engine.Drop(&p.event, rejection, clock); dropped != nil && rejection != nil {",
		cheap: true,
	},
	{
		name: "a campaign's new version takes effect with the next cycle", file: "internal/stream/partition.go",
		old: "\tif !p.stale {\n", new: "\tif !p.stale || len(p.told) > 0 {\n",
	},
	{
		name: "partners are told of rewards alone", file: "internal/stream/partition.go",
		old: "\t\tp.outputs = append(p.outputs, shared...)\n", new: "\t\tif len(result.Rewards) > 0 {\n\t\t\tp.outputs = append(p.outputs, shared...)\n\t\t}\n",
		cheap: true,
	},
	{
		name: "a zone's name lies in the ledger that named it first", file: "pkg/campaign/zone.go",
		old: "\tz = readZone(file)\n", new: "\tz = readZone(file)\n\tz.name = name\n",
	},
	{
		name: "a budget grants one too many", file: "pkg/campaign/budgets.go",
		old: "return quantity, s.granted < s.terms.Limit()", new: "return quantity, s.granted <= s.terms.Limit()", cheap: true,
	},
	{
		name: "an answer goes to the partition that decided", file: "internal/stream/records.go",
		old: "return rs.control(a.Partition, a.User,", new: "return rs.control(cause.Partition, a.User,",
	},
	{
		name: "a denied claim is kept only where its version re-opens", file: "pkg/campaign/budgets.go",
		old: "if len(s.kept) < maxKept {", new: "if s.terms.Reopen > 0 && len(s.kept) < maxKept {",
	},
}
