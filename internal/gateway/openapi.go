package gateway

import _ "embed"

// OpenAPI is the description of the HTTP interface, OpenAPI 3.1 in JSON. A test holds the handlers against it.
//
//go:embed openapi.json
var OpenAPI []byte
