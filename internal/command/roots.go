package command

// Where the machine has no certificates of public authorities, as in an image of nothing but the programs, those of Mozilla that were current at
// the build are taken: a Kafka with a public certificate and a webhook by https can be reached. What the machine has comes first.
import _ "golang.org/x/crypto/x509roots/fallback"
