package tso

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tsoring/tso/internal/wire"
)

var errNotLeader = status.Error(codes.Unknown, "requested pd is not leader of cluster")

// election is an environment in which pd-1 leads no more, and pd-2 is about to, which
// says so until it serves.
func election(serves time.Duration) (e *fakeEnv, asked *atomic.Int64) {
	e, asked = newFakeEnv(nil), new(atomic.Int64)
	began := time.Now()
	e.members = func() []string { return []string{"pd-1", "pd-2", "pd-3"} }
	e.candidate = func() string { return "pd-2" }
	e.open = func(ctx context.Context, _ string, r route) (tsoStream, error) {
		s := newFakeStream(r.via)
		if r.via == "pd-2" {
			asked.Add(1)
			if time.Since(began) >= serves {
				return e.stream(ctx, newEchoStream(r.via, &e.oracle))
			}
		}
		s.answers <- fakeAnswer{err: errNotLeader}
		return e.stream(ctx, s)
	}
	return e, asked
}

// Callers wait little longer than PD takes to elect.
func TestWhoIsAboutToBeElectedIsAskedOften(t *testing.T) {
	for serves := 20 * time.Millisecond; serves < 2*time.Second; serves = serves*3/2 + time.Millisecond {
		synctest.Test(t, func(t *testing.T) {
			e, _ := election(serves)
			began := time.Now()
			_, _, err := pushNew(t, startLane(t, e), context.Background()).Wait()
			require.NoError(t, err)
			require.Less(t, time.Since(began)-serves, 20*time.Millisecond+time.Duration(1.3*troubleShare*float64(serves)))
		})
	}
}

func TestWhoIsNotElectedForLongIsAskedLessOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const long = time.Minute
		e, asked := election(long)
		e.budget = 2 * long
		began := time.Now()
		_, _, err := pushNew(t, startLane(t, e), context.Background()).Wait()
		require.NoError(t, err)
		require.Less(t, time.Since(began)-long, longPause*5/4)
		// 62 times by the pauses of the first two seconds, and once a round.
		require.InEpsilon(t, 62+int(longTrouble/rescuePause)/2+int((long-longTrouble)/longPause), asked.Load(), 0.25)
	})
}

// A server that answers what a search asks for and refuses anything else: each
// search finds one, and nobody is served.
func TestStreamsThatAreFoundForNothingAreFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newFakeEnv(nil)
		e.budget = 2 * time.Minute
		e.members = func() []string { return []string{"pd-1", "pd-2"} }
		e.candidate = func() string { return "pd-2" }
		e.open = func(ctx context.Context, _ string, r route) (tsoStream, error) {
			s, err := e.stream(ctx, newEchoStream(r.via, &e.oracle))
			return &picky{s}, err
		}
		e.fresh = func(ctx context.Context, dc string, r route) (tsoStream, connection, error) {
			s, err := e.open(ctx, dc, r)
			return s, &e.conns, err
		}
		l := startLane(t, e)
		for range 100 {
			pushNew(t, l, context.Background())
		}
		time.Sleep(time.Minute)
		require.Less(t, e.stats.streams.Load(), int64(50+10*60))
		require.Greater(t, e.stats.streams.Load(), int64(4*60), "it goes on trying")
		require.NotZero(t, e.stats.cutOvers.Load())
	})
}

// picky is a stream that ends when it is asked for more than one timestamp.
type picky struct{ tsoStream }

func (p *picky) Send(count uint32) error {
	if count > 1 {
		p.Close(errNotLeader)
		return io.EOF
	}
	return p.tsoStream.Send(count)
}

// A leader that goes is replaced at once. Of the members that pass requests on to it none
// says a word, and none of them is suspected of being out of reach.
func TestSpreadStreamThatIsSilentIsDoubtedEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := wideEnv(func(string) bool { return false })
		old := e.open
		var moved atomic.Bool
		e.open = func(ctx context.Context, dc string, r route) (tsoStream, error) {
			switch {
			case moved.Load() && r == direct("pd-2"):
				return e.stream(ctx, newEchoStream(r.via, &e.oracle))
			case moved.Load():
				return nil, errNotLeader
			}
			s, err := old(ctx, dc, r)
			return &mutable{tsoStream: s, muted: &moved}, err
		}
		var dialed atomic.Int64
		e.fresh = func(context.Context, string, route) (tsoStream, connection, error) {
			dialed.Add(1)
			return nil, nil, errors.New("nobody there")
		}
		l := startLane(t, e)
		synctest.Wait()
		require.Len(t, over(l), 3)
		_, _, err := pushNew(t, l, context.Background()).Wait()
		require.NoError(t, err)

		moved.Store(true)
		began := time.Now()
		_, _, err = pushNew(t, l, context.Background()).Wait()
		require.NoError(t, err)
		require.Less(t, time.Since(began), 2*relayPatience)
		require.Zero(t, dialed.Load())
	})
}

// One that is slow, and always was, is not given up again and again.
func TestSpreadOverASlowMemberIsKept(t *testing.T) {
	for _, slow := range []time.Duration{20 * time.Millisecond, 45 * time.Millisecond, 90 * time.Millisecond, 300 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			e, _ := wideEnv(func(string) bool { return false })
			members := []string{"pd-1", "pd-2", "pd-3", "pd-4", "pd-5"}
			e.members = func() []string { return members }
			e.open = func(ctx context.Context, _ string, r route) (tsoStream, error) {
				by := new(atomic.Int64)
				by.Store(int64(time.Millisecond))
				if r.via == "pd-4" {
					by.Store(int64(slow))
				}
				s, err := e.stream(ctx, newEchoStream(r.via, &e.oracle))
				return &delayed{tsoStream: s, by: by}, err
			}
			l := startLane(t, e)
			time.Sleep(2 * time.Second)
			for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
				_, _, err := pushNew(t, l, context.Background()).Wait()
				require.NoError(t, err)
			}
			require.Len(t, over(l), len(members))
			require.Zero(t, e.stats.suspicions.Load(), "%v", slow)
		})
	}
}

// One that was slow once is not awaited for much longer than it took, nor for ever.
func TestSpreadForgetsThatAMemberWasSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := wideEnv(func(string) bool { return false })
		var by atomic.Int64
		open := e.open
		e.open = func(ctx context.Context, dc string, r route) (tsoStream, error) {
			s, err := open(ctx, dc, r)
			return &delayed{tsoStream: s, by: &by}, err
		}
		by.Store(int64(60 * time.Millisecond))
		l := startLane(t, e)
		time.Sleep(time.Second)
		synctest.Wait()
		require.Len(t, over(l), 3)
		by.Store(int64(time.Millisecond))
		call := func() {
			_, _, err := pushNew(t, l, context.Background()).Wait()
			require.NoError(t, err)
		}
		for range 30 {
			call()
		}
		require.LessOrEqual(t, l.patience.Load(), int64(120*time.Millisecond))
		require.Greater(t, l.patience.Load(), int64(90*time.Millisecond))
		for range 2000 {
			call()
		}
		require.Equal(t, int64(relayPatience), l.patience.Load())
	})
}

// A connection that is dead is replaced by the first that leads to the member, although that
// does not serve: then it is asked there.
func TestMemberThatDoesNotServeIsConnectedToFewTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newFakeEnv(nil)
		e.members = func() []string { return []string{"pd-1", "pd-2"} }
		e.open = func(ctx context.Context, _ string, r route) (tsoStream, error) {
			s := newFakeStream(r.via)
			if r.via != "pd-1" || e.conns.kept.Load() > 0 {
				s.answers <- fakeAnswer{err: errNotLeader}
			}
			return e.stream(ctx, s)
		}
		var dials atomic.Int64
		e.probe = func(r route) tsoStream {
			dials.Add(1)
			s := newFakeStream(r.via)
			s.answers <- fakeAnswer{err: errNotLeader}
			return s
		}
		l := startLane(t, e)
		pushNew(t, l, context.Background())
		time.Sleep(10 * time.Second)
		require.NotZero(t, e.conns.kept.Load())
		require.LessOrEqual(t, dials.Load(), int64(10*time.Second/(freshEvery*rescuePause)+5))
	})
}

// New connections are made when a doubt has grown, and not a round later.
func TestDoubtThatGrowsEndsTheRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newFakeEnv(nil)
		defer e.wheel.Close()
		l := newLane(globalDC, e.laneEnv)
		s := l.newSuspicion()
		defer s.cancel()
		r := newSearch(l, s)
		began := time.Now()
		s.doubt("pd-1", 0)
		r.await(time.Minute)
		require.Zero(t, time.Since(began))
		require.Equal(t, "pd-1", r.look(1).doubted)
		s.doubt("pd-1", 0)
		r.await(time.Minute)
		require.Equal(t, time.Minute, time.Since(began), "the same doubt is no news")
	})
}

// A process that was stopped finds answers that nobody has read yet.
func TestSilenceThatALateTickSeesIsNoReasonForDoubt(t *testing.T) {
	e := newFakeEnv(nil)
	defer e.wheel.Close()
	l := newLane(globalDC, e.laneEnv)
	f := newFlight(&attempt{route: route{target: "pd-1", via: "pd-2"}, stream: newFakeStream("pd-2")})
	l.patience.Store(int64(f.leastPatience()))
	l.late = true
	sent := e.now() - int64(time.Second)
	l.doubt(f, sent, int64(50*time.Millisecond))
	require.Nil(t, l.suspicion.Load())
	l.late = false
	l.doubt(f, sent, int64(50*time.Millisecond))
	require.NotNil(t, l.suspicion.Load())
	require.Empty(t, l.suspicion.Load().doubts())
	l.dialed.Store(&attempt{route: route{target: "pd-1", via: "pd-2"}})
	l.doubt(f, sent, int64(minPatience+1))
	require.Equal(t, "pd-1", l.suspicion.Load().doubts())
}

// delayed is a stream whose answers come late.
type delayed struct {
	tsoStream
	by *atomic.Int64
}

func (d *delayed) Recv(r *wire.Response) error {
	err := d.tsoStream.Recv(r)
	time.Sleep(time.Duration(d.by.Load()))
	return err
}

// mutable is a stream that takes requests and does not answer them while it is muted.
type mutable struct {
	tsoStream
	muted *atomic.Bool
}

func (m *mutable) Send(count uint32) error {
	if m.muted.Load() {
		return nil
	}
	return m.tsoStream.Send(count)
}
