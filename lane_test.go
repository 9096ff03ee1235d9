package tso

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tsoring/tso/internal/wire"
)

// streams collects the fake streams that a lane opens.
type streams struct {
	opened chan *fakeStream
}

func newStreams() *streams { return &streams{opened: make(chan *fakeStream, 1000)} }

func (s *streams) open(url string, _ *atomic.Int64) tsoStream {
	f := newFakeStream(url)
	s.opened <- f
	return f
}

func pushNew(t testing.TB, l *lane, ctx context.Context) *request {
	r := l.env.requests.get(ctx)
	require.NoError(t, l.push(ctx, r))
	return r
}

func pushMany(t testing.TB, l *lane, n int) []*request {
	var rs []*request
	for range n {
		rs = append(rs, pushNew(t, l, context.Background()))
	}
	return rs
}

func requireTS(t testing.TB, want uint64, f TSFuture) {
	t.Helper()
	physical, logical, err := f.Wait()
	require.NoError(t, err)
	require.Equal(t, want, ComposeTS(physical, logical))
}

// base is a timestamp with room for many below it.
const base = uint64(1000)<<logicalBits + 100_000

func TestFirstRequestLeavesAtOnceAndOthersShareTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ss := newStreams()
		l, e := startFakeLane(t, ss.open)
		e.inFlight.Store(1)
		s := <-ss.opened
		synctest.Wait()
		first := pushNew(t, l, context.Background())
		require.EqualValues(t, 1, <-s.sent)
		rest := pushMany(t, l, 10)
		require.Empty(t, s.sent, "one RPC may be in flight")
		s.grant(base, 1)
		require.EqualValues(t, 10, <-s.sent)
		s.grant(base+10, 10)
		requireTS(t, base, first)
		for i, r := range rest {
			requireTS(t, base+uint64(i)+1, r)
		}
	})
}

func TestSeveralRPCsInFlightAreMatchedInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ss := newStreams()
		l, _ := startFakeLane(t, ss.open)
		s := <-ss.opened
		synctest.Wait()
		l.current.Load().deepen(3)
		rs := pushMany(t, l, 3)
		for range rs {
			require.EqualValues(t, 1, <-s.sent)
		}
		for i := range rs {
			s.grant(base+uint64(i), 1)
		}
		for i, r := range rs {
			requireTS(t, base+uint64(i), r)
		}
	})
}

func TestBatchesAreCutAtTheProtocolsLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ss := newStreams()
		l, e := startFakeLane(t, ss.open)
		e.inFlight.Store(1)
		s := <-ss.opened
		synctest.Wait()
		rs := pushMany(t, l, 1+10_000+5)
		for _, count := range []uint32{1, 10_000, 5} {
			require.Equal(t, count, <-s.sent)
			e.oracle.Add(1 << logicalBits)
			s.grant(uint64(e.oracle.Load())+uint64(count), count)
			synctest.Wait()
		}
		last := uint64(0)
		for _, r := range rs {
			physical, logical, err := r.Wait()
			require.NoError(t, err)
			require.Greater(t, ComposeTS(physical, logical), last)
			last = ComposeTS(physical, logical)
		}
	})
}

// What a broken stream leaves unanswered is sent first, and in order, on the
// next one: no call fails, and futures keep their creation order.
func TestBrokenStreamCostsNoCallAndNoOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ss := newStreams()
		l, e := startFakeLane(t, ss.open)
		e.inFlight.Store(2)
		s := <-ss.opened
		synctest.Wait()
		rs := pushMany(t, l, 7) // 1, 1, and 5 in the ring
		s.answers <- fakeAnswer{err: errPlanted}
		again := <-ss.opened
		synctest.Wait()
		require.EqualValues(t, 3, s.retired.Load(), "the old stream was told that two requests have no answer")
		rs = append(rs, pushMany(t, l, 2)...)
		ts := base
		for _, count := range []uint32{1, 1, 7} {
			require.Equal(t, count, <-again.sent)
			ts += uint64(count)
			again.grant(ts, count)
			synctest.Wait()
		}
		for i, r := range rs {
			requireTS(t, base+uint64(i)+1, r)
		}
		require.EqualValues(t, 2, e.stats.resent.Load())
	})
}

func TestAbandonedRequestIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ss := newStreams()
		l, e := startFakeLane(t, ss.open)
		e.inFlight.Store(1)
		s := <-ss.opened
		synctest.Wait()
		first := pushNew(t, l, context.Background())
		ctx, cancel := context.WithCancel(context.Background())
		for range 5 {
			go pushNew(t, l, ctx).Wait()
		}
		second := pushNew(t, l, context.Background())
		synctest.Wait()
		cancel()
		synctest.Wait()
		require.EqualValues(t, 1, <-s.sent)
		s.grant(base, 1)
		require.EqualValues(t, 1, <-s.sent, "five of the six have gone")
		s.grant(base+1, 1)
		requireTS(t, base, first)
		requireTS(t, base+1, second)
		require.EqualValues(t, 5, e.stats.abandoned.Load())
	})
}

func TestCloseEndsCallsInEveryState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ss := newStreams()
		l, e := startFakeLane(t, ss.open)
		e.inFlight.Store(1)
		<-ss.opened
		synctest.Wait()
		rs := pushMany(t, l, 1000) // in flight, in the ring
		var parked sync.WaitGroup
		parked.Go(func() {
			_, _, err := pushNew(t, l, context.Background()).Wait()
			require.ErrorIs(t, err, ErrClosed)
		})
		synctest.Wait()
		began := time.Now()
		l.close(ErrClosed)
		l.close(errPlanted) // the first error counts
		parked.Wait()
		for _, r := range rs {
			_, _, err := r.Wait()
			require.ErrorIs(t, err, ErrClosed)
		}
		require.ErrorIs(t, l.push(context.Background(), e.requests.get(context.Background())), ErrClosed)
		e.running.Wait()
		require.Zero(t, time.Since(began))
	})
}

// Callers, cancellations, streams that break and a lane that is closed in the
// end, on real time and all processors: every call returns, with a timestamp
// above all that had been returned when it began, or a reason.
func TestLaneUnderStress(t *testing.T) {
	for _, procs := range []int{1, 2, 4, 8} {
		t.Run(fmt.Sprintf("procs=%d", procs), func(t *testing.T) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
			l, e := startFakeLane(t, func(url string, oracle *atomic.Int64) tsoStream {
				return &flakyStream{echoStream: echoStream{newFakeStream(url), oracle}}
			})
			e.depth = func(time.Duration) int32 { return 4 }
			stressLane(t, l, e)
		})
	}
}

// flakyStream breaks in place of its 300th answer, with the request in flight.
type flakyStream struct {
	echoStream
	answers int
}

func (s *flakyStream) Recv(r *wire.Response) error {
	err := s.echoStream.Recv(r)
	if s.answers++; s.answers == 300 {
		return errPlanted
	}
	return err
}

func stressLane(t *testing.T, l *lane, e *fakeEnv) {
	const callers, calls = 16, 1500
	var (
		wg       sync.WaitGroup
		highest  atomic.Uint64
		canceled atomic.Int64
	)
	for caller := range callers {
		wg.Go(func() {
			for i := range calls {
				ctx, cancel := context.Background(), func() {}
				if (caller+i)%5 == 0 {
					ctx, cancel = context.WithCancel(ctx)
					go cancel()
				}
				floor := highest.Load()
				physical, logical, err := pushNew(t, l, ctx).Wait()
				cancel()
				switch ts := ComposeTS(physical, logical); {
				case errors.Is(err, context.Canceled):
					canceled.Add(1)
				case err != nil:
					t.Errorf("call failed: %v", err)
				case ts <= floor:
					t.Errorf("got %d though %d had been returned", ts, floor)
				default:
					for old := highest.Load(); old < ts && !highest.CompareAndSwap(old, ts); old = highest.Load() {
					}
				}
			}
		})
	}
	wg.Wait()
	require.NotZero(t, canceled.Load(), "no cancellation ever won")
	require.NotZero(t, e.stats.resent.Load(), "no stream broke with batches in flight")
}
