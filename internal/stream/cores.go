package stream

import (
	"errors"
	"runtime"
	"sync"
)

// cores run the tasks of partitions side by side, one each. They stay from cycle to cycle: a goroutine begins with a stack of 2 KiB, and a task that takes an
// event through the engine, or asks the store, needs many times that. To let one grow anew for each task was 6 % of the CPU at 20,000 events a second.
type cores struct{ tasks chan func() }

func newCores() cores {
	c := cores{make(chan func())}
	for range runtime.GOMAXPROCS(0) {
		go func() {
			for task := range c.tasks {
				task()
			}
		}()
	}
	return c
}

// each runs a task for each of n and waits until all have ended. The error is all of theirs.
func (c cores) each(n int, task func(i int) error) error {
	errs := make([]error, n)
	var running sync.WaitGroup
	running.Add(n)
	for i := range n {
		c.tasks <- func() {
			defer running.Done()
			errs[i] = task(i)
		}
	}
	running.Wait()
	return errors.Join(errs...)
}

// stop lets go of them. Nothing runs any more.
func (c cores) stop() { close(c.tasks) }
