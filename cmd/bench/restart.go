package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// filled is a site of which the backlog is processed, but for so many events that come after it; the processor runs.
func (r *rig) filled(ctx context.Context, j job, more ...string) (*site, *process, error) {
	profile := r.profile
	r.profile = "" // it is of what comes after
	defer func() { r.profile = profile }()
	s, err := r.site(ctx, j, false)
	if err != nil {
		return nil, nil, err
	}
	if err := j.produce(ctx, s.client, s.prefix+"events"); err != nil {
		return nil, nil, errors.Join(err, s.close())
	}
	p, err := s.start(ctx, "store", more...)
	if err == nil {
		err = p.awaitCaughtUp(ctx)
	}
	if err != nil {
		return nil, nil, errors.Join(err, s.close())
	}
	return s, p, nil
}

// killedAfter is how long events arrive before the processor is killed.
const killedAfter = 10 * time.Second

// restart is a processor that is killed while events arrive, and started again at once: how long until it commits.
func restart(j job) func(context.Context, *rig) (values, error) {
	return func(ctx context.Context, r *rig) (v values, err error) {
		s, p, err := r.filled(ctx, j.small(r.small))
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, s.close()) }()
		sending, stop := context.WithCancel(ctx)
		sent := make(chan error, 1)
		go func() { sent <- send(sending, s) }()
		defer func() {
			stop()
			err = errors.Join(err, <-sent)
		}()
		time.Sleep(killedAfter / time.Duration(r.small))
		if err := p.kill(); err != nil {
			return nil, err
		}
		before, err := s.committed(ctx)
		if err != nil {
			return nil, err
		}
		if p, err = s.start(ctx, "store"); err != nil {
			return nil, err
		}
		for deadline := time.Now().Add(startTimeout); ; time.Sleep(look / 4) {
			now, err := s.committed(ctx)
			if err != nil {
				return nil, errors.Join(err, p.kill())
			}
			if now > before {
				break
			}
			if time.Now().After(deadline) {
				return nil, errors.Join(fmt.Errorf("no commit in %s: %s", startTimeout, p.said()), p.kill())
			}
		}
		took := time.Since(p.began)
		return values{"until the first commit": took.Seconds()}, p.stop()
	}
}

// committed is the sum of the group's offsets.
func (s *site) committed(ctx context.Context) (total int64, err error) {
	offsets, err := kadm.NewClient(s.client).FetchOffsetsForTopics(ctx, s.group(), s.prefix+"events")
	if err != nil {
		return 0, err
	}
	offsets.Each(func(o kadm.OffsetResponse) { total += max(0, o.At) })
	return total, offsets.Error()
}

// restore is a processor whose store is lost: how quickly it has it back.
func restore(j job) func(context.Context, *rig) (values, error) {
	return func(ctx context.Context, r *rig) (v values, err error) {
		j := j.small(r.small)
		s, p, err := r.filled(ctx, j)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, s.close()) }()
		if err := p.stop(); err != nil {
			return nil, err
		}
		if err := os.RemoveAll(filepath.Join(s.dir, "store")); err != nil {
			return nil, err
		}
		if p, err = s.start(ctx, "store"); err != nil {
			return nil, err
		}
		if err := p.awaitOpen(ctx); err != nil {
			return nil, errors.Join(err, p.kill())
		}
		took := time.Since(p.began)
		u, err := p.usage(ctx)
		if err != nil {
			return nil, errors.Join(err, p.kill())
		}
		users := float64(j.users)
		return values{"users per second": users / took.Seconds(), "users per CPU-second": users / u.cpu}, p.stop()
	}
}

// resident is what a processor has in memory when its store is larger than that.
func resident(j job) func(context.Context, *rig) (values, error) {
	const memory = 256 << 20
	return func(ctx context.Context, r *rig) (v values, err error) {
		s, p, err := r.filled(ctx, j.small(r.small), "--memory", "256MiB")
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, s.close()) }()
		u, err := p.usage(ctx)
		if err != nil {
			return nil, errors.Join(err, p.kill())
		}
		return values{"resident memory / --memory": u.resident / memory}, p.stop()
	}
}
