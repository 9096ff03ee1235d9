// Package bank moves money between accounts in transactions, from many goroutines at once,
// and tells what became of them.
//
// It knows no store: a [Store] says how to begin a transaction, so that the same load runs
// on every version of client-go. Money is neither made nor lost: each [Bank.Audit] adds up
// all accounts in one snapshot.
package bank

import (
	"context"
	"errors"
	"fmt"
	"strconv"
)

// Txn is a transaction with snapshot isolation.
type Txn interface {
	// Get reads keys at the start of the transaction.
	Get(ctx context.Context, keys ...[]byte) (map[string][]byte, error)
	Set(key, value []byte) error
	Commit(ctx context.Context) error
	Rollback() error
}

// Store is where the accounts are kept.
type Store struct {
	Begin func() (Txn, error)
	// Conflict reports whether a transaction has only lost against another one.
	Conflict func(error) bool
}

// ErrUnbalanced is returned when a snapshot has more money or less than there is.
var ErrUnbalanced = errors.New("bank: the balance is not kept")

// opening is what each account begins with.
const opening = 1000

// Bank is a number of accounts. Its methods may be called from any goroutine.
type Bank struct {
	store    Store
	accounts [][]byte
}

// Open opens so many accounts in a store, anew if there are any.
func Open(ctx context.Context, store Store, accounts int) (*Bank, error) {
	b := &Bank{store: store}
	txn, err := store.Begin()
	if err != nil {
		return nil, fmt.Errorf("bank: %w", err)
	}
	for i := range accounts {
		key := fmt.Appendf(nil, "account-%06d", i)
		b.accounts = append(b.accounts, key)
		err = errors.Join(err, txn.Set(key, amount(opening)))
	}
	if err := errors.Join(err, txn.Commit(ctx)); err != nil {
		return nil, fmt.Errorf("bank: %w", err)
	}
	return b, nil
}

// Transfer moves money from one account to another, by number, in one transaction that is
// not tried again.
func (b *Bank) Transfer(ctx context.Context, from, to int, sum int64) error {
	txn, err := b.store.Begin()
	if err != nil {
		return err
	}
	if err := b.move(ctx, txn, b.accounts[from], b.accounts[to], sum); err != nil {
		return errors.Join(err, txn.Rollback())
	}
	return txn.Commit(ctx)
}

func (b *Bank) move(ctx context.Context, txn Txn, from, to []byte, sum int64) error {
	values, err := txn.Get(ctx, from, to)
	if err != nil {
		return err
	}
	payer, err := parse(values[string(from)])
	if err != nil {
		return err
	}
	payee, err := parse(values[string(to)])
	if err != nil {
		return err
	}
	return errors.Join(txn.Set(from, amount(payer-sum)), txn.Set(to, amount(payee+sum)))
}

// Audit adds up all accounts in one snapshot.
func (b *Bank) Audit(ctx context.Context) error {
	txn, err := b.store.Begin()
	if err != nil {
		return err
	}
	values, err := txn.Get(ctx, b.accounts...)
	if err := errors.Join(err, txn.Rollback()); err != nil {
		return err
	}
	var total int64
	for _, key := range b.accounts {
		balance, err := parse(values[string(key)])
		if err != nil {
			return err
		}
		total += balance
	}
	if want := int64(len(b.accounts)) * opening; total != want {
		return fmt.Errorf("%w: %d instead of %d", ErrUnbalanced, total, want)
	}
	return nil
}

func amount(n int64) []byte { return strconv.AppendInt(nil, n, 10) }

// parse also finds accounts that are not there.
func parse(value []byte) (int64, error) {
	n, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrUnbalanced, err)
	}
	return n, nil
}
