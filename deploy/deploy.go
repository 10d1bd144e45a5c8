// Package deploy holds what is deployed. Programs that show themselves have the example campaigns with them.
package deploy

import "embed"

// Examples is the example campaigns, under "campaigns".
//
//go:embed campaigns
var Examples embed.FS
