package partner

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/stampede-rewards/stampede/pkg/campaign"
)

const (
	// maxFileBytes bounds the file of partners.
	maxFileBytes = 1 << 20
	// maxPartners bounds the partners: each has a topic.
	maxPartners = 100
	// maxKeys bounds the keys of a partner: the one in use, and those of an overlap.
	maxKeys = 4
	// TopicPrefix begins the name of a partner's topic, unless its configuration says another.
	TopicPrefix = "outcomes."
)

// Partner is one of those that outcomes are shared with.
type Partner struct {
	Name  string
	Topic string
	// Keys has the key whose pseudonyms are the keys of records, and behind it those of which a record names the pseudonyms, too: see Record.
	Keys []Key
}

// Partners are all of them. Nil is none. It is immutable.
type Partners struct{ byName map[string]*Partner }

// New returns partners, or what is wrong with them, all at once.
func New(partners ...*Partner) (*Partners, error) {
	p := &Partners{byName: map[string]*Partner{}}
	for _, one := range partners {
		p.byName[one.Name] = one
	}
	return p, p.check()
}

// document is the file of partners.
type document struct {
	Partners map[string]struct {
		Topic string      `yaml:"topic"`
		Keys  []keySource `yaml:"keys"`
	} `yaml:"partners"`
}

// Load reads a file of partners and their keys. The error says all that is wrong.
func Load(file string) (*Partners, error) {
	d, err := read(file)
	if err != nil {
		return nil, err
	}
	var all []*Partner
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(d.Partners)) {
		one := &Partner{Name: name, Topic: d.Partners[name].Topic}
		if one.Topic == "" {
			one.Topic = TopicPrefix + name
		}
		for _, source := range d.Partners[name].Keys {
			key, err := source.read(filepath.Dir(file))
			if err != nil {
				errs = append(errs, fmt.Errorf("partner `%s`, key `%s`: %w", name, source.ID, err))
				continue
			}
			one.Keys = append(one.Keys, key)
		}
		if len(d.Partners[name].Keys) == 0 {
			errs = append(errs, fmt.Errorf("partner `%s` has no key: write for example `keys: [{id: k1, file: %[1]s.key}]`", name))
		}
		all = append(all, one)
	}
	partners, err := New(all...)
	if err := errors.Join(append(errs, err)...); err != nil {
		return nil, fmt.Errorf("partners in %s: %w", file, err)
	}
	return partners, nil
}

// Names reads the names of the partners in a file, and no key: for who publishes, and may not see the keys.
func Names(file string) ([]string, error) {
	d, err := read(file)
	if err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(d.Partners)), nil
}

func read(file string) (*document, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read the partners: %w", err)
	}
	defer f.Close() //nolint:errcheck // it was read
	src, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read the partners: %w", err)
	}
	if len(src) > maxFileBytes {
		return nil, fmt.Errorf("partners in %s: the file is larger than %d bytes", file, maxFileBytes)
	}
	var d document
	if err := yaml.NewDecoder(bytes.NewReader(src), yaml.Strict()).Decode(&d); err != nil {
		return nil, fmt.Errorf("partners in %s: %w\nWrite for example\n    partners:\n      acme-analytics: {keys: [{id: k1, file: acme.key}]}", file, err)
	}
	return &d, nil
}

// check says what is wrong with partners, all at once.
func (p *Partners) check() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	topics, secrets := map[string]string{}, []ownedKey{}
	if len(p.byName) > maxPartners {
		wrong("there are %d partners, at most %d can be", len(p.byName), maxPartners)
	}
	for _, one := range p.sorted() {
		if !campaign.PartnerName(one.Name) {
			wrong("`%s` is no partner's name: use a-z, 0-9 and -, at most 63 of them, not beginning or ending with -", one.Name)
		}
		if other, taken := topics[one.Topic]; taken {
			wrong("partners `%s` and `%s` have one topic, %s: each must have its own, as each may read all of it", other, one.Name, one.Topic)
		}
		topics[one.Topic] = one.Name
		if len(one.Keys) > maxKeys {
			wrong("partner `%s` has %d keys, at most %d can be: take away those whose overlap is over", one.Name, len(one.Keys), maxKeys)
		}
		for _, key := range one.Keys {
			for _, other := range secrets {
				switch same := other.same(key); {
				case same && other.of == one.Name:
					wrong("partner `%s`: keys `%s` and `%s` are the same", one.Name, other.ID, key.ID)
				case same:
					wrong("partners `%s` and `%s` have the same key: they could join their data; give each its own (O1)", other.of, one.Name)
				case other.of == one.Name && other.ID == key.ID:
					wrong("partner `%s` has two keys of the id `%s`: a record names its key by it", one.Name, key.ID)
				}
			}
			secrets = append(secrets, ownedKey{key, one.Name})
		}
	}
	for _, one := range p.sorted() {
		if other, taken := topics[DeadLetters(one.Topic)]; taken {
			wrong("the topic of partner `%s`, %s, is that of what partner `%s` has refused: give it another name", other, DeadLetters(one.Topic), one.Name)
		}
	}
	return errors.Join(errs...)
}

type ownedKey struct {
	Key
	of string
}

func (p *Partners) sorted() []*Partner {
	if p == nil {
		return nil
	}
	all := make([]*Partner, 0, len(p.byName))
	for _, name := range slices.Sorted(maps.Keys(p.byName)) {
		all = append(all, p.byName[name])
	}
	return all
}

// Find returns the partner of a name, nil if there is none.
func (p *Partners) Find(name string) *Partner {
	if p == nil {
		return nil
	}
	return p.byName[name]
}

// Topics are the names of the partners' topics.
func (p *Partners) Topics() []string {
	var topics []string
	for _, one := range p.sorted() {
		topics = append(topics, one.Topic)
	}
	return topics
}

// Names are the partners' names.
func (p *Partners) Names() []string {
	var names []string
	for _, one := range p.sorted() {
		names = append(names, one.Name)
	}
	return names
}

// UnknownError means that campaigns are shared with partners that are not configured. Who went on would lose their outcomes.
type UnknownError struct{ Shares []Share }

// Share is a campaign's with a partner.
type Share struct{ Campaign, Partner string }

// Error says what to do.
func (e *UnknownError) Error() string {
	lines := make([]string, len(e.Shares))
	for i, s := range e.Shares {
		lines[i] = fmt.Sprintf("campaign `%s` is shared with partner `%s`", s.Campaign, s.Partner)
	}
	return strings.Join(lines, "; ") + ": no such partner is configured. Add it to the file of --partners, of every processor; or, before it is published, mend `share`"
}

// Unknown wants every partner of the campaigns that are not closed by a clock (Unix ms) to be among those that are known. The error is an
// UnknownError.
func Unknown(campaigns []*campaign.Campaign, clock int64, known []string) error {
	var shares []Share
	for _, c := range campaigns {
		for _, name := range c.Share {
			if !slices.Contains(known, name) && !c.ClosedAt(clock) {
				shares = append(shares, Share{c.ID, name})
			}
		}
	}
	if len(shares) > 0 {
		return &UnknownError{shares}
	}
	return nil
}
