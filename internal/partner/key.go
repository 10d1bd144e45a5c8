package partner

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/stampede-rewards/stampede/pkg/campaign"
)

const (
	// minKeyBytes is how long a key must be: what is shorter than the hash could be guessed.
	minKeyBytes = 32
	// maxKeyBytes bounds a key's file.
	maxKeyBytes = 4 << 10
	// permOthers are the rights of everybody on a machine.
	permOthers = 0o007
)

// Key makes pseudonyms of users.
type Key struct {
	ID     string
	secret []byte
}

// NewKey returns a key of 32 bytes or more. Its id is public: records name it.
func NewKey(id string, secret []byte) (Key, error) {
	if !campaign.PartnerName(id) {
		return Key{}, fmt.Errorf("`%s` is no key's id: use a-z, 0-9 and -, for example k1", id)
	}
	if len(secret) < minKeyBytes {
		return Key{}, fmt.Errorf("the key has %d bytes, at least %d are needed: `openssl rand -hex 32` prints one", len(secret), minKeyBytes)
	}
	return Key{id, secret}, nil
}

// Pseudonym is what a partner knows a user by: HMAC-SHA-256 of the user's id, in hex (O1).
func (k Key) Pseudonym(user string) string {
	mac := hmac.New(sha256.New, k.secret)
	mac.Write([]byte(user))
	return hex.EncodeToString(mac.Sum(nil))
}

// same says whether two keys make equal pseudonyms, which keys of different bytes can: an HMAC fills a key up with zeros, and hashes a long one.
func (k Key) same(other Key) bool {
	return hmac.Equal([]byte(k.Pseudonym("")), []byte(other.Pseudonym("")))
}

// keySource says where a key is.
type keySource struct {
	ID   string `yaml:"id"`
	File string `yaml:"file"` // relative to the file of partners
	Env  string `yaml:"env"`
}

func (s keySource) read(dir string) (Key, error) {
	switch {
	case (s.File == "") == (s.Env == ""):
		return Key{}, errors.New("write either `file`, a path, or `env`, the name of an environment variable")
	case s.Env != "":
		value, ok := os.LookupEnv(s.Env)
		if !ok {
			return Key{}, fmt.Errorf("the environment variable %s is not set", s.Env)
		}
		return NewKey(s.ID, withoutLineBreak([]byte(value)))
	}
	path := s.File
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	secret, err := ReadSecret(path)
	if err != nil {
		return Key{}, err
	}
	return NewKey(s.ID, secret)
}

// ReadSecret reads a file that nobody but its owner and group may touch. A line break at its end, which editors add, is not of the secret.
func ReadSecret(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was read
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&permOthers != 0 {
		return nil, fmt.Errorf("everybody on this machine may read or change %s (mode %04o): `chmod o= %[1]s`, or `defaultMode: 0400` of a Kubernetes secret", path, mode)
	}
	secret, err := io.ReadAll(io.LimitReader(f, maxKeyBytes+1))
	if err != nil {
		return nil, err
	}
	if len(secret) > maxKeyBytes {
		return nil, fmt.Errorf("%s is larger than %d bytes: is it a key?", path, maxKeyBytes)
	}
	return withoutLineBreak(secret), nil
}

func withoutLineBreak(secret []byte) []byte {
	return []byte(strings.TrimSuffix(strings.TrimSuffix(string(secret), "\n"), "\r"))
}
