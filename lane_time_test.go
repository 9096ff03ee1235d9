package tso

import (
	"context"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tsoring/tso/batch"
)

// A call without a deadline of its own ends when its budget does, wherever it
// waits: in flight on a silent stream, behind it in the ring, or without any
// stream.
func TestBudgetEndsCallsInEveryState(t *testing.T) {
	for name, open := range map[string]func(string, *atomic.Int64) tsoStream{
		"silent stream": newStreams().open,
		"no stream":     func(string, *atomic.Int64) tsoStream { return nil },
	} {
		for _, budget := range []time.Duration{20 * time.Millisecond, time.Second, 20 * time.Second} {
			t.Run(fmt.Sprintf("%s/%v", name, budget), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					e := newFakeEnv(open)
					e.budget = budget
					l := startLane(t, e)
					var wg sync.WaitGroup
					for i := range 50 {
						wg.Go(func() {
							time.Sleep(time.Duration(i) * budget / 20) // calls at different times
							began := time.Now()
							_, _, err := pushNew(t, l, context.Background()).Wait()
							took := time.Since(began)
							require.ErrorIs(t, err, ErrBudgetSpent)
							require.ErrorIs(t, err, context.DeadlineExceeded)
							require.GreaterOrEqual(t, took, budget)
							require.LessOrEqual(t, took, budget+max(budget/20, 15*time.Millisecond))
						})
					}
					wg.Wait()
				})
			})
		}
	}
}

func TestBudgetErrorTellsTheLastCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _ := startFakeLane(t, func(string, *atomic.Int64) tsoStream { return nil })
		_, _, err := pushNew(t, l, context.Background()).Wait()
		require.ErrorIs(t, err, ErrBudgetSpent)
		require.ErrorContains(t, err, "connection refused")
		require.ErrorContains(t, err, "pd-1")
	})
}

func TestSilentStreamIsGivenUpAfterTheRPCTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ss := newStreams()
		l, e := startFakeLane(t, ss.open)
		s := <-ss.opened
		synctest.Wait()
		r := pushNew(t, l, context.Background())
		began := time.Now()
		<-s.closed
		require.ErrorIs(t, s.cause, errRPCTimeout)
		require.GreaterOrEqual(t, time.Since(began), e.timeout)
		require.LessOrEqual(t, time.Since(began), e.timeout+5*l.tick)
		again := <-ss.opened
		require.EqualValues(t, 1, <-again.sent)
		again.grant(base, 1)
		requireTS(t, base, r)
	})
}

func TestIdleLaneDoesNotTick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ss := newStreams()
		l, e := startFakeLane(t, ss.open)
		s := <-ss.opened
		synctest.Wait()
		r := pushNew(t, l, context.Background())
		<-s.sent
		s.grant(base, 1)
		requireTS(t, base, r)
		time.Sleep(time.Second)
		synctest.Wait()
		require.False(t, l.ticking.Load())
		before := l.clock.Load()
		time.Sleep(time.Hour)
		require.Equal(t, before, l.clock.Load())
		_ = e
	})
}

func TestFullRingWaitsWithinContextAndBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ss := newStreams()
		e := newFakeEnv(ss.open)
		e.capacity = 4
		e.inFlight.Store(1)
		l := startLane(t, e)
		s := <-ss.opened
		synctest.Wait()
		rs := pushMany(t, l, 1+4)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
		defer cancel()
		began := time.Now()
		require.ErrorIs(t, l.push(ctx, e.requests.get(ctx)), context.DeadlineExceeded)
		require.Equal(t, 10*time.Millisecond, time.Since(began))

		late := make(chan *request)
		go func() { late <- pushNew(t, l, context.Background()) }()
		synctest.Wait()
		require.EqualValues(t, 1, <-s.sent)
		s.grant(base, 1)
		require.EqualValues(t, 4, <-s.sent)
		rs = append(rs, <-late)
		s.grant(base+4, 4)
		require.EqualValues(t, 1, <-s.sent)
		s.grant(base+5, 1)
		for i, r := range rs {
			requireTS(t, base+uint64(i), r)
		}
	})
}

func TestBatchIntervalWaitsForCompany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ss := newStreams()
		l, e := startFakeLane(t, ss.open)
		require.NoError(t, updateOption(e.laneEnv, MaxTSOBatchWaitInterval, 5*time.Millisecond))
		s := <-ss.opened
		synctest.Wait()
		for range 3 {
			began := time.Now()
			pushMany(t, l, 2)
			time.Sleep(2 * time.Millisecond)
			pushMany(t, l, 1)
			require.EqualValues(t, 3, <-s.sent)
			require.GreaterOrEqual(t, time.Since(began), 5*time.Millisecond)
			require.LessOrEqual(t, time.Since(began), 7*time.Millisecond)
			e.oracle.Add(3)
			s.grant(base+uint64(e.oracle.Load()), 3)
		}
	})
}

// A tick that falls between two places where a request can be seen must not stop
// the ticks: the request would have no deadline.
func TestTickDuringACutKeepsTheDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ss := newStreams()
		e := newFakeEnv(ss.open)
		e.budget = time.Second
		l := newLane(globalDC, e.laneEnv)
		drain := l.drain
		l.drain = func(room []*request) int {
			n := drain(room)
			if n > 0 {
				time.Sleep(3 * l.tick) // ticks come while the request is nowhere
			}
			return n
		}
		e.run(t, l)
		<-ss.opened
		synctest.Wait()
		_, _, err := pushNew(t, l, context.Background()).Wait()
		require.ErrorIs(t, err, ErrBudgetSpent)
	})
}

func TestEndlessLimitsDoNotOverflow(t *testing.T) {
	cfg, err := newConfig([]ClientOption{WithRequestBudget(math.MaxInt64), WithCustomTimeoutOption(math.MaxInt64)})
	require.NoError(t, err)
	synctest.Test(t, func(t *testing.T) {
		ss := newStreams()
		e := newFakeEnv(ss.open)
		e.budget, e.timeout = cfg.budget, cfg.timeout
		l := startLane(t, e)
		s := <-ss.opened
		synctest.Wait()
		r := pushNew(t, l, context.Background())
		time.Sleep(time.Hour)
		<-s.sent
		s.grant(base, 1)
		requireTS(t, base, r)
	})
}

// A call whose wait for room took most of its budget does not get another, and
// does not cost the calls beside it theirs.
func TestBudgetCountsTheWaitForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ss := newStreams()
		e := newFakeEnv(ss.open)
		e.capacity, e.budget = 4, time.Second
		e.inFlight.Store(1)
		l := startLane(t, e)
		<-ss.opened
		synctest.Wait()
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				began := time.Now()
				r := e.requests.get(context.Background())
				err := l.push(context.Background(), r)
				if err == nil {
					_, _, err = r.Wait()
				}
				require.ErrorIs(t, err, ErrBudgetSpent)
				require.GreaterOrEqual(t, time.Since(began), e.budget)
				require.LessOrEqual(t, time.Since(began), e.budget+e.budget/20)
			})
		}
		wg.Wait()
	})
}

// delayStream answers each request after a delay, as a server far away does, and in
// their order.
type delayStream struct {
	*fakeStream
	oracle *atomic.Int64
	delay  func() time.Duration

	mu      sync.Mutex
	pending []uint32  // guarded by mu
	last    time.Time // guarded by mu; when the last of them will be answered
}

func (s *delayStream) Send(count uint32) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending = append(s.pending, count)
	if at := time.Now().Add(s.delay()); at.After(s.last) {
		s.last = at
	}
	// Timers of one moment fire in any order, so each answers the oldest.
	time.AfterFunc(time.Until(s.last), s.answerOldest)
	return nil
}

func (s *delayStream) answerOldest() {
	s.mu.Lock()
	defer s.mu.Unlock()
	count := s.pending[0]
	s.pending = s.pending[1:]
	s.grant(uint64(s.oracle.Add(1))<<logicalBits|uint64(count), count)
}

// openLoop makes a call every interval until end has passed, whether the ones
// before have ended or not, and returns how many there were and how many failed.
func openLoop(t *testing.T, l *lane, interval, end time.Duration) (calls, failed int64) {
	var wg sync.WaitGroup
	var errs atomic.Int64
	for began := time.Now(); time.Since(began) < end; calls++ {
		r := pushNew(t, l, context.Background())
		wg.Go(func() {
			if _, _, err := r.Wait(); err != nil {
				errs.Add(1)
			}
		})
		time.Sleep(interval)
	}
	wg.Wait()
	return calls, errs.Load()
}

// Callers who do not wait for each other's answers, as a server's clients do, and
// a PD far away: what has come during a part of the round trip leaves in one RPC.
func TestDistantServerKeepsUp(t *testing.T) {
	for _, tc := range []struct{ roundTrip, budget time.Duration }{
		{10 * time.Millisecond, 40 * time.Millisecond},
		{10 * time.Millisecond, 160 * time.Millisecond},
		{200 * time.Millisecond, defaultBudget},
		{time.Second, defaultBudget},
		{time.Second, 4 * time.Second},
	} {
		t.Run(fmt.Sprintf("%v of %v", tc.roundTrip, tc.budget), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newFakeEnv(func(url string, oracle *atomic.Int64) tsoStream {
					return &delayStream{fakeStream: newFakeStream(url), oracle: oracle, delay: func() time.Duration { return tc.roundTrip }}
				})
				e.budget = tc.budget
				l := startLane(t, e)
				calls, failed := openLoop(t, l, tc.roundTrip/30, 20*tc.roundTrip)
				require.Zero(t, failed, "of %d", calls)
				require.LessOrEqual(t, e.stats.rpcs.Load(), int64(batch.Depth(tc.roundTrip))*21, "RPCs in 20 round trips")
			})
		})
	}
}

// A server that is slower than the budget for a while costs the calls of that
// while, and none of those that come after it.
func TestSlowSpellCostsOnlyItsOwnCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var slow atomic.Bool
		e := newFakeEnv(func(url string, oracle *atomic.Int64) tsoStream {
			return &delayStream{fakeStream: newFakeStream(url), oracle: oracle, delay: func() time.Duration {
				if slow.Load() {
					return 300 * time.Millisecond
				}
				return 60 * time.Millisecond
			}}
		})
		e.budget = 160 * time.Millisecond
		l := startLane(t, e)
		_, failed := openLoop(t, l, time.Millisecond, time.Second)
		require.Zero(t, failed)
		slow.Store(true)
		_, failed = openLoop(t, l, time.Millisecond, time.Second)
		require.NotZero(t, failed)
		slow.Store(false)
		time.Sleep(time.Second)
		_, failed = openLoop(t, l, time.Millisecond, time.Second)
		require.Zero(t, failed)
	})
}

// The requests of one RPC have come at different times: each has all of its
// budget, and the ones left get the answer.
func TestBudgetsEndOneByOneInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ss := newStreams()
		e := newFakeEnv(ss.open)
		e.budget, e.timeout = 4*time.Second, time.Minute
		e.inFlight.Store(1)
		l := startLane(t, e)
		s := <-ss.opened
		synctest.Wait()
		first := pushNew(t, l, context.Background())
		var rs []*request
		for range 4 {
			rs = append(rs, pushNew(t, l, context.Background()))
			time.Sleep(200 * time.Millisecond)
		}
		<-s.sent
		s.grant(base, 1)
		requireTS(t, base, first)
		require.EqualValues(t, 4, <-s.sent)
		time.Sleep(3600 * time.Millisecond) // the first and the second are spent
		s.grant(base+4, 4)
		for _, r := range rs[:2] {
			_, _, err := r.Wait()
			require.ErrorIs(t, err, ErrBudgetSpent)
		}
		requireTS(t, base+1, rs[2])
		requireTS(t, base+2, rs[3])
		require.EqualValues(t, 2, e.stats.spent.Load())
		again := pushNew(t, l, context.Background())
		<-s.sent
		s.grant(base+5, 1)
		requireTS(t, base+5, again)
	})
}

// The answer comes while the send seat takes spent requests out of its batch.
func TestAnswerDuringTheSweepOfItsBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ss := newStreams()
		e := newFakeEnv(ss.open)
		e.inFlight.Store(1)
		l := startLane(t, e)
		s := <-ss.opened
		synctest.Wait()
		first := pushNew(t, l, context.Background())
		old, young := pushNew(t, l, context.Background()), pushNew(t, l, context.Background())
		young.start += int64(time.Second)
		<-s.sent
		s.grant(base, 1)
		requireTS(t, base, first)
		<-s.sent
		synctest.Wait()
		require.True(t, l.seat.take())
		slot := l.current.Load().oldest()
		require.True(t, slot.batch.Borrow(slot.number))
		s.grant(base+2, 2)
		synctest.Wait()
		require.Nil(t, l.current.Load().oldest(), "the receiver has gone on")
		l.sweepSlot(slot, l.expiry(old)+1)
		l.hold()
		_, _, err := old.Wait()
		require.ErrorIs(t, err, ErrBudgetSpent)
		requireTS(t, base+1, young)
		again := pushNew(t, l, context.Background())
		<-s.sent
		s.grant(base+3, 1)
		requireTS(t, base+3, again)
	})
}

// A process that was stopped for longer than a budget has not served anybody
// meanwhile: calls that begin when it goes on have all of theirs.
func TestStoppedProcessDoesNotSpendBudgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ss := newStreams()
		var skipped atomic.Int64
		e := newFakeEnv(ss.open)
		now := e.now
		e.now = func() int64 { return now() + skipped.Load() }
		l := startLane(t, e)
		<-ss.opened
		synctest.Wait()
		early := pushNew(t, l, context.Background())
		time.Sleep(3 * l.tick / 2)
		skipped.Store(int64(time.Hour)) // the next tick comes an hour late
		late := pushNew(t, l, context.Background())
		began := time.Now()
		for _, r := range []*request{early, late} {
			_, _, err := r.Wait()
			require.ErrorIs(t, err, ErrBudgetSpent)
			require.GreaterOrEqual(t, time.Since(began), e.budget-3*l.tick)
		}
	})
}
