package tso_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/tsoring/tso"
	"github.com/tsoring/tso/tsotest"
)

// transaction has a timestamp of its start, which says what it may read, and one of its
// commit, from which on others may read what it has written.
type transaction struct{ start, commit uint64 }

// transact runs work between the two timestamps of a transaction.
func transact(ctx context.Context, client tso.Client, work func() error) (t transaction, err error) {
	begin := client.GetTSAsync(ctx) // on its way while the transaction is set up
	physical, logical, err := begin.Wait()
	if err != nil {
		return t, fmt.Errorf("start: %w", err)
	}
	t.start = tso.ComposeTS(physical, logical)
	if err := work(); err != nil {
		return t, err
	}
	physical, logical, err = client.GetTS(ctx)
	if err != nil {
		return t, fmt.Errorf("commit: %w", err)
	}
	t.commit = tso.ComposeTS(physical, logical)
	return t, nil
}

// advise says what an error of a call asks for.
func advise(err error) string {
	switch {
	case err == nil:
		return "done"
	case errors.Is(err, tso.ErrClosed):
		return "the program is ending"
	case errors.Is(err, tso.ErrTimestampFallback), errors.Is(err, tso.ErrClusterMismatch):
		return "somebody has to look at the cluster: " + err.Error()
	case errors.Is(err, context.DeadlineExceeded): // the context's, or the request budget's
		return "try again later: " + err.Error()
	default:
		return err.Error()
	}
}

// A whole program: eight goroutines run transactions while the leader of PD moves. They
// share one client, as all of a process should.
func Example_program() {
	server, err := tsotest.Start(tsotest.WithMembers(3)) // PD in process; in production, your own
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	client, err := tso.NewClient(server.URLs(), tso.SecurityOption{}, tso.WithRequestBudget(30*time.Second))
	if err != nil {
		fmt.Println(err)
		return
	}

	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			for range 100 {
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				t, err := transact(ctx, client, func() error { return nil })
				cancel()
				if err != nil || t.start >= t.commit {
					fmt.Println(t, advise(err))
					return
				}
			}
		})
	}
	if err := server.MoveLeader(1); err != nil { // no error for anybody
		fmt.Println(err)
	}
	workers.Wait()
	client.Close()
	_, err = transact(context.Background(), client, nil)
	fmt.Println(advise(err))
	// Output: the program is ending
}
