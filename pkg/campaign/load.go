package campaign

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// Set is the campaigns in force, with an index from event type to the campaigns that it can concern. It is immutable.
type Set struct {
	campaigns []*Campaign // by id
	byType    map[string][]*Campaign
	byKey     map[uint64]*Campaign
	watching  []*Campaign   // those with a `none`, by id
	watched   int64         // the clock (Unix ms) at which the last of them is closed
	revised   []*Campaign   // those that are not in their first version, by id
	lateness  time.Duration // the largest of any campaign: how long events are remembered (E3)
	raises    raises        // of lateness
	homes     []int32       // the partitions of events that decide claims, of budgets that no campaign names any more, too
}

// ErrNoCampaign means that a directory has no campaign that could be in force.
var ErrNoCampaign = errors.New("no campaign")

// ErrOnlyDishes means that all of a directory's campaigns have parameters and nobody orders one. It is an ErrNoCampaign.
var ErrOnlyDishes = fmt.Errorf("%w in force", ErrNoCampaign)

// maxCampaigns bounds a directory of campaigns: its files, and what is in force by them.
const maxCampaigns = 10_000

// Load reads every campaign file (.yaml, .yml) of a directory, and leaves scenarios (.test.yaml) alone. All mistakes of all files are returned at once, as Mistakes.
func Load(fsys fs.FS, dir string) (*Set, error) {
	set, _, err := Check(fsys, dir)
	return set, err
}

// Check does so and returns warnings, too: what is right and surely not meant (L4), also where other files have mistakes.
func Check(fsys fs.FS, dir string) (set *Set, warnings Mistakes, err error) {
	l, err := read(fsys, dir)
	if err != nil {
		return nil, nil, err
	}
	if len(l.mistakes) > 0 {
		return nil, l.allWarnings(), l.mistakes
	}
	switch {
	case len(l.campaigns) > 0:
	case len(l.menu) > 0:
		return nil, l.allWarnings(), fmt.Errorf("%w: all have `parameters`, and are in force where a sponsor's file orders them", ErrOnlyDishes)
	default:
		return nil, l.allWarnings(), fmt.Errorf("%w: a campaign is a file that ends in .yaml, and one with `parameters` is in force where a sponsor's file orders it", ErrNoCampaign)
	}
	set, err = NewSet(l.campaigns)
	return set, l.allWarnings(), err
}

// read reads every file of a directory.
func read(fsys fs.FS, dir string) (*loading, error) {
	entries, err := fs.ReadDir(fsys, dir)
	if err != nil {
		return nil, fmt.Errorf("read campaigns in %s: %w", dir, err)
	}
	l := &loading{files: map[string]string{}, menu: map[string]*dish{}}
	type order struct {
		name string
		src  []byte
	}
	var orders []order
	entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return e.IsDir() || ScenarioFile(e.Name()) || !File(e.Name()) })
	if len(entries) > maxCampaigns {
		return nil, fmt.Errorf("read campaigns in %s: there are %d campaign files, at most %d are read: delete those of what has ended", dir, len(entries), maxCampaigns)
	}
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		src, err := ReadFile(fsys, name)
		if err != nil {
			return nil, fmt.Errorf("read campaign %s: %w", name, err)
		}
		switch f := openFile(name, src); f.kind {
		case orderFile:
			orders = append(orders, order{name, src}) // the menu must be known first
		case dishFile:
			d, wrong := f.dish()
			l.mistakes = append(l.mistakes, wrong...)
			if l.claimIn(f, d.id) {
				l.menu[d.id] = d
				l.warnings = append(l.warnings, d.warnings...)
			}
		case campaignFile:
			l.made++
			c, wrong := parsed(f.r, f.root, src)
			l.mistakes = append(l.mistakes, wrong...)
			if c != nil && l.claimIn(f, c.ID) {
				l.campaigns = append(l.campaigns, c)
			}
		}
	}
	for _, o := range orders {
		l.parseOrder(o.name, o.src)
	}
	return l, nil
}

// File reports whether a file's name says that Load or ParseScenarios reads it: it ends in .yaml or .yml.
func File(name string) bool { return path.Ext(name) == ".yaml" || path.Ext(name) == ".yml" }

// loading is a directory that is being read.
type loading struct {
	campaigns []*Campaign
	mistakes  Mistakes
	warnings  Mistakes          // of the menu and the sponsors' files
	files     map[string]string // id to file, of campaigns and dishes
	menu      map[string]*dish  // by id
	made      int               // how many campaigns were made, of files and orders, those with mistakes included
}

// allWarnings are those of the campaigns, too, in the files' order.
func (l *loading) allWarnings() Mistakes {
	all := slices.Clone(l.warnings)
	for _, c := range l.campaigns {
		all = append(all, c.warnings...)
	}
	all.sort()
	slices.SortStableFunc(all, func(a, b Mistake) int { return strings.Compare(a.File, b.File) })
	return all
}

// claim notes that a campaign's id is taken, or that it was taken before.
func (l *loading) claim(r *reader, id string, line, column int) bool {
	if other, taken := l.files[id]; taken {
		r.add(line, column, "campaign `%s` is in %s already: an id belongs to one campaign", id, other)
		return false
	}
	l.files[id] = r.file
	return true
}

// claimIn does so for the campaign of a file.
func (l *loading) claimIn(f *file, id string) bool {
	if id == "" {
		return false // its mistakes have been told
	}
	r := &reader{file: f.name}
	ok := l.claim(r, id, f.line, f.column)
	l.mistakes = append(l.mistakes, r.mistakes...)
	return ok
}

// file is a file of a directory of campaigns whose document was read.
type file struct {
	name string
	src  []byte
	r    *reader
	root ast.Node // of a dish, without references; nil where there is nothing to read, and r has the mistakes

	kind         fileKind
	line, column int // of the key `campaign`
}

type fileKind int

const (
	campaignFile fileKind = iota
	dishFile              // a campaign with parameters
	orderFile             // a sponsor's
)

// openFile reads a file's document, and says by the keys at its top what it is. The text would not do: a file may stand in braces or be
// indented.
func openFile(name string, src []byte) *file {
	blank := openText(name, src, withoutReferences(src)) // with them, a dish in braces would be no YAML
	if blank.kind != campaignFile || !reference.Match(src) {
		return blank
	}
	written := openText(name, src, src) // in a campaign without parameters nothing is a reference
	if blank.root == nil && written.root == nil {
		return blank // its mistakes are no reference's
	}
	return written
}

func openText(name string, src, text []byte) *file {
	f := &file{name: name, src: src, r: &reader{file: name}}
	f.root = f.r.document(text)
	keys := map[string]ast.Node{}
	for _, pair := range pairsOf(f.root) {
		if key := keyOf(pair); keys[key] == nil {
			keys[key] = pair.Key
		}
	}
	id := keys["campaign"]
	switch {
	case id == nil && keys["campaigns"] != nil:
		f.kind = orderFile
	case keys["parameters"] != nil:
		f.kind = dishFile
	}
	if id != nil {
		f.line, f.column = place(id)
	}
	return f
}

// ReadFile reads a file of campaigns or scenarios, or as much of it as shows that it is too large.
func ReadFile(fsys fs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	return readOpen(f)
}

// readOpen does so, and closes the file.
func readOpen(f fs.File) ([]byte, error) {
	defer f.Close() //nolint:errcheck // it was read
	src, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	return bytes.TrimPrefix(src, []byte(byteOrderMark)), err
}

// NewSet puts campaigns in force.
func NewSet(campaigns []*Campaign) (*Set, error) {
	s := &Set{campaigns: slices.Clone(campaigns), byType: map[string][]*Campaign{}, byKey: map[uint64]*Campaign{}}
	budgets := NewBudgets()
	slices.SortFunc(s.campaigns, func(a, b *Campaign) int { return strings.Compare(a.ID, b.ID) })
	for _, c := range s.campaigns {
		if other := s.byKey[c.key]; other != nil {
			return nil, errSameKey(other, c)
		}
		s.byKey[c.key] = c
		s.lateness = max(s.lateness, c.Late)
		if c.goal.watches {
			s.watching = append(s.watching, c)
			s.watched = max(s.watched, c.closes(noUnit, 0))
		}
		if c.revision > 0 {
			s.revised = append(s.revised, c)
		}
		if c.Budget != nil {
			budgets.tell(*c.Budget)
		}
		var types []string
		for _, l := range c.goal.leaves {
			for _, f := range l.filters {
				types = append(types, f.types...)
			}
		}
		slices.Sort(types)
		for _, t := range slices.Compact(types) {
			s.byType[t] = append(s.byType[t], c)
		}
	}
	s.homes = budgets.homes()
	if len(s.campaigns) == 0 {
		s.lateness = defaultLateness
	}
	return s, nil
}

// watchesAt says whether a campaign with a `none` is not closed by a clock (Unix ms): then it matters who is known.
func (s *Set) watchesAt(clock int64) bool { return clock < s.watched }

// firstOpenDay is the first date on which anything can count in a campaign that is not closed by a clock (Unix ms), in any place, and the clock
// at which the next campaign closes.
func (s *Set) firstOpenDay(clock int64) (first Day, until int64) {
	first, until = Day(math.MaxInt32), never
	for _, c := range s.campaigns {
		if closes := c.closes(noUnit, 0); closes > clock {
			first, until = min(first, c.earliestDay(c.Starts)), min(until, closes)
		}
	}
	return first, until
}

func errSameKey(a, b *Campaign) error {
	return fmt.Errorf("campaigns `%s` and `%s` can't be in force together: ledgers could not tell them apart; give one another id", a.ID, b.ID)
}

// Campaigns returns the campaigns in force, by id.
func (s *Set) Campaigns() []*Campaign { return slices.Clone(s.campaigns) }

// latenessAt is the largest lateness for an event by its time (Unix ms): one that happened before a publish raised it is judged by what
// it was, because a duplicate of it may have been forgotten by then (E3).
func (s *Set) latenessAt(at int64) time.Duration { return s.raises.bound(at, s.lateness) }

// Lateness returns the largest lateness of the campaigns in force.
func (s *Set) Lateness() time.Duration { return s.lateness }
