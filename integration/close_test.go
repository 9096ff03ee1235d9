package integration_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tsoring/tso"
)

// crowd is callers that go on until their client is closed.
type crowd struct {
	running sync.WaitGroup
	busy    sync.WaitGroup // until each has been served once
	ended   chan error     // why each stopped
}

// gather starts n callers, of whom every fourth takes 16 futures at a time.
func gather(client tso.Client, n int) *crowd {
	c := &crowd{ended: make(chan error, n)}
	c.busy.Add(n)
	for i := range n {
		round := func() error {
			_, _, err := client.GetTS(context.Background())
			return err
		}
		if i%4 == 0 {
			round = func() error { return takeFutures(client, 16) }
		}
		c.running.Go(func() {
			err := round()
			c.busy.Done()
			for err == nil {
				err = round()
			}
			c.ended <- err
		})
	}
	return c
}

// takeFutures waits for all futures, also when some fail.
func takeFutures(client tso.Client, n int) error {
	futures := make([]tso.TSFuture, n)
	for i := range futures {
		futures[i] = client.GetTSAsync(context.Background())
	}
	var errs []error
	for _, f := range futures {
		_, _, err := f.Wait()
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// requireClosed waits for all callers, who must have been told that the client
// is closed.
func (c *crowd) requireClosed(t *testing.T) {
	t.Helper()
	gone := make(chan struct{})
	go func() {
		c.running.Wait()
		close(gone)
	}()
	select {
	case <-gone:
	case <-bounded(t, 30*time.Second).Done():
		require.FailNow(t, "callers hang after Close")
	}
	close(c.ended)
	for err := range c.ended {
		require.ErrorIs(t, err, tso.ErrClosed)
		require.NotErrorIs(t, err, context.Canceled)
		require.NotErrorIs(t, err, context.DeadlineExceeded)
	}
}

func TestClose_UnderLoad(t *testing.T) {
	cluster := oneNode.use(t)
	for _, closing := range []struct {
		name  string
		close func(client tso.Client, cancel context.CancelFunc)
	}{
		{"once", func(client tso.Client, _ context.CancelFunc) { client.Close() }},
		{"by many", func(client tso.Client, _ context.CancelFunc) {
			var all sync.WaitGroup
			for range 16 {
				all.Go(client.Close)
			}
			all.Wait()
		}},
		{"by its context", func(client tso.Client, cancel context.CancelFunc) {
			cancel()
			client.Close() // waits
		}},
	} {
		t.Run(closing.name, func(t *testing.T) {
			// The goroutines of the clusters that other tests have started.
			others := goleak.IgnoreCurrent()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			client, err := tso.NewClientWithContext(ctx, cluster.ClientURLs(), plain, logTo(t))
			require.NoError(t, err)
			c := gather(client, 2_000)
			c.busy.Wait()

			began := time.Now()
			closing.close(client, cancel)
			took := time.Since(began)
			c.requireClosed(t)
			t.Logf("Close took %v, all callers were back after %v", took, time.Since(began))
			require.NoError(t, goleak.Find(others))
			require.Less(t, took, time.Second)
			requireDead(t, client)
		})
	}
}

// requireDead fails t unless every method of a closed client says so at once.
func requireDead(t *testing.T, client tso.Client) {
	t.Helper()
	began := time.Now()
	client.Close()
	ctx := t.Context()
	_, _, err := client.GetTS(ctx)
	require.ErrorIs(t, err, tso.ErrClosed)
	_, _, err = client.GetTSAsync(ctx).Wait()
	require.ErrorIs(t, err, tso.ErrClosed)
	_, _, err = client.GetLocalTS(ctx, "dc-1")
	require.ErrorIs(t, err, tso.ErrClosed)
	_, _, err = client.GetMinTS(ctx)
	require.ErrorIs(t, err, tso.ErrClosed)
	_, err = client.GetAllMembers(ctx)
	require.ErrorIs(t, err, tso.ErrClosed)
	require.Less(t, time.Since(began), time.Second)
}

// A context that ends closes a client whose Close is never called.
func TestClose_ContextAlone(t *testing.T) {
	cluster := oneNode.use(t)
	others := goleak.IgnoreCurrent()
	ctx, cancel := context.WithCancel(t.Context())
	client, err := tso.NewClientWithContext(ctx, cluster.ClientURLs(), plain, logTo(t))
	require.NoError(t, err)
	c := gather(client, 200)
	c.busy.Wait()
	cancel()
	c.requireClosed(t)
	require.NoError(t, goleak.Find(others))
}
