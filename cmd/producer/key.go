package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"os"

	"golang.org/x/term"
)

// key makes an API key. The gateway keeps only its hash: a key is random and long, so that a quick hash is enough.
type key struct {
	Name string `arg:"" help:"Who the key is for: it stands in logs and metrics."`
}

const keyBytes = 32

// Run is called by main.
func (k *key) Run() error {
	var random [keyBytes]byte
	if _, err := rand.Read(random[:]); err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	secret := base64.RawURLEncoding.EncodeToString(random[:])
	if term.IsTerminal(int(os.Stderr.Fd())) { //nolint:gosec // a descriptor is an int
		fmt.Fprintln(os.Stderr, "For the client, and shown only now:")
	}
	fmt.Fprintln(os.Stderr, secret)
	fmt.Printf("  - name: %s\n    sha256: %x\n", k.Name, sha256.Sum256([]byte(secret)))
	return nil
}
