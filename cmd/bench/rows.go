package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// row is a row of the table: something that Stampede does, with the figures that say what it costs.
type row struct {
	name, what string
	figures    []figure
	real       bool // it wants a real Kafka
	noProfile  bool // its program gives none
	run        func(context.Context, *rig) (values, error)
}

// figure is a number with what is asked of it: at least the floor, where more is better, and the goal if it can be had.
type figure struct {
	name, unit  string
	less        bool // less is better
	floor, goal float64
}

// values are a run's figures, by name.
type values map[string]float64

var (
	perCPU = func(floor, goal float64) figure {
		return figure{name: "events per CPU-second", unit: "/s", floor: floor, goal: goal}
	}
	perSecond   = figure{name: "events per second", unit: "/s"} // of the wall clock, with the broker on the same machine: told, nothing is asked of it
	allocations = figure{name: "allocations per event", less: true, floor: 1, goal: 0.1}
	memory      = figure{name: "resident memory", unit: " MiB", less: true}
)

var rows = []row{
	{
		name: "catchup-200k", what: "catching up with a backlog of 200,000 users, each as likely, --memory 2GiB",
		figures: []figure{perCPU(250e3, 500e3), perSecond, allocations, memory},
		run:     catchUp(job{users: 200_000, events: 4_000_000, memory: "2GiB"}),
	},
	{
		name: "catchup-256m", what: "the same with --memory 256MiB, which is not enough for all of them",
		figures: []figure{perCPU(0, 0), perSecond, allocations, memory},
		run:     catchUp(job{users: 200_000, events: 4_000_000, memory: "256MiB"}),
	},
	{
		name: "catchup-2m", what: "the same of 2,000,000 users, --memory 8GiB",
		figures: []figure{perCPU(200e3, 400e3), perSecond, allocations, memory},
		run:     catchUp(job{users: 2_000_000, events: 8_000_000, memory: "8GiB"}),
	},
	{
		name: "catchup-zipf", what: "the same of 2,000,000 users by Zipf's law, 1.1, --memory 8GiB",
		figures: []figure{perCPU(300e3, 750e3), perSecond, allocations, memory},
		run:     catchUp(job{users: 2_000_000, events: 6_000_000, zipf: 1.1, memory: "8GiB"}),
	},
	{
		name: "campaigns-1000", what: "1,000 campaigns in force, of which two concern each event, against 10 of the same kind",
		figures: []figure{{name: "rate with 1,000 campaigns / with 10", floor: 0.5, goal: 1}},
		run: ratio(
			job{users: 200_000, events: 2_000_000, pairs: 500, memory: "2GiB"},
			job{users: 200_000, events: 2_000_000, pairs: 5, memory: "2GiB"}, "rate with 1,000 campaigns / with 10"),
	},
	{
		name: "partitions-256", what: "256 partitions against 6",
		figures: []figure{{name: "rate with 256 partitions / with 6", floor: 0.7, goal: 0.9}},
		run: ratio(
			job{users: 200_000, events: 4_000_000, partitions: 256, memory: "2GiB"},
			job{users: 200_000, events: 4_000_000, memory: "2GiB"}, "rate with 256 partitions / with 6"),
	},
	{
		name: "exactly-once", what: "a backlog worked through exactly once, against at least once: without journal and transactions",
		figures: []figure{{name: "rate that exactly once costs", less: true, floor: 0.2, goal: 0.1}},
		run: lost(
			job{users: 200_000, events: 4_000_000, memory: "2GiB"},
			job{users: 200_000, events: 4_000_000, memory: "2GiB", processor: atLeastOnce}, "rate that exactly once costs"),
	},
	{
		name: "claims", what: "a backlog of which each event is a reward, all out of one budget: claim, decision and answer",
		figures: []figure{{name: "claims per second", unit: "/s", floor: 20e3}, {name: "claims per CPU-second", unit: "/s"}},
		run:     claims(job{users: 200_000, events: 600_000, memory: "2GiB"}),
	},
	{
		name: "steady-20k", what: "20,000 events a second of 200,000 users, commits every 50 ms, --memory 1GiB",
		figures: []figure{
			{name: "CPU", unit: " cores", less: true, floor: 0.3, goal: 0.15},
			allocations,
			{name: "p50", unit: " ms", less: true},
			{name: "p99", unit: " ms", less: true},
		},
		run: steady(steadyConfig{commit: "50ms"}),
	},
	{
		name: "latency-embedded", what: "event due to be sent -> reward read, at 20,000 events a second, commits every 10 ms, --memory 1GiB, the broker in memory",
		figures: []figure{
			{name: "p50", unit: " ms", less: true, floor: 50, goal: 15},
			{name: "p99", unit: " ms", less: true, floor: 50, goal: 30},
			{name: "CPU", unit: " cores", less: true},
		},
		run: steady(steadyConfig{commit: "10ms"}),
	},
	{
		name: "latency-kafka", what: "the same on a real Kafka, commits every 20 ms", real: true,
		figures: []figure{
			{name: "p50", unit: " ms", less: true, floor: 100, goal: 25},
			{name: "p99", unit: " ms", less: true, floor: 100, goal: 60},
			{name: "CPU", unit: " cores", less: true},
		},
		run: steady(steadyConfig{commit: "20ms", real: true}),
	},
	{
		name: "restart-2m", what: "kill -9 with 2,000,000 users, until the first commit of the next process",
		figures: []figure{{name: "until the first commit", unit: " s", less: true, floor: 3, goal: 1}},
		run:     restart(job{users: 2_000_000, events: 6_000_000}),
	},
	{
		name: "restore-2m", what: "a store that is lost, of 2,000,000 users, read back from the changelog",
		figures: []figure{{name: "users per second", unit: "/s", floor: 300e3, goal: 1e6}, {name: "users per CPU-second", unit: "/s"}},
		run:     restore(job{users: 2_000_000, events: 6_000_000}),
	},
	{
		name: "memory-10m", what: "10,000,000 users in the store, --memory 256MiB",
		figures: []figure{{name: "resident memory / --memory", less: true, floor: 1.2, goal: 1.1}},
		run:     resident(job{users: 10_000_000, events: 20_000_000}),
	},
	{
		name: "gateway-batches", what: "events by HTTP in batches of 100, a gateway on one core, and the same at 10,000 a second", noProfile: true,
		figures: []figure{perCPU(20e3, 0), {name: "p99 at half of that", unit: " ms", less: true, floor: 20}},
		run:     throughGateway(gatewayLoad{batch: 100, events: 1_000_000, rate: 10_000}),
	},
	{
		name: "gateway-single", what: "events by HTTP one by one, a gateway on one core, and the same at 4,000 a second", noProfile: true,
		figures: []figure{perCPU(8e3, 0), {name: "p99 at half of that", unit: " ms", less: true, floor: 20}},
		run:     throughGateway(gatewayLoad{batch: 1, events: 200_000, rate: 4_000}),
	},
	{
		name: "gateway-slow", what: "10,000 clients that send a byte now and then", noProfile: true,
		figures: []figure{memory},
		run:     slowClients(10_000),
	},
}

// told are the row's figures, and what the machine did beside.
func (r *row) told() []figure { return append(slices.Clone(r.figures), pace) }

// show tells a run's figures.
func (r *row) show(v values) string {
	told := make([]string, 0, len(r.figures))
	for _, f := range r.told() {
		told = append(told, f.name+" "+f.show(v[f.name]))
	}
	return strings.Join(told, ", ")
}

// show writes a figure as people do.
func (f *figure) show(v float64) string {
	switch {
	case v >= 1000:
		return thousands(int64(v)) + f.unit
	case v >= 10:
		return fmt.Sprintf("%.1f%s", v, f.unit)
	}
	return fmt.Sprintf("%.3g%s", v, f.unit)
}

func thousands(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
