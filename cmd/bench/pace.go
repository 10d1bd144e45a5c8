package main

import (
	"encoding/json"
	"runtime"
	"sync"
	"time"
)

// Machines that are shared run at one speed now and at half of it a minute later. So beside each run stands how long a piece of work took that is always
// the same: what encoding/json makes of an event, on all cores at once. Figures of two runs can be compared where that is about the same.

// pace is that figure.
var pace = figure{name: "(an event by encoding/json)", unit: " ns", less: true}

const (
	paceEvents = 20_000
	paceEvent  = `{"specversion":"1.0","id":"4b6f1c0d2e8a9f37-0001e240","source":"/app/mobile/ios","type":"workout.done","subject":"user-00012345",` +
		`"time":"2026-01-09T10:00:00.123456789Z","datacontenttype":"application/json","data":{"metric":"weight","value":120,"place":"place-017","device":"phone","confirmed":true}}`
)

// measurePace is the mean of all cores, ns an event.
func measurePace() (float64, error) {
	var cores sync.WaitGroup
	errs := make([]error, runtime.GOMAXPROCS(0))
	began := time.Now()
	for i := range errs {
		cores.Go(func() {
			for range paceEvents {
				var event map[string]any
				if err := json.Unmarshal([]byte(paceEvent), &event); err != nil {
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
