package tso

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"github.com/stretchr/testify/require"

	"github.com/tsoring/tso/tsotest"
)

func requireSpread(t *testing.T, s *tsotest.Server, members ...int) {
	t.Helper()
	before := s.Stats().Members
	require.Eventually(t, func() bool {
		now := s.Stats().Members
		for _, i := range members {
			if now[i].Requests == before[i].Requests {
				return false
			}
		}
		return true
	}, 10*time.Second, time.Millisecond)
}

func TestFollowerProxySpreadsRequestsOverAllMembers(t *testing.T) {
	s := tsotest.New(t, tsotest.WithMembers(3))
	c := newTestClient(t, s)
	underLoad(t, c, func() {
		require.NoError(t, c.UpdateOption(EnableTSOFollowerProxy, true))
		requireSpread(t, s, 0, 1, 2)

		// A member that comes later is asked too.
		added, err := s.AddMember()
		require.NoError(t, err)
		_, err = c.GetAllMembers(t.Context())
		require.NoError(t, err)
		requireSpread(t, s, added)

		// The streams go to the new leader's at once.
		require.NoError(t, s.MoveLeader(1))
		requireServed(t, c)
		requireSpread(t, s, 0, 1, 2)

		require.NoError(t, c.UpdateOption(EnableTSOFollowerProxy, false))
		require.Eventually(t, func() bool {
			m := s.Stats().Members
			return m[1].OpenStreams > 0 && m[0].OpenStreams+m[2].OpenStreams+m[added].OpenStreams == 0
		}, 10*time.Second, time.Millisecond, "off means off")
	})
}

func TestFollowerProxyToggledUnderLoad(t *testing.T) {
	s := tsotest.New(t, tsotest.WithMembers(3))
	c := newTestClient(t, s)
	underLoad(t, c, func() {
		toggle := time.NewTicker(100 * time.Millisecond)
		defer toggle.Stop()
		for i := range 20 {
			<-toggle.C
			require.NoError(t, c.UpdateOption(EnableTSOFollowerProxy, i%2 == 0))
		}
	})
}

func TestFollowerProxyWithoutAMemberThatIsSilent(t *testing.T) {
	s := tsotest.New(t, tsotest.WithMembers(3))
	c := newTestClient(t, s)
	require.NoError(t, c.UpdateOption(EnableTSOFollowerProxy, true))
	underLoad(t, c, func() {
		requireSpread(t, s, 1, 2)
		require.NoError(t, s.CutPath(2))
		requireServed(t, c)
	})
}

func TestFollowerProxyTurnedOnAfterACutOver(t *testing.T) {
	s := tsotest.New(t, tsotest.WithMembers(3))
	c := newTestClient(t, s)
	underLoad(t, c, func() {
		require.NoError(t, s.SilenceConns(0))
		requireServed(t, c)
		require.NotZero(t, c.Stats().CutOvers)
		require.NoError(t, c.UpdateOption(EnableTSOFollowerProxy, true))
		requireSpread(t, s, 0, 1, 2)
	})
}

func TestMemberThatHasNotStartedIsNotAskedToForward(t *testing.T) {
	s := tsotest.New(t, tsotest.WithMembers(3))
	c := newTestClient(t, s)
	s.ScriptMembers(func(member int, resp *pdpb.GetMembersResponse) error {
		if member == 2 {
			resp.Header.Error = &pdpb.Error{Type: pdpb.ErrorType_UNKNOWN, Message: "server not started"}
		}
		return nil
	})
	before := s.Stats().Members[2].Streams
	underLoad(t, c, func() {
		require.NoError(t, c.UpdateOption(EnableTSOFollowerProxy, true))
		requireSpread(t, s, 0, 1)
	})
	require.Equal(t, before, s.Stats().Members[2].Streams)
}

func TestExtraAnswerOfOneMemberEndsTheSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newFakeEnv(nil)
		e.members = func() []string { return []string{"pd-1", "pd-2"} }
		e.proxy.Store(true)
		ss := newStreams()
		e.open = func(ctx context.Context, _ string, r route) (tsoStream, error) {
			return e.stream(ctx, ss.open(r.via, nil))
		}
		l := startLane(t, e)
		one, two := widened(t, ss, base)
		one.grant(base+100, 1) // nobody has asked
		<-one.closed
		<-two.closed
		require.ErrorIs(t, one.cause, errUnsolicited)

		one, two = widened(t, ss, base)
		r := pushNew(t, l, context.Background())
		select {
		case <-one.sent:
			one.grant(base+101, 1)
		case <-two.sent:
			two.grant(base+101, 1)
		}
		requireTS(t, base+101, r)
	})
}

// widened returns the streams of an idle lane that spreads its requests over two
// members, once each of them has answered twice.
func widened(t *testing.T, ss *streams, granted uint64) (one, two *fakeStream) {
	t.Helper()
	var proved []*fakeStream
	var alone *fakeStream
	opened := []*fakeStream{<-ss.opened, <-ss.opened, <-ss.opened}
	synctest.Wait()
	for _, s := range opened {
		if len(s.sent) == 0 {
			alone = s
			continue
		}
		proved = append(proved, s)
	}
	for range 2 {
		for _, s := range proved {
			<-s.sent
			s.grant(granted, 1)
		}
	}
	<-alone.closed
	require.ErrorIs(t, alone.cause, errCutOver)
	synctest.Wait()
	return proved[0], proved[1]
}
