package tso

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// forwardingLane is a lane of three members, led by pd-1, whose streams end when broken is
// called and cannot be opened directly from then on. opened counts the streams by route.
func forwardingLane(t *testing.T) (l *lane, e *fakeEnv, broken func(), opened func(route) int64) {
	e = newFakeEnv(nil)
	e.forwarding = true
	e.members = func() []string { return []string{"pd-1", "pd-2", "pd-3"} }
	var counts [3]atomic.Int64 // by the last digit of via
	var cut atomic.Bool
	life, cancel := context.WithCancelCause(t.Context())
	unavailable := status.Error(codes.Unavailable, "connection reset by peer")
	e.open = func(ctx context.Context, _ string, r route) (tsoStream, error) {
		if r.isDirect() && cut.Load() {
			return nil, unavailable
		}
		counts[r.via[3]-'1'].Add(1)
		s := newEchoStream(r.via, &e.oracle)
		if r.isDirect() {
			context.AfterFunc(life, func() { s.Close(context.Cause(life)) })
		}
		return e.stream(ctx, s)
	}
	e.fresh = func(ctx context.Context, _ string, _ route) (tsoStream, connection, error) {
		<-ctx.Done() // they hang
		return nil, nil, context.Cause(ctx)
	}
	l = startLane(t, e)
	synctest.Wait()
	broken = func() {
		cut.Store(true)
		cancel(unavailable)
		synctest.Wait()
	}
	return l, e, broken, func(r route) int64 { return counts[r.via[3]-'1'].Load() }
}

func TestStandbyTakesOverAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _, broken, opened := forwardingLane(t)
		_, _, err := pushNew(t, l, context.Background()).Wait()
		require.NoError(t, err)
		standby := l.standby.Load()
		require.NotNil(t, standby, "made as soon as there is a stream")
		require.Equal(t, "pd-1", standby.target)
		before := opened(standby.route)
		broken()
		began := time.Now()
		_, _, err = pushNew(t, l, context.Background()).Wait()
		require.NoError(t, err)
		require.Zero(t, time.Since(began), "nothing of it takes time here")
		require.Same(t, standby, l.dialed.Load())
		require.Equal(t, before, opened(standby.route))
		require.Nil(t, l.standby.Load(), "who uses one needs none")
	})
}

func TestStandbyIsAskedOnceInAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, e, _, opened := forwardingLane(t)
		_, _, err := pushNew(t, l, context.Background()).Wait()
		require.NoError(t, err)
		standby := l.standby.Load()
		asked := e.oracle.Load()
		time.Sleep(standbyInterval - time.Second)
		synctest.Wait()
		require.Equal(t, asked, e.oracle.Load())
		time.Sleep(3 * time.Second)
		synctest.Wait()
		require.Same(t, standby, l.standby.Load())
		require.Equal(t, asked+1, e.oracle.Load())

		standby.stream.Close(status.Error(codes.Unavailable, "gone"))
		time.Sleep(standbyInterval + 2*time.Second)
		synctest.Wait()
		require.NotSame(t, standby, l.standby.Load(), "one that fails is replaced")
		require.NotNil(t, l.standby.Load())
		require.EqualValues(t, 2, opened(route{via: "pd-2"})+opened(route{via: "pd-3"}))
	})
}

func TestStandbyOfAnotherLeaderIsNotUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, e, broken, _ := forwardingLane(t)
		_, _, err := pushNew(t, l, context.Background()).Wait()
		require.NoError(t, err)
		standby := l.standby.Load()
		e.moveTo("pd-2")
		broken()
		_, _, _ = pushNew(t, l, context.Background()).Wait()
		require.NotSame(t, standby, l.dialed.Load())
	})
}

// While the leader cannot be reached from here, a way round that ends or falls silent is
// replaced by another one. That takes no second look at the direct one, which hangs.
func TestWayRoundIsReplacedByAnother(t *testing.T) {
	for name, hurt := range map[string]func(l *lane, muted *atomic.Bool){
		"that has ended":  func(l *lane, _ *atomic.Bool) { l.dialed.Load().stream.Close(errUnsolicited) },
		"that falls mute": func(_ *lane, muted *atomic.Bool) { muted.Store(true) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newFakeEnv(nil)
				e.forwarding = true
				e.members = func() []string { return []string{"pd-1", "pd-2", "pd-3"} }
				e.open = func(ctx context.Context, _ string, r route) (tsoStream, error) {
					if r.isDirect() {
						<-ctx.Done()
						return nil, context.Cause(ctx)
					}
					s, err := e.stream(ctx, newEchoStream(r.via, &e.oracle))
					return &mutable{tsoStream: s, muted: new(atomic.Bool)}, err
				}
				var dialed atomic.Int64
				e.fresh = func(ctx context.Context, dc string, r route) (tsoStream, connection, error) {
					dialed.Add(1)
					s, err := e.open(ctx, dc, r)
					return s, &e.conns, err
				}
				l := startLane(t, e)
				_, _, err := pushNew(t, l, context.Background()).Wait()
				require.NoError(t, err)
				first := l.dialed.Load()
				require.False(t, first.isDirect())
				time.Sleep(homeInterval / 2) // between two looks at the direct one
				muted := first.stream.(*mutable).muted

				began, before := time.Now(), dialed.Load()
				hurt(l, muted)
				_, _, err = pushNew(t, l, context.Background()).Wait()
				require.NoError(t, err)
				require.Less(t, time.Since(began), 2*relayPatience)
				require.NotSame(t, first, l.dialed.Load())
				require.False(t, l.dialed.Load().isDirect())
				require.Equal(t, before, dialed.Load(), "on connections that are there")
			})
		})
	}
}

// What is known of the way round says nothing of the direct one, whose first answer may be
// late.
func TestPatienceWithTheDirectWayIsItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newFakeEnv(nil)
		e.forwarding = true
		e.members = func() []string { return []string{"pd-1", "pd-2", "pd-3"} }
		var late atomic.Int64
		e.open = func(ctx context.Context, _ string, r route) (tsoStream, error) {
			if r.isDirect() {
				<-ctx.Done()
				return nil, context.Cause(ctx)
			}
			return e.stream(ctx, newEchoStream(r.via, &e.oracle))
		}
		var home atomic.Bool
		e.fresh = func(ctx context.Context, dc string, r route) (tsoStream, connection, error) {
			if r.isDirect() && !home.Load() {
				return nil, nil, context.DeadlineExceeded
			}
			s, err := e.stream(ctx, newEchoStream(r.via, &e.oracle))
			return &delayed{tsoStream: s, by: &late}, &e.conns, err
		}
		l := startLane(t, e)
		_, _, err := pushNew(t, l, context.Background()).Wait()
		require.NoError(t, err)
		require.False(t, l.dialed.Load().isDirect())
		require.EqualValues(t, relayPatience, l.patience.Load())

		home.Store(true)
		time.Sleep(2 * homeInterval)
		synctest.Wait()
		require.True(t, l.dialed.Load().isDirect())
		suspected := e.stats.suspicions.Load()
		late.Store(int64(90 * time.Millisecond))
		_, _, err = pushNew(t, l, context.Background()).Wait()
		require.NoError(t, err)
		require.Equal(t, suspected, e.stats.suspicions.Load())
	})
}
