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
)

func TestLanesThatWaitAtTheSameTimeShareAList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var u unknownLists
		var asked atomic.Int64
		ask := func(context.Context) error {
			asked.Add(1)
			time.Sleep(10 * time.Millisecond)
			return errPlanted
		}
		began := time.Now()
		now := func() int64 { return int64(time.Since(began)) }
		for range 100 {
			var lanes sync.WaitGroup
			for range 50 {
				lanes.Go(func() { require.ErrorIs(t, u.await(t.Context(), now, ask), errPlanted) })
			}
			lanes.Wait()
		}
		require.LessOrEqual(t, asked.Load(), int64(2*100), "the first that comes may begin at once, the others need a later one")
		require.GreaterOrEqual(t, time.Since(began), time.Duration(asked.Load()-int64(unknownRate.burst)-1)*unknownRate.interval)
	})
}

// A list that was asked for before a lane came says nothing of what it waits for.
func TestLaneThatWaitsGetsAListOfLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var u unknownLists
		now := func() int64 { return 0 }
		var early sync.WaitGroup
		early.Go(func() {
			require.NoError(t, u.await(t.Context(), now, func(context.Context) error {
				time.Sleep(time.Second)
				return nil
			}))
		})
		synctest.Wait()
		require.ErrorIs(t, u.await(t.Context(), now, func(context.Context) error { return errPlanted }), errPlanted)
		early.Wait()
	})
}

func TestLaneThatGoesLeavesItsListToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := unknownLists{}
		now := func() int64 { return 0 }
		for range unknownRate.burst {
			require.NoError(t, u.await(t.Context(), now, func(context.Context) error { return nil }))
		}
		first, leave := context.WithCancel(t.Context())
		var lanes sync.WaitGroup
		lanes.Go(func() {
			require.Error(t, u.await(first, now, func(ctx context.Context) error { return ctx.Err() }))
		})
		synctest.Wait()
		lanes.Go(func() { // behind the first
			require.ErrorIs(t, u.await(t.Context(), now, func(context.Context) error { return errPlanted }), errPlanted)
		})
		second, giveUp := context.WithCancelCause(t.Context())
		lanes.Go(func() { require.ErrorIs(t, u.await(second, now, nil), errMoved) })
		synctest.Wait()
		giveUp(errMoved)
		leave()
		lanes.Wait()
	})
}

func TestNameThatNobodyKnowsCostsLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c := inMemory(t, nil)
		requireGetTS(t, c)
		inUse := func() (memory uint64, goroutines int) {
			var m runtime.MemStats
			synctest.Wait() // lists that are asked for take memory and goroutines as well
			runtime.GC()
			runtime.ReadMemStats(&m)
			return m.HeapAlloc + m.StackInuse, runtime.NumGoroutine()
		}
		memory, goroutines := inUse()
		const names = 400
		most := uint64(16 << 10)
		if raceEnabled {
			most *= 2 // the detector's
		}
		for i := range names {
			ctx, cancel := context.WithCancel(t.Context())
			f := c.GetLocalTSAsync(ctx, fmt.Sprintf("tenant-%d", i))
			cancel()
			_, _, err := f.Wait()
			require.ErrorIs(t, err, context.Canceled)
		}
		moreMemory, moreGoroutines := inUse()
		require.Less(t, moreMemory, memory+names*most)
		require.LessOrEqual(t, moreGoroutines, goroutines+2*names+5, "two each; some may be about to end")
	})
}

// The ring of a lane is small until it is full. Nobody waits for room meanwhile, and futures
// keep their order.
func TestRingGrowsWhenItIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ss := newStreams()
		l, e := startFakeLane(t, ss.open)
		e.inFlight.Store(1)
		s := <-ss.opened
		synctest.Wait()
		require.Equal(t, firstRing, l.ring.Cap())
		rs := pushMany(t, l, 1+3*firstRing)
		require.Equal(t, ringCapacity, l.ring.Cap())
		require.Zero(t, e.stats.ringFull.Load())
		require.EqualValues(t, 1, <-s.sent)
		s.grant(base, 1)
		require.EqualValues(t, 3*firstRing, <-s.sent)
		s.grant(base+3*firstRing, 3*firstRing)
		for i, r := range rs {
			requireTS(t, base+uint64(i), r)
		}
	})
}

// Callers that find it full before it has grown, since the holder of the seat is held up,
// wait for that, and not for room.
func TestWaitForTheRingToGrowIsNoneForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ss := newStreams()
		l, e := startFakeLane(t, ss.open)
		s := <-ss.opened
		synctest.Wait()
		require.True(t, l.seat.take())
		pushMany(t, l, firstRing)
		late := make(chan *request, 8)
		for range cap(late) {
			go func() { late <- pushNew(t, l, context.Background()) }()
		}
		synctest.Wait()
		require.Empty(t, late)
		l.hold()
		synctest.Wait()
		require.Len(t, late, cap(late))
		require.Zero(t, e.stats.ringFull.Load())
		require.NotEmpty(t, s.sent)
	})
}

// Also where nothing is sent, and nobody but the callers comes past.
func TestFuturesOfADCThatIsNotThereYetDoNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newFakeEnv(nil)
		e.moveTo("")
		e.refreshed.Store(new(error))
		l := newLane("dc-1", e.laneEnv)
		e.run(t, l)
		began := time.Now()
		rs := pushMany(t, l, ringCapacity)
		require.Zero(t, time.Since(began))
		_, _, err := rs[0].Wait()
		require.ErrorIs(t, err, ErrUnknownDCLocation)
		require.LessOrEqual(t, time.Since(began), 5*time.Second)
		for _, r := range rs[1:] {
			_, _, err := r.Wait()
			require.True(t, errors.Is(err, ErrUnknownDCLocation))
		}
		require.Zero(t, e.stats.probes.Load())
		require.Zero(t, e.stats.suspicions.Load())
	})
}
