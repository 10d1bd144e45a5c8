package campaign

import (
	"errors"
	"time"
)

// raises are the times at which a publish has raised a lateness, oldest first, with what it was before. An event that happened before
// such a time is judged by what the lateness was (E3): it may have come already and be forgotten, so it must not come in time again; and
// what was settled because nothing could change it any more must not change.
type raises []raise

type raise struct {
	at  int64         // the clock of the publish, Unix ms
	was time.Duration // the lateness before it
}

// maxRaises bounds them. Each but the last is of a lateness below that of the next, so that only an author who raises it by minutes
// comes near.
const maxRaises = 64

// bound is the lateness for an event that happened at a time, Unix ms, where it is now so much. For a later time it is never less.
func (rs raises) bound(at int64, now time.Duration) time.Duration {
	for _, r := range rs {
		if at < r.at {
			now = min(now, r.was)
		}
	}
	return now
}

// with adds one. Those that it makes meaningless go; where there are too many, the two oldest become one that lets no more in than either.
func (rs raises) with(at int64, was time.Duration) raises {
	var kept raises
	for _, r := range rs {
		if r.was < was {
			kept = append(kept, r)
		}
	}
	kept = append(kept, raise{at, was.Truncate(time.Millisecond)}) // the clock has no parts of one
	if len(kept) > maxRaises {
		kept[1].was = kept[0].was
		kept = kept[1:]
	}
	return kept
}

// without leaves out what can't matter any more: all that happened before it is too late anyway.
func (rs raises) without(clock int64, now time.Duration) raises {
	var kept raises
	for _, r := range rs {
		if clock <= r.at+now.Milliseconds() {
			kept = append(kept, r)
		}
	}
	return kept
}

// append writes them as JSON.
func (rs raises) append(dst []byte) []byte {
	dst = append(dst, '[')
	for i, r := range rs {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendMember(append(dst, '{'), "at", r.at)
		dst = append(appendMember(append(dst, ','), "was_ms", r.was.Milliseconds()), '}')
	}
	return append(dst, ']')
}

func readRaises(v Value) (raises, error) {
	if v.Kind() == Absent {
		return nil, nil
	}
	var rs raises
	for item := range v.Elements() {
		at, clock := wholeOf(item.Get("at"))
		was, length := wholeOf(item.Get("was_ms"))
		if !clock || !length || was < 0 || was > maxLateness.Milliseconds() {
			return nil, errors.New("`raises` does not say when a lateness was raised, and from what")
		}
		rs = append(rs, raise{at, time.Duration(was) * time.Millisecond})
	}
	return rs, nil
}
