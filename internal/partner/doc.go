// Package partner is how outcomes leave the house: de-identified, to partners (rule O1).
//
//   - partners.go: who they are, from a file. key.go: their keys, which make pseudonyms of users.
//   - outcome.go: the record on a partner's topic, as it is written and as it is read.
//   - topic.go looks at it. push.go delivers it by HTTP: batch.go are batches and their order, sign.go signs them, backoff.go is how long to wait.
//   - archive.go writes it to Parquet files; source.go is what these are of.
//   - report.go counts it by the users of users.go; suppress.go hides what is about few.
package partner
