package member

import (
	"context"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
)

// bubble runs a test with one member in a synctest bubble, where time passes only while everybody waits.
func bubble(t *testing.T, body func(t *testing.T, member *fakeMember, m *Members)) {
	synctest.Test(t, func(t *testing.T) {
		var network memory
		member := network.start(t, "a:1")
		member.say(cluster(member.url))
		m := open(t, Config{Seeds: []string{"a:1"}, DialOptions: []grpc.DialOption{network.option()}})
		require.EqualValues(t, 1, member.calls.Load())
		body(t, member, m)
	})
}

func TestLoop_AsksOnceAMinute(t *testing.T) {
	bubble(t, func(t *testing.T, member *fakeMember, _ *Members) {
		time.Sleep(time.Hour)
		calls := member.calls.Load()
		require.Greater(t, calls, int64(55))
		require.Less(t, calls, int64(66))
	})
}

func TestLoop_StormIsOneOrTwoRounds(t *testing.T) {
	bubble(t, func(t *testing.T, member *fakeMember, m *Members) {
		var callers sync.WaitGroup
		for range 1000 {
			callers.Go(m.Refresh)
			callers.Go(func() {
				_, err := m.RefreshWait(t.Context())
				require.NoError(t, err)
			})
		}
		callers.Wait()
		synctest.Wait()
		rounds := member.calls.Load() - 1
		require.GreaterOrEqual(t, rounds, int64(1))
		require.LessOrEqual(t, rounds, int64(2))
	})
}

func TestLoop_FirstRefreshIsImmediate(t *testing.T) {
	bubble(t, func(t *testing.T, _ *fakeMember, m *Members) {
		for range 10 {
			start := time.Now()
			refreshed(t, m)
			require.Zero(t, time.Since(start))
			time.Sleep(3 * time.Second)
		}
	})
}

func TestLoop_BacksOffWhileNothingChanges(t *testing.T) {
	bubble(t, func(t *testing.T, member *fakeMember, m *Members) {
		start := time.Now()
		for time.Since(start) < 10*time.Second {
			refreshed(t, m)
		}
		rounds := member.calls.Load() - 1
		require.Greater(t, rounds, int64(70), "an election must not go unnoticed for long")
		require.LessOrEqual(t, rounds, int64(burst+100), "ten a second")
	})
}

func TestLoop_RateIsLimitedWhileEverythingChanges(t *testing.T) {
	bubble(t, func(t *testing.T, member *fakeMember, m *Members) {
		var id uint64
		member.do(func(context.Context) (*pdpb.GetMembersResponse, error) {
			id++
			resp := cluster(member.url)
			resp.Members[0].MemberId = id
			return resp, nil
		})
		start := time.Now()
		for time.Since(start) < 10*time.Second {
			refreshed(t, m)
		}
		rounds := member.calls.Load() - 1
		require.Greater(t, rounds, int64(90))
		require.LessOrEqual(t, rounds, int64(100+burst+1))
	})
}

func TestLoop_RefreshWaitStartsAfterTheCall(t *testing.T) {
	bubble(t, func(t *testing.T, member *fakeMember, m *Members) {
		entered, proceed := make(chan bool), make(chan bool)
		member.do(func(context.Context) (*pdpb.GetMembersResponse, error) {
			entered <- true
			<-proceed
			return cluster(member.url, "http://b:1"), nil
		})
		m.Refresh()
		<-entered
		// The round under way may have been answered already: it must not serve a caller who comes now.
		waited := make(chan *Snapshot)
		go func() {
			s, _ := m.RefreshWait(t.Context())
			waited <- s
		}()
		synctest.Wait()
		proceed <- true
		<-entered
		select {
		case <-waited:
			t.Error("served by a round that had started before the call")
		default:
		}
		proceed <- true
		require.Equal(t, []string{"http://b:1"}, (<-waited).Followers)
	})
}

func TestRefreshWait_ContextAndClose(t *testing.T) {
	bubble(t, func(t *testing.T, member *fakeMember, m *Members) {
		member.hang()
		good := m.Snapshot()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		start := time.Now()
		s, err := m.RefreshWait(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Same(t, good, s)
		require.Equal(t, 10*time.Millisecond, time.Since(start))

		closed := make(chan error)
		go func() {
			_, err := m.RefreshWait(t.Context())
			closed <- err
		}()
		synctest.Wait()
		m.Close()
		require.ErrorIs(t, <-closed, ErrClosed)
		_, err = m.RefreshWait(t.Context())
		require.ErrorIs(t, err, ErrClosed)
		require.Equal(t, start.Add(10*time.Millisecond), time.Now(), "Close waits for nobody")
	})
}

func TestLoop_RoundEndsWithTheTimeout(t *testing.T) {
	bubble(t, func(t *testing.T, member *fakeMember, m *Members) {
		member.hang()
		start := time.Now()
		_, err := m.RefreshWait(t.Context())
		require.ErrorIs(t, err, ErrUnavailable)
		require.NotErrorIs(t, err, context.DeadlineExceeded, "only the caller's own context may say so")
		require.Equal(t, defaultTimeout, time.Since(start))
		require.EqualValues(t, 1, m.Stats().Failures)
	})
}

func TestClose_WaitsForTheLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var network memory
		member := network.start(t, "a:1")
		member.say(cluster(member.url))
		entered := make(chan bool)
		returned := false
		m := open(t, Config{
			Seeds: []string{"a:1"}, DialOptions: []grpc.DialOption{network.option()},
			OnChange: func(*Snapshot) {
				close(entered)
				time.Sleep(time.Second)
				returned = true
			},
		})
		member.say(cluster(member.url, "http://b:1"))
		m.Refresh()
		<-entered
		m.Close()
		require.True(t, returned, "OnChange was still running when Close returned")
	})
}

func TestLoop_CallsNobodyWaitsForAreEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var network memory
		healthy, hanging := network.start(t, "a:1"), network.start(t, "b:1")
		healthy.say(cluster(healthy.url, hanging.url))
		hanging.hang()
		m := open(t, Config{Seeds: []string{"a:1"}, DialOptions: []grpc.DialOption{network.option()}})

		ended := make(chan time.Time, 1)
		hanging.do(func(ctx context.Context) (*pdpb.GetMembersResponse, error) {
			<-ctx.Done()
			ended <- time.Now()
			return nil, ctx.Err()
		})
		healthy.do(func(context.Context) (*pdpb.GetMembersResponse, error) {
			time.Sleep(time.Millisecond) // So that the other call has surely begun.
			return cluster(healthy.url, hanging.url), nil
		})
		refreshed(t, m)
		require.Equal(t, time.Now(), <-ended)
	})
}

func TestLoop_AsksAgainSoonAfterTrouble(t *testing.T) {
	bubble(t, func(t *testing.T, member *fakeMember, m *Members) {
		time.Sleep(5 * time.Second)
		refreshed(t, m)
		before := member.calls.Load()
		time.Sleep(settleFirst * 13 / 10)
		require.Equal(t, before+1, member.calls.Load())
		time.Sleep(settleFirst * settleFactor * 13 / 10)
		require.Equal(t, before+2, member.calls.Load())
		time.Sleep(10 * time.Minute)
		require.InDelta(t, before+2+10, member.calls.Load(), 3, "and then once a minute")
	})
}

func TestLoop_LostConnectionIsAReasonToAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var network memory
		leader, follower, moved := network.start(t, "a:1"), network.start(t, "b:1"), network.start(t, "c:1")
		members := []*fakeMember{leader, follower, moved}
		sayAll(members, cluster(leader.url, follower.url))
		var mu sync.Mutex
		conns := make(map[string]net.Conn)
		m := open(t, Config{Seeds: []string{"a:1"}, DialOptions: []grpc.DialOption{
			grpc.WithContextDialer(func(ctx context.Context, host string) (net.Conn, error) {
				conn, err := network.dial(ctx, host)
				mu.Lock()
				defer mu.Unlock()
				conns[host] = conn
				return conn, err
			}),
		}})
		refreshed(t, m) // the follower has a connection now
		time.Sleep(20 * time.Second)
		sayAll(members, cluster(leader.url, moved.url))
		mu.Lock()
		lost := conns["b:1"]
		mu.Unlock()
		require.NoError(t, lost.Close())
		synctest.Wait()
		require.Equal(t, []string{moved.url}, m.Snapshot().Followers)
	})
}
