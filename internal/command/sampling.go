package command

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

const (
	// repeatsWindow is for how long a message is the same one again.
	repeatsWindow = 10 * time.Second
	// maxRemembered bounds the messages that are remembered. While as many repeat, others are logged however often they come.
	maxRemembered = 1000
	// partitionKey is the attribute that makes a message another one: what is said of one partition does not hide what is said of the next.
	partitionKey = "partition"
)

// sampling is a handler that lets the first few of the same warning or error through in each window. The last of them says that more are left out, and
// when the window ends they are counted: so nothing is left out in silence, whenever the process ends. What is not a warning is never left out.
type sampling struct {
	slog.Handler
	repeats   *repeats
	partition string // by WithAttrs
}

func newSampling(to slog.Handler, first int) slog.Handler {
	if first <= 0 {
		return to
	}
	return sampling{Handler: to, repeats: &repeats{first: first, windows: map[message]*window{}}}
}

// Handle is part of slog.Handler.
func (h sampling) Handle(ctx context.Context, r slog.Record) error {
	if r.Level < slog.LevelWarn {
		return h.Handler.Handle(ctx, r)
	}
	m := message{r.Level, r.Message, h.partition}
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == partitionKey {
			m.partition = a.Value.String()
		}
		return true
	})
	switch n := h.repeats.count(m, h.tell); {
	case n > h.repeats.first:
		return nil
	case n == h.repeats.first:
		r = r.Clone()
		r.AddAttrs(slog.String("repeats", fmt.Sprintf("more like this are left out for %s and counted", repeatsWindow)))
	}
	return h.Handler.Handle(ctx, r)
}

// tell says how many were left out.
func (h sampling) tell(m message, left int) {
	r := slog.NewRecord(time.Now(), m.level, fmt.Sprintf("left out %d like this in the last %s", left, repeatsWindow), 0)
	r.AddAttrs(slog.String("like", m.text))
	if m.partition != "" && m.partition != h.partition {
		r.AddAttrs(slog.String(partitionKey, m.partition))
	}
	_ = h.Handler.Handle(context.Background(), r) // nobody can be told that the log can't be written
}

// WithAttrs is part of slog.Handler.
func (h sampling) WithAttrs(attrs []slog.Attr) slog.Handler {
	h.Handler = h.Handler.WithAttrs(attrs)
	for _, a := range attrs {
		if a.Key == partitionKey {
			h.partition = a.Value.String()
		}
	}
	return h
}

// WithGroup is part of slog.Handler.
func (h sampling) WithGroup(name string) slog.Handler {
	h.Handler = h.Handler.WithGroup(name)
	return h
}

// message is what makes two records the same.
type message struct {
	level           slog.Level
	text, partition string
}

// window is how often a message has come since it was first seen.
type window struct {
	ends time.Time
	n    int
}

// repeats counts messages in their windows.
type repeats struct {
	first int // so many of a message are let through

	mu      sync.Mutex
	windows map[message]*window
}

// count returns which one in its window a message is, from 1 on. tell is called at the window's end if any are left out.
func (s *repeats) count(m message, tell func(message, int)) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	w := s.windows[m]
	if w == nil || !now.Before(w.ends) {
		if w == nil && len(s.windows) >= maxRemembered && !s.forget(now) {
			return 1
		}
		w = &window{ends: now.Add(repeatsWindow)}
		s.windows[m] = w
	}
	if w.n++; w.n == s.first+1 {
		time.AfterFunc(w.ends.Sub(now), func() {
			s.mu.Lock()
			left := w.n - s.first
			if s.windows[m] == w {
				delete(s.windows, m)
			}
			s.mu.Unlock()
			tell(m, left)
		})
	}
	return w.n
}

// forget makes room, and says whether there was any to make.
func (s *repeats) forget(now time.Time) bool {
	before := len(s.windows)
	for m, w := range s.windows {
		if !now.Before(w.ends) {
			delete(s.windows, m)
		}
	}
	return len(s.windows) < before
}
