package hostile

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tsoring/tso"
	"github.com/tsoring/tso/tsotest"
)

// followerProxy is the option by its value.
func followerProxy(t testing.TB, c tso.Client, on bool) {
	t.Helper()
	require.NoError(t, c.UpdateOption(tso.EnableTSOFollowerProxy, on))
}

// A connection that goes dead without a sign, as with a lost NAT entry: PD's
// client never recovers; with TCP's retransmissions it took minutes (tidb#10643,
// tidb#2676).
func TestDeadConnectionIsReplaced(t *testing.T) {
	for name, opts := range map[string][]tso.ClientOption{"direct": nil, "forwarding": {tso.WithForwardingOption(true)}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, tsotest.WithMembers(3))
				c := newClient(t, s, opts...)
				calls := startCallers(t, 8, every(c), nil)
				for range 3 {
					time.Sleep(2 * time.Second)
					require.NoError(t, s.SilenceConns(0))
					began := time.Now()
					getTS(t, c)
					took := time.Since(began)
					t.Logf("%v", took)
					require.Less(t, took, 900*time.Millisecond)
				}
				calls.stop()
			})
		})
	}
}

// All connections to all members go dead at once.
func TestAllConnectionsDeadAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, tsotest.WithMembers(3))
		c := newClient(t, s)
		calls := startCallers(t, 8, every(c), nil)
		time.Sleep(time.Second)
		for i := range 3 {
			require.NoError(t, s.SilenceConns(i))
		}
		began := time.Now()
		getTS(t, c)
		require.Less(t, time.Since(began), 900*time.Millisecond)
		// The leader moves while the connections to the others are dead.
		time.Sleep(time.Second)
		for i := range 3 {
			require.NoError(t, s.SilenceConns(i))
		}
		require.NoError(t, s.MoveLeader(2))
		began = time.Now()
		getTS(t, c)
		t.Logf("with a move of the leader: %v", time.Since(began))
		require.Less(t, time.Since(began), 5*time.Second)
		calls.stop()
	})
}

// An address that takes connections and says nothing: calls end with their own
// time (pd#2642, pd#2616), also those of PD's constructor.
func TestSilentAddressCostsNoMoreThanTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c := newClient(t, s)
		getTS(t, c)
		require.NoError(t, s.CutPath(0))
		for range 5 {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
			began := time.Now()
			_, _, err := c.GetTS(ctx)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Equal(t, 30*time.Millisecond, time.Since(began))
			cancel()
		}
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		began := time.Now()
		_, err := tso.NewClientWithContext(ctx, s.URLs(), tso.SecurityOption{}, dialThrough(s.Dialer()))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 300*time.Millisecond, time.Since(began))
		require.NoError(t, s.HealPath(0))
		getTS(t, c)
	})
}

// The client cannot reach the leader, but its followers (pd#3500): with forwarding
// on the calls go on, and go back to the leader once it can be reached.
func TestIsolatedFromTheLeaderGoesThroughAFollower(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, tsotest.WithMembers(3))
		c := newClient(t, s, tso.WithForwardingOption(true))
		calls := startCallers(t, 8, every(c), nil)
		for range 3 {
			time.Sleep(time.Second)
			require.NoError(t, s.CutPath(0))
			began := time.Now()
			getTS(t, c)
			took := time.Since(began)
			t.Logf("%v", took)
			require.Less(t, took, 1200*time.Millisecond)
			before := s.Stats()
			time.Sleep(time.Second)
			now := s.Stats()
			require.Greater(t, now.Timestamps, before.Timestamps+100, "not served meanwhile")
			require.NoError(t, s.HealPath(0))
			time.Sleep(3 * time.Second)
			before = s.Stats()
			time.Sleep(time.Second)
			now = s.Stats()
			for i := 1; i < 3; i++ {
				require.LessOrEqual(t, now.Members[i].Timestamps-before.Members[i].Timestamps, uint64(2), "still through member %d", i)
			}
		}
		calls.stop()
	})
}

// Two clients through the follower proxy (pd#4208: duplicates), while the leader
// moves (pd#9160: stuck for ever).
func TestFollowerProxyIsUniqueWhileTheLeaderMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, tsotest.WithMembers(3))
		both := make([]tso.Client, 2)
		for i := range both {
			both[i] = newClient(t, s)
			followerProxy(t, both[i], true)
		}
		calls := startCallers(t, 16, func() (int64, int64, error) {
			c := both[rand.IntN(2)]
			return c.GetTS(context.Background())
		}, nil)
		for i := range 9 {
			time.Sleep(200 * time.Millisecond)
			require.NoError(t, s.MoveLeader(i%3))
			began := time.Now()
			getTS(t, both[i%2])
			require.Less(t, time.Since(began), time.Second)
		}
		calls.stop()
		for i, m := range s.Stats().Members {
			require.NotZero(t, m.Timestamps, "member %d", i)
		}
	})
}

// A member that hangs while the leader moves, with the follower proxy on: PD's
// client checks the dead ones one after another (pd#9188, pd#9219, pd#9268).
func TestFollowerProxyWithAHangingMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, tsotest.WithMembers(4))
		c := newClient(t, s)
		followerProxy(t, c, true)
		calls := startCallers(t, 8, every(c), nil)
		time.Sleep(time.Second)
		require.NoError(t, s.CutPath(3))
		require.NoError(t, s.MoveLeader(1))
		began := time.Now()
		getTS(t, c)
		took := time.Since(began)
		t.Logf("%v", took)
		require.Less(t, took, time.Second)
		for range 100 {
			began := time.Now()
			getTS(t, c)
			require.Less(t, time.Since(began), time.Second)
			time.Sleep(10 * time.Millisecond)
		}
		calls.stop()
	})
}

// The follower proxy stays on after it was switched off (pd#8709), is toggled
// while there are calls (pd#4249, pd#4251), or is on from the start and never
// hears of new members (pd#8947).
func TestFollowerProxyFollowsItsSwitch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, tsotest.WithMembers(3))
		c := newClient(t, s)
		followerProxy(t, c, true)
		served := func() (by []bool) {
			calls := startCallers(t, 8, every(c), nil)
			defer calls.stop()
			before := s.Stats()
			time.Sleep(time.Second)
			for i, m := range s.Stats().Members {
				by = append(by, m.Timestamps > before.Members[i].Timestamps)
			}
			return by
		}
		require.Equal(t, []bool{true, true, true}, served())
		_, err := s.AddMember()
		require.NoError(t, err)
		time.Sleep(70 * time.Second) // members are looked at once a minute
		require.Equal(t, []bool{true, true, true, true}, served())
		calls := startCallers(t, 8, every(c), nil)
		for i := range 30 {
			followerProxy(t, c, i%2 == 0)
			time.Sleep(100 * time.Millisecond)
		}
		calls.stop()
		require.Equal(t, []bool{true, false, false, false}, served())
		require.NoError(t, s.MoveLeader(2))
		time.Sleep(100 * time.Millisecond)
		require.Equal(t, []bool{false, false, true, false}, served())
	})
}

// All at once: options toggled every 100 ms, calls cancelled, paths cut, leaders
// moved; forwarding on.
func TestOptionsToggledWhilePathsBreak(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, tsotest.WithMembers(3))
		c := newClient(t, s, tso.WithForwardingOption(true))
		calls := startCallers(t, 6, every(c), nil)
		hurried := startCallers(t, 6, func() (int64, int64, error) {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
			defer cancel()
			return c.GetTS(ctx)
		}, func(err error) bool { return errors.Is(err, context.DeadlineExceeded) })
		for i := range 70 {
			followerProxy(t, c, i%2 == 0)
			require.NoError(t, c.UpdateOption(tso.TSOClientRPCConcurrency, 1+i%5))
			require.NoError(t, c.UpdateOption(tso.MaxTSOBatchWaitInterval, time.Duration(i%3)*time.Millisecond))
			switch member := i % 3; i % 7 {
			case 0:
				require.NoError(t, s.MoveLeader(member))
			case 2:
				require.NoError(t, s.CutPath(member))
			case 4:
				require.NoError(t, s.SilenceConns(member))
			case 5:
				for m := range 3 {
					require.NoError(t, s.HealPath(m))
				}
			case 6:
				require.NoError(t, s.ResetConns(member))
			}
			time.Sleep(100 * time.Millisecond)
		}
		for m := range 3 {
			require.NoError(t, s.HealPath(m))
		}
		calls.stop()
		hurried.stop()
	})
}
