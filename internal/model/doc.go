// Package model is the slow and obvious reading of the campaign language: what users do, what campaigns ask, and what comes of it. It keeps
// every record, asks at every record and at every instant at which something could close what all the evidence so far is worth, and tries
// everything where an engine is clever. Nothing is ever forgotten, and nothing is computed from what was computed before, but what was paid.
//
// It shares no code with pkg/campaign and must never import it: where the two agree, they agree because the rules say so. Its dates are
// days since 1970 and its zones fixed offsets; its conditions are a few, each written twice, as CEL and as Go.
//
//   - draw.go draws campaigns and records; a property test or a seed says how.
//   - campaign.go, goal.go: campaigns, and their YAML. record.go: records, and their CloudEvents. civil.go: dates and periods.
//   - worth.go: what evidence is worth. person.go: a user in a campaign. world.go: what is expected of all that users did.
package model
