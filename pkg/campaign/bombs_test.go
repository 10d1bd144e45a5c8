package campaign

import (
	"strings"
	"testing"
)

// Files as large as may be read, made to cost as much as they can: none costs more than a small multiple of its size. Allocations tell it
// without a clock.
func TestNoFileCostsMuchMoreThanItsSize(t *testing.T) {
	const top = "campaign: c\nversion: 1\nstarts: 2026-01-01\nreward: {kind: points}\n"
	const menu = "campaign: c\nversion: 1\nstarts: 2026-01-01\nreward: {kind: points}\ngoal: {event: a}\nparameters:\n  a: {type: text, default: x}\n"
	most := func(before, part, after string) string {
		return before + strings.Repeat(part, (maxFileBytes-len(before)-len(after)-1)/len(part)) + after
	}
	for name, src := range map[string]string{
		"wrong conditions on one line":       most(top+"goal: {all: [", "{event: a, where: event.x == 1}, ", "{event: b}]}\n"),
		"wrong conditions in too many steps": most(top+"goal: {sequence: [", "{of: a, where: event.x == 1}, ", "{of: b}]}\n"),
		"one mistake at the end of a line":   most(top+"goal: {event: [", "aa, ", "b], where: event.x == 1}\n"),
		"types of nothing":                   most(top+"goal: {event: [", "{}, ", "b]}\n"),
		"keys":                               most("{", "a: 1, ", "b: 1}\n"),
		"tiers":                              most(top+"goal: {of: a, count: [", "1, ", "2]}\n"),
		"references":                         most(menu+"title: ", "${a}", "\n"),
		"references to nothing":              most(menu+"title: ", "${b}", "\n"),
		"lists in a reward":                  most("campaign: c\nversion: 1\nstarts: 2026-01-01\ngoal: {event: a}\nreward: {kind: points, x: [", "[], ", "1]}\n"),
	} {
		const perByte = 1000
		n := allocated(func() {
			if f := openFile("c.yaml", []byte(src)); f.kind == dishFile {
				f.dish()
			} else {
				parsed(f.r, f.root, f.src)
			}
		})
		t.Logf("%s: %d bytes for each", name, n/uint64(len(src)))
		if n > perByte*uint64(len(src)) {
			t.Errorf("%s: %d bytes are allocated for a file of %d", name, n, len(src))
		}
	}
}
