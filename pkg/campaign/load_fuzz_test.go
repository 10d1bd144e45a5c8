package campaign

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

const (
	// maxLoadBase and maxLoadPerByte bound what a directory may allocate while it is read: 1.5 MB are for conditions, however short. A dish that
	// is doubted is read once for each value at an end of what a sponsor can choose.
	maxLoadBase    = 4 << 20
	maxLoadPerByte = 2000
	maxDoubted     = 100
	// loadPatience is when a directory of a few pages is said to hang.
	loadPatience = 20 * time.Second
	// maxSeedBytes is the largest file that fuzzing begins with: larger ones are what TestNoFileCostsMuchMoreThanItsSize is for.
	maxSeedBytes = 4 << 10
	// seedEvery is how many golden mistakes there are for each that fuzzing begins with.
	seedEvery = 8
)

// FuzzLoad reads directories of a campaign, a dish, a sponsor's file and scenarios; an empty one is no file.
func FuzzLoad(f *testing.F) {
	seedLoad(f)
	f.Fuzz(func(t *testing.T, campaign, dish, sponsor, scenarios []byte) {
		hangs := time.AfterFunc(loadPatience, func() { panic("the directory is still being read") })
		defer hangs.Stop()
		files := fstest.MapFS{}
		for name, data := range map[string][]byte{"c.yaml": campaign, "d.yml": dish, "s.yaml": sponsor, "c.test.yaml": scenarios} {
			if len(data) > 0 {
				files[name] = &fstest.MapFile{Data: data}
			}
		}
		set := loadsWell(t, files)
		tests, wrong := ParseScenarios("c.test.yaml", scenarios)
		if haveTheirPlaces(t, fstest.MapFS{"c.test.yaml": {Data: scenarios}}, wrong); set == nil {
			return
		}
		for i := range tests {
			tests[i].Run(set)
		}
	})
}

// TestGoldenMistakesHaveTheirPlaces does so with all that an author can do wrong: too many directories to begin a few seconds of fuzzing with.
func TestGoldenMistakesHaveTheirPlaces(t *testing.T) {
	for _, c := range allGoldenCases(t) {
		t.Run(c.name, func(t *testing.T) { loadsWell(t, c.files) })
	}
}

// loadsWell reads a directory. Whatever it says: nothing panics or takes more memory than the files are worth, every mistake has a place in a
// file, and what has none can be put in force.
func loadsWell(t *testing.T, files fstest.MapFS) *Set {
	t.Helper()
	most := maxLoadBase
	for _, file := range files {
		most += maxLoadPerByte * len(file.Data)
		if bytes.Contains(file.Data, []byte("parameters")) {
			most += maxDoubted * maxLoadPerByte * len(file.Data)
		}
	}
	var set *Set
	var warnings Mistakes
	var err error
	if n := allocated(func() { set, warnings, err = Check(files, ".") }); n > uint64(most) { //nolint:gosec // above 0
		t.Errorf("%d bytes are allocated, not %d at most", n, most)
	}
	haveTheirPlaces(t, files, warnings)
	var mistakes Mistakes
	switch {
	case err == nil:
		for _, c := range set.Campaigns() {
			travels(t, c)
		}
	case errors.As(err, &mistakes) && len(mistakes) > 0:
		haveTheirPlaces(t, files, mistakes)
	case !errors.Is(err, ErrNoCampaign): // as where all are dishes
		t.Errorf("no mistake: %v", err)
	}
	return set
}

func allGoldenCases(t testing.TB) (cases []*goldenCase) {
	t.Helper()
	archives, err := filepath.Glob("testdata/mistakes/*.txtar")
	if err != nil || len(archives) == 0 {
		t.Fatal(archives, err)
	}
	for _, name := range archives {
		archive, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		cases = append(cases, goldenCases(t, archive, name)...)
	}
	return cases
}

// seedLoad adds the examples, what is nasty, and some of the golden mistakes.
func seedLoad(f *testing.F) {
	for _, pattern := range []string{"../../deploy/campaigns/*.test.yaml", "../../deploy/campaigns/healthy-habits/*.yaml"} {
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) == 0 {
			f.Fatal(pattern, err)
		}
		read := func(name string) []byte {
			src, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			return src
		}
		for _, name := range names {
			dir := filepath.Dir(name)
			switch tested, isTest := strings.CutSuffix(name, ".test.yaml"); {
			case filepath.Base(dir) == "campaigns":
				f.Add(read(tested+".yaml"), []byte{}, []byte{}, read(name))
			case !isTest && openFile(name, read(name)).kind == dishFile:
				order := fmt.Appendf(nil, "sponsor: acme\nversion: 1\ncovers: user.employer == \"acme\"\ncampaigns: [{use: %s}]\n", strings.TrimSuffix(filepath.Base(name), ".yaml"))
				f.Add([]byte{}, read(name), order, read(dir+"/healthy-habits.test.yaml"))
			}
		}
	}
	for _, dish := range nastyDishes() {
		f.Add([]byte{}, []byte(dish), []byte("sponsor: acme\nversion: 1\ncovers: user.x == 1\ncampaigns: [{use: d, set: {n: 40000}}, {use: e}]\n"), []byte{})
	}
	for i, c := range allGoldenCases(f) {
		if i%seedEvery != 0 {
			continue
		}
		var seed [3][]byte // of campaign, dish and sponsor
		for _, file := range slices.Sorted(maps.Keys(c.files)) {
			src := c.files[file].Data
			kind := int(openFile(file, src).kind)
			if seed[kind] != nil {
				kind = (kind + 1) % len(seed)
			}
			if len(src) <= maxSeedBytes {
				seed[kind] = src
			}
		}
		f.Add(seed[0], seed[1], seed[2], []byte{})
	}
}

// nastyDishes quote a lot, or what can't be printed, where they are refused.
func nastyDishes() (dishes []string) {
	long, many := strings.Repeat("9", 3*maxMessage), strings.Repeat("word, ", maxMessage)
	for _, c := range []struct{ id, parameters, title string }{
		{"d", `"n\u0001\n": {type: whole, default: 3}`, "${m}"},
		{"d", `"` + long + `": {type: whole, default: 3}`, "${m}"},
		{`"d\u0001\n"`, `n: {type: whole, default: 3}`, "${n}"},
		{"d", `n: {type: decimal, default: 3, max: ` + long + `}`, "${n}"},
		{"d", `n: {type: decimal, default: 3, min: -` + long + `, max: ` + long + `}`, "${n}"},
		{"d", `n: {type: text, default: word, one_of: [` + many + `x]}`, "${n}"},
		{"d", `n: {type: text, default: words, one_of: [` + many + `x]}`, "${n}"},
		{"d", `n: {type: money, default: ` + long + `.00 USD}`, "${n}"},
		{"d", `n: {type: decimal, default: 1p1000000}`, "${n}"},
	} {
		dishes = append(dishes, fmt.Sprintf("campaign: %s\nversion: 1\nstarts: 2026-01-01\nparameters: {%s}\ntitle: %q\ngoal: {event: hit}\nreward: {kind: points}\n", c.id, c.parameters, c.title))
	}
	return dishes
}

// haveTheirPlaces wants every mistake to be in one of the files, at one of its letters or behind the last of a line, and to be a line of text.
func haveTheirPlaces(t *testing.T, files fstest.MapFS, mistakes Mistakes) {
	t.Helper()
	for _, m := range mistakes {
		file := files[m.File]
		if file == nil {
			t.Errorf("there is no such file: %q", m.Error())
			continue
		}
		lines := strings.Split(strings.TrimPrefix(string(file.Data), byteOrderMark), "\n")
		if m.Line < 1 || m.Line > len(lines) || m.Column < 1 || m.Column > utf8.RuneCountInString(lines[m.Line-1])+1 {
			t.Errorf("there is no such place: %q", m.Error())
		}
		if m.Message == "" || len(m.Message) > maxMessage+len("...") || !utf8.ValidString(m.Message) || strings.ContainsFunc(m.Message, unicode.IsControl) {
			t.Errorf("that is no line to print: %q", m.Error())
		}
	}
}

// travels puts a campaign's definition through the log: the same campaign must come out.
func travels(t *testing.T, c *Campaign) {
	t.Helper()
	var d document
	if err := d.parse(c.Definition().Append(nil)); err != nil {
		t.Fatal(err)
	}
	read, err := readDefinition(d.root())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(c.Definition(), read); diff != "" {
		t.Errorf("the definition is another one when it comes out of the log: %s", diff)
	}
	again, err := read.compile("c.yaml")
	if err != nil {
		t.Fatalf("%q does not compile: %v", c.Definition().Source, err)
	}
	if again.ID != c.ID || again.Version != c.Version || again.Sponsor != c.Sponsor || again.Title != c.Title || again.Starts != c.Starts || again.Ends != c.Ends ||
		again.counts() != c.counts() || (again.eligible == nil) != (c.eligible == nil) {
		t.Errorf("the campaign is another one when it comes out of the log: %q", c.Definition().Source)
	}
}
