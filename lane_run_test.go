package tso

import (
	"context"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tsoring/tso/internal/wire"
)

func TestBadAnswersSurfaceAfterThreeInARow(t *testing.T) {
	good := granting(base+3, 1)
	for name, answer := range map[string]wire.Response{
		"count":             {Count: 2, HasTime: true, Physical: 1000, Logical: 5, ClusterID: fakeCluster},
		"no timestamp":      {Count: 1, ClusterID: fakeCluster},
		"zero physical":     {Count: 1, HasTime: true, Logical: 5},
		"negative physical": {Count: 1, HasTime: true, Physical: -1},
		"far future":        {Count: 1, HasTime: true, Physical: 1 << 46},
		"negative logical":  {Count: 1, HasTime: true, Physical: 1000, Logical: -1},
		"overflown logical": {Count: 1, HasTime: true, Physical: 1000, Logical: 1 << 18},
		"suffix bits":       {Count: 1, HasTime: true, Physical: 1000, Logical: 1, SuffixBits: 5},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ss := newStreams()
				l, e := startFakeLane(t, ss.open)
				r := pushNew(t, l, context.Background())
				for range 2 {
					s := <-ss.opened
					<-s.sent
					s.answers <- fakeAnswer{response: answer}
					<-s.closed
				}
				s := <-ss.opened
				<-s.sent
				s.answers <- fakeAnswer{response: good}
				requireTS(t, base+3, r)
				require.Equal(t, base+3, l.high.ts)

				r = pushNew(t, l, context.Background())
				<-s.sent
				s.answers <- fakeAnswer{response: answer}
				for range 2 {
					s = <-ss.opened
					<-s.sent
					s.answers <- fakeAnswer{response: answer}
				}
				_, _, err := r.Wait()
				require.ErrorIs(t, err, ErrBadResponse)
				require.ErrorContains(t, err, "pd-1")
				require.EqualValues(t, 5, e.stats.badAnswers.Load())
				require.Equal(t, base+3, l.high.ts, "no bad answer moves the high-water mark")
			})
		})
	}
}

func TestUnsolicitedAnswerPoisonsTheStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ss := newStreams()
		l, _ := startFakeLane(t, ss.open)
		s := <-ss.opened
		s.grant(base, 1)
		<-s.closed
		s = <-ss.opened
		r := pushNew(t, l, context.Background())
		<-s.sent
		s.grant(base+1, 1)
		requireTS(t, base+1, r)
	})
}

func TestFallbackIsNotHandedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ss := newStreams()
		l, e := startFakeLane(t, ss.open)
		var events []FallbackEvent
		e.fallback = func(ev FallbackEvent) { events = append(events, ev) }
		s := <-ss.opened
		r := pushNew(t, l, context.Background())
		<-s.sent
		s.grant(base, 1)
		requireTS(t, base, r)

		r = pushNew(t, l, context.Background())
		for _, ts := range []uint64{base, base - 1, base - 50_000} {
			<-s.sent
			s.grant(ts, 1)
			s = <-ss.opened
		}
		<-s.sent
		s.grant(base+1, 1)
		requireTS(t, base+1, r)
		require.Len(t, events, 3)
		require.Equal(t, FallbackEvent{DCLocation: "global", URL: "pd-1", Granted: base, Highest: base}, events[0])

		// A batch that begins below the mark and ends above it.
		rs := pushMany(t, l, 1)
		<-s.sent
		rs = append(rs, pushMany(t, l, 3)...)
		require.EqualValues(t, 1, <-s.sent)
		s.grant(base+1, 1)
		for _, r := range rs {
			_, _, err := r.Wait()
			require.ErrorIs(t, err, ErrBudgetSpent)
			require.ErrorIs(t, err, ErrTimestampFallback)
		}
		require.NotEmpty(t, e.refreshes.Load())
	})
}

func TestAnswerOfAnotherClusterIsFinalOnlyIfAllMembersSaySo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ss := newStreams()
		l, e := startFakeLane(t, ss.open)
		stranger := granting(base, 1)
		stranger.ClusterID = fakeCluster + 1
		r := pushNew(t, l, context.Background())
		s := <-ss.opened
		<-s.sent
		s.answers <- fakeAnswer{response: stranger}
		s = <-ss.opened
		<-s.sent
		s.grant(base, 1)
		requireTS(t, base, r)

		e.refreshed.Store(&ErrClusterMismatch)
		r = pushNew(t, l, context.Background())
		<-s.sent
		s.answers <- fakeAnswer{response: stranger}
		_, _, err := r.Wait()
		require.ErrorIs(t, err, ErrClusterMismatch)
	})
}

func TestLeaderChangeMovesTheLane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ss := newStreams()
		l, e := startFakeLane(t, ss.open)
		s := <-ss.opened
		synctest.Wait()
		r := pushNew(t, l, context.Background())
		<-s.sent
		began := time.Now()
		e.moveTo("pd-2")
		l.membersChanged()
		again := <-ss.opened
		require.Equal(t, "pd-2", again.url)
		<-again.sent
		again.grant(base, 1)
		requireTS(t, base, r)
		require.Zero(t, time.Since(began), "moved without a pause")
	})
}

func TestRemovedDCFailsItsCallsAndEndsTheLane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ss := newStreams()
		e := newFakeEnv(ss.open)
		l := newLane("dc-1", e.laneEnv)
		e.run(t, l)
		s := <-ss.opened
		r := pushNew(t, l, context.Background())
		<-s.sent
		began := time.Now()
		e.moveTo("")
		l.membersChanged()
		_, _, err := r.Wait()
		require.ErrorIs(t, err, ErrUnknownDCLocation)
		e.running.Wait()
		require.EqualValues(t, 1, e.forgotten.Load())
		require.GreaterOrEqual(t, time.Since(began), removalGrace)
		require.LessOrEqual(t, time.Since(began), 2*removalGrace)
		require.NotZero(t, e.refreshes.Load(), "it was asked for again first")
	})
}

// While an allocator moves, or PD elects a leader, the lists of members lack it
// for a while, and now and then no list is to be had.
func TestDCThatIsHiddenForAWhileCostsNoCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ss := newStreams()
		e := newFakeEnv(ss.open)
		e.budget = 4 * removalGrace
		l := newLane("dc-1", e.laneEnv)
		e.run(t, l)
		s := <-ss.opened
		r := pushNew(t, l, context.Background())
		<-s.sent
		e.moveTo("")
		l.membersChanged()
		time.Sleep(removalGrace / 2)
		e.refreshed.Store(&ErrNoLeader)
		time.Sleep(removalGrace)
		e.refreshed.Store(nil)
		time.Sleep(removalGrace / 2)
		e.moveTo("pd-2")
		l.membersChanged()
		s = <-ss.opened
		<-s.sent
		s.grant(base, 1)
		requireTS(t, base, r)
	})
}

// requireRate watches a count for half a minute: up to 50 in the first second,
// and 10 more in each later one.
func requireRate(t *testing.T, count func() int64) {
	for second := range int64(30) {
		time.Sleep(time.Second)
		require.LessOrEqual(t, count(), 50+10*second, "in second %d", second+1)
	}
	require.Greater(t, count(), int64(100), "the lane has given up")
}

func TestStreamsThatFailAtOnceAreRateLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var opened atomic.Int64
		startFakeLane(t, func(url string, _ *atomic.Int64) tsoStream {
			opened.Add(1)
			s := newFakeStream(url)
			s.answers <- fakeAnswer{err: errPlanted}
			return s
		})
		requireRate(t, opened.Load)
	})
}

// The same with a server that answers well before it fails, which keeps the
// back-off from growing.
func TestStreamsThatFailAfterAnAnswerAreRateLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var opened atomic.Int64
		l, _ := startFakeLane(t, func(url string, oracle *atomic.Int64) tsoStream {
			opened.Add(1)
			s := newFakeStream(url)
			s.grant(uint64(oracle.Add(1)), 1)
			s.answers <- fakeAnswer{err: errPlanted}
			return s
		})
		go func() {
			for {
				r := l.env.requests.get(context.Background())
				if l.push(context.Background(), r) != nil {
					return
				}
				if _, _, err := r.Wait(); err != nil {
					return
				}
			}
		}()
		requireRate(t, opened.Load)
	})
}

// News of the members several hundred times a second, as in an election that goes
// wrong, let no stream out of turn.
func TestStreamsAreRateLimitedWhileMembersChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var opened atomic.Int64
		l, e := startFakeLane(t, func(url string, _ *atomic.Int64) tsoStream {
			opened.Add(1)
			return newFakeStream(url)
		})
		news := time.NewTicker(3 * time.Millisecond)
		defer news.Stop()
		stop := make(chan struct{})
		defer close(stop)
		go func() {
			for i := 0; ; i++ {
				select {
				case <-news.C:
				case <-stop:
					return
				}
				e.moveTo([]string{"pd-1", "pd-2"}[i%2])
				l.membersChanged()
			}
		}()
		requireRate(t, opened.Load)
	})
}

// What SendMsg says of a stream that the server has ended is io.EOF; the reason
// comes from RecvMsg.
func TestEndOfTheStreamInSendKeepsTheServersReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ss := newStreams()
		l, _ := startFakeLane(t, func(url string, oracle *atomic.Int64) tsoStream {
			return endedStream{ss.open(url, oracle).(*fakeStream)}
		})
		s := <-ss.opened
		synctest.Wait()
		r := pushNew(t, l, context.Background())
		synctest.Wait()
		select {
		case <-s.closed:
			t.Fatal("closed before the reason was read")
		default:
		}
		s.answers <- fakeAnswer{err: errPlanted}
		synctest.Wait()
		require.ErrorIs(t, l.lastCause(), errPlanted)
		l.close(ErrClosed)
		_, _, err := r.Wait()
		require.ErrorIs(t, err, ErrClosed)
	})
}

// endedStream is a stream that the server has ended before the first request.
type endedStream struct{ *fakeStream }

func (s endedStream) Send(uint32) error { return io.EOF }

// Bad answers, and then a server that is gone: what has nothing to do with bad
// answers is waited out.
func TestOnlyBadAnswersSurfaceAfterThree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var opened atomic.Int64
		bad := granting(base, 2)
		last := make(chan *fakeStream, 1)
		l, _ := startFakeLane(t, func(url string, _ *atomic.Int64) tsoStream {
			switch n := opened.Add(1); {
			case n <= 3:
				s := newFakeStream(url)
				go func() {
					<-s.sent
					s.answers <- fakeAnswer{response: bad}
				}()
				return s
			case n < 10:
				return nil
			default:
				s := newFakeStream(url)
				select {
				case last <- s:
				default:
				}
				return s
			}
		})
		_, _, err := pushNew(t, l, context.Background()).Wait()
		require.ErrorIs(t, err, ErrBadResponse)
		r := pushNew(t, l, context.Background())
		s := <-last
		<-s.sent
		s.grant(base, 1)
		requireTS(t, base, r)
	})
}
