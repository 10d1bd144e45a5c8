package campaign

import (
	"cmp"
	"container/heap"
)

// Timer is when one user is due. Whoever keeps users keeps it beside them; it is in one Timers at most.
type Timer struct {
	User  string
	due   int64 // Unix ms; 0 where it is in none
	place int   // in the heap
}

// Due is the instant, Unix ms, 0 for never.
func (x *Timer) Due() int64 { return x.due }

// Timers are timers in the order in which they fire: by instant, then by user.
type Timers struct {
	heap timerHeap
}

// Set notes when a timer's user is due (Unix ms), in the place of what was noted before; 0 is never.
func (t *Timers) Set(x *Timer, due int64) {
	was := x.due
	switch {
	case was == due:
	case due == 0:
		heap.Remove(&t.heap, x.place)
		x.due = 0
	case was == 0:
		x.due = due
		heap.Push(&t.heap, x)
	default:
		x.due = due
		heap.Fix(&t.heap, x.place)
	}
}

// Next is the timer that fires first, nil where there is none.
func (t *Timers) Next() *Timer {
	if len(t.heap) == 0 {
		return nil
	}
	return t.heap[0]
}

// Clear takes all timers out: nobody is due.
func (t *Timers) Clear() {
	for _, x := range t.heap {
		x.due = 0
	}
	clear(t.heap)
	t.heap = t.heap[:0]
}

// timerHeap is container/heap's.
type timerHeap []*Timer

func (h timerHeap) Len() int { return len(h) }

func (h timerHeap) Less(i, j int) bool {
	if by := cmp.Compare(h[i].due, h[j].due); by != 0 {
		return by < 0
	}
	return h[i].User < h[j].User
}

func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

func (h *timerHeap) Push(x any) {
	t := x.(*Timer)
	t.place = len(*h)
	*h = append(*h, t)
}

func (h *timerHeap) Pop() any {
	last := len(*h) - 1
	t := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return t
}
