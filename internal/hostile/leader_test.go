package hostile

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"github.com/stretchr/testify/require"

	"github.com/tsoring/tso"
	"github.com/tsoring/tso/internal/history"
	"github.com/tsoring/tso/tsotest"
)

// A leader that was deposed, comes back, and serves the timestamps that it had in
// memory (pd#8836), with several RPCs in flight (pd#9051): nobody gets one of
// them, and the process lives.
func TestStaleLeaderDoesNotTakeTimeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, tsotest.WithMembers(3))
		require.NoError(t, s.SetLatency(3*time.Millisecond)) // some RPCs are always in flight
		var fallbacks atomic.Int64
		c := newClient(t, s, tso.WithFallbackHook(func(tso.FallbackEvent) { fallbacks.Add(1) }))
		calls := startCallers(t, 16, every(c), nil)
		for i := range 6 {
			time.Sleep(200 * time.Millisecond)
			var stale atomic.Int64
			stale.Store(5)
			s.Script(func(tsotest.Request) tsotest.Reply {
				if stale.Add(-1) < 0 {
					return tsotest.Reply{}
				}
				return tsotest.Reply{Edit: func(r *pdpb.TsoResponse) { r.Timestamp.Physical -= 60_000 }}
			})
			require.NoError(t, s.MoveLeader(i%3))
		}
		time.Sleep(time.Second)
		calls.stop()
		require.NotZero(t, fallbacks.Load())
		require.Equal(t, fallbacks.Load(), c.Stats().Fallbacks)
	})
}

// The first timestamp after a new leader is ready: PD's client has retried on a
// timer of 1 s, and then of 0.5 s (pd#5207), the members have been asked one after
// another with 1 s each, and the TSO streams of dead ones have been tried.
func TestNewLeaderServesAtOnce(t *testing.T) {
	for name, leaderless := range map[string]time.Duration{"after 50ms": 50 * time.Millisecond, "after 5s": 5 * time.Second, "after 13s": 13 * time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, tsotest.WithMembers(5))
				c := newClient(t, s)
				getTS(t, c)
				calls := startCallers(t, 4, every(c), nil)
				require.NoError(t, s.CutPath(3)) // and one that hangs
				require.NoError(t, s.StopMember(0))
				s.DropLeader()
				time.Sleep(leaderless)
				require.NoError(t, s.MoveLeader(1))
				began := time.Now()
				getTS(t, c)
				took := time.Since(began)
				t.Logf("%v", took)
				require.Less(t, took, 600*time.Millisecond)
				calls.stop()
			})
		})
	}
}

// Futures across leaders that resign (tidb#61178: GetTSAsync is not retried;
// pd#2663, pd#8443, tidb#28223, client-go#950, pd#7955).
func TestFuturesOutliveLeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, tsotest.WithMembers(3))
		require.NoError(t, s.SetLatency(time.Millisecond))
		c := newClient(t, s)
		for i := range 6 {
			var futures []tso.TSFuture
			for n := range 300 {
				if n%100 == 50 {
					s.DropLeader()
				}
				if n%100 == 99 {
					time.Sleep(100 * time.Millisecond)
					require.NoError(t, s.MoveLeader((i+n)%3))
				}
				futures = append(futures, c.GetTSAsync(context.Background()))
			}
			var got []uint64
			for _, f := range futures {
				ts, err := compose(f.Wait())
				require.NoError(t, err)
				got = append(got, ts)
			}
			require.NoError(t, history.Err(history.CreationOrder(got)))
		}
	})
}

// refusing is a dialer that refuses some connects.
type refusing struct {
	dial    func(context.Context, string) (net.Conn, error)
	address string
	left    atomic.Int64
}

func (r *refusing) Dial(ctx context.Context, address string) (net.Conn, error) {
	if address == r.address && r.left.Add(-1) >= 0 {
		return nil, syscall.ECONNREFUSED
	}
	return r.dial(ctx, address)
}

// A new leader whose first connections fail is gone to all the same (pd#7416).
func TestNewLeaderThatRefusesItsFirstConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, tsotest.WithMembers(2))
		r := &refusing{dial: s.Dialer(), address: "192.0.2.2:2379"}
		r.left.Store(1 << 40)
		c, err := tso.NewClient(s.URLs(), tso.SecurityOption{}, dialThrough(r.Dial))
		require.NoError(t, err)
		defer c.Close()
		getTS(t, c)
		r.left.Store(3)
		require.NoError(t, s.MoveLeader(1))
		began := time.Now()
		getTS(t, c)
		require.Less(t, time.Since(began), 2*time.Second)
		require.Negative(t, r.left.Load())
		require.Equal(t, s.URL(1), c.GetLeaderAddr())
	})
}

// slowly connects after a while, and notices when nobody wants that any more.
func slowly(ctx context.Context, s *tsotest.Server, address string, after time.Duration) (net.Conn, error) {
	timer := time.NewTimer(after)
	defer timer.Stop()
	select {
	case <-timer.C:
		return s.Dialer()(ctx, address)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Connections that take as long as the RPC timeout, so that success and timeout
// come at the same instant (pd#3172: a goroutine blocked for 2,175 minutes;
// pd#3207, pd#3209: the dispatcher froze).
func TestStreamThatComesAtItsTimeoutLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		const timeout = 100 * time.Millisecond
		var slow atomic.Bool
		dial := func(ctx context.Context, address string) (net.Conn, error) {
			if slow.Load() {
				return slowly(ctx, s, address, timeout)
			}
			return s.Dialer()(ctx, address)
		}
		c, err := tso.NewClient(s.URLs(), tso.SecurityOption{}, dialThrough(dial), tso.WithCustomTimeoutOption(timeout))
		require.NoError(t, err)
		defer c.Close()
		getTS(t, c)
		slow.Store(true)
		for range 20 {
			require.NoError(t, s.ResetConns(0))
			ctx, cancel := context.WithTimeout(context.Background(), timeout)
			_, _, err := c.GetTS(ctx)
			require.True(t, err == nil || errors.Is(err, context.DeadlineExceeded), "%v", err)
			cancel()
		}
		slow.Store(false)
		getTS(t, c)
	})
}

// Nobody gets a Canceled that is not his, right after a start or a switch while
// connections take their time (pd#10655).
func TestNoCallIsCancelledByASwitch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, tsotest.WithMembers(3))
		dial := func(ctx context.Context, address string) (net.Conn, error) {
			return slowly(ctx, s, address, 50*time.Millisecond)
		}
		for i := range 10 {
			c, err := tso.NewClient(s.URLs(), tso.SecurityOption{}, dialThrough(dial))
			require.NoError(t, err)
			calls := startCallers(t, 8, every(c), nil)
			require.NoError(t, s.MoveLeader(i%3))
			time.Sleep(time.Duration(10*i) * time.Millisecond)
			require.NoError(t, s.MoveLeader((i+1)%3))
			getTS(t, c)
			time.Sleep(100 * time.Millisecond)
			calls.stop()
			c.Close()
		}
	})
}

// A thousand streams, opened and ended: nothing of them is left (pd#9619), and
// nothing of what waits (the bubble would not end).
func TestThousandStreamsLeaveNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c := newClient(t, s)
		getTS(t, c)
		before := goroutines()
		for range 1000 {
			require.NoError(t, s.CloseStreams(0))
			getTS(t, c)
			time.Sleep(150 * time.Millisecond)
		}
		time.Sleep(11 * time.Second) // a connection that was replaced while it was up is closed after 10 s
		synctest.Wait()
		// The last stream may have a connection of its own, where the one that all share was
		// too new to be replaced by it.
		conns := s.Stats().Members[0].OpenConns
		require.LessOrEqual(t, conns, 2)
		require.LessOrEqual(t, goroutines(), before+2+10*(conns-1))
		require.GreaterOrEqual(t, c.Stats().Streams, int64(1000))
		require.LessOrEqual(t, s.Stats().Members[0].OpenStreams, 1)
	})
}

// A request that the server has swallowed: the calls behind it on its stream wait
// for no more than the RPC timeout, and none of them fails.
func TestSwallowedRequestFailsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c := newClient(t, s)
		calls := startCallers(t, 8, every(c), nil)
		for range 3 {
			time.Sleep(100 * time.Millisecond)
			var swallowed atomic.Bool
			s.Script(func(tsotest.Request) tsotest.Reply { return tsotest.Reply{Drop: swallowed.CompareAndSwap(false, true)} })
			began := time.Now()
			getTS(t, c)
			require.Less(t, time.Since(began), 3500*time.Millisecond)
		}
		calls.stop()
	})
}

// GetTSAsync must not wait for anything while the leader is unknown: PD's client
// sleeps 50 ms in it, without regard to the context.
func TestAsyncCallReturnsAtOnceWithoutALeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c := newClient(t, s)
		getTS(t, c)
		s.DropLeader()
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		futures := []tso.TSFuture{c.GetTSAsync(ctx), c.GetLocalTSAsync(ctx, "dc-1")}
		require.Zero(t, time.Since(began))
		for _, future := range futures {
			_, _, err := future.Wait()
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Equal(t, time.Second, time.Since(began))
		}
	})
}
