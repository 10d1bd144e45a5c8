package campaign

import (
	"cmp"
	"container/heap"
)

// Timers say who is due when, in the order in which they fire: by instant, then by user. Each user has one at most.
type Timers struct {
	heap   timerHeap
	byUser map[string]*timer
}

type timer struct {
	due   int64 // Unix ms
	user  string
	index int // in the heap
}

// Set notes when a user is due (Unix ms), in the place of what was noted before; 0 is never.
func (t *Timers) Set(user string, due int64) {
	x := t.byUser[user]
	switch {
	case x == nil && due == 0:
	case x == nil:
		if t.byUser == nil {
			t.byUser = map[string]*timer{}
		}
		x = &timer{due: due, user: user}
		t.byUser[user] = x
		heap.Push(&t.heap, x)
	case due == 0:
		heap.Remove(&t.heap, x.index)
		delete(t.byUser, user)
	case due != x.due:
		x.due = due
		heap.Fix(&t.heap, x.index)
	}
}

// Next is who is due first.
func (t *Timers) Next() (user string, due int64, ok bool) {
	if len(t.heap) == 0 {
		return "", 0, false
	}
	return t.heap[0].user, t.heap[0].due, true
}

// Clear forgets all.
func (t *Timers) Clear() {
	clear(t.byUser)
	clear(t.heap)
	t.heap = t.heap[:0]
}

// timerHeap is container/heap's.
type timerHeap []*timer

func (h timerHeap) Len() int { return len(h) }

func (h timerHeap) Less(i, j int) bool {
	if by := cmp.Compare(h[i].due, h[j].due); by != 0 {
		return by < 0
	}
	return h[i].user < h[j].user
}

func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *timerHeap) Push(x any) {
	t := x.(*timer)
	t.index = len(*h)
	*h = append(*h, t)
}

func (h *timerHeap) Pop() any {
	last := len(*h) - 1
	t := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return t
}
