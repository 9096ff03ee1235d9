package tso

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tsoring/tso/tsotest"
)

// silentLane is a lane whose stream s does not answer r, and whose next probe comes
// out of probes.
func silentLane(t *testing.T) (l *lane, e *fakeEnv, s *fakeStream, r *request, probes chan *fakeStream) {
	ss := newStreams()
	probes = make(chan *fakeStream, 1000)
	e = newFakeEnv(ss.open)
	e.probe = func(via route) tsoStream {
		p := newFakeStream(via.via)
		probes <- p
		return p
	}
	l = startLane(t, e)
	s = <-ss.opened
	synctest.Wait()
	r = pushNew(t, l, context.Background())
	require.EqualValues(t, 1, <-s.sent)
	return l, e, s, r, probes
}

func TestSilentStreamIsLeftForOneThatAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, e, s, first, probes := silentLane(t)
		began := time.Now()
		second := pushNew(t, l, context.Background())
		require.EqualValues(t, 1, <-s.sent, "two may be under way")
		third := pushNew(t, l, context.Background())

		p := <-probes
		require.LessOrEqual(t, time.Since(began), minPatience+2*l.tick)
		require.EqualValues(t, 1, <-p.sent, "the probe")
		p.grant(base, 1)
		<-s.closed
		require.EqualValues(t, 1, <-p.sent)
		require.EqualValues(t, 1, <-p.sent, "what was unanswered moves, in order")
		s.grant(base-1, 1) // too late: nobody reads it
		p.grant(base+1, 1)
		p.grant(base+2, 1)
		require.EqualValues(t, 1, <-p.sent)
		p.grant(base+3, 1)
		for i, r := range []*request{first, second, third} {
			requireTS(t, base+1+uint64(i), r)
		}
		require.EqualValues(t, 1, e.conns.kept.Load())
		require.Zero(t, e.conns.dropped.Load())
		require.EqualValues(t, 1, e.stats.cutOvers.Load())
		require.Less(t, time.Since(began), minPatience+3*l.tick)
	})
}

func TestFalseAlarmChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, e, s, r, probes := silentLane(t)
		p := <-probes
		require.EqualValues(t, 1, <-p.sent)
		s.grant(base, 1)
		requireTS(t, base, r)
		<-p.closed
		synctest.Wait()
		require.EqualValues(t, 1, e.conns.dropped.Load())
		require.Zero(t, e.stats.cutOvers.Load())
		require.Nil(t, l.suspicion.Load())

		next := pushNew(t, l, context.Background())
		require.EqualValues(t, 1, <-s.sent, "the stream goes on")
		s.grant(base+1, 1)
		requireTS(t, base+1, next)
	})
}

func TestPatienceGrowsWithTheRoundTrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, e, s, r, _ := silentLane(t)
		time.Sleep(90 * time.Millisecond)
		s.grant(base, 1)
		requireTS(t, base, r)
		suspected := e.stats.suspicions.Load()
		r = pushNew(t, l, context.Background())
		<-s.sent
		time.Sleep(600 * time.Millisecond)
		require.Equal(t, suspected, e.stats.suspicions.Load(), "less than eight round trips")
		time.Sleep(300 * time.Millisecond)
		require.Equal(t, suspected+1, e.stats.suspicions.Load())
		s.grant(base+1, 1)
		requireTS(t, base+1, r)
	})
}

// A connection may die while answers have been so late that the lane would wait for
// longer than for the RPC timeout before it suspects a stream.
func TestDeadStreamIsSuspectedAfterVeryLateAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, e, s, r, _ := silentLane(t)
		time.Sleep(600 * time.Millisecond)
		s.grant(base, 1)
		requireTS(t, base, r)
		suspected := e.stats.suspicions.Load()
		pushNew(t, l, context.Background())
		<-s.closed
		require.ErrorIs(t, s.cause, errRPCTimeout)
		require.Equal(t, suspected+1, e.stats.suspicions.Load())
	})
}

func TestProbesEndWithTheLane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, e, _, r, probes := silentLane(t)
		p := <-probes
		<-p.sent
		time.Sleep(time.Second)
		l.close(ErrClosed)
		e.running.Wait()
		_, _, err := r.Wait()
		require.ErrorIs(t, err, ErrClosed)
		require.Equal(t, e.stats.probes.Load(), e.conns.dropped.Load())
		require.Zero(t, e.conns.kept.Load())
	})
}

func TestProbeThatIsTooLateIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, e, s, r, probes := silentLane(t)
		p := <-probes
		<-p.sent
		time.Sleep(e.timeout) // and the stream is given up
		<-s.closed
		<-p.closed
		synctest.Wait()
		require.EqualValues(t, 1, e.conns.dropped.Load())
		l.close(ErrClosed)
		_, _, err := r.Wait()
		require.ErrorIs(t, err, ErrClosed)
	})
}

// underLoad requires that the calls of some goroutines all succeed while fault does
// what it does.
func underLoad(t *testing.T, c Client, fault func()) {
	stop := load(t, c, 8)
	defer stop()
	requireServed(t, c)
	fault()
	requireServed(t, c)
}

// requireServed requires that calls come to their end within a second or two, on a
// machine that may have other things to do.
func requireServed(t *testing.T, c Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_, _, err := c.GetTS(ctx)
	require.NoError(t, err)
}

func TestDeadConnectionIsReplaced(t *testing.T) {
	s := tsotest.New(t)
	c := newTestClient(t, s, WithCustomTimeoutOption(time.Minute))
	for range 3 {
		underLoad(t, c, func() { require.NoError(t, s.SilenceConns(0)) })
	}
	require.GreaterOrEqual(t, c.Stats().CutOvers, int64(3))
}

func TestDeadConnectionOfAnIdleClientIsReplaced(t *testing.T) {
	s := tsotest.New(t)
	c := newTestClient(t, s, WithCustomTimeoutOption(time.Minute))
	requireServed(t, c)
	require.NoError(t, s.SilenceConns(0))
	requireServed(t, c)
}

func TestForwardingWhileTheLeaderCannotBeReached(t *testing.T) {
	s := tsotest.New(t, tsotest.WithMembers(3))
	c := newTestClient(t, s, WithForwardingOption(true))
	underLoad(t, c, func() {
		require.NoError(t, s.CutPath(0))
		requireServed(t, c)
		members := s.Stats().Members
		require.NotZero(t, members[1].Requests+members[2].Requests)
		require.NoError(t, s.HealPath(0))
		requireDirect(t, s)
	})
}

// requireDirect waits until calls go to the leader, member 0, alone. There is a standby
// beside that, which is asked once in a while.
func requireDirect(t *testing.T, s *tsotest.Server) {
	t.Helper()
	before := s.Stats().Members
	require.Eventually(t, func() bool {
		m := s.Stats().Members
		if m[1].Requests+m[2].Requests > before[1].Requests+before[2].Requests+2 {
			before = m
		}
		return m[0].Requests > before[0].Requests+100
	}, 10*time.Second, 10*time.Millisecond)
}

func TestForwardingBeforeTheFirstCallNeedsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := inMemory(t, []tsotest.Option{tsotest.WithMembers(3)}, WithForwardingOption(true))
		requireServed(t, c)
		require.NoError(t, s.CutPath(0))
		time.Sleep(10 * time.Second)
		require.NotZero(t, c.Stats().CutOvers, "the leader does not say that it is well")
		began := time.Now()
		requireServed(t, c)
		require.Less(t, time.Since(began), minPatience)
	})
}

func TestCallsWaitForAPathThatIsCut(t *testing.T) {
	s := tsotest.New(t, tsotest.WithMembers(3))
	c := newTestClient(t, s)
	underLoad(t, c, func() {
		require.NoError(t, s.CutPath(0))
		ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
		defer cancel()
		_, _, err := c.GetTS(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NoError(t, s.HealPath(0))
	})
}

// listsName has all lists of members name the one at url as the leader.
func listsName(s *tsotest.Server, url string) {
	s.ScriptMembers(func(_ int, resp *pdpb.GetMembersResponse) error {
		for _, m := range resp.Members {
			if m.ClientUrls[0] == url {
				resp.Leader = m
			}
		}
		return nil
	})
}

func TestLeaderIsFoundBeforeTheListNamesIt(t *testing.T) {
	s := tsotest.New(t, tsotest.WithMembers(3))
	c := newTestClient(t, s)
	requireServed(t, c)
	old := s.URL(0)
	listsName(s, old)
	underLoad(t, c, func() {
		require.NoError(t, s.MoveLeader(2))
		requireServed(t, c)
		require.Equal(t, old, c.GetLeaderAddr(), "the list is late")
		require.NoError(t, s.StopMember(0))
		requireServed(t, c)
		s.ScriptMembers(nil)
		require.Eventually(t, func() bool { return c.GetLeaderAddr() == s.URL(2) }, 10*time.Second, time.Millisecond)
	})
}

// PD sleeps for 200 ms over a request that comes while a new leader fetches its first
// timestamp, and answers one that comes a moment later at once.
func TestNewLeaderThatSleepsOverTheFirstQuestionIsAskedAgain(t *testing.T) {
	s := tsotest.New(t, tsotest.WithMembers(2))
	c := newTestClient(t, s)
	requireServed(t, c)
	listsName(s, s.URL(0))
	const sleep = 10 * time.Second
	var asked atomic.Int64
	s.Script(func(r tsotest.Request) tsotest.Reply {
		if r.Member == 1 && asked.Add(1) == 1 {
			return tsotest.Reply{Delay: sleep}
		}
		return tsotest.Reply{}
	})
	require.NoError(t, s.MoveLeader(1))
	began := time.Now()
	requireServed(t, c)
	require.Less(t, time.Since(began), 800*time.Millisecond)
	require.Greater(t, asked.Load(), int64(1), "somebody has slept")
}

func TestAllocatorIsFoundBeforeTheListNamesIt(t *testing.T) {
	s := tsotest.New(t, tsotest.WithMembers(3), tsotest.WithDCs("dc-1"))
	c := newTestClient(t, s)
	_, _, err := c.GetLocalTS(t.Context(), "dc-1")
	require.NoError(t, err)
	s.ScriptMembers(func(_ int, resp *pdpb.GetMembersResponse) error {
		resp.TsoAllocatorLeaders = nil
		return nil
	})
	for i := range 3 {
		require.NoError(t, s.MoveAllocator("dc-1", i))
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		_, _, err = c.GetLocalTS(ctx, "dc-1")
		cancel()
		require.NoError(t, err)
	}
}

func TestWayHomeThatOpensTooLateIsNotTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := errors.New("connection refused")
		var healed atomic.Bool
		e := newFakeEnv(nil)
		e.forwarding = true
		e.members = func() []string { return []string{"pd-1", "pd-2"} }
		e.open = func(ctx context.Context, _ string, r route) (tsoStream, error) {
			if !healed.Load() {
				return nil, status.Error(codes.Unavailable, "refused")
			}
			return e.stream(ctx, newEchoStream(r.via, &e.oracle))
		}
		e.fresh = func(ctx context.Context, _ string, r route) (tsoStream, connection, error) {
			switch {
			case r.isDirect() && !healed.Load():
				return nil, nil, refused
			case r.isDirect():
				time.Sleep(homeInterval / 2)
			}
			s, err := e.stream(ctx, newEchoStream(r.via, &e.oracle))
			return s, &e.conns, err
		}
		l := startLane(t, e)
		_, _, err := pushNew(t, l, context.Background()).Wait()
		require.NoError(t, err)
		require.Equal(t, route{target: "pd-1", via: "pd-2"}, l.dialed.Load().route)

		healed.Store(true)
		time.Sleep(homeInterval + homeInterval/10) // the way home is being tried
		e.moveTo("pd-2")
		l.membersChanged()
		synctest.Wait()
		now := l.dialed.Load()
		require.Equal(t, direct("pd-2"), now.route)
		time.Sleep(homeInterval / 2)
		require.Same(t, now, l.dialed.Load(), "a stream in good order is not given up for one that leads elsewhere")
	})
}
