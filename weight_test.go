package tso

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tsoring/tso/batch"
)

// Requests of any weights: what one answer grants is shared out in order, each timestamp
// once at most, also where requests have left the batch since it was sent.
func TestShareByWeight(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.SliceOfN(rapid.OneOf(rapid.Just(1), rapid.IntRange(1, 300)), 1, 30).Draw(t, "weights")
		bits := rapid.Uint32Range(0, 4).Draw(t, "suffix bits")
		e := newFakeEnv(nil)
		defer e.wheel.Close()
		l := newLane(globalDC, e.laneEnv)
		defer l.stop()
		var rs []*request
		count := 0
		for _, w := range weights {
			r := e.parts.call(context.Background())
			r.weight = uint16(w)
			rs = append(rs, r)
			count += w
		}
		b := l.newBatch()
		all := rs
		b.Fill(func(room []*request) int {
			n := copy(room, all)
			all = all[n:]
			return n
		})
		stays := rapid.SliceOfN(rapid.Bool(), len(rs), len(rs)).Draw(t, "stays")
		kept := rs[:0:0]
		for i, r := range rs {
			if stays[i] {
				kept = append(kept, r)
			}
		}
		if rapid.Bool().Draw(t, "some have left") {
			b.Filter(func(r *request) bool { return slices.Contains(kept, r) })
		} else {
			kept = rs
		}
		granted := batch.Share(1000, int64(count-1)<<bits+5, uint32(count), bits)
		l.share(b, uint32(count), granted)

		next := 0
		for i, r := range kept {
			weight := r.weight
			first, step, err := r.awaitRange()
			if err != nil || first != granted.At(next) {
				t.Fatalf("request %d: begins at %d, %v, want %d", i, first, err, granted.At(next))
			}
			if weight > 1 && step != 1<<bits {
				t.Fatalf("request %d: %d apart, want %d", i, step, 1<<bits)
			}
			next += int(weight)
		}
		if next > count {
			t.Fatalf("%d timestamps handed out of %d", next, count)
		}
	})
}

// weighing pushes a request for n timestamps.
func weighing(t testing.TB, l *lane, ctx context.Context, n uint16) *request {
	r := l.env.parts.call(ctx)
	r.weight = n
	require.NoError(t, l.push(ctx, r))
	return r
}

// An RPC asks for the sum of what its requests do, at most 10,000, and none of them is split.
func TestRPCsAskForTheSumOfWeights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ss := newStreams()
		l, e := startFakeLane(t, ss.open)
		s := <-ss.opened
		synctest.Wait()
		e.inFlight.Store(1)
		ctx := context.Background()
		rs := []*request{pushNew(t, l, ctx)} // in flight; the others come together
		for _, n := range []uint16{1, 1, 10_000, 4_000, 1, 5_999, 1, 9_999, 1} {
			rs = append(rs, weighing(t, l, ctx, n))
		}
		ts := base
		for _, count := range []uint32{1, 2, 10_000, 10_000, 10_000, 1} {
			require.Equal(t, count, <-s.sent)
			ts += uint64(count)
			s.grant(ts, count)
		}
		next := base + 1
		for i, n := range []uint64{1, 1, 1, 10_000, 4_000, 1, 5_999, 1, 9_999, 1} {
			first, _, err := rs[i].awaitRange()
			require.NoError(t, err)
			require.Equal(t, next, first, "request %d", i)
			next += n
		}
		require.EqualValues(t, 6, e.stats.rpcs.Load())
		require.EqualValues(t, 30_004, e.stats.timestamps.Load())
		require.EqualValues(t, 10_000, e.stats.largest.Load())
	})
}

// Where a batch is split, what is left of it stays in front of what comes later, goes through
// a change of stream in order, and leaves out who has gone meanwhile.
func TestWhatIsSplitOffStaysInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ss := newStreams()
		l, e := startFakeLane(t, ss.open)
		s := <-ss.opened
		synctest.Wait()
		e.inFlight.Store(1)
		ctx := context.Background()
		first := pushNew(t, l, ctx)
		rs := []*request{weighing(t, l, ctx, 6_000), weighing(t, l, ctx, 6_000), weighing(t, l, ctx, 6_000)}
		gone := weighing(t, l, ctx, 6_000)
		rs = append(rs, pushNew(t, l, ctx))
		<-s.sent
		s.grant(base, 1)
		requireTS(t, base, first)
		require.EqualValues(t, 6_000, <-s.sent)
		synctest.Wait()
		require.EqualValues(t, 1, l.queued.Load(), "the rest waits in the queue")
		require.Equal(t, 4, l.waiting)
		rs = append(rs, pushNew(t, l, ctx)) // in the ring, behind it
		gone.abandon()
		s.Close(errPlanted)

		s = <-ss.opened
		next := base + 1
		for i, count := range []uint32{6_000, 6_000, 6_001, 1} {
			require.Equal(t, count, <-s.sent, "RPC %d", i)
			s.grant(next+uint64(count)-1, count)
			next += uint64(count)
			synctest.Wait()
		}
		next = base + 1
		for i, n := range []uint64{6_000, 6_000, 6_000, 1, 1} {
			got, _, err := rs[i].awaitRange()
			require.NoError(t, err)
			require.Equal(t, next, got, "request %d", i)
			next += n
		}
		require.EqualValues(t, 1, e.stats.abandoned.Load())
		require.EqualValues(t, 1, e.stats.resent.Load())
		require.Zero(t, l.waiting)
	})
}

// A part whose caller lets go of it is recycled once, by whoever is the last.
func TestAbandonedWithoutSleepingIsRecycledOnce(t *testing.T) {
	pool := newRequestPool()
	r := pool.call(context.Background())
	r.abandon()
	require.NotNil(t, r.ctx, "the owner has it still")
	require.True(t, r.dropIfAbandoned())
	require.Nil(t, r.ctx)

	r = pool.call(context.Background())
	r.abandon()
	r.finish(stateDone) // the late answer
	require.Nil(t, r.ctx)

	for _, end := range []func(*request){func(r *request) { r.finish(stateDone) }, func(r *request) { r.fail(errPlanted) }} {
		r = pool.call(context.Background())
		end(r)
		require.NotNil(t, r.ctx, "the caller has it still")
		r.abandon()
		require.Nil(t, r.ctx)
		require.Empty(t, r.wake)
	}
}

// What is split off goes before batches that were cut while nothing could be sent.
func TestWhatIsSplitOffGoesBeforeBatchesThatWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ss := newStreams()
		var there atomic.Bool
		l, e := startFakeLane(t, func(url string, oracle *atomic.Int64) tsoStream {
			if !there.Load() {
				return nil
			}
			return ss.open(url, oracle)
		})
		ctx := context.Background()
		rs := []*request{weighing(t, l, ctx, 10_000), weighing(t, l, ctx, 10_000)}
		time.Sleep(e.budget/4 + time.Second)
		rs = append(rs, pushNew(t, l, ctx))
		time.Sleep(e.budget/4 + time.Second)
		require.EqualValues(t, 2, l.queued.Load(), "batches")
		there.Store(true)
		s := <-ss.opened
		next := base
		for i, count := range []uint32{10_000, 10_000, 1} {
			require.Equal(t, count, <-s.sent)
			s.grant(next+uint64(count)-1, count)
			first, _, err := rs[i].awaitRange()
			require.NoError(t, err)
			require.Equal(t, next, first)
			next += uint64(count)
		}
	})
}
