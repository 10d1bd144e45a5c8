package stream_test

import (
	"testing"
	"time"

	"github.com/stampede-rewards/stampede/internal/stream"
)

// However steadily events come, commits are no closer to each other than the commit interval.
func TestCommitsKeepTheirRhythm(t *testing.T) {
	const interval = 400 * time.Millisecond
	b := newBench(t)
	w := b.start(b.dir("a"), func(c *stream.Config) { c.CommitInterval = interval })
	b.produce(1)
	b.processed()
	before, began := w.metric("stampede_cycles_total"), time.Now()
	for time.Since(began) < 6*interval {
		b.produce(5)
		time.Sleep(20 * time.Millisecond)
	}
	cycles := w.metric("stampede_cycles_total") - before
	most := int(time.Since(began)/interval) + 2 // one that had begun, and one that has
	if cycles == 0 || cycles > most {
		t.Errorf("%d cycles in %s, at most %d were expected", cycles, time.Since(began), most)
	}
	b.end(w)
}
