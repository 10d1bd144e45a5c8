package gateway

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/goccy/go-yaml"
	"golang.org/x/time/rate"
)

// keysLook is how often the file of keys is looked at for changes.
const keysLook = 2 * time.Second

// Key is somebody who may send events.
type Key struct {
	Name        string   `yaml:"name"`
	SHA256      string   `yaml:"sha256"`      // of the API key, in hex; or
	Certificate string   `yaml:"certificate"` // a name in the client's certificate: its common name or one of its DNS names
	Sources     []string `yaml:"sources"`     // what `source` may be; one that ends in * is a beginning; none allows every source
	Rate        float64  `yaml:"rate"`        // events a second; 0 is no limit
	Control     bool     `yaml:"control"`     // events of types that begin with `stampede.` are allowed

	limit *rate.Limiter
}

// anybody is who asks where there are no keys.
var anybody = &Key{Name: "anybody", Control: true}

// speaksFor says whether a key may send events of a source.
func (k *Key) speaksFor(source string) bool {
	if len(k.Sources) == 0 {
		return true
	}
	for _, s := range k.Sources {
		if beginning, ok := strings.CutSuffix(s, "*"); ok && strings.HasPrefix(source, beginning) || s == source {
			return true
		}
	}
	return false
}

// take uses up some of the key's rate, or says after how long there is enough.
func (k *Key) take(n int, now time.Time) (wait time.Duration) {
	if k.limit == nil {
		return 0
	}
	r := k.limit.ReserveN(now, n)
	wait = r.DelayFrom(now)
	if wait > 0 {
		r.CancelAt(now)
	}
	return wait
}

// Keys is the file of those who may send events. It is read again when it has changed.
type Keys struct {
	path  string
	burst int
	log   *slog.Logger
	table atomic.Pointer[keyTable]
	stale atomic.Bool // the file has changed and can't be read
}

// keyTable is the keys by what a client shows.
type keyTable struct {
	byHash        map[[sha256.Size]byte]*Key
	byCertificate map[string]*Key
	modified      time.Time
	size          int64
}

// OpenKeys reads a file of keys. burst is how many events a key may send at once: a batch as large as one may be.
func OpenKeys(path string, burst int, log *slog.Logger) (*Keys, error) {
	k := &Keys{path: path, burst: burst, log: log}
	table, err := k.read()
	if err != nil {
		return nil, err
	}
	k.table.Store(table)
	return k, nil
}

// read reads the file. All that is wrong is told at once.
func (k *Keys) read() (*keyTable, error) {
	info, err := os.Stat(k.path)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	text, err := os.ReadFile(k.path)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	var file struct {
		Keys []*Key `yaml:"keys"`
	}
	if err := yaml.UnmarshalWithOptions(text, &file, yaml.Strict()); err != nil {
		return nil, fmt.Errorf("keys: %s: %s", k.path, yaml.FormatError(err, false, true))
	}
	t := &keyTable{byHash: map[[sha256.Size]byte]*Key{}, byCertificate: map[string]*Key{}, modified: info.ModTime(), size: info.Size()}
	var errs []error
	names := map[string]bool{}
	for i, key := range file.Keys {
		if err := t.add(key, names); err != nil {
			errs = append(errs, fmt.Errorf("keys: %s: key %d: %w", k.path, i+1, err))
			continue
		}
		if key.Rate > 0 {
			key.limit = rate.NewLimiter(rate.Limit(key.Rate), max(k.burst, int(key.Rate)))
		}
	}
	if len(file.Keys) == 0 {
		errs = append(errs, fmt.Errorf("keys: %s has no `keys`: with none nobody could send anything", k.path))
	}
	return t, errors.Join(errs...)
}

func (t *keyTable) add(key *Key, names map[string]bool) error {
	switch {
	case key == nil || key.Name == "":
		return errors.New("`name` is missing: it is who the key is for, in logs and metrics")
	case names[key.Name]:
		return fmt.Errorf("`name` %q is there twice", key.Name)
	case (key.SHA256 == "") == (key.Certificate == ""):
		return fmt.Errorf("%q must have either `sha256` (`producer key` makes one) or `certificate`", key.Name)
	case key.Rate < 0:
		return fmt.Errorf("%q: `rate` is negative", key.Name)
	}
	names[key.Name] = true
	if key.Certificate != "" {
		if t.byCertificate[key.Certificate] != nil {
			return fmt.Errorf("%q: the certificate of %q is there twice", key.Name, key.Certificate)
		}
		t.byCertificate[key.Certificate] = key
		return nil
	}
	hash, err := hex.DecodeString(key.SHA256)
	if err != nil || len(hash) != sha256.Size {
		return fmt.Errorf("%q: `sha256` must be 64 hexadecimal digits, not the key itself", key.Name)
	}
	if t.byHash[[sha256.Size]byte(hash)] != nil {
		return fmt.Errorf("%q: another name has the same `sha256`", key.Name)
	}
	t.byHash[[sha256.Size]byte(hash)] = key
	return nil
}

// watch reads the file again whenever it has changed, until ctx ends. A file that can't be read changes nothing.
func (k *Keys) watch(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(keysLook):
		}
		before := k.table.Load()
		info, err := os.Stat(k.path)
		if err == nil && info.ModTime().Equal(before.modified) && info.Size() == before.size {
			k.stale.Store(false)
			continue
		}
		table, err := k.read()
		if err != nil {
			if !k.stale.Swap(true) {
				k.log.Error("the keys have changed and can't be read: those from before hold", "error", err)
			}
			continue
		}
		k.keepLimits(before, table)
		k.table.Store(table)
		k.stale.Store(false)
		k.log.Info("the keys were read again", "file", k.path, "keys", len(table.byHash)+len(table.byCertificate))
	}
}

// keepLimits lets a key whose rate is the same go on with what it has used up.
func (k *Keys) keepLimits(before, after *keyTable) {
	old := map[string]*Key{}
	for _, key := range before.byHash {
		old[key.Name] = key
	}
	for _, key := range before.byCertificate {
		old[key.Name] = key
	}
	keep := func(key *Key) {
		if was := old[key.Name]; was != nil && was.Rate == key.Rate {
			key.limit = was.limit
		}
	}
	for _, key := range after.byHash {
		keep(key)
	}
	for _, key := range after.byCertificate {
		keep(key)
	}
}

// who says whose request it is: by its client certificate, or by `Authorization: Bearer KEY`.
func (k *Keys) who(r *http.Request) (*Key, *Problem) {
	if k == nil {
		return anybody, nil
	}
	t := k.table.Load()
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		if key := t.ofCertificate(r.TLS.VerifiedChains[0][0]); key != nil {
			return key, nil
		}
	}
	scheme, secret, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return nil, unauthorized.problem("send `Authorization: Bearer KEY`, or a client certificate that the gateway knows")
	}
	// The hash is looked up, not compared byte by byte: how long that takes says nothing of the keys.
	key := t.byHash[sha256.Sum256([]byte(strings.TrimSpace(secret)))]
	if key == nil {
		return nil, unauthorized.problem("the key is not known here")
	}
	return key, nil
}

func (t *keyTable) ofCertificate(c *x509.Certificate) *Key {
	for _, name := range append([]string{c.Subject.CommonName}, c.DNSNames...) {
		if key := t.byCertificate[name]; key != nil && name != "" {
			return key
		}
	}
	return nil
}
