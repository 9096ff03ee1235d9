package tso

import (
	"context"
	"fmt"
	"math"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/tsoring/tso/batch"
	"github.com/tsoring/tso/internal/history"
	"github.com/tsoring/tso/internal/wire"
	"github.com/tsoring/tso/tsotest"
)

// requireBatch requires n timestamps that increase, and returns them.
func requireBatch(t testing.TB, b Batch, n int) []uint64 {
	t.Helper()
	require.Equal(t, n, b.Len())
	ts := make([]uint64, 0, n)
	for physical, logical := range b.All() {
		require.Positive(t, physical)
		ts = append(ts, ComposeTS(physical, logical))
	}
	require.Len(t, ts, n)
	require.NoError(t, history.Err(history.CreationOrder(ts)))
	for _, i := range []int{0, n / 2, n - 1} {
		require.Equal(t, ts[i], ComposeTS(b.At(i)), "place %d", i)
	}
	return ts
}

func TestBatchOfEachSize(t *testing.T) {
	for _, n := range []int{1, 2, 9_999, 10_000, 10_001, 20_000, MaxTSBatch - 1, MaxTSBatch} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			c := newTestClient(t, tsotest.New(t))
			before := requireGetTS(t, c)
			stats := c.Stats()
			b, err := c.GetTSBatch(t.Context(), n)
			require.NoError(t, err)
			after := c.Stats()
			ts := requireBatch(t, b, n)
			require.Greater(t, ts[0], before)
			require.Greater(t, requireGetTS(t, c), ts[n-1])
			require.EqualValues(t, (n+batch.MaxCount-1)/batch.MaxCount, after.RPCs-stats.RPCs)
			require.EqualValues(t, n, after.Timestamps-stats.Timestamps)
			require.EqualValues(t, min(n, batch.MaxCount), after.LargestBatch)
		})
	}
}

func TestBatchOfASizeThatCannotBe(t *testing.T) {
	c := newTestClient(t, tsotest.New(t))
	requireGetTS(t, c)
	before := c.Stats().RPCs
	for _, n := range []int{math.MinInt, -1, 0, MaxTSBatch + 1, math.MaxInt} {
		b, err := c.GetTSBatch(t.Context(), n)
		require.ErrorIs(t, err, ErrInvalidArgument)
		require.ErrorContains(t, err, fmt.Sprint(n))
		require.Equal(t, Batch{}, b)
	}
	_, err := c.GetTSBatch(nil, 1) //nolint:staticcheck // what is tested
	require.ErrorIs(t, err, ErrInvalidArgument)
	done, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = c.GetTSBatch(done, 1)
	require.Equal(t, context.Canceled, err)
	require.Equal(t, before, c.Stats().RPCs, "no I/O")
	c.Close()
	_, err = c.GetTSBatch(t.Context(), 20_000)
	require.ErrorIs(t, err, ErrClosed)
}

func TestBatchIsASmallValue(t *testing.T) {
	require.LessOrEqual(t, int(unsafe.Sizeof(Batch{})), 96)
	require.Zero(t, Batch{}.Len())
	for range (Batch{}).All() {
		t.Error("the zero Batch is not empty")
	}
	b := Batch{first: [maxParts]uint64{base, base + 50_000}, step: [maxParts]uint8{1, 16}, count: 10_003}
	for i, want := range map[int]uint64{0: base, 9_999: base + 9_999, 10_000: base + 50_000, 10_002: base + 50_032} {
		require.Equal(t, want, ComposeTS(b.At(i)))
	}
	for _, i := range []int{math.MinInt, -1, 10_003, MaxTSBatch, math.MaxInt} {
		physical, logical := b.At(i)
		require.Equal(t, []int64{0, 0}, []int64{physical, logical}, "place %d", i)
	}
	seen := 0
	for range b.All() {
		if seen++; seen == 5 {
			break
		}
	}
	require.Equal(t, 5, seen)
}

// With Local TSO, PD leaves room for the other scopes between neighbours.
func TestBatchHonoursSuffixBits(t *testing.T) {
	c := newTestClient(t, tsotest.New(t, tsotest.WithDCs("dc-1", "dc-2", "dc-3", "dc-4")))
	b, err := c.GetTSBatch(t.Context(), 20_001)
	require.NoError(t, err)
	ts := requireBatch(t, b, 20_001)
	for i := 1; i < 10_000; i++ {
		require.EqualValues(t, 8, ts[i]-ts[i-1], "3 suffix bits")
		require.EqualValues(t, 8, ts[10_000+i]-ts[10_000+i-1])
	}
	physical, logical, err := c.GetLocalTS(t.Context(), "dc-3")
	require.NoError(t, err)
	require.Greater(t, ComposeTS(physical, logical), ts[20_000])
}

// A goroutine's futures before and after a batch are below and above it.
func TestBatchIsInOrderWithFutures(t *testing.T) {
	c := newTestClient(t, tsotest.New(t))
	for range 3 {
		var all []uint64
		before, after := c.GetTSAsync(t.Context()), TSFuture(nil)
		b, err := c.GetTSBatch(t.Context(), 15_000)
		require.NoError(t, err)
		after = c.GetTSAsync(t.Context())
		physical, logical, err := before.Wait()
		require.NoError(t, err)
		all = append(append(all, ComposeTS(physical, logical)), requireBatch(t, b, 15_000)...)
		physical, logical, err = after.Wait()
		require.NoError(t, err)
		require.NoError(t, history.Err(history.CreationOrder(append(all, ComposeTS(physical, logical)))))
	}
}

// result is what a call for a batch comes to.
type result struct {
	batch Batch
	err   error
}

// getBatch makes a call in a goroutine of its own.
func getBatch(l *lane, ctx context.Context, n int) <-chan result {
	done := make(chan result, 1)
	go func() {
		b, err := l.getBatch(ctx, n)
		done <- result{b, err}
	}()
	return done
}

// requireServes requires that a lane whose next RPC is that of a later call goes on.
func requireServes(t *testing.T, l *lane, s *fakeStream, ts uint64) {
	t.Helper()
	r := pushNew(t, l, context.Background())
	require.EqualValues(t, 1, <-s.sent)
	s.grant(ts, 1)
	requireTS(t, ts, r)
}

// A batch whose context ends is an error, whatever has come of it; what has not been sent is
// not, and late answers reach nobody.
func TestBatchEndsWithItsContext(t *testing.T) {
	for answered := range 4 { // of three parts
		t.Run(fmt.Sprint(answered, " answered"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ss := newStreams()
				l, e := startFakeLane(t, ss.open)
				s := <-ss.opened
				synctest.Wait()
				ctx, cancel := context.WithCancel(context.Background())
				call := getBatch(l, ctx, 25_000)
				synctest.Wait()
				ts := base
				for i := range answered {
					count := <-s.sent
					ts += uint64(count)
					s.grant(ts, count)
					synctest.Wait()
					require.Equal(t, i == 2, len(call) == 1)
				}
				cancel()
				synctest.Wait()
				got := <-call
				if answered == 3 {
					require.NoError(t, got.err)
					require.Equal(t, base+1, requireBatch(t, got.batch, 25_000)[0])
				} else {
					require.Equal(t, context.Canceled, got.err)
					require.Equal(t, Batch{}, got.batch)
				}
				for ; l.current.Load().len() > 0; synctest.Wait() {
					count := <-s.sent
					ts += uint64(count)
					s.grant(ts, count)
				}
				requireServes(t, l, s, ts+1)
				unsent := int64(max(0, 1-answered)) // two RPCs are under way at a time
				require.Equal(t, unsent, e.stats.abandoned.Load())
				require.Equal(t, 4-unsent, e.stats.rpcs.Load())
			})
		})
	}
}

func TestBatchEndsWithItsContextWithoutAStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _ := startFakeLane(t, func(string, *atomic.Int64) tsoStream { return nil })
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		began := time.Now()
		_, err := l.getBatch(ctx, MaxTSBatch)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 50*time.Millisecond, time.Since(began))
	})
}

// fullRing returns a lane with a budget of 4 s whose ring of four places is full behind an
// RPC, and its stream.
func fullRing(t *testing.T) (*lane, *fakeStream) {
	ss := newStreams()
	e := newFakeEnv(ss.open)
	e.capacity, e.budget = 4, 4*time.Second
	e.inFlight.Store(1)
	l := startLane(t, e)
	s := <-ss.opened
	synctest.Wait()
	pushMany(t, l, 1+4)
	require.EqualValues(t, 1, <-s.sent)
	return l, s
}

// The parts of a batch that do not fit in the ring wait for room, as any call does. Where one
// of them waits for too long, those before it are not sent.
func TestBatchInAFullRingEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, s := fullRing(t)
		ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
		defer cancel()
		call := getBatch(l, ctx, MaxTSBatch)
		synctest.Wait()
		s.grant(base, 1)
		require.EqualValues(t, 4, <-s.sent) // and four of ten parts are in the ring
		began := time.Now()
		require.ErrorIs(t, (<-call).err, context.DeadlineExceeded)
		require.Equal(t, 500*time.Millisecond, time.Since(began))
		s.grant(base+4, 4)
		synctest.Wait()
		require.Empty(t, s.sent)
		require.EqualValues(t, 4, l.env.stats.abandoned.Load())
		requireServes(t, l, s, base+5)
	})
}

// However long parts have waited for room, their budget is that of the call.
func TestBatchThatWaitedForRoomEndsWithItsBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, s := fullRing(t)
		began := time.Now()
		call := getBatch(l, context.Background(), 20_000)
		time.Sleep(800 * time.Millisecond)
		s.grant(base, 1)
		require.EqualValues(t, 4, <-s.sent)
		s.grant(base+4, 4)
		require.EqualValues(t, 10_000, <-s.sent)
		s.grant(base+10_004, 10_000)
		require.EqualValues(t, 10_000, <-s.sent) // never answered
		require.ErrorIs(t, (<-call).err, ErrBudgetSpent)
		require.GreaterOrEqual(t, time.Since(began), l.env.budget)
		require.LessOrEqual(t, time.Since(began), l.env.budget+l.env.budget/20)
	})
}

// A part that still waits for room when the budget of its call ends, behind younger calls.
func TestPartWaitsForRoomWithinTheBudgetOfItsCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _ := fullRing(t)
		began, start := time.Now(), l.clock.Load()
		time.Sleep(l.env.budget / 2) // what was in the ring has gone to the queue
		pushMany(t, l, 4)
		r := l.env.parts.call(context.Background())
		require.ErrorIs(t, l.pushPart(context.Background(), r, start), ErrBudgetSpent)
		require.GreaterOrEqual(t, time.Since(began), l.env.budget)
		require.LessOrEqual(t, time.Since(began), l.env.budget+l.tick)
	})
}

func TestBatchEndsWithItsBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ss := newStreams()
		l, e := startFakeLane(t, ss.open)
		s := <-ss.opened
		synctest.Wait()
		began := time.Now()
		call := getBatch(l, context.Background(), 30_000)
		require.EqualValues(t, 10_000, <-s.sent)
		s.grant(base, 10_000)
		got := <-call
		require.ErrorIs(t, got.err, ErrBudgetSpent)
		require.GreaterOrEqual(t, time.Since(began), e.budget)
		require.LessOrEqual(t, time.Since(began), e.budget+e.budget/20)
		require.EqualValues(t, 2, e.stats.spent.Load(), "parts")
	})
}

func TestBatchEndsWithItsLane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ss := newStreams()
		l, _ := startFakeLane(t, ss.open)
		s := <-ss.opened
		synctest.Wait()
		call := getBatch(l, context.Background(), 50_000)
		require.EqualValues(t, 10_000, <-s.sent)
		s.grant(base, 10_000)
		synctest.Wait()
		l.close(ErrClosed)
		require.ErrorIs(t, (<-call).err, ErrClosed)
	})
}

// The batch interval is for calls that are for one timestamp.
func TestBatchDoesNotWaitForCompany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ss := newStreams()
		l, e := startFakeLane(t, ss.open)
		require.NoError(t, updateOption(e.laneEnv, MaxTSOBatchWaitInterval, 5*time.Millisecond))
		s := <-ss.opened
		synctest.Wait()
		r := pushNew(t, l, context.Background())
		began := time.Now()
		call := getBatch(l, context.Background(), 100)
		require.EqualValues(t, 101, <-s.sent, "it takes along who waits already")
		s.grant(base, 101)
		requireTS(t, base-100, r)
		require.Zero(t, time.Since(began))
		require.Equal(t, base-99, requireBatch(t, (<-call).batch, 100)[0])
	})
}

// A batch that loses its stream goes on with the next one, each part as a whole.
func TestBatchOutlivesItsStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ss := newStreams()
		l, e := startFakeLane(t, ss.open)
		call := getBatch(l, context.Background(), 30_000)
		ts := base
		for range 3 {
			s := <-ss.opened
			require.EqualValues(t, 10_000, <-s.sent)
			ts += 10_000
			s.grant(ts, 10_000)
			synctest.Wait()
			s.Close(errPlanted)
		}
		got := <-call
		require.NoError(t, got.err)
		all := requireBatch(t, got.batch, 30_000)
		require.Equal(t, base+1, all[0])
		require.Equal(t, ts, all[29_999])
		require.EqualValues(t, 3, e.stats.resent.Load())
	})
}

// An answer for another number of timestamps than were asked for is not believed, and the
// batch gets those of the next stream.
func TestBatchOfWrongAnswers(t *testing.T) {
	for name, answer := range map[string]wire.Response{
		"one too few":      granting(base, 9_999),
		"one too many":     granting(base, 10_001),
		"one":              granting(base, 1),
		"none":             granting(base, 0),
		"not enough below": {Count: 10_000, HasTime: true, Physical: 1000, Logical: 9_998, ClusterID: fakeCluster},
		"room for one bit": {Count: 10_000, HasTime: true, Physical: 1000, Logical: 10_000, SuffixBits: 1, ClusterID: fakeCluster},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ss := newStreams()
				l, e := startFakeLane(t, ss.open)
				call := getBatch(l, context.Background(), 10_000)
				for range 2 {
					s := <-ss.opened
					require.EqualValues(t, 10_000, <-s.sent)
					s.answers <- fakeAnswer{response: answer}
					<-s.closed
				}
				s := <-ss.opened
				require.EqualValues(t, 10_000, <-s.sent)
				s.grant(base, 10_000)
				got := <-call
				require.NoError(t, got.err)
				require.Equal(t, base-9_999, requireBatch(t, got.batch, 10_000)[0])
				require.EqualValues(t, 2, e.stats.badAnswers.Load())

				call = getBatch(l, context.Background(), 10_000)
				for range maxBadAnswers {
					<-s.sent
					s.answers <- fakeAnswer{response: answer}
					<-s.closed
					s = <-ss.opened
				}
				require.ErrorIs(t, (<-call).err, ErrBadResponse)
				require.Equal(t, base, l.high.ts)
			})
		})
	}
}

// What a server may do to one request costs no batch, and reaches none; see hostileReplies.
func TestOneHostileReplyCostsNoBatch(t *testing.T) {
	for name, reply := range hostileReplies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := tsotest.New(t)
			c := newTestClient(t, s)
			last := requireGetTS(t, c)
			for victim := range int32(2) {
				var rpcs atomic.Int32
				s.Script(func(tsotest.Request) tsotest.Reply {
					if rpcs.Add(1) == victim+1 {
						return reply
					}
					return tsotest.Reply{}
				})
				b, err := c.GetTSBatch(t.Context(), 10_010)
				require.NoError(t, err)
				require.Greater(t, rpcs.Load(), victim)
				ts := requireBatch(t, b, 10_010)
				require.Greater(t, ts[0], last)
				last = ts[10_009]
			}
		})
	}
}
