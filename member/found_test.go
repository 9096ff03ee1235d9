package member

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestNew_FindsCluster(t *testing.T) {
	members := startMembers(t, 3)
	urls := urlsOf(members)
	m := open(t, Config{Seeds: []string{urls[1][len("http://"):], urls[1], "https://" + urls[2][len("http://"):]}})

	s := m.Snapshot()
	require.EqualValues(t, testCluster, s.ClusterID)
	require.Equal(t, urls[0], s.Leader)
	require.Equal(t, urls[1:], s.Followers)
	require.ElementsMatch(t, urls, s.URLs)
	require.Len(t, s.Members, 3)
	require.Empty(t, s.Allocators)
	require.NoError(t, m.Err())
}

func TestNew_ConfigurationErrorsAreImmediate(t *testing.T) {
	for _, c := range []struct {
		cfg  Config
		want error
	}{
		{Config{}, ErrInvalidAddress},
		{Config{Seeds: []string{""}}, ErrInvalidAddress},
		{Config{Seeds: []string{"a:1,b:1"}}, ErrInvalidAddress},
		{Config{Seeds: []string{"a:1"}, Security: Security{CAPath: "no such file"}}, ErrSecurity},
	} {
		m, err := New(t.Context(), c.cfg)
		require.Nil(t, m)
		require.ErrorIs(t, err, c.want)
	}
}

func TestNew_SeedsOfDifferentClusters(t *testing.T) {
	members := startMembers(t, 2)
	foreign := cluster(members[1].url)
	foreign.Header.ClusterId = 8
	members[1].say(foreign)

	_, err := New(t.Context(), Config{Seeds: urlsOf(members)})
	require.ErrorIs(t, err, ErrClusterMismatch)
	require.ErrorContains(t, err, members[0].url)
	require.ErrorContains(t, err, members[1].url)
	require.ErrorContains(t, err, "cluster 7")
	require.ErrorContains(t, err, "cluster 8")
}

func TestNew_BlackHoledSeedsCostLittle(t *testing.T) {
	member := startMembers(t, 1)[0]
	accepting := blackHole(t)
	dropping := "http://192.0.2.1:2379"
	start := time.Now()
	m := open(t, Config{
		Seeds:       []string{accepting, dropping, member.url},
		DialOptions: []grpc.DialOption{swallowing("192.0.2.1:2379")},
	})
	require.Less(t, time.Since(start), agreeGrace+time.Second)

	start = time.Now()
	refreshed(t, m)
	require.Less(t, time.Since(start), 900*time.Millisecond)
	require.Contains(t, m.Snapshot().URLs, dropping)
}

func TestNew_ContextEndsIt(t *testing.T) {
	hole := blackHole(t)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	start := time.Now()
	m, err := New(ctx, Config{Seeds: []string{hole}})
	require.Nil(t, m)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, err, ErrUnavailable)
	require.ErrorContains(t, err, hole)
	require.Less(t, time.Since(start), time.Second)
}

func TestNew_ContextOutlived(t *testing.T) {
	member := startMembers(t, 1)[0]
	ctx, cancel := context.WithCancel(t.Context())
	m, err := New(ctx, Config{Seeds: []string{member.url}})
	require.NoError(t, err)
	defer m.Close()
	cancel()
	refreshed(t, m)
}

func TestNew_GivesUpAfterItsTries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var net memory
		start := time.Now()
		_, err := New(t.Context(), Config{
			Seeds: []string{"a:1", "b:1"}, MaxRetry: 10, DialOptions: []grpc.DialOption{net.option()},
		})
		require.ErrorIs(t, err, ErrUnavailable)
		require.ErrorContains(t, err, "http://a:1: ")
		require.ErrorContains(t, err, "http://b:1: ")
		took := time.Since(start)
		// 50+100+200+400+800 ms, then four of 1 s, each give or take a fifth.
		require.Greater(t, took, 4400*time.Millisecond)
		require.Less(t, took, 6700*time.Millisecond)
	})
}

func TestNew_WaitsForElection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var net memory
		member := net.start(t, "a:1")
		electing := cluster(member.url)
		electing.Leader = nil
		member.say(electing)
		_, err := New(t.Context(), Config{Seeds: []string{"a:1"}, MaxRetry: 2, DialOptions: []grpc.DialOption{net.option()}})
		require.ErrorIs(t, err, ErrNoLeader)

		elected := time.Now().Add(3 * time.Second)
		member.do(func(context.Context) (*pdpb.GetMembersResponse, error) {
			if time.Now().Before(elected) {
				return electing, nil
			}
			return cluster(member.url), nil
		})
		m := open(t, Config{Seeds: []string{"a:1"}, DialOptions: []grpc.DialOption{net.option()}})
		require.Equal(t, member.url, m.Snapshot().Leader)
		require.Less(t, time.Since(elected), 1300*time.Millisecond)
	})
}

func TestNew_RefusedCredentialsAreFinal(t *testing.T) {
	members := startMembers(t, 2)
	for _, f := range members {
		f.do(func(context.Context) (*pdpb.GetMembersResponse, error) {
			return nil, status.Error(codes.Unauthenticated, "who are you?")
		})
	}
	_, err := New(t.Context(), Config{Seeds: urlsOf(members)})
	require.ErrorIs(t, err, ErrUnavailable)
	require.Equal(t, codes.Unauthenticated, status.Code(errors.Unwrap(cause(t, err))))
	require.EqualValues(t, 1, members[0].calls.Load(), "asked again in vain")
}

func cause(t *testing.T, err error) error {
	var round *roundError
	require.ErrorAs(t, err, &round)
	require.NotEmpty(t, round.causes)
	return round.causes[0]
}

func TestNew_OldServersTellNoClusterID(t *testing.T) {
	members := startMembers(t, 2)
	old := cluster(urlsOf(members)...)
	old.Header = nil
	sayAll(members, old)
	m := open(t, Config{Seeds: urlsOf(members)})
	require.Zero(t, m.Snapshot().ClusterID)

	sayAll(members, cluster(urlsOf(members)...))
	require.EqualValues(t, testCluster, refreshed(t, m).ClusterID, "adopted as soon as told")

	sayAll(members, old)
	require.EqualValues(t, testCluster, refreshed(t, m).ClusterID, "and kept")
}

func TestNew_CallersDialOptionsWin(t *testing.T) {
	member := startMembers(t, 1)[0]
	var asked string
	m := open(t, Config{
		Seeds: []string{"pd.example:2379"},
		DialOptions: []grpc.DialOption{grpc.WithContextDialer(func(ctx context.Context, target string) (net.Conn, error) {
			if target == "pd.example:2379" {
				asked = target
				target = member.url[len("http://"):]
			}
			var d net.Dialer
			return d.DialContext(ctx, "tcp", target)
		})},
	})
	require.Equal(t, "pd.example:2379", asked)
	require.Equal(t, member.url, m.Snapshot().Leader)
	require.Contains(t, m.Snapshot().URLs, "http://pd.example:2379", "the seed is kept though no member goes by it")
}
