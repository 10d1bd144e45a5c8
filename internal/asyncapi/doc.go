// Package asyncapi reads deploy/asyncapi.yaml, the description of the topics, and holds records against it. It is for tests: what Stampede writes must be as
// described, and what is described must have been written.
//
// Read takes the document apart more strictly than AsyncAPI's own schema does: a key that this package does not know is an error, and so is every reference
// that leads nowhere. So what it reads is in the form of AsyncAPI 3.0, as far as the document uses it (document.go).
//
// A channel's messages are tried one after the other on a record: key, headers and value each have a schema (message.go). A schema is read twice, as JSON Schema
// 2020-12 and as draft 7, which is what AsyncAPI's tools read, and both must say the same; it has keywords of which that can be expected, and no others
// (schema.go). Formats are checked.
//
// Coverage is the other direction: which properties, words and messages no record has had (coverage.go).
package asyncapi
