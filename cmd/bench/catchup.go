package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stampede-rewards/stampede/pkg/campaign"
)

// catchUp is a processor that begins with a backlog, and its whole life: what it takes to start is in the figures.
func catchUp(j job) func(context.Context, *rig) (values, error) {
	return func(ctx context.Context, r *rig) (values, error) { return r.catchUp(ctx, j.small(r.small)) }
}

// caughtUp begins a processor with a job's backlog, and waits until nothing remains. After an error neither it nor its site is there any more.
func (r *rig) caughtUp(ctx context.Context, j job) (s *site, p *process, took time.Duration, err error) {
	if s, err = r.site(ctx, j, false); err != nil {
		return nil, nil, 0, err
	}
	if err = j.produce(ctx, s.client, s.prefix+"events"); err == nil {
		p, err = s.start(ctx, "store", j.memoryFlag()...)
	}
	if err != nil {
		return nil, nil, 0, errors.Join(err, s.close())
	}
	if err = p.awaitCaughtUp(ctx); err != nil {
		return nil, nil, 0, errors.Join(err, p.kill(), s.close())
	}
	return s, p, time.Since(p.began), nil
}

func (r *rig) catchUp(ctx context.Context, j job) (v values, err error) {
	s, p, took, err := r.caughtUp(ctx, j)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	u, err := p.usage(ctx)
	if err != nil {
		return nil, errors.Join(err, p.kill())
	}
	if err := p.inEarnest(ctx); err != nil {
		return nil, errors.Join(err, p.kill())
	}
	events := float64(j.events)
	return values{
		"events per CPU-second": events / u.cpu,
		"events per second":     events / took.Seconds(),
		"allocations per event": u.allocations / events,
		"resident memory":       u.resident / (1 << 20),
	}, p.stop()
}

// inEarnest says whether the backlog was worked through in earnest: an event that comes too late, or twice, costs next to nothing.
func (p *process) inEarnest(ctx context.Context) error {
	decisions, err := p.decisions(ctx)
	if err != nil {
		return err
	}
	for _, d := range []campaign.Decision{campaign.TooLate, campaign.Duplicate, campaign.Outside} {
		if n := decisions[d.String()]; n > 0 {
			return fmt.Errorf("the job is wrong: %.0f decisions are %s", n, d)
		}
	}
	if decisions[campaign.Counted.String()] == 0 {
		return errors.New("the job is wrong: nothing has counted")
	}
	return nil
}

// ratio is the rate of one job by that of another, one after the other.
func ratio(one, other job, name string) func(context.Context, *rig) (values, error) {
	return func(ctx context.Context, r *rig) (values, error) {
		of, err := r.catchUp(ctx, one.small(r.small))
		if err != nil {
			return nil, err
		}
		profile := r.profile
		r.profile = "" // it is of the first
		by, err := r.catchUp(ctx, other.small(r.small))
		r.profile = profile
		if err != nil {
			return nil, err
		}
		return values{name: of["events per CPU-second"] / by["events per CPU-second"]}, nil
	}
}

// lost is what part of the other's rate a job does not have.
func lost(one, other job, name string) func(context.Context, *rig) (values, error) {
	run := ratio(one, other, name)
	return func(ctx context.Context, r *rig) (values, error) {
		v, err := run(ctx, r)
		if err != nil {
			return nil, err
		}
		return values{name: 1 - v[name]}, nil
	}
}
