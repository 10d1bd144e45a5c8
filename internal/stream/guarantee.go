//go:build !atleastonce

package stream

import "github.com/twmb/franz-go/pkg/kgo"

// exactlyOnce says whether a cycle is journalled and committed as a transaction. It is, but in the build that says what that costs.
const exactlyOnce = true

// transactor is a session's client: what it has polled, and what was made of it, is committed together or not at all.
type transactor = kgo.GroupTransactSession

func newTransactor(id string, options ...kgo.Opt) (*transactor, error) {
	return kgo.NewGroupTransactSession(append(options,
		kgo.TransactionalID(id),
		kgo.TransactionTimeout(transactionTimeout),
		kgo.ConcurrentTransactionsBackoff(concurrentTransactionsWait),
	)...)
}
