package main

import (
	"encoding/json"
	"runtime"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Machines that are shared run at one speed now and at half of it a minute later. So beside each run stands how long a piece of work took that is always
// the same: what encoding/json makes of an event, on all cores at once. Figures of two runs can be compared where that is about the same.

// pace is that figure.
var pace = figure{name: "(an event by encoding/json)", unit: " ns", less: true}

const paceEvents = 20_000

// measurePace is the mean of all cores, ns an event.
func measurePace() (float64, error) {
	var cores sync.WaitGroup
	text := job{users: 1}.generator(1).event(time.Unix(0, 0), uuid.Nil).Value // the same in every run
	errs := make([]error, runtime.GOMAXPROCS(0))
	began := time.Now()
	for i := range errs {
		cores.Go(func() {
			for range paceEvents {
				var event map[string]any
				if err := json.Unmarshal(text, &event); err != nil {
					errs[i] = err
					return
				}
			}
		})
	}
	cores.Wait()
	for _, err := range errs {
		if err != nil {
			return 0, err
		}
	}
	return float64(time.Since(began).Nanoseconds()) / paceEvents, nil
}
