// Package partner is how outcomes leave the house: de-identified, to partners (rule O1).
//
//   - partners.go: who they are, from a file. key.go: their keys, which make pseudonyms of users.
//   - outcome.go: the record on a partner's topic, as it is written and as it is read.
//   - push.go delivers by HTTP: batch.go are batches and their order, sign.go signs them.
//   - archive.go writes Parquet files, report.go counts users.go, suppress.go hides what is about few.
package partner
