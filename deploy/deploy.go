// Package deploy holds what is deployed. Programs that show themselves have the example campaigns with them, and the schemas of records.
package deploy

import "embed"

// Examples is the example campaigns, under "campaigns".
//
//go:embed campaigns
var Examples embed.FS

// Records is the JSON Schemas of records, schema/records/NAME.schema.json; asyncapi.yaml says in which topics they are. Tests hold them against records.
//
//go:embed schema/records
var Records embed.FS
