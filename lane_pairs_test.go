package tso

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// Nobody in the pipeline waits for anybody: who has made work publishes it and then looks for
// somebody who does it, and that one looks for work before it leaves. These are the pairs, and
// the tests that fail when the two are swapped or one is left out. A tick finds within 50 ms
// what has been missed, and so hides it: the tests of the upper part run without ticks, or
// ask that no time passes.
//
//	published                    looked at after that         test
//	ring (push)                  seat, current                TestNoWakeUpIsLostWithoutTicks, TestPushIsSentAtOnce
//	seat wanted                  work (leave)                 TestSeatModel, TestNoWakeUpIsLostWithoutTicks
//	gathering taken back         ring                         TestNoWakeUpIsLostWithoutTicks
//	flight answered, its depth   ring, queue                  TestAnswerSendsWhatWaitsAtOnce, TestAnswerRacesAPush
//	waiting for room, the gate   ring                         TestRoomThatComesAfterAPushOpensItsGate
//	room in the ring             waiting for room             TestRoomIsMadeBeforeItIsToldOf
//	current                      seat, work                   TestStreamTakesWhatWaitsAtOnce
//	current                      closing                      TestNothingHangsThatComesAfterClose, TestCloseRacesTheNextStream
//	closing, no flight           ring                         TestNothingHangsThatComesAfterClose
//	surface                      seat                         TestFailureIsToldAtOnce
//	no current                   seat                         TestEndedStreamIsTakenBackFromAtOnce
//	flush                        seat                         TestBatchIntervalEndsOnTime
//	sweep due                    seat                         TestRingGrowsWhenItIsFull, TestBudgetEndsCallsInEveryState
//	ring, queue, flight, Send    ticking (keepTicking)        TestTicksStartForWhatShows, TestTicksGoOnWhile…
//	not ticking                  ring, queue, flight          TestTickLooksAgainAfterItHasStopped, TestTickRacesWhoMakesWork
//	seat vacated                 closing                      TestCloseWhileTheHolderIsLost
//	slot granted                 batch settled                TestAnswerDuringTheSweepOfItsBatch
//	list to be asked for taken   (asking)                     TestLaneThatWaitsGetsAListOfLater

// withoutTicks has the lane never tick, as if it did already.
func withoutTicks(l *lane) { l.ticking.Store(true) }

// A wake-up that is lost stops the callers for good here, which ends the bubble's peace: time
// passes.
func TestNoWakeUpIsLostWithoutTicks(t *testing.T) {
	for name, set := range map[string]func(*fakeEnv){
		"one in flight":  func(e *fakeEnv) { e.inFlight.Store(1) },
		"two in flight":  func(e *fakeEnv) { e.inFlight.Store(2) },
		"deepening":      func(e *fakeEnv) { e.depth = deepening() },
		"full":           func(e *fakeEnv) { e.capacity = 4; e.inFlight.Store(1) },
		"full, and deep": func(e *fakeEnv) { e.capacity = 4 },
	} {
		for _, procs := range []int{2, 4} {
			t.Run(fmt.Sprintf("%s, procs %d", name, procs), func(t *testing.T) {
				defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
				synctest.Test(t, func(t *testing.T) {
					e := newFakeEnv(newEchoStream)
					set(e)
					l := newLane(globalDC, e.laneEnv)
					withoutTicks(l)
					e.run(t, l)
					synctest.Wait()
					began := time.Now()
					var callers sync.WaitGroup
					for i := range 16 {
						callers.Go(func() {
							for range 1000 {
								callOrFuture(t, l, i%4 == 0)
								if time.Since(began) > 0 {
									t.Error("a call has waited for a tick, or for a suspicion")
									return
								}
							}
						})
					}
					hang := time.AfterFunc(time.Minute, func() { l.close(ErrClosed) })
					defer hang.Stop()
					callers.Wait()
				})
			})
		}
	}
}

// deepening is a depth that changes with each answer.
func deepening() func(time.Duration) int32 {
	var answers atomic.Int32
	return func(time.Duration) int32 { return 1 + answers.Add(1)%3 }
}

func callOrFuture(t *testing.T, l *lane, future bool) {
	if !future {
		callWith(t, l, l.env.requests, context.Background())
		return
	}
	first, second := pushNew(t, l, context.Background()), pushNew(t, l, context.Background())
	for _, r := range []*request{first, second} {
		if _, _, err := r.Wait(); err != nil {
			t.Error(err)
		}
	}
}

// sentNow requires that s has been sent requests for these counts, without time passing.
func sentNow(t *testing.T, s *fakeStream, counts ...uint32) {
	t.Helper()
	began := time.Now()
	synctest.Wait()
	require.Zero(t, time.Since(began))
	require.Len(t, s.sent, len(counts))
	for _, count := range counts {
		require.Equal(t, count, <-s.sent)
	}
}

func TestPushIsSentAtOnce(t *testing.T) {
	for name, push := range map[string]func(*lane, context.Context, *request) error{"push": (*lane).push, "pushToWait": (*lane).pushToWait} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ss := newStreams()
				l, e := startFakeLane(t, ss.open)
				s := <-ss.opened
				synctest.Wait()
				for range 2 { // an idle stream, and one with something in flight
					require.NoError(t, push(l, t.Context(), e.requests.get(t.Context())))
					sentNow(t, s, 1)
				}
			})
		})
	}
}

func TestAnswerSendsWhatWaitsAtOnce(t *testing.T) {
	for name, set := range map[string]func(*fakeEnv){
		"the room it makes":     func(e *fakeEnv) { e.inFlight.Store(1) },
		"the depth that it has": func(e *fakeEnv) { e.depth = func(time.Duration) int32 { return 3 } },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ss := newStreams()
				e := newFakeEnv(ss.open)
				set(e)
				l := startLane(t, e)
				s := <-ss.opened
				synctest.Wait()
				l.current.Load().deepen(1)
				pushNew(t, l, context.Background())
				sentNow(t, s, 1)
				pushMany(t, l, 2)
				sentNow(t, s)
				s.grant(base, 1)
				sentNow(t, s, 2)
			})
		})
	}
}

// A queue, as sweeps and broken streams leave it, is sent from by answers as the ring is.
func TestAnswerSendsWhatIsQueuedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ss := newStreams()
		l, e := startFakeLane(t, ss.open)
		s := <-ss.opened
		pushMany(t, l, 2)
		<-s.sent
		<-s.sent
		e.inFlight.Store(1)
		s.answers <- fakeAnswer{err: errPlanted}
		s = <-ss.opened
		sentNow(t, s, 1)
		require.EqualValues(t, 1, l.queued.Load())
		require.Zero(t, l.ring.Len())
		s.grant(base, 1)
		sentNow(t, s, 1)
	})
}

func TestStreamTakesWhatWaitsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var up atomic.Bool
		ss := newStreams()
		l, _ := startFakeLane(t, func(url string, o *atomic.Int64) tsoStream {
			if !up.Load() {
				return nil
			}
			return ss.open(url, o)
		})
		withoutTicks(l)
		synctest.Wait()
		pushMany(t, l, 3)
		up.Store(true)
		s := <-ss.opened
		sentNow(t, s, 3)
		s.answers <- fakeAnswer{err: errPlanted}
		s = <-ss.opened
		sentNow(t, s, 3)
	})
}

func TestFailureIsToldAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ss := newStreams()
		l, e := startFakeLane(t, ss.open)
		withoutTicks(l)
		e.inFlight.Store(1)
		<-ss.opened
		synctest.Wait()
		rs := pushMany(t, l, 3)
		l.current.Store(nil) // as when the stream ends; the seat has not dealt with it yet
		began := time.Now()
		l.fail(errPlanted)
		for _, r := range rs {
			_, _, err := r.Wait()
			require.ErrorIs(t, err, errPlanted)
		}
		require.Zero(t, time.Since(began))
	})
}

func TestBatchIntervalEndsOnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ss := newStreams()
		l, e := startFakeLane(t, ss.open)
		withoutTicks(l)
		e.linger.Store(int64(5 * time.Millisecond))
		s := <-ss.opened
		synctest.Wait()
		for range 2 {
			pushMany(t, l, 2)
			sentNow(t, s)
			time.Sleep(7 * time.Millisecond)
			sentNow(t, s, 2)
		}
	})
}

func TestRoomThatComesAfterAPushOpensItsGate(t *testing.T) {
	var g roomGate
	g.init()
	g.waiting.Add(1)
	gate, ok := g.try(func() bool {
		g.open() // just after there was none
		return false
	})
	require.False(t, ok)
	select {
	case <-gate:
	default:
		t.Error("the caller waits for the room after that")
	}
}

// Who waits for room is told when there is some, and not sooner.
func TestRoomIsMadeBeforeItIsToldOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ss := newStreams()
		e := newFakeEnv(ss.open)
		e.capacity = 4
		e.inFlight.Store(1)
		l := newLane(globalDC, e.laneEnv)
		withoutTicks(l)
		drain := l.drain
		l.drain = func(room []*request) int {
			time.Sleep(time.Millisecond) // whoever has been woken finds no room
			return drain(room)
		}
		e.run(t, l)
		s := <-ss.opened
		synctest.Wait()
		pushMany(t, l, 1+4)
		require.EqualValues(t, 1, <-s.sent)
		late := make(chan *request, 1)
		go func() { late <- pushNew(t, l, context.Background()) }()
		synctest.Wait()
		s.grant(base, 1)
		require.EqualValues(t, 4, <-s.sent)
		synctest.Wait()
		require.Len(t, late, 1, "there is room")
	})
}

// comeLate does what a caller does that has looked whether the lane is closed before it was.
func comeLate(t *testing.T, l *lane) {
	t.Helper()
	r := l.env.requests.get(context.Background())
	require.True(t, l.ring.TryPush(r))
	l.look()
	synctest.Wait()
	if r.word.Load() != stateFailed {
		t.Error("a call hangs after close")
		return
	}
	_, _, err := r.Wait()
	require.ErrorIs(t, err, ErrClosed)
}

func TestNothingHangsThatComesAfterClose(t *testing.T) {
	for name, open := range map[string]func(l *lane, ss *streams) tsoStream{
		"without a stream": func(*lane, *streams) tsoStream { return nil },
		"with a stream":    func(_ *lane, ss *streams) tsoStream { return ss.open("pd-1", nil) },
		"while a stream is being opened": func(l *lane, ss *streams) tsoStream {
			l.close(ErrClosed)
			return ss.open("pd-1", nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var l *lane
				ss := newStreams()
				e := newFakeEnv(func(string, *atomic.Int64) tsoStream { return open(l, ss) })
				l = newLane(globalDC, e.laneEnv)
				e.run(t, l)
				synctest.Wait()
				l.close(ErrClosed)
				comeLate(t, l)
				e.running.Wait()
				comeLate(t, l)
			})
		})
	}
}

// While the holder of the seat is off the processor, its stream ends and the lane is closed.
func TestCloseWhileTheHolderIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ss := newStreams()
		l, e := startFakeLane(t, ss.open)
		<-ss.opened
		rs := pushMany(t, l, 2)
		require.True(t, l.seat.take())
		rs = append(rs, pushMany(t, l, 2)...)
		l.close(ErrClosed)
		e.running.Wait()
		l.hold()
		for _, r := range rs {
			_, _, err := r.Wait()
			require.ErrorIs(t, err, ErrClosed)
		}
	})
}

// race runs two functions at the same time, in all the phases that a few hundred thousand
// rounds have, with set before and check after them. On a machine that is busy with other
// things rounds take long, so it makes fewer of them.
func race(set, one, other func(), check func() bool) bool {
	var round, done atomic.Int64
	const rounds, last = 300_000, -1
	var others sync.WaitGroup
	others.Go(func() {
		for i := int64(1); ; i++ {
			for round.Load() < i {
				if round.Load() == last {
					return
				}
				runtime.Gosched()
			}
			other()
			done.Store(i)
		}
	})
	good, began := true, time.Now()
	for i := int64(1); i <= rounds && time.Since(began) < time.Second; i++ {
		set()
		round.Store(i)
		for range i % 2048 { // up to some microseconds
			round.Load()
		}
		one()
		for done.Load() < i {
			runtime.Gosched()
		}
		good = good && check()
	}
	round.Store(last)
	others.Wait()
	return good
}

func TestCloseRacesTheNextStream(t *testing.T) {
	e := newFakeEnv(nil)
	defer e.wheel.Close()
	l := newLane(globalDC, e.laneEnv)
	f := newFlight(&attempt{stream: newFakeStream("pd-1")})
	require.True(t, race(func() { l.closing.Store(nil) }, func() {
		l.setCurrent(f)
	}, func() {
		l.closing.Store(&errPlanted) // as close does
		l.setCurrent(noFlight)
	}, func() bool { return l.current.Load() == noFlight }), "closed, and it goes on with a stream")
}

func TestTickRacesWhoMakesWork(t *testing.T) {
	e := newFakeEnv(nil)
	e.wheel.Close() // its ticks are not those of the test
	l := newLane(globalDC, e.laneEnv)
	r := e.requests.get(context.Background())
	b := &requestBatch{}
	var room [1]*request
	for name, show := range map[string]func(){
		"push": func() { _ = l.add(context.Background(), r, l.clock.Load()) },
		"cut":  func() { l.enqueue(b) },
	} {
		require.True(t, race(func() {
			l.ring.Drain(room[:])
			for l.queue.length > 0 {
				l.dequeue()
			}
			l.ticking.Store(true)
		}, func() { l.stopTicking() }, show, l.ticking.Load), "%s: a request without a deadline", name)
	}
}

func TestEndedStreamIsTakenBackFromAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ss := newStreams()
		var down atomic.Bool
		l, _ := startFakeLane(t, func(url string, o *atomic.Int64) tsoStream {
			if down.Load() {
				return nil
			}
			return ss.open(url, o)
		})
		withoutTicks(l)
		s := <-ss.opened
		synctest.Wait()
		pushNew(t, l, context.Background())
		sentNow(t, s, 1)
		down.Store(true)
		s.answers <- fakeAnswer{err: errPlanted}
		synctest.Wait()
		require.EqualValues(t, 1, l.queued.Load())
	})
}

// While a tick finds nothing, a request comes that finds the lane ticking.
func TestTickLooksAgainAfterItHasStopped(t *testing.T) {
	e := newFakeEnv(nil)
	defer e.wheel.Close()
	l := newLane(globalDC, e.laneEnv)
	l.ticking.Store(true)
	require.True(t, l.idle())
	pushNew(t, l, context.Background())
	require.False(t, l.stopTicking())
	require.True(t, l.ticking.Load())
}
