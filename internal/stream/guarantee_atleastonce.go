//go:build atleastonce

package stream

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kgo"
)

// This build is for one question, what exactly once costs: it has no journal and no transactions, and commits the offsets when all has been
// produced. Whoever kills it gets rewards twice, and a store that does not know where it is.
const exactlyOnce = false

type transactor struct{ client *kgo.Client }

func newTransactor(_ string, options ...kgo.Opt) (*transactor, error) {
	client, err := kgo.NewClient(append(options, kgo.DisableAutoCommit())...)
	return &transactor{client}, err
}

func (t *transactor) Client() *kgo.Client { return t.client }

func (t *transactor) Begin() error { return nil }

func (t *transactor) Produce(ctx context.Context, r *kgo.Record, promise func(*kgo.Record, error)) {
	t.client.Produce(ctx, r, promise)
}

// End commits the offsets of what was polled.
func (t *transactor) End(ctx context.Context, commit kgo.TransactionEndTry) (bool, error) {
	if !commit {
		return false, errors.New("this build has nothing that could be aborted")
	}
	err := t.client.CommitUncommittedOffsets(ctx)
	return err == nil, err
}

func (t *transactor) PollRecords(ctx context.Context, most int) kgo.Fetches {
	return t.client.PollRecords(ctx, most)
}

func (t *transactor) AllowRebalance() { t.client.AllowRebalance() }

func (t *transactor) CloseAllowingRebalance() { t.client.CloseAllowingRebalance() }

func (t *transactor) Close() { t.client.Close() }
