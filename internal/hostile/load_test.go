package hostile

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tsoring/tso"
	"github.com/tsoring/tso/tsotest"
)

// heap returns how much is reachable.
func heap() uint64 {
	runtime.GC()
	runtime.GC() // what pools have let go of
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// requireHeap requires that the heap comes down to what it was, and some.
func requireHeap(t testing.TB, before uint64) {
	t.Helper()
	const some = 8 << 20
	var now uint64
	require.Eventually(t, func() bool { now = heap(); return now < before+some }, 10*time.Second, 10*time.Millisecond,
		"the heap has grown from %d", before)
	t.Logf("heap: %d KiB before, %d KiB now", before>>10, now>>10)
}

// Futures that are never waited for are garbage, whether they were answered or
// ran out of budget.
func TestFuturesNeverWaitedForAreGarbage(t *testing.T) {
	s := tsotest.New(t)
	c := newClient(t, s, tso.WithRequestBudget(200*time.Millisecond))
	getTS(t, c)
	before := heap()
	for range 10_000 {
		c.GetTSAsync(context.Background())
	}
	getTS(t, c)
	require.NoError(t, s.Hold())
	for range 10_000 {
		c.GetTSAsync(context.Background())
	}
	require.Eventually(t, func() bool { return c.Stats().BudgetsSpent >= 10_000 }, 10*time.Second, time.Millisecond)
	require.NoError(t, s.Release())
	getTS(t, c)
	requireHeap(t, before)
}

// A hundred thousand calls that are cancelled while queued: each returns at once,
// hardly any is sent, nothing of them is left, and the next call is served.
func TestCallsCancelledWhileQueuedAreNotSent(t *testing.T) {
	s := tsotest.New(t)
	c := newClient(t, s)
	floor := getTS(t, c)
	before, sent := heap(), s.Stats().Timestamps
	require.NoError(t, s.Hold())
	const callers, each = 1000, 100
	var running sync.WaitGroup
	var released atomic.Bool
	for range callers {
		running.Go(func() {
			for range each {
				ctx, cancel := context.WithCancel(context.Background())
				future := c.GetTSAsync(ctx)
				cancel()
				// Once the server answers, an answer may be faster than the context.
				_, _, err := future.Wait()
				if !errors.Is(err, context.Canceled) && (err != nil || !released.Load()) {
					t.Errorf("got %v", err)
				}
			}
		})
	}
	// What the ring has no room for waits for it, but not after its context.
	waited := make(chan struct{})
	go func() { running.Wait(); close(waited) }()
	for {
		select {
		case <-waited:
			require.NoError(t, s.Release())
			require.Greater(t, getTS(t, c), floor)
			require.Less(t, s.Stats().Timestamps-sent, uint64(callers*each/4))
			requireHeap(t, before)
			return
		case <-time.After(100 * time.Millisecond):
			if c.Stats().RingFull > 0 {
				released.Store(true)
				require.NoError(t, s.Release())
			}
		}
	}
}

// A ring that is full: GetTSAsync waits for room, but no longer than its context
// (pd#7864, where it blocks for ever), and Close ends it, and all that is queued
// (pd#4550, where Close drains half of the queue, and pd#3283).
func TestFullRingEndsWithContextAndClose(t *testing.T) {
	s := tsotest.New(t)
	c := newClient(t, s)
	getTS(t, c)
	require.NoError(t, s.Hold())
	var queued atomic.Int64
	var running sync.WaitGroup
	const callers = 8
	for range callers {
		running.Go(func() {
			var futures []tso.TSFuture
			for ended := false; !ended; {
				future := c.GetTSAsync(context.Background())
				futures = append(futures, future)
				queued.Add(1)
				ended = c.Stats().RingFull >= callers
			}
			for _, future := range futures {
				if _, _, err := future.Wait(); !errors.Is(err, tso.ErrClosed) {
					t.Errorf("got %v", err)
				}
			}
		})
	}
	require.Eventually(t, func() bool { return c.Stats().RingFull >= callers }, 60*time.Second, time.Millisecond)
	done, cancel := context.WithCancel(context.Background())
	cancel()
	_, _, err := c.GetTSAsync(done).Wait()
	require.ErrorIs(t, err, context.Canceled)
	short, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, _, err = c.GetTSAsync(short).Wait()
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Less(t, time.Since(began), 5*time.Second)
	began = time.Now()
	c.Close()
	require.Less(t, time.Since(began), 5*time.Second)
	running.Wait()
	require.Greater(t, queued.Load(), int64(65_536))
	_, _, err = c.GetTSAsync(context.Background()).Wait()
	require.ErrorIs(t, err, tso.ErrClosed, "the 20,001st request after Close of PD's client blocks for ever")
}

// Memory must not grow with the number of batches (pd#6719: a timer of 3 s per
// batch).
func TestHeapIsFlatOverManyBatches(t *testing.T) {
	s := tsotest.New(t)
	c := newClient(t, s)
	for range 1000 {
		getTS(t, c)
	}
	before := heap()
	for range 5000 {
		getTS(t, c)
	}
	requireHeap(t, before)
}

// Calls that are cancelled at a high rate while options change, streams break and
// other clients close: none sees another's timestamp (pd#10124, pd#11274,
// pd#8055, pd#8076, pd#660).
func TestCancelledCallsNeverSeeAnothersTimestamp(t *testing.T) {
	s := tsotest.New(t, tsotest.WithMembers(2))
	recorded := make([]tso.Client, 2)
	var calls []*callers
	for i := range recorded {
		c := newClient(t, s)
		recorded[i] = c
		hurried := func() (int64, int64, error) {
			ctx, cancel := context.WithTimeout(context.Background(), 200*time.Microsecond)
			defer cancel()
			return c.GetTS(ctx)
		}
		calls = append(calls, startCallers(t, 16, hurried, func(err error) bool { return errors.Is(err, context.DeadlineExceeded) }),
			startCallers(t, 4, every(c), nil))
	}
	for i := range 15 {
		other := newClient(t, s)
		for range 100 {
			other.GetTSAsync(context.Background())
		}
		other.Close()
		for _, c := range recorded {
			require.NoError(t, c.UpdateOption(tso.TSOClientRPCConcurrency, 1+i%4))
			require.NoError(t, c.UpdateOption(tso.MaxTSOBatchWaitInterval, time.Duration(i%2)*time.Millisecond))
		}
		require.NoError(t, s.MoveLeader(i%2))
		getTS(t, recorded[i%2])
	}
	for _, c := range calls {
		c.stop()
	}
}

// Values that make PD's client hang at once, or in Close: no token for any RPC,
// or more tokens than there is room for.
func TestExtremesOfRPCConcurrencyDoNotHang(t *testing.T) {
	s := tsotest.New(t)
	for _, n := range []int{1, 33, 65, 1 << 30} {
		c := newClient(t, s)
		require.NoError(t, c.UpdateOption(tso.TSOClientRPCConcurrency, n))
		calls := startCallers(t, 32, every(c), nil)
		getTS(t, c)
		calls.stop()
		began := time.Now()
		c.Close()
		require.Less(t, time.Since(began), 5*time.Second)
	}
	c := newClient(t, s)
	for _, n := range []int{0, -1} {
		require.ErrorIs(t, c.UpdateOption(tso.TSOClientRPCConcurrency, n), tso.ErrInvalidOption)
	}
	getTS(t, c)
}
