package member

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestNew_FindsCluster(t *testing.T) {
	members := startMembers(t, 3)
	urls := urlsOf(members)
	m := open(t, Config{Seeds: []string{urls[1][len("http://"):], urls[1], "HTTP://" + urls[2][len("http://"):]}})

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
	synctest.Test(t, func(t *testing.T) { // The second may be too late elsewhere.
		var net memory
		members := []*fakeMember{net.start(t, "a:1"), net.start(t, "b:1")}
		sayAll(members, cluster(urlsOf(members)...))
		foreign := cluster(members[1].url)
		foreign.Header.ClusterId = 8
		members[1].say(foreign)

		_, err := New(t.Context(), Config{Seeds: urlsOf(members), DialOptions: []grpc.DialOption{net.option()}})
		require.ErrorIs(t, err, ErrClusterMismatch)
		require.ErrorContains(t, err, members[0].url)
		require.ErrorContains(t, err, members[1].url)
		require.ErrorContains(t, err, "cluster 7")
		require.ErrorContains(t, err, "cluster 8")
	})
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
	for tries, limit := range map[int]struct{ from, to time.Duration }{
		1:   {500 * time.Millisecond, time.Second}, // 50+100+200+400 ms, each give or take a fifth.
		3:   {1900 * time.Millisecond, 3100 * time.Millisecond},
		10:  {7500 * time.Millisecond, 11500 * time.Millisecond},
		100: {90 * time.Second, 110 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			var net memory
			start := time.Now()
			_, err := New(t.Context(), Config{
				Seeds: []string{"a:1", "b:1"}, MaxRetry: tries, DialOptions: []grpc.DialOption{net.option()},
			})
			require.ErrorIs(t, err, ErrUnavailable)
			require.ErrorContains(t, err, "http://a:1: ")
			require.ErrorContains(t, err, "http://b:1: ")
			require.Greater(t, time.Since(start), limit.from, "%d tries", tries)
			require.Less(t, time.Since(start), limit.to, "%d tries", tries)
		})
	}
}

// Who does not even refuse takes the RPC timeout a round, and each round is a try.
func TestNew_RoundsWithoutAnAnswerAreTries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var net memory
		net.start(t, "a:1").hang()
		start := time.Now()
		_, err := New(t.Context(), Config{Seeds: []string{"a:1"}, MaxRetry: 3, DialOptions: []grpc.DialOption{net.option()}})
		require.ErrorIs(t, err, ErrUnavailable)
		require.InDelta(t, 9, time.Since(start).Seconds(), 1)
	})
}

func TestNew_InitTimeoutEndsIt(t *testing.T) {
	for name, c := range map[string]struct {
		seed string
		last error
	}{
		"refused":   {"b:1", ErrUnavailable},
		"silent":    {"silent:1", ErrUnavailable},
		"no leader": {"a:1", ErrNoLeader},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var net memory
				electing := cluster("http://a:1")
				electing.Leader = nil
				net.start(t, "a:1").say(electing)
				net.start(t, "silent:1").hang()
				start := time.Now()
				_, err := New(t.Context(), Config{
					Seeds: []string{c.seed}, InitTimeout: 2500 * time.Millisecond, DialOptions: []grpc.DialOption{net.option()},
				})
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.ErrorIs(t, err, c.last)
				require.ErrorContains(t, err, "2.5s (WithInitTimeout)")
				require.ErrorContains(t, err, c.seed)
				require.Equal(t, 2500*time.Millisecond, time.Since(start))
			})
		})
	}
}

func TestNew_InitTimeoutIsOutlived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var net memory
		member := net.start(t, "a:1")
		member.say(cluster(member.url))
		m := open(t, Config{Seeds: []string{"a:1"}, InitTimeout: time.Second, DialOptions: []grpc.DialOption{net.option()}})
		time.Sleep(time.Minute)
		refreshed(t, m)
	})
}

// An end of the context is told as such, with what the caller has given as its cause, and what was in the way.
func TestNew_ContextsCauseIsTold(t *testing.T) {
	why := errors.New("the machine goes down")
	for name, c := range map[string]struct {
		end func(context.Context) (context.Context, context.CancelFunc)
		is  error
	}{
		"timeout": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeoutCause(ctx, time.Second, why)
		}, context.DeadlineExceeded},
		"cancelled": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancelCause(ctx)
			stop := time.AfterFunc(time.Second, func() { cancel(why) })
			return ctx, func() { stop.Stop() }
		}, context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var net memory
				ctx, cancel := c.end(t.Context())
				defer cancel()
				_, err := New(ctx, Config{Seeds: []string{"a:1"}, InitTimeout: time.Minute, DialOptions: []grpc.DialOption{net.option()}})
				require.ErrorIs(t, err, c.is)
				require.ErrorIs(t, err, why)
				require.ErrorIs(t, err, ErrUnavailable)
				require.ErrorContains(t, err, "the machine goes down")
				require.ErrorContains(t, err, "http://a:1")
			})
		})
	}
}

// The first round that fails is warned of, and no other, by the logger or in its place.
func TestNew_WarnsOnce(t *testing.T) {
	for name, c := range map[string]struct {
		instead *bytes.Buffer
		logged  int
	}{
		"logger":  {nil, 1},
		"instead": {new(bytes.Buffer), 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var net memory
				core, logs := observer.New(zap.WarnLevel)
				cfg := Config{Seeds: []string{"a:1"}, MaxRetry: 5, Logger: zap.New(core), DialOptions: []grpc.DialOption{net.option()}}
				if c.instead != nil {
					cfg.Warnings = c.instead
				}
				_, err := New(t.Context(), cfg)
				require.ErrorIs(t, err, ErrUnavailable)
				require.Equal(t, c.logged, logs.Len())
				text := fmt.Sprint(logs.All())
				if c.instead != nil {
					text = c.instead.String()
					require.Equal(t, 1, strings.Count(text, "\n"))
				}
				for _, says := range []string{"http://a:1", "unknown network a:1", "WithInitTimeout", "WithMaxErrorRetry"} {
					require.Contains(t, text, says)
				}
			})
		})
	}
}

// An error that is returned at once needs no warning beside it.
func TestNew_WhatIsFinalIsNotWarnedOf(t *testing.T) {
	members := startMembers(t, 1)
	members[0].do(func(context.Context) (*pdpb.GetMembersResponse, error) {
		return nil, status.Error(codes.Unauthenticated, "who are you?")
	})
	core, logs := observer.New(zap.WarnLevel)
	_, err := New(t.Context(), Config{Seeds: urlsOf(members), Logger: zap.New(core)})
	require.ErrorIs(t, err, ErrUnavailable)
	require.Empty(t, logs.All())
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
	require.EqualValues(t, 2, members[0].calls.Load(), "once more on a new connection, and no more")
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
