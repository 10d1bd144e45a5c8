package partner

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The headers of a delivery, by Standard Webhooks (standardwebhooks.com).
const (
	headerID        = "webhook-id"
	headerTimestamp = "webhook-timestamp"
	headerSignature = "webhook-signature"
)

const (
	secretPrefix   = "whsec_"
	minSecretBytes = 24
	maxSecretBytes = 64
)

// Secret signs deliveries, so that the partner knows whom they are from. It is no key of pseudonyms: the partner has it, too.
type Secret []byte

// ParseSecrets reads secrets as Standard Webhooks writes them, one a line. With several, deliveries have a signature of each: so one can be rotated.
func ParseSecrets(text string) ([]Secret, error) {
	var secrets []Secret
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		encoded, ok := strings.CutPrefix(line, secretPrefix)
		secret, err := base64.StdEncoding.DecodeString(encoded)
		if !ok || err != nil {
			return nil, fmt.Errorf("secret %d is not written as `%s` and base64: `echo %[2]s$(openssl rand -base64 32)` prints one", len(secrets)+1, secretPrefix)
		}
		if len(secret) < minSecretBytes || len(secret) > maxSecretBytes {
			return nil, fmt.Errorf("secret %d has %d bytes: from %d to %d are allowed", len(secrets)+1, len(secret), minSecretBytes, maxSecretBytes)
		}
		secrets = append(secrets, secret)
	}
	if len(secrets) == 0 {
		return nil, errors.New("there is no secret to sign deliveries with")
	}
	return secrets, nil
}

// signatures is the signature header of a delivery.
func signatures(secrets []Secret, id string, at time.Time, body []byte) string {
	all := make([]string, len(secrets))
	for i, secret := range secrets {
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(id + "." + strconv.FormatInt(at.Unix(), 10) + "."))
		mac.Write(body)
		all[i] = "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	return strings.Join(all, " ")
}
