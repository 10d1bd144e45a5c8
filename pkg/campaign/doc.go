// Package campaign is the engine: what a campaign means, and nothing else.
//
// It is a pure function. Given the campaigns in force, one user's ledger and one event with its clock, it changes the
// ledger and returns the rewards to issue and a decision for each campaign. It has no clock, no disk, no Kafka, no log, no
// metric, no goroutine and no randomness; time zones come from a tz database inside the binary. The same records in the same
// order give the same bytes on any machine, in any batching, after any restart (rule P3).
//
// Rules are cited by their number (E1, T2, G6, R1, ...); the numbers are those of the campaign language.
//
// # How to read it
//
// An event travels through the files like this:
//
//   - event.go decodes a record into an Event: a CloudEvent, structured or binary (E1, E6). json.go is the JSON reader below
//     it, timestamp.go reads times.
//   - engine.go decides. For each campaign that the event's type concerns it asks the questions of decision.go, in order.
//   - civil.go and zone.go say which date it was where the user was (T1, T2).
//   - cel.go evaluates conditions and values over what scope.go shows them; native.go does so for the common forms.
//   - goal.go is the table of goal kinds; goal_*.go are one kind each, window.go and period.go what several of them share. A
//     new kind is a new file and a new row.
//   - control.go applies what users say about themselves (C1 to C3), erased.go erases one and drops what comes after (C4).
//   - close.go lets time pass: what is due for a user without an event (T4, T5, R4). timers.go says who is next, outcome.go how it ended.
//   - reward.go makes the reward and its record (R1 to R3).
//   - ledger.go is what is known of a user: seen.go the recent events (E3), profile.go zones and attributes (C1), and the
//     progress in each campaign, with evidence.go. encoding.go is its only binary form.
//
// A campaign with a budget (budget.go, O2) makes a claim where another issues a reward. claim.go is the claim's way to the budget's home and the
// answer's way back, budgets.go what decides there.
//
// replay.go is all of that over a stream of events in memory. scenario.go is how authors test their campaigns, on top of it.
//
// definition.go is how a campaign travels through the log, in_force.go what a partition has been told of campaigns (L1, L2).
//
// Campaigns come in through load.go, spec.go and yaml.go, which report every mistake of every file at once (mistake.go). definition.go is a
// campaign as it travels through the log, in_force.go the campaigns of one partition as its log has told them (L1, L2), raises.go what a
// raised lateness leaves as it was (E3). doubt.go and doubt_condition.go warn of what is right and surely not meant; schema.go describes
// files to editors.
//
// # Using it
//
//	set, err := campaign.Load(os.DirFS("."), "campaigns")
//	engine := campaign.NewEngine(set, 0)
//	ledger := &campaign.Ledger{}
//	var decoder campaign.Decoder
//	var event campaign.Event
//	if rejection := decoder.Decode(&record, &event); rejection != nil { ... }
//	for due := ledger.Due(); due != 0 && due <= record.Clock; due = ledger.Due() {
//		result := engine.Fire(ledger, event.User)
//		...
//	}
//	result := engine.Apply(ledger, &event, record.Clock)
//	for _, reward := range result.Rewards { ... }
package campaign
