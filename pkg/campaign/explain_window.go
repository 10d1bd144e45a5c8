package campaign

import "fmt"

// stand tells of the fullest window that can still grow: what it has, since when, and until when it lasts. used is a tally for the windows that
// were reached, and has and size are what the other one, t, holds.
func (w *window) stand(c *cell, u user, used, t tally, has func() string, size func() int64, needed string) string {
	from := 0
	w.each(c, used, func(last int) { from = last + 1 })
	marks, end, h := c.marks[from:], 0, u.campaign.horizon(u.clock)
	most, text := int64(0), "0"
	var first mark
	for i, m := range marks {
		for end < len(marks) && (end <= i || w.spans(m, marks[end])) {
			t.add(marks[end])
			end++
		}
		if n := size(); n > 0 && n >= most && w.reaches(m, h) { // of two that are as full, the later one lasts longer
			most, text, first = n, has(), m
		}
		t.drop(m)
	}
	text += fmt.Sprintf(" of %s within %s", needed, w.length())
	switch {
	case most > 0 && w.days > 0:
		return text + fmt.Sprintf(", the first of them on %s: the others by %s", first.day, first.day+Day(w.days)-1) //nolint:gosec // bounded
	case most > 0:
		return text + fmt.Sprintf(", the first of them on %s: the others by %s", first.moment(), timeOf(first.at+int64(w.exact)))
	case len(c.marks) > 0:
		return text + ": what has counted is too long ago"
	}
	return text
}

// moment is when a mark happened, with its date for the user where that is another one than in UTC.
func (m *mark) moment() string {
	if civilAt(m.at, 0).day == m.day {
		return timeOf(m.at)
	}
	return timeOf(m.at) + fmt.Sprintf(" (%s for the user)", m.day)
}
