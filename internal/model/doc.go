// Package model is the slow and obvious reading of the campaign language: what users do, what campaigns ask, and what comes of it. It keeps
// every record, asks at every record and at every instant at which something could close what all the evidence so far is worth, and tries
// everything where an engine is clever. Nothing is ever forgotten, and nothing is computed from what was computed before, but what was paid.
//
// It shares no code with pkg/campaign and must never import it: where the two agree, they agree because the rules say so. Its dates are
// days since 1970 and its zones fixed offsets; its conditions are a few, each written twice, as CEL and as Go.
//
//   - draw.go draws campaigns and records; a property test or a seed says how.
//   - campaign.go, goal.go: campaigns, and their YAML. record.go: records, and their CloudEvents. civil.go: dates and periods.
//   - worth.go: what evidence is worth. user.go, person.go: a user, and a user in a campaign. log.go: a partition as far as it was read.
//   - budget.go: claims of rewards, and budgets that grant or deny them.
//   - world.go: campaigns that are always in force, and what users do. read.go, publish.go: a log of Kafka, with its control records; draw_log.go
//     draws one. reward.go: rewards, as expected and as issued. What the model does not know of a log it says: UnknownError.
package model
