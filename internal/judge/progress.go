package judge

import "context"

// Progress is how far the group has come in each partition of events, and where those end. Nothing is compared; it may be asked at any
// time.
func (c Case) Progress(ctx context.Context) (committed, ends map[int32]int64, err error) {
	// The ends come first: what is committed by then is behind them or at them.
	if ends, err = c.Connection.Ends(ctx, c.Topics.Events.Name); err != nil {
		return nil, nil, err
	}
	commits, err := c.committed(ctx)
	committed = make(map[int32]int64, len(commits))
	for n, commit := range commits {
		committed[n] = commit.offset
	}
	return committed, ends, err
}
