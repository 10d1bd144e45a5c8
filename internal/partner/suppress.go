package partner

import "slices"

// What a report hides can't be told from what it shows, neither by who knows how it was made. Sums give numbers away, and so does the choice of what
// is hidden beside the small ones. So that choice is not made by numbers:
//
//   - A total of few users is hidden, and below what is hidden there are no rows.
//   - Parts are hidden by the pair: neighbours in the order of their names, three where one would be left over. A pair is hidden if one of it is small.
//   - Where the hidden ones have too few users together, the first of the other pairs are hidden, too, until there are enough. Where all are hidden and
//     that is not enough, the parts have no rows.
//
// Why that is enough: take the users of the hidden parts, and deal them out among these anew, at least one to each and fewer than least to one of each
// pair. Every such table has this very report: the same pairs have a small part, and whether there are enough users is said by all of them together,
// who are the same. There are least users more than parts, so each hidden part has at least that many numbers that it can have. A test asks that of
// all small tables.

// suppress decides what is told of a total and of what is below it: nothing of fewer users than least.
func (c *cell) suppress(u *users, least int) {
	if c.crowd(u).size() < least {
		c.suppressed = true
		return
	}
	if c.closed = !c.hideParts(u, least); c.closed {
		return
	}
	for _, part := range c.parts {
		if !part.suppressed {
			part.suppress(u, least)
		}
	}
}

func (c *cell) crowd(u *users) *crowd {
	all := u.crowd()
	for id := range c.distinct {
		all.add(id)
	}
	return all
}

// hideParts hides parts of a total that is told, and says whether that is enough.
func (c *cell) hideParts(u *users, least int) bool {
	f := &family{users: u, least: least, all: c.crowd(u), shown: map[uint32]int{}, met: map[uint32]struct{}{}, hidden: u.crowd(), apart: u.crowd()}
	for _, part := range c.parts {
		for id := range part.distinct {
			f.shown[id]++
		}
	}
	var hide, others [][]*cell
	for _, pair := range c.pairs() {
		if slices.ContainsFunc(pair, f.small) {
			hide = append(hide, pair)
		} else {
			others = append(others, pair)
		}
	}
	for _, pair := range hide {
		f.hide(pair)
	}
	for f.parts > 0 && !f.enough() {
		if len(others) == 0 {
			return false
		}
		f.hide(others[0])
		others = others[1:]
	}
	return true
}

// pairs are the parts as they are hidden together. Which ones are, their names alone decide.
func (c *cell) pairs() [][]*cell {
	pairs := slices.Collect(slices.Chunk(c.sorted(), 2))
	if last := len(pairs) - 1; last > 0 && len(pairs[last]) == 1 {
		pairs[last-1] = append(pairs[last-1], pairs[last]...)
		pairs = pairs[:last]
	}
	return pairs
}

// family is a total that is told with its parts, while it is decided which of these are hidden.
type family struct {
	*users
	least  int
	all    *crowd              // the total's users
	shown  map[uint32]int      // by user: how many of the parts that are not hidden have it
	parts  int                 // that are hidden
	met    map[uint32]struct{} // the users of those
	hidden *crowd              // these, too
	apart  *crowd              // those of them who are in no other part
}

// small says whether a part has to be hidden: it has few users, or few that no other part has, or all but few of the total's. Those few
// could be had by subtraction.
func (f *family) small(part *cell) bool {
	has, alone := part.crowd(f.users), f.crowd()
	for id := range part.distinct {
		if f.shown[id] == 1 {
			alone.add(id)
		}
	}
	return has.size() < f.least || f.few(alone.size()) || f.few(f.all.without(has))
}

func (f *family) few(users int) bool { return users > 0 && users < f.least }

func (f *family) hide(pair []*cell) {
	f.parts += len(pair)
	for _, part := range pair {
		part.suppressed = true
		for id := range part.distinct {
			if _, met := f.met[id]; !met {
				f.met[id] = struct{}{}
				f.hidden.add(id)
			}
			if f.shown[id]--; f.shown[id] == 0 {
				f.apart.add(id)
			}
		}
	}
}

// enough says whether the numbers of the hidden parts are open: beside the one user that each has at least there are least others, and those whom the
// total has and what is shown has not are not few.
func (f *family) enough() bool { return f.hidden.size()-f.parts >= f.least && !f.few(f.apart.size()) }
