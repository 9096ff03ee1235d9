package stack

import (
	"context"
	"errors"

	tikverr "github.com/tikv/client-go/v2/error"
	"github.com/tikv/client-go/v2/txnkv/transaction"

	"github.com/tsoring/tso/integration/bank"
)

// Bank returns where a bank may keep its accounts.
func (s *Stack) Bank() bank.Store {
	return bank.Store{
		Begin: func() (bank.Txn, error) {
			t, err := s.Begin()
			if err != nil {
				return nil, err
			}
			return txn{t}, nil
		},
		Conflict: conflict,
	}
}

// conflict also knows a transaction whose locks were older than their time to live, so that
// another one took them away.
func conflict(err error) bool {
	return tikverr.IsErrWriteConflict(err) || errors.As(err, new(*tikverr.ErrRetryable))
}

type txn struct{ *transaction.KVTxn }

func (t txn) Get(ctx context.Context, keys ...[]byte) (map[string][]byte, error) {
	return t.BatchGet(ctx, keys)
}
