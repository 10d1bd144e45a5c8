package partner_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stampede-rewards/stampede/internal/partner"
	"github.com/stampede-rewards/stampede/pkg/campaign"
)

// write makes files of a mode in a new directory, and returns it.
func write(t *testing.T, mode os.FileMode, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil { // whatever the umask is
			t.Fatal(err)
		}
	}
	return dir
}

const (
	oneKey   = "0123456789abcdef0123456789abcdef"
	otherKey = "0123456789abcdef0123456789abcdeF"
)

func TestPartnersAreReadWithTheirKeys(t *testing.T) {
	t.Setenv("OTHER_KEY", otherKey)
	dir := write(t, 0o640, map[string]string{
		"one.key": oneKey + "\n",
		"partners.yaml": `partners:
  acme-analytics:
    topic: for-acme
    keys:
      - {id: k2, env: OTHER_KEY}
      - {id: k1, file: one.key}
  city: {keys: [{id: k1, file: city.key}]}
`,
		"city.key": strings.Repeat("city", 8),
	})
	partners, err := partner.Load(filepath.Join(dir, "partners.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(partners.Names(), partners.Topics()); got != "[acme-analytics city] [for-acme outcomes.city]" {
		t.Errorf("read %s", got)
	}
	if got := fmt.Sprint(partner.Names(filepath.Join(dir, "partners.yaml"))); got != "[acme-analytics city] <nil>" {
		t.Errorf("the names are %s", got)
	}
	// printf ann | openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef
	const want = "07db5b4bba5fef53c763f1a9cb1ae82cfbf75937aff297f88e797bebf09bfd95"
	r := partners.Find("acme-analytics").Record(&campaign.Outcome{Campaign: &campaign.Campaign{ID: "c"}, User: "ann", Cycle: "1", Tier: "1"}, 3)
	o, err := partner.Read(r)
	if err != nil || o.KeyID != "k2" || len(o.Others) != 1 || o.Others[0].KeyID != "k1" || o.Others[0].Pseudonym != want {
		t.Errorf("%+v %v", o, err)
	}
}

func TestWrongPartnersAreRefusedWithWhatToDo(t *testing.T) {
	t.Setenv("ONE_KEY", oneKey)
	for _, c := range []struct{ name, file, want string }{
		{"no YAML", "partners: [", "Write for example"},
		{"an unknown key", "partners: {acme: {colour: red}}", "colour"},
		{"no key", "partners: {acme: {}}", "partner `acme` has no key: write for example"},
		{"a name that none can have", "partners: {Acme: {keys: [{id: k1, env: ONE_KEY}]}}", "`Acme` is no partner's name"},
		{"a short key", "partners: {acme: {keys: [{id: k1, file: short.key}]}}", "partner `acme`, key `k1`: the key has 5 bytes, at least 32 are needed"},
		{"a key for everybody", "partners: {acme: {keys: [{id: k1, file: open.key}]}}", "open.key (mode 0644): `chmod o= "},
		{"a missing file", "partners: {acme: {keys: [{id: k1, file: no.key}]}}", "no such file"},
		{"a missing variable", "partners: {acme: {keys: [{id: k1, env: NO_KEY}]}}", "the environment variable NO_KEY is not set"},
		{"neither", "partners: {acme: {keys: [{id: k1}]}}", "write either `file`, a path, or `env`"},
		{"no id", "partners: {acme: {keys: [{env: ONE_KEY}]}}", "is no key's id"},
		{"one key of two", "partners: {acme: {keys: [{id: k1, env: ONE_KEY}]}, city: {keys: [{id: k9, env: ONE_KEY}]}}", "partners `acme` and `city` have the same key: they could join their data"},
		{"one topic of two", "partners: {acme: {topic: t, keys: [{id: k1, env: ONE_KEY}]}, city: {topic: t, keys: [{id: k1, env: NO_KEY}]}}", "have one topic, t"},
		{"one id twice", "partners: {acme: {keys: [{id: k1, env: ONE_KEY}, {id: k1, file: good.key}]}}", "two keys of the id `k1`"},
		{"a key and the same with a zero", "partners: {acme: {keys: [{id: k1, env: ONE_KEY}]}, city: {keys: [{id: k1, file: padded.key}]}}", "partners `acme` and `city` have the same key"},
		{"a long key and its hash", "partners: {acme: {keys: [{id: k1, file: long.key}, {id: k2, file: hash.key}]}}", "keys `k1` and `k2` are the same"},
		{"the topic of another's dead letters", "partners: {acme: {topic: t, keys: [{id: k1, env: ONE_KEY}]}, city: {topic: t.dead-letters, keys: [{id: k1, file: good.key}]}}", "the topic of partner `city`, t.dead-letters, is that of what partner `acme` has refused"},
		{"one key twice", "partners: {acme: {keys: [{id: k1, env: ONE_KEY}, {id: k2, env: ONE_KEY}]}}", "keys `k1` and `k2` are the same"},
	} {
		long := strings.Repeat(oneKey, 3)
		hash := sha256.Sum256([]byte(long))
		dir := write(t, 0o600, map[string]string{
			"partners.yaml": c.file, "short.key": "short", "open.key": oneKey, "good.key": otherKey, "padded.key": oneKey + "\x00", "long.key": long, "hash.key": string(hash[:]),
		})
		if err := os.Chmod(filepath.Join(dir, "open.key"), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := partner.Load(filepath.Join(dir, "partners.yaml"))
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "partners.yaml") {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
