package tso

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tsoring/tso/internal/history"
	"github.com/tsoring/tso/tsotest"
)

// batchCaller calls for batches of all sizes, some of which it gives up, until quit is closed.
func batchCaller(t *testing.T, c Client, o *history.Online, seed uint64, quit <-chan struct{}, served, ended *atomic.Int64) {
	random := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // the same each time
	for {
		select {
		case <-quit:
			return
		default:
		}
		ctx, cancel := context.Background(), func() {}
		if random.IntN(3) == 0 {
			ctx, cancel = context.WithTimeout(ctx, time.Duration(random.IntN(1_000_000)))
		}
		n := pick(random, 1, 2, 1+random.IntN(300), 10_001+random.IntN(500))
		floor := o.Begin()
		b, err := c.GetTSBatch(ctx, n)
		cancel()
		switch {
		case err == nil:
			served.Add(1)
			last := floor
			for physical, logical := range b.All() {
				// The next must be above the one before it, all above the floor.
				ts := ComposeTS(physical, logical)
				o.End(last, ts)
				last = ts
			}
			if b.Len() != n {
				t.Errorf("%d timestamps, want %d", b.Len(), n)
			}
		case errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, ErrBudgetSpent):
			ended.Add(1)
		default:
			t.Errorf("a batch of %d: %v", n, err)
		}
	}
}

// Batches of all sizes beside single calls and futures, while streams break and the leader
// moves, directly and through followers: all that is granted is granted once, and in order.
func TestBatchStress(t *testing.T) {
	for name, proxy := range map[string]bool{"direct": false, "follower proxy": true} {
		t.Run(name, func(t *testing.T) {
			s := tsotest.New(t, tsotest.WithMembers(3))
			c := newTestClient(t, s)
			require.NoError(t, c.UpdateOption(EnableTSOFollowerProxy, proxy))
			o := history.NewOnline(history.Contract, 64)
			quit := make(chan struct{})
			var served, ended atomic.Int64
			var wg sync.WaitGroup
			for i := range uint64(6) {
				wg.Go(func() { batchCaller(t, c, o, i, quit, &served, &ended) })
			}
			for range 8 {
				wg.Go(func() { singleCaller(t, c, o, quit) })
			}
			for i := range 9 {
				for before := c.Stats().RPCs; c.Stats().RPCs < before+100; {
					requireGetTS(t, c)
				}
				if i%3 == 0 {
					require.NoError(t, s.MoveLeader(i/3%3))
				} else {
					require.NoError(t, s.CloseStreams(i%3))
				}
			}
			close(quit)
			wg.Wait()
			require.NoError(t, o.Err())
			require.Zero(t, o.Unchecked())
			require.NotZero(t, served.Load())
			require.NotZero(t, ended.Load())
			stats := c.Stats()
			t.Logf("%d batches, %d ended by their context, %d timestamps checked, %+v", served.Load(), ended.Load(), o.Calls(), stats)
			require.Zero(t, stats.BadAnswers+stats.Fallbacks)
			require.LessOrEqual(t, stats.LargestBatch, int64(10_000))
		})
	}
}

// singleCaller makes calls for one timestamp, and futures, until quit is closed.
func singleCaller(t *testing.T, c Client, o *history.Online, quit <-chan struct{}) {
	end := func(floor uint64, physical, logical int64, err error) uint64 {
		if err != nil {
			t.Error(err)
			return floor
		}
		ts := ComposeTS(physical, logical)
		o.End(floor, ts)
		return ts
	}
	for {
		select {
		case <-quit:
			return
		default:
		}
		floor := o.Begin()
		physical, logical, err := c.GetTS(context.Background())
		end(floor, physical, logical, err)
		floor = o.Begin()
		first, second := c.GetTSAsync(context.Background()), c.GetTSAsync(context.Background())
		physical, logical, err = first.Wait()
		floor = end(floor, physical, logical, err)
		physical, logical, err = second.Wait()
		end(floor, physical, logical, err)
	}
}
