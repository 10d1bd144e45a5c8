package campaign

import (
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// TestTheCaretStandsBelowThePlace wants a line to be shown harmlessly, and the caret where a terminal shows the place.
func TestTheCaretStandsBelowThePlace(t *testing.T) {
	for _, test := range []struct {
		name, line string
		column     int
		want       []string // the line and the caret below it
	}{
		{"letters", "title: x", 8, []string{"title: x", "       ^"}},
		{"behind the end", "title:", 7, []string{"title:", "      ^"}},
		{"a tab is as wide as a tab", "a:\tx", 4, []string{"a:\tx", "  \t^"}},
		{"wide letters are two cells", "title: 健康な月, x", 14, []string{"title: 健康な月, x", "                 ^"}},
		{"so are emoji", "title: 🏃🏃, x", 12, []string{"title: 🏃🏃, x", "             ^"}},
		{"and full width", "ｔ: x", 4, []string{"ｔ: x", "    ^"}},
		{"a letter with an accent of its own is one", "e\u0301: x", 5, []string{"e\u0301: x", "   ^"}},
		{"what would move the cursor is seen", "a\x1b[2J\x00\u009b\u202e: x", 11, []string{"a?[2J???: x", "          ^"}},
		{"of a long line the beginning", strings.Repeat("a", 200), 3, []string{strings.Repeat("a", maxExcerptLetters) + "...", "  ^"}},
		{
			"of a long line what is around the place", strings.Repeat("a", 200) + "X" + strings.Repeat("b", 200), 201,
			[]string{"..." + strings.Repeat("a", 60) + "X" + strings.Repeat("b", 59) + "...", strings.Repeat(" ", 63) + "^"},
		},
		{
			"of a long line the end", strings.Repeat("月", 200), 201,
			[]string{"..." + strings.Repeat("月", 60), strings.Repeat(" ", 123) + "^"},
		},
		{"a line that ends with both", "a: x\r", 4, []string{"a: x", "   ^"}},
		{"nothing is there", "  ", 1, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			files := fstest.MapFS{"c.yaml": {Data: []byte("first: line\n" + test.line + "\nlast: line\n")}}
			want := fmt.Sprintf("c.yaml:2:%d: wrong\n", test.column)
			for _, line := range test.want {
				want += "    " + line + "\n"
			}
			if diff := cmp.Diff(want, listing(t, Mistakes{{"c.yaml", 2, test.column, "wrong"}}, "", files.Open)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func listing(t *testing.T, ms Mistakes, severity string, open func(string) (fs.File, error)) string {
	t.Helper()
	var b strings.Builder
	if err := ms.List(&b, severity, open); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestAListIsBounded wants a file to be read once, however many mistakes it has, and the first of them to be told.
func TestAListIsBounded(t *testing.T) {
	var ms Mistakes
	for column := range 3 * maxListed {
		ms = append(ms, Mistake{"b.yaml", 1, column + 1, "wrong"}, Mistake{"a.yaml", 1, column + 1, "wrong"})
	}
	ms = append(ms, Mistake{"gone\x1b.yaml", 1, 1, "not there"})
	files := fstest.MapFS{"a.yaml": {Data: []byte(strings.Repeat("x", 64<<10))}, "b.yaml": {Data: []byte("b")}}
	opened := map[string]int{}
	got := listing(t, ms, "warning: ", func(name string) (fs.File, error) {
		opened[name]++
		return files.Open(name)
	})
	if diff := cmp.Diff(map[string]int{"a.yaml": 1, "b.yaml": 1, "gone\x1b.yaml": 1}, opened); diff != "" {
		t.Errorf("how often files were opened (-want +got):\n%s", diff)
	}
	for _, want := range []string{
		"a.yaml:1:50: warning: wrong\n    xxx", "b.yaml: warning: 100 more of them, which are not shown: mend these first\n",
		"gone?.yaml:1:1: warning: not there\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing", want)
		}
	}
	if strings.Contains(got, "a.yaml:1:51:") || len(got) > 20_000 {
		t.Errorf("%d bytes were written:\n%s", len(got), got)
	}
}

// TestAListReadsNoMoreThanTheLoader wants a file that is too large to be shown by its beginning.
func TestAListReadsNoMoreThanTheLoader(t *testing.T) {
	large := fstest.MapFS{"c.yaml": {Data: []byte("campaign: c\n" + strings.Repeat("a", 50<<20))}}
	_, _, err := Check(large, ".")
	ms, _ := err.(Mistakes) //nolint:errorlint // Check does not wrap them
	var got string
	n := allocated(func() { got = listing(t, ms, "", large.Open) })
	if want := "c.yaml:1:1: the file is larger than 256 KiB: write one campaign a file\n    campaign: c\n    ^\n"; got != want {
		t.Errorf("it says %q, not %q", got, want)
	}
	if n > 2<<20 {
		t.Errorf("%d bytes were allocated", n)
	}
}
