package main

import (
	"context"
	"errors"
	"fmt"
)

// claims is a processor whose backlog makes a claim with each event, all of one budget: the users' partitions make them, the budget's home decides them, and the
// answers come back.
func claims(j job) func(context.Context, *rig) (values, error) {
	j.claims = true
	return func(ctx context.Context, r *rig) (values, error) { return r.claims(ctx, j.small(r.small)) }
}

func (r *rig) claims(ctx context.Context, j job) (v values, err error) {
	s, p, took, err := r.caughtUp(ctx, j)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	m, err := p.metrics(ctx)
	if err != nil {
		return nil, errors.Join(err, p.kill())
	}
	if decided := m["stampede_claims_total"]; int(decided) != j.events || int(m["stampede_rewards_total"]) != j.events {
		return nil, errors.Join(fmt.Errorf("the job is wrong: %.0f claims of %d events were decided, and %.0f rewards issued", decided, j.events, m["stampede_rewards_total"]), p.kill())
	}
	return values{
		"claims per second":     float64(j.events) / took.Seconds(),
		"claims per CPU-second": float64(j.events) / m["process_cpu_seconds_total"],
	}, p.stop()
}
