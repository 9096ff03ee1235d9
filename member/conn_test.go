package member

import (
	"context"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
)

func TestConn_OnePerURL(t *testing.T) {
	members := startMembers(t, 2)
	m := open(t, Config{Seeds: urlsOf(members)})
	one, err := m.Conn(members[0].url)
	require.NoError(t, err)
	again, err := m.Conn(strings.TrimPrefix(members[0].url, "http://"))
	require.NoError(t, err)
	require.Same(t, one, again)
	other, err := m.Conn(members[1].url)
	require.NoError(t, err)
	require.NotSame(t, one, other)
	_, err = m.Conn("a,b")
	require.ErrorIs(t, err, ErrInvalidAddress)
	require.Equal(t, 2, m.Stats().Conns)
}

func TestConn_ClosedWhenItsURLIsGone(t *testing.T) {
	members := startMembers(t, 3)
	urls := urlsOf(members)
	m := open(t, Config{Seeds: urls[:1]})
	gone, err := m.Conn(urls[2])
	require.NoError(t, err)
	seed, err := m.Conn(urls[0])
	require.NoError(t, err)
	stranger, err := m.Conn("http://elsewhere:1")
	require.NoError(t, err)

	sayAll(members, cluster(urls[1])) // The seed is no member any more, but still a seed.
	refreshed(t, m)
	require.Equal(t, connectivity.Shutdown, gone.GetState())
	require.Equal(t, connectivity.Shutdown, stranger.GetState())
	require.NotEqual(t, connectivity.Shutdown, seed.GetState())

	sayAll(members, cluster(urls...))
	refreshed(t, m)
	back, err := m.Conn(urls[2])
	require.NoError(t, err)
	require.NotSame(t, gone, back)
}

func TestConn_RefusedDialOptions(t *testing.T) {
	_, err := New(t.Context(), Config{
		Seeds: []string{"a:1"}, MaxRetry: 1,
		DialOptions: []grpc.DialOption{grpc.WithDefaultServiceConfig("not JSON")},
	})
	require.ErrorIs(t, err, ErrUnavailable)
	require.ErrorContains(t, err, "dial options")
}

func TestConn_IPv6(t *testing.T) {
	conns := newConnections(nil, newContacts(Security{}, insecure.NewCredentials(), ""), dialOptions(nil), defaultTimeout, nil)
	defer conns.closeAll()
	conn, err := conns.get("http://[::1]:2379")
	require.NoError(t, err)
	require.Equal(t, "[::1]:2379", conn.CanonicalTarget()[len("passthrough:///"):])
}

func TestClose_LeavesNothing(t *testing.T) {
	members := startMembers(t, 2)
	members[1].hang()
	m, err := New(t.Context(), Config{Seeds: []string{members[0].url, blackHole(t)}})
	require.NoError(t, err)
	conn, err := m.Conn(members[0].url)
	require.NoError(t, err)
	m.Refresh()

	var closers sync.WaitGroup
	for range 10 {
		closers.Go(func() {
			m.Close()
			require.Equal(t, connectivity.Shutdown, conn.GetState())
		})
	}
	start := time.Now()
	closers.Wait()
	require.Less(t, time.Since(start), soon)
	m.Close()
	_, err = m.Conn(members[0].url)
	require.ErrorIs(t, err, ErrClosed)
	m.Refresh()
	require.NotNil(t, m.Snapshot())
	require.Zero(t, m.Stats().Conns)

	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	require.NotContains(t, string(stacks), "member.(*Members)", "a goroutine outlived Close")
}

// TestMembers_ConcurrentUse lets the race detector see every method against a cluster that changes all the time.
func TestMembers_ConcurrentUse(t *testing.T) {
	members := startMembers(t, 3)
	urls := urlsOf(members)
	var turn int
	var mu sync.Mutex
	for _, f := range members {
		f.do(func(context.Context) (*pdpb.GetMembersResponse, error) {
			mu.Lock()
			defer mu.Unlock()
			turn++
			// Not each time another one: a round of two or four questions would always hear the same of the same member.
			now := turn / 5 % 2
			return led(now, urls[:2+now]...), nil
		})
	}
	m := open(t, Config{Seeds: urls[:2], OnChange: func(s *Snapshot) { _ = s.Leader }})
	var users sync.WaitGroup
	for range 8 {
		users.Go(func() {
			for range 200 {
				s := m.Snapshot()
				_, err := m.Conn(s.Leader)
				require.NoError(t, err)
				m.Refresh()
				_ = m.Stats()
				_ = m.Err()
			}
			_, _ = m.RefreshWait(t.Context())
		})
	}
	users.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	for m.Stats().Changes == 0 && ctx.Err() == nil {
		_, _ = m.RefreshWait(ctx)
	}
	require.NotZero(t, m.Stats().Changes, "or nothing was tested")
}

func TestKeep_ReplacesTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var path slowPath
		member := path.start(t, "a:1")
		member.say(cluster(member.url))
		m := open(t, Config{Seeds: []string{"a:1"}, DialOptions: []grpc.DialOption{path.option()}})
		old, err := m.Conn("a:1")
		require.NoError(t, err)
		fresh, err := m.Fresh("a:1")
		require.NoError(t, err)
		require.NotSame(t, old, fresh)
		require.Equal(t, 1, m.Stats().Conns, "nobody shares it yet")

		synctest.Wait() // so that old says that it is up
		require.True(t, m.Keep("a:1", old, fresh))
		now, err := m.Conn("a:1")
		require.NoError(t, err)
		require.Same(t, fresh, now)
		time.Sleep(retiredLife - time.Millisecond)
		require.Equal(t, connectivity.Ready, old.GetState(), "streams on it may be in good order")
		time.Sleep(2 * time.Millisecond)
		require.Equal(t, connectivity.Shutdown, old.GetState())
		require.NotEqual(t, connectivity.Shutdown, fresh.GetState())

		second, err := m.Fresh("a:1")
		require.NoError(t, err)
		require.False(t, m.Keep("a:1", old, second), "who comes late does not push out what somebody else has found")
		require.True(t, m.Keep("a:1", fresh, second), "after a while it may be dead as well")
		third, err := m.Fresh("a:1")
		require.NoError(t, err)
		require.False(t, m.Keep("a:1", second, third), "but not at once")

		require.NoError(t, Started(t.Context(), second))
		path.become(time.Hour)
		synctest.Wait()
		second.Connect()
		synctest.Wait()
		require.True(t, m.Keep("a:1", second, third), "but when it is down")
		require.NotEqual(t, connectivity.Shutdown, second.GetState())
		time.Sleep(defaultTimeout + time.Millisecond)
		require.Equal(t, connectivity.Shutdown, second.GetState(), "nobody uses it")
	})
}

func TestKeep_CloseEndsWhatWasReplaced(t *testing.T) {
	members := startMembers(t, 1)
	url := members[0].url
	m := open(t, Config{Seeds: []string{url}})
	old, err := m.Conn(url)
	require.NoError(t, err)
	fresh, err := m.Fresh(url)
	require.NoError(t, err)
	require.True(t, m.Keep(url, old, fresh))
	late, err := m.Fresh(url)
	require.NoError(t, err)
	m.Close()
	require.Equal(t, connectivity.Shutdown, old.GetState())
	require.Equal(t, connectivity.Shutdown, fresh.GetState())
	require.True(t, m.Keep(url, fresh, late))
	require.Equal(t, connectivity.Shutdown, late.GetState())
	_, err = m.Fresh(url)
	require.ErrorIs(t, err, ErrClosed)
}
