package campaign

import (
	"fmt"
	"strings"
	"testing"
)

// What an event costs, stage by stage: `go test -run ^$ -bench Stage ./pkg/campaign`. Allocations are held to their bounds by TestStagesAllocate.

const stageEvent = `{"specversion":"1.0","id":"4b6f1c0d2e8a9f37-0001e240","source":"/app/mobile/ios","type":"workout.done","subject":"user-00012345","time":"2026-01-09T10:00:00.123456789Z",` +
	`"datacontenttype":"application/json","data":{"metric":"weight","value":120,"place":"place-017","device":"phone","confirmed":true}}`

// stageGoals has each kind of goal, for which the event above is evidence.
var stageGoals = map[string]string{
	"event":    "{event: workout.done}",
	"count":    "{count: 400, of: workout.done, where: event.data.value >= 30}",
	"week":     "{count: 200, of: workout.done, per: week}",
	"window":   "{count: 200, of: workout.done, within: 20 days}",
	"sum":      "{sum: 1000000, of: workout.done, value: event.data.value}",
	"streak":   "{streak: 50, of: workout.done}",
	"distinct": "{distinct: 60, of: workout.done, value: event.data.place, per: month}",
	"sequence": "{sequence: [{of: workout.done}, {of: other}]}",
	"all":      "{all: [{count: 400, of: workout.done}, {streak: 50, of: workout.done}]}",
	"any":      "{any: [{count: 400, of: workout.done}, {streak: 50, of: workout.done}]}",
	"none":     "{none: workout.done, per: month}",
}

// stage is an engine with one campaign, and a user with some weeks of events.
type stage struct {
	engine  *Engine
	cycle   Ledgers
	decoder Decoder
	event   Event
	clock   int64
	encoded []byte
}

func newStage(tb testing.TB, goals ...string) *stage {
	tb.Helper()
	var campaigns []*Campaign
	for i, goal := range goals {
		repeat := "always"
		if strings.Contains(goal, "none") || strings.Contains(goal, "per:") || strings.Contains(goal, "streak") {
			repeat = "once"
		}
		campaigns = append(campaigns, sized(tb, fmt.Sprintf("campaign-%d", i), repeat, goal))
	}
	s := &stage{engine: NewEngine(setOf(tb, campaigns...), 0), clock: int64(DayOf(2026, 1, 10)) * dayMs}
	for n := range 16 {
		text := strings.Replace(stageEvent, "0001e240", fmt.Sprintf("%08x", n), 1)
		s.decode(tb, []byte(strings.Replace(text, "2026-01-09T10", fmt.Sprintf("2026-01-09T%02d", n), 1)))
		s.apply(tb)
	}
	s.decode(tb, []byte(strings.Replace(stageEvent, "2026-01-09T10", "2026-01-09T20", 1)))
	return s
}

func (s *stage) decode(tb testing.TB, value []byte) {
	if why := s.decoder.Decode(&Record{Key: []byte("user-00012345"), Value: value}, &s.event); why != nil {
		tb.Fatal(why)
	}
}

// ledger is the user's, decoded.
func (s *stage) ledger(tb testing.TB) *Ledger {
	s.cycle.Reset()
	if s.encoded == nil {
		return s.cycle.New()
	}
	l, err := s.cycle.Decode(s.encoded)
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

func (s *stage) apply(tb testing.TB) {
	l := s.ledger(tb)
	if result := s.engine.Apply(l, &s.event, s.clock); result.Rejection != nil {
		tb.Fatal(result.Rejection)
	}
	s.encoded = l.Append(nil)
}

// measured is something that is done over and over, with the most that it may allocate.
type measured struct {
	run  func()
	most float64
}

// stages are what an event goes through.
func stages(tb testing.TB) map[string]measured {
	s := newStage(tb, stageGoals["count"], stageGoals["sum"], stageGoals["streak"])
	var decoder Decoder
	var event Event
	record := &Record{Key: []byte("user-00012345"), Value: []byte(stageEvent)}
	ledger := s.ledger(tb)
	var buffer []byte
	all := map[string]measured{
		"decode event": {func() {
			if why := decoder.Decode(record, &event); why != nil {
				tb.Fatal(why)
			}
		}, 0},
		"decode ledger": {func() { s.ledger(tb) }, 0},
		"encode ledger": {func() { buffer = ledger.Append(buffer[:0]) }, 0},
	}
	for name, goal := range stageGoals {
		s := newStage(tb, goal)
		most := 0.0
		switch name {
		case "event": // it pays each time: an id, the cycle's name, the evidence
			most = 4
		case "window": // its tally
			most = 2
		}
		all["apply to "+name] = measured{func() {
			if result := s.engine.Apply(s.ledger(tb), &s.event, s.clock); !result.Changed {
				tb.Fatalf("the event is not evidence for %s: %v", goal, result.Decisions)
			}
		}, most}
	}
	return all
}

func BenchmarkStage(b *testing.B) {
	for name, one := range stages(b) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				one.run()
			}
		})
	}
}

// Allocations are not noisy, so they are checked where times are not.
func TestStagesAllocate(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	for name, one := range stages(t) {
		if got := testing.AllocsPerRun(100, one.run); got > one.most {
			t.Errorf("%s: %g allocations, at most %g are expected", name, got, one.most)
		}
	}
}
