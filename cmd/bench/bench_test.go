package main

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// Every row that needs no real Kafka runs with a hundredth of its users and events, and gives all of its figures. What they are is of no interest here.
func TestRowsRun(t *testing.T) {
	if testing.Short() {
		t.Skip("starts brokers and processors")
	}
	programs := t.TempDir()
	if err := build(t.Context(), ".", programs); err != nil {
		t.Fatal(err)
	}
	for i := range rows {
		row := &rows[i]
		if row.real {
			continue
		}
		t.Run(row.name, func(t *testing.T) {
			v, err := row.run(t.Context(), &rig{programs: programs, scratch: t.TempDir(), small: 100})
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range row.figures {
				value, given := v[f.name]
				if isDifference := row.name == "exactly-once"; !given || math.IsNaN(value) || value <= 0 && !isDifference {
					t.Errorf("%s is %v", f.name, value)
				}
			}
			t.Log(row.show(v))
		})
	}
}

// What a backlog's events are like is part of what the figures mean.
func TestTheJobIsAsItSays(t *testing.T) {
	const n = 20_000
	g := job{users: 1000, events: n}.generator(1)
	kinds, bytes := map[string]int{}, 0
	for range n {
		r := g.event(time.Now(), uuid.Nil)
		bytes += len(r.Value)
		_, rest, _ := strings.Cut(string(r.Value), `"type":"`)
		kind, _, _ := strings.Cut(rest, `"`)
		kinds[kind]++
	}
	if mean := bytes / n; mean < 250 || mean > 300 {
		t.Errorf("an event has %d bytes", mean)
	}
	if len(kinds) != 10 {
		t.Errorf("%d types", len(kinds))
	}
	idle := 0
	for _, kind := range otherTypes {
		idle += kinds[kind]
	}
	if share := float64(idle) / n; share < 0.18 || share > 0.22 {
		t.Errorf("%.2f of the events concern nobody", share)
	}
	if share := float64(kinds["birth.reported"]) / n; share < 0.007 || share > 0.013 {
		t.Errorf("%.3f of the events are a reward each", share)
	}
	if len(tenCampaigns) != 10 || slices.Contains(counted, "birth.reported") {
		t.Error("the job is of ten campaigns")
	}
}
