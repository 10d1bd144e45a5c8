package judge

import "errors"

// Polls is how often the committed offsets were told.
func (o *Observer) Polls() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.polls
}

// Findings are those so far.
func (o *Observer) Findings() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return errors.Join(o.order.err(), o.commits.err())
}
