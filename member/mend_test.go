package member

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// misled is a network on which addresses lead elsewhere at times, and that counts connections.
type misled struct {
	memory

	lock  sync.Mutex
	leads map[string]string // From an address to where it leads.
	conns map[net.Conn]string
	dials atomic.Int64
}

func (n *misled) option() grpc.DialOption { return grpc.WithContextDialer(n.dialer()) }

func (n *misled) dialer() func(context.Context, string) (net.Conn, error) {
	return func(ctx context.Context, host string) (net.Conn, error) {
		n.lock.Lock()
		at := host
		if elsewhere := n.leads[host]; elsewhere != "" {
			at = elsewhere
		}
		n.lock.Unlock()
		n.dials.Add(1)
		conn, err := n.dial(ctx, at)
		if err != nil {
			return nil, err
		}
		n.lock.Lock()
		defer n.lock.Unlock()
		if n.conns == nil {
			n.conns = make(map[net.Conn]string)
		}
		n.conns[conn] = host
		return conn, nil
	}
}

// lead has addresses lead to another one, "" for where they belong, and ends the connections to them if these shall notice.
func (n *misled) lead(to string, notice bool, hosts ...string) {
	n.lock.Lock()
	defer n.lock.Unlock()
	if n.leads == nil {
		n.leads = make(map[string]string)
	}
	for _, host := range hosts {
		n.leads[host] = to
		for conn, of := range n.conns {
			if of == host && notice {
				_ = conn.Close()
				delete(n.conns, conn)
			}
		}
	}
}

// strangers are what may be met at an address that is not PD's any more.
func strangers() map[string]func(context.Context) (*pdpb.GetMembersResponse, error) {
	all := map[string]func(context.Context) (*pdpb.GetMembersResponse, error){
		"nothing of PD":   func(context.Context) (*pdpb.GetMembersResponse, error) { return &pdpb.GetMembersResponse{}, nil },
		"another cluster": func(context.Context) (*pdpb.GetMembersResponse, error) { return ofCluster(8, "http://a:1"), nil },
		"silence": func(ctx context.Context) (*pdpb.GetMembersResponse, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		},
	}
	for _, code := range []codes.Code{
		codes.Unknown, codes.InvalidArgument, codes.NotFound, codes.PermissionDenied, codes.ResourceExhausted, codes.FailedPrecondition,
		codes.Unimplemented, codes.Internal, codes.Unavailable, codes.Unauthenticated,
	} {
		all[code.String()] = func(context.Context) (*pdpb.GetMembersResponse, error) { return nil, status.Error(code, "no PD here") }
	}
	return all
}

func ofCluster(id uint64, urls ...string) *pdpb.GetMembersResponse {
	resp := cluster(urls...)
	resp.Header.ClusterId = id
	return resp
}

// All addresses lead to somebody else for a while, nobody asks meanwhile, and the connections stay there.
func TestMend_AddressesThatLedElsewhereAreConnectedToAnew(t *testing.T) {
	for name, answer := range strangers() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var network misled
				members := []*fakeMember{network.start(t, "a:1"), network.start(t, "b:1")}
				sayAll(members, cluster(urlsOf(members)...))
				stranger := network.start(t, "x:1")
				stranger.do(answer)
				m := open(t, Config{Seeds: []string{"a:1", "b:1"}, DialOptions: []grpc.DialOption{network.option()}})
				refreshed(t, m)
				network.lead("x:1", true, "a:1", "b:1")
				time.Sleep(10 * time.Second)
				require.NotZero(t, stranger.calls.Load())

				network.lead("", false, "a:1", "b:1")
				sayAll(members, led(1, urlsOf(members)...))
				began := time.Now()
				for m.Snapshot().Leader != members[1].url {
					_, _ = m.RefreshWait(t.Context())
				}
				require.LessOrEqual(t, time.Since(began), doubtAfter+2*minMendPause+leaderGrace)
				refreshed(t, m)
				dials := network.dials.Load()
				for range 3 {
					refreshed(t, m)
				}
				require.Less(t, network.dials.Load()-dials, int64(2), "the new connection has taken the place of the other")
			})
		})
	}
}

// A round that others have told enough does not wait for a new connection, which is made all the same.
func TestMend_OutlivesTheRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var network misled
		leader, follower, stranger := network.start(t, "a:1"), network.start(t, "b:1"), network.start(t, "x:1")
		sayAll([]*fakeMember{leader, follower}, cluster(leader.url, follower.url))
		stranger.say(ofCluster(8, "http://b:1"))
		var takes atomic.Int64 // How long a connect does.
		dial := network.dialer()
		m := open(t, Config{Seeds: []string{"a:1", "b:1"}, DialOptions: []grpc.DialOption{
			grpc.WithContextDialer(func(ctx context.Context, host string) (net.Conn, error) {
				sleep(ctx, time.Duration(takes.Load()))
				return dial(ctx, host)
			}),
		}})
		network.lead("x:1", true, "b:1")
		refreshFor(m, time.Second)
		network.lead("", false, "b:1")
		takes.Store(int64(time.Second))
		time.Sleep(maxMendPause)
		for range 10 { // What the stranger says may come too late for some.
			began := time.Now()
			refreshed(t, m)
			require.Less(t, time.Since(began), 2*maxBackoff)
		}
		time.Sleep(1100 * time.Millisecond)
		calls := follower.calls.Load()
		leader.say(led(1, leader.url, follower.url)) // So that the round waits for the follower.
		refreshed(t, m)
		require.Greater(t, follower.calls.Load(), calls)
	})
}

// While an address leads elsewhere for good it is connected to seldom, also where members are asked all the time.
func TestMend_IsNoStorm(t *testing.T) {
	const long = 15 * time.Second
	for name, answer := range strangers() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var network misled
				ours := network.start(t, "a:1")
				ours.say(cluster("http://a:1", "http://b:1"))
				network.start(t, "b:1").do(answer)
				m := open(t, Config{Seeds: []string{"a:1"}, DialOptions: []grpc.DialOption{network.option()}})
				before := network.dials.Load()
				for began := time.Now(); time.Since(began) < long; {
					refreshed(t, m)
				}
				dials := network.dials.Load() - before
				require.LessOrEqual(t, dials, int64(6+long/maxMendPause))
			})
		})
	}
}

// Members that start, or elect, say so; that makes no connection of theirs worse.
func TestMend_LeavesMembersAloneThatAreNotReady(t *testing.T) {
	for _, text := range []string{"server not started", "etcdserver: no leader", "[PD:server:ErrServerNotStarted]x"} {
		synctest.Test(t, func(t *testing.T) {
			var network misled
			ours := network.start(t, "a:1")
			ours.say(cluster("http://a:1"))
			m := open(t, Config{Seeds: []string{"a:1"}, DialOptions: []grpc.DialOption{network.option()}})
			before := network.dials.Load()
			ours.do(func(context.Context) (*pdpb.GetMembersResponse, error) {
				return nil, status.Error(codes.Unavailable, text)
			})
			refreshFor(m, 5*time.Second)
			require.Error(t, m.Err())
			require.Equal(t, before, network.dials.Load(), text)
		})
	}
}

func TestMend_TakesATurnForEachConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var network misled
		ours := network.start(t, "a:1")
		ours.say(cluster("http://a:1"))
		network.start(t, "x:1").say(ofCluster(8, "http://a:1"))
		var turns atomic.Int64
		var none atomic.Bool
		m := open(t, Config{
			Seeds: []string{"a:1"}, DialOptions: []grpc.DialOption{network.option()},
			Turn: func() (time.Duration, bool) {
				turns.Add(1)
				return 20 * time.Millisecond, !none.Load()
			},
		})
		network.lead("x:1", true, "a:1")
		refreshFor(m, time.Second)
		network.lead("", false, "a:1")
		none.Store(true)
		refreshFor(m, time.Second)
		require.Error(t, m.Err())
		none.Store(false)
		before, dials := turns.Load(), network.dials.Load()
		refreshFor(m, 2*maxMendPause)
		require.NoError(t, m.Err())
		require.Equal(t, int64(1), turns.Load()-before)
		require.Equal(t, int64(1), network.dials.Load()-dials)
	})
}

func refreshFor(m *Members, d time.Duration) {
	for began := time.Now(); time.Since(began) < d; {
		_, _ = m.RefreshWait(context.Background())
	}
}

// Some members of three have another cluster's answer, and the others take their time.
func TestCheckCluster_WaitsForAllWhoMaySaySomethingElse(t *testing.T) {
	for name, test := range map[string]struct {
		others func(context.Context) (*pdpb.GetMembersResponse, error)
		final  bool
		takes  time.Duration
	}{
		"also of another cluster": {func(context.Context) (*pdpb.GetMembersResponse, error) { return ofCluster(8, "http://a:1"), nil }, true, 0},
		"silent":                  {strangers()["silence"], true, defaultTimeout},
		"failing":                 {func(context.Context) (*pdpb.GetMembersResponse, error) { return nil, errors.New("etcd is slow") }, true, defaultTimeout},
		"ours, after 2 s": {func(context.Context) (*pdpb.GetMembersResponse, error) {
			time.Sleep(2 * time.Second)
			return cluster("http://a:1", "http://b:1", "http://c:1"), nil
		}, false, 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var network misled
				members := []*fakeMember{network.start(t, "a:1"), network.start(t, "b:1"), network.start(t, "c:1")}
				sayAll(members, cluster(urlsOf(members)...))
				m := open(t, Config{Seeds: urlsOf(members), DialOptions: []grpc.DialOption{network.option()}})
				members[0].say(ofCluster(8, "http://a:1"))
				members[1].do(test.others)
				members[2].do(test.others)
				began := time.Now()
				err := m.CheckCluster(t.Context())
				require.Equal(t, test.takes, time.Since(began))
				if !test.final {
					require.NoError(t, err)
					return
				}
				require.ErrorIs(t, err, ErrClusterMismatch)
				began = time.Now()
				_, err = m.RefreshWait(t.Context())
				require.Equal(t, test.takes == 0, errors.Is(err, ErrClusterMismatch), "a round does not wait for all, and says so of none")
				require.Less(t, time.Since(began), 400*time.Millisecond)
			})
		})
	}
}

// A member that can be connected to only later has its time as well.
func TestCheckCluster_AsksThoseAgainWhoCouldNotBeAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var network misled
		members := []*fakeMember{network.start(t, "a:1"), network.start(t, "b:1")}
		sayAll(members, cluster(urlsOf(members)...))
		m := open(t, Config{Seeds: urlsOf(members), DialOptions: []grpc.DialOption{network.option()}})
		network.start(t, "x:1").say(ofCluster(8, "http://a:1"))
		network.lead("x:1", true, "a:1")
		network.lead("nowhere:1", true, "b:1")
		time.AfterFunc(time.Second, func() { network.lead("", false, "b:1") })
		time.Sleep(10 * time.Millisecond)
		began := time.Now()
		require.NoError(t, m.CheckCluster(t.Context()))
		require.Greater(t, time.Since(began), 900*time.Millisecond)
		require.Less(t, time.Since(began), 2500*time.Millisecond)
	})
}

func TestCheckCluster_EndsWithItsContextAndWithClose(t *testing.T) {
	bubble(t, func(t *testing.T, member *fakeMember, m *Members) {
		member.hang()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		require.ErrorIs(t, m.CheckCluster(ctx), context.DeadlineExceeded)
		closed := make(chan error)
		go func() { closed <- m.CheckCluster(t.Context()) }()
		synctest.Wait()
		m.Close()
		require.ErrorIs(t, <-closed, ErrClosed)
	})
}

// Lists name no leader of PD and another one of etcd each time.
func TestUpdate_CandidatesMakeNoConnectionsThatStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var network misled
		member := network.start(t, "a:1")
		member.say(cluster(member.url))
		m := open(t, Config{Seeds: []string{"a:1"}, DialOptions: []grpc.DialOption{network.option()}})
		var lists int
		for _, leaderless := range []bool{true, false} {
			for range 100 {
				lists++
				resp := cluster(member.url)
				resp.EtcdLeader = memberAt(uint64(1000+lists), fmt.Sprintf("http://pd-%d:1", lists))
				if leaderless {
					resp.Leader = nil
				}
				member.say(resp)
				_, _ = m.RefreshWait(t.Context())
				_, err := m.Conn(m.Candidate())
				require.NoError(t, err)
				require.LessOrEqual(t, m.Stats().Conns, 3)
			}
		}
	})
}
