package tso

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// That ticks come for as long as there is something to look at; see lane_pairs_test.go.

// Whoever makes ticks start has something to show to the next one.
func TestTicksStartForWhatShows(t *testing.T) {
	for name, do := range map[string]func(l *lane, f *flight, b *requestBatch){
		"pushed": func(l *lane, _ *flight, b *requestBatch) { _ = l.add(context.Background(), b.Requests()[0], 0) },
		"cut":    func(l *lane, _ *flight, b *requestBatch) { l.enqueue(b) },
		"put back": func(l *lane, _ *flight, b *requestBatch) {
			l.queue.restore(nil)
			l.requeue(b)
		},
		"launched": func(l *lane, f *flight, b *requestBatch) {
			l.current.Store(f)
			l.launch(f, b, 1)
		},
		"taken back": func(l *lane, f *flight, b *requestBatch) {
			l.adopted = f
			f.add(b, 1, 0, 0, 0)
			l.adopt(nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := newFakeEnv(nil)
			e.wheel.Close()
			var l *lane
			starts := 0
			e.now = func() int64 {
				if l.ticking.Load() {
					starts++
					require.False(t, l.idle())
				}
				return 0
			}
			l = newLane(globalDC, e.laneEnv)
			b := &requestBatch{}
			taken := false
			b.Fill(func(room []*request) int {
				if taken {
					return 0
				}
				taken, room[0] = true, e.requests.get(context.Background())
				return 1
			})
			do(l, newFlight(&attempt{stream: newFakeStream("pd-1")}), b)
			require.Equal(t, 1, starts)
		})
	}
}

// requireBudget requires that a call of a lane without answers ends with its budget, which
// takes ticks.
func requireBudget(t *testing.T, r *request) {
	t.Helper()
	began := time.Now()
	for r.word.Load() == stateWaiting && time.Since(began) < time.Minute {
		time.Sleep(10 * time.Millisecond)
	}
	require.Equal(t, stateFailed, r.word.Load(), "the ticks have stopped")
	_, _, err := r.Wait()
	require.ErrorIs(t, err, ErrBudgetSpent)
}

// The seat's holder is off the processor while its stream ends and nothing else shows.
func TestTicksGoOnWhileAFlightIsTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ss := newStreams()
		var down atomic.Bool
		l, _ := startFakeLane(t, func(url string, o *atomic.Int64) tsoStream {
			if down.Load() {
				return nil
			}
			return ss.open(url, o)
		})
		s := <-ss.opened
		synctest.Wait()
		r := pushNew(t, l, context.Background())
		<-s.sent
		require.True(t, l.seat.take())
		down.Store(true)
		s.answers <- fakeAnswer{err: errPlanted}
		time.Sleep(5 * l.tick)
		require.False(t, l.ticking.Load(), "nothing shows")
		l.hold()
		requireBudget(t, r)
	})
}

// The holder is off the processor while requests are on the way from the ring to the queue,
// and nothing is sent then, since there is no stream.
func TestTicksGoOnWhileTheRingIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newFakeEnv(func(string, *atomic.Int64) tsoStream { return nil })
		l := newLane(globalDC, e.laneEnv)
		drain, stopped := l.drain, false
		l.drain = func(room []*request) int {
			n := drain(room)
			if n > 0 {
				time.Sleep(5 * l.tick)
				stopped = !l.ticking.Load()
			}
			return n
		}
		e.run(t, l)
		requireBudget(t, pushNew(t, l, context.Background()))
		require.True(t, stopped, "something showed")
	})
}

// The holder is off the processor while a batch is on the way from the queue to the flight.
func TestTicksGoOnWhileABatchIsLaunched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ss := newStreams()
		e := newFakeEnv(ss.open)
		var l *lane
		var armed, stopped atomic.Bool
		now := e.now
		e.now = func() int64 {
			if armed.Load() && l.seat.taken() && l.ring.Len() == 0 && l.queued.Load() == 0 && armed.Swap(false) {
				time.Sleep(5 * l.tick)
				stopped.Store(!l.ticking.Load())
			}
			return now()
		}
		l = newLane(globalDC, e.laneEnv)
		e.run(t, l)
		<-ss.opened
		synctest.Wait()
		armed.Store(true)
		r := pushNew(t, l, context.Background())
		require.True(t, stopped.Load(), "something showed")
		requireBudget(t, r)
	})
}

// A Send is watched also where its request has been answered already.
func TestTicksGoOnWhileASendHangsThatIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newFakeEnv(nil)
		s := hangingOnce(e)
		l := startLane(t, e)
		synctest.Wait()
		s.stuck.Store(true)
		began := time.Now()
		go func() { _, _, _ = pushNew(t, l, context.Background()).Wait() }() // whatever comes
		synctest.Wait()
		s.grant(base, 1)
		<-s.closed
		require.LessOrEqual(t, time.Since(began), sendPatience+3*l.tick)
	})
}
