package campaign

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// window is `within` (G4): any stretch of so many civil days, or of an exact length of time. The zero window is none.
type window struct {
	days  int           // first to last event span less than so many civil days
	exact time.Duration // or at most this
}

// maxWindow bounds a window: a window keeps its events.
const maxWindow = 400

func (w *window) is() bool { return w.days > 0 || w.exact > 0 }

func (w *window) field() field {
	return field{"within", "any 30 days (civil days) or 72h (exact time)", false, w.read}
}

func (w *window) read(r *reader, n ast.Node) {
	if r.note(anyText) {
		return
	}
	s, _ := scalar(n)
	if number, unit, ok := strings.Cut(s, " "); ok && (unit == "days" || unit == "day") {
		if days, err := strconv.Atoi(number); err == nil && days >= 1 && days <= maxWindow {
			w.days = days
			return
		}
	} else if d, err := time.ParseDuration(s); err == nil && d > 0 && d <= maxWindow*24*time.Hour {
		w.exact = d
		return
	}
	r.wrong(n, "write a number of civil days such as 30 days, or an exact time such as 72h, at most %d days; not %s", maxWindow, describe(n))
}

func (w *window) check(r *reader, n ast.Node, per unit, numbers int) {
	if !w.is() {
		return
	}
	if per != noUnit {
		r.wrong(n, "a goal has `per` or `within`, not both: `per` is each civil period by itself, `within` any window")
	}
	if numbers > 1 {
		r.wrong(n, "tiers can't be counted `within` a window: write one number, or take `within` out")
	}
}

// mark is one event that a goal has to keep.
type mark struct {
	at     int64 // Unix ns
	day    Day
	id     string
	amount int64  // of a sum
	value  string // of a distinct
	steps  uint64 // of a sequence: a bit for each step that it matches
}

// order is the order in which windows go through the evidence: of civil date for days, of time otherwise; ties by time, then id.
func (w *window) order(a, b mark) int {
	if w.days > 0 {
		if by := cmp.Compare(a.day, b.day); by != 0 {
			return by
		}
	}
	return inTime(a, b)
}

func inTime(a, b mark) int {
	if by := cmp.Compare(a.at, b.at); by != 0 {
		return by
	}
	return strings.Compare(a.id, b.id)
}

func (w *window) add(c *cell, m mark, in *Ledgers) {
	m.id, m.value = in.keep(m.id), in.keep(m.value)
	i, _ := slices.BinarySearchFunc(c.marks, m, w.order)
	c.marks = slices.Insert(withRoom(in.slabs().marks, c.marks), i, m)
}

// tally is what a window holds at the moment.
type tally interface {
	add(m mark)
	drop(m mark)
	enough() bool
}

// most is the largest number of windows that do not overlap, each of them enough: the one that ends first, then the one that ends first
// behind it, and so on. Those that were settled are in the cell's count.
func (w *window) most(c *cell, t tally) int {
	windows := int(c.count) //nolint:gosec // a ledger can't hold so many
	w.each(c, t, func(int) { windows++ })
	return windows
}

// each visits the last mark of every window.
func (w *window) each(c *cell, t tally, visit func(last int)) {
	from := 0
	for last, m := range c.marks {
		for from < last && !w.spans(c.marks[from], m) {
			t.drop(c.marks[from])
			from++
		}
		t.add(m)
		if t.enough() {
			visit(last)
			for ; from <= last; from++ {
				t.drop(c.marks[from])
			}
		}
	}
}

// settle forgets what no event that is still in time can change: windows that have ended before it become a number, and marks that no
// window can hold together with it go. So a cell holds a window and the lateness, however long the campaign runs.
func (w *window) settle(c *cell, h horizon, t tally) {
	ended := 0
	w.each(c, t, func(last int) {
		if w.final(c.marks[last], h) {
			c.count++
			ended = last + 1
		}
	})
	for ended < len(c.marks) && w.final(c.marks[ended], h) && !w.reaches(c.marks[ended], h) {
		ended++
	}
	c.marks = slices.Delete(c.marks, 0, ended)
}

// final says whether no event that is still in time can come before a mark.
func (w *window) final(m mark, h horizon) bool {
	if w.days > 0 {
		return m.day < h.firstDay
	}
	return m.at < h.first
}

// reaches says whether a window can hold a mark and an event that is still in time.
func (w *window) reaches(m mark, h horizon) bool {
	if w.days > 0 {
		return int(h.firstDay-m.day) < w.days
	}
	return h.first-m.at <= int64(w.exact)
}

// spans says whether a window can hold two events.
func (w *window) spans(first, last mark) bool {
	if w.days > 0 {
		return int(last.day-first.day) < w.days
	}
	return last.at-first.at <= int64(w.exact)
}
