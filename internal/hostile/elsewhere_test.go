package hostile

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/tsoring/tso"
	"github.com/tsoring/tso/tsotest"
)

type dialFunc = func(context.Context, string) (net.Conn, error)

// detour is the way to a server, on which addresses lead elsewhere at times: a pod's address
// is used again, a virtual one is moved, a name is changed.
type detour struct {
	home dialFunc

	mu    sync.Mutex
	away  map[string]dialFunc    // guarded by mu
	open  map[*detourConn]string // guarded by mu
	dials map[string]int         // guarded by mu; by address, while it leads elsewhere
}

type detourConn struct {
	net.Conn
	d *detour
}

func (c *detourConn) Close() error {
	c.d.mu.Lock()
	delete(c.d.open, c)
	c.d.mu.Unlock()
	return c.Conn.Close()
}

func newDetour(home dialFunc) *detour {
	return &detour{home: home, away: make(map[string]dialFunc), open: make(map[*detourConn]string), dials: make(map[string]int)}
}

func (d *detour) dial(ctx context.Context, address string) (net.Conn, error) {
	d.mu.Lock()
	dial := d.home
	if away := d.away[address]; away != nil {
		dial = away
		d.dials[address]++
	}
	d.mu.Unlock()
	raw, err := dial(ctx, address)
	if err != nil {
		return nil, err
	}
	c := &detourConn{Conn: raw, d: d}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open[c] = address
	return c, nil
}

// lead has addresses lead elsewhere, nil for where they belong, and ends the connections there
// were if there is such an end.
func (d *detour) lead(away dialFunc, addresses ...string) {
	d.mu.Lock()
	var ended []*detourConn
	for _, a := range addresses {
		d.away[a] = away
		for c, to := range d.open {
			if to == a && away != nil {
				ended = append(ended, c)
			}
		}
	}
	d.mu.Unlock()
	for _, c := range ended {
		_ = c.Close()
	}
}

func (d *detour) connections() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.open)
}

// hosts returns the addresses of a server's members.
func hosts(s *tsotest.Server) []string {
	var all []string
	for _, u := range s.URLs() {
		all = append(all, strings.TrimPrefix(u, "http://"))
	}
	return all
}

// newStranger returns the way to a gRPC service that is no PD, which answers everything with
// err.
func newStranger(t testing.TB, err error) dialFunc {
	lis := bufconn.Listen(64 << 10)
	server := grpc.NewServer(grpc.UnknownServiceHandler(func(any, grpc.ServerStream) error { return err }))
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(lis) })
	t.Cleanup(func() {
		server.Stop()
		serving.Wait()
	})
	turn := make(chan struct{}, 1) // bufconn's own lock would stop the bubble's clock
	return func(ctx context.Context, _ string) (net.Conn, error) {
		turn <- struct{}{}
		defer func() { <-turn }()
		return lis.DialContext(ctx)
	}
}

// strangers are what may be met at an address that is not the member's any more: a PD of
// another cluster, a service to which everything is well, and one that answers with some code.
func strangers() []string {
	names := []string{"another cluster", "success"}
	for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
		names = append(names, code.String())
	}
	return names
}

// wayTo returns the way to one of the strangers.
func wayTo(t testing.TB, stranger string) dialFunc {
	switch stranger {
	case "another cluster":
		foreign := newServer(t, tsotest.WithClusterID(4711))
		return func(ctx context.Context, _ string) (net.Conn, error) { return foreign.Dialer()(ctx, hosts(foreign)[0]) }
	case "success":
		return newStranger(t, nil)
	}
	for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
		if code.String() == stranger {
			return newStranger(t, status.Error(code, "no PD here"))
		}
	}
	require.FailNow(t, "no such stranger", stranger)
	return nil
}

// meet runs a test with each of the strangers, with one member, and with three without and
// with forwarding.
func meet(t *testing.T, strangers []string, test func(t *testing.T, s *tsotest.Server, d *detour, stranger dialFunc, opts ...tso.ClientOption)) {
	for _, name := range strangers {
		for _, members := range []int{1, 3} {
			for _, forwarding := range []bool{false, true}[:(members+1)/2] {
				t.Run(fmt.Sprintf("%s, %d members, forwarding %v", name, members, forwarding), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						s := newServer(t, tsotest.WithMembers(members))
						d := newDetour(s.Dialer())
						test(t, s, d, wayTo(t, name), dialThrough(d.dial), tso.WithForwardingOption(forwarding))
					})
				})
			}
		}
	}
}

// served returns how long after now a call is served: calls may fail until then.
func served(t testing.TB, c tso.Client, most time.Duration) time.Duration {
	t.Helper()
	began := time.Now()
	for {
		_, _, err := c.GetTS(context.Background())
		if err == nil || time.Since(began) > most {
			require.NoError(t, err)
			return time.Since(began)
		}
		time.Sleep(time.Millisecond)
	}
}

// The leader's address leads elsewhere for a moment, and nobody calls.
func TestLeadersAddressThatLedElsewhereIsConnectedToAnew(t *testing.T) {
	meet(t, strangers(), func(t *testing.T, s *tsotest.Server, d *detour, stranger dialFunc, opts ...tso.ClientOption) {
		c := newClient(t, s, opts...)
		getTS(t, c)
		for _, moment := range []time.Duration{50 * time.Millisecond, 2 * time.Second} {
			d.lead(stranger, hosts(s)[0])
			time.Sleep(moment)
			d.lead(nil, hosts(s)[0])
			require.Less(t, served(t, c, time.Second), 700*time.Millisecond, "after %v", moment)
			time.Sleep(3 * time.Second)
		}
	})
}

// The same of all addresses, while there are calls, and with another leader afterwards.
func TestAllAddressesThatLedElsewhereAreConnectedToAnew(t *testing.T) {
	meet(t, strangers(), func(t *testing.T, s *tsotest.Server, d *detour, stranger dialFunc, opts ...tso.ClientOption) {
		c := newClient(t, s, opts...)
		getTS(t, c)
		calls := startCallers(t, 4, func() (int64, int64, error) { return c.GetTS(context.Background()) }, func(error) bool { return true })
		d.lead(stranger, hosts(s)...)
		time.Sleep(2 * time.Second)
		require.NoError(t, s.MoveLeader(s.Leader()+len(hosts(s))-1))
		d.lead(nil, hosts(s)...)
		took := served(t, c, 2*time.Second)
		t.Logf("%v", took)
		require.Less(t, took, 1200*time.Millisecond)
		calls.stop()
	})
}

// Whoever has got an address of PD is connected to seldom.
func TestStrangersAreNotStormed(t *testing.T) {
	some := []string{"another cluster", "success", "Unknown", "Unavailable", "Unauthenticated"}
	meet(t, some, func(t *testing.T, s *tsotest.Server, d *detour, stranger dialFunc, opts ...tso.ClientOption) {
		c := newClient(t, s, opts...)
		getTS(t, c)
		calls := startCallers(t, 4, every(c), func(error) bool { return true })
		d.lead(stranger, hosts(s)...)
		count := func() (n int) {
			d.mu.Lock()
			defer d.mu.Unlock()
			for _, dials := range d.dials {
				n += dials
			}
			return n
		}
		for second := range 6 {
			time.Sleep(time.Second)
			require.LessOrEqual(t, count(), 50+10*second, "connects in second %d", second+1)
		}
		d.lead(nil, hosts(s)...)
		calls.stop()
	})
}

// What no try mends reaches callers soon, but only when a new connection has brought it.
func TestRefusedCredentialsReachCallersSoon(t *testing.T) {
	for _, code := range []codes.Code{codes.Unauthenticated, codes.PermissionDenied, codes.InvalidArgument} {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t)
			c := newClient(t, s)
			getTS(t, c)
			conns := s.Stats().Conns
			s.Script(func(tsotest.Request) tsotest.Reply { return tsotest.Reply{Err: status.Error(code, "not you")} })
			for i := range 20 {
				began := time.Now()
				_, _, err := c.GetTS(context.Background())
				require.Equal(t, code, status.Code(err))
				require.Less(t, time.Since(began), 700*time.Millisecond)
				if i == 0 {
					require.Zero(t, time.Since(began))
					require.Greater(t, s.Stats().Conns, conns)
				}
			}
			s.Script(nil)
			require.Less(t, served(t, c, time.Second), 700*time.Millisecond)
		})
	}
}

// The leader's address leads to another member, which says that it does not lead, while all
// lists name the leader.
func TestLeadersAddressThatLedToAFollowerIsConnectedToAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, tsotest.WithMembers(3))
		d := newDetour(s.Dialer())
		c := newClient(t, s, dialThrough(d.dial))
		getTS(t, c)
		d.lead(func(ctx context.Context, _ string) (net.Conn, error) { return s.Dialer()(ctx, hosts(s)[1]) }, hosts(s)[0])
		time.Sleep(time.Second)
		d.lead(nil, hosts(s)[0])
		require.Less(t, served(t, c, time.Second), 700*time.Millisecond)
	})
}

// The office goes back to a member whose connection has gone dead meanwhile, or leads
// elsewhere now.
func TestOfficeGoesBackToAMemberWhoseConnectionIsStale(t *testing.T) {
	for name, stale := range map[string]func(t *testing.T, s *tsotest.Server, d *detour){
		"dead": func(t *testing.T, s *tsotest.Server, _ *detour) { require.NoError(t, s.SilenceConns(0)) },
		"to a follower": func(_ *testing.T, s *tsotest.Server, d *detour) {
			d.lead(func(ctx context.Context, _ string) (net.Conn, error) { return s.Dialer()(ctx, hosts(s)[2]) }, hosts(s)[0])
			time.Sleep(time.Second)
			d.lead(nil, hosts(s)[0])
		},
	} {
		for _, leaderless := range []time.Duration{0, 50 * time.Millisecond, 700 * time.Millisecond, 5 * time.Second} {
			t.Run(fmt.Sprint(name, ", without a leader for ", leaderless), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newServer(t, tsotest.WithMembers(3))
					d := newDetour(s.Dialer())
					c := newClient(t, s, dialThrough(d.dial))
					getTS(t, c)
					require.NoError(t, s.MoveLeader(1))
					getTS(t, c)
					time.Sleep(5 * time.Second)
					stale(t, s, d)
					calls := startCallers(t, 4, every(c), nil)
					time.Sleep(100 * time.Millisecond)
					if leaderless > 0 {
						s.DropLeader()
						time.Sleep(leaderless)
					}
					require.NoError(t, s.MoveLeader(0))
					began := time.Now()
					getTS(t, c)
					t.Logf("%v", time.Since(began))
					require.Less(t, time.Since(began), 700*time.Millisecond)
					calls.stop()
				})
			})
		}
	}
}

// One address of three belongs to another cluster for a while, and the others take their time,
// as in an election: no call fails.
func TestClusterMismatchWaitsForThoseWhoMaySaySomethingElse(t *testing.T) {
	for _, slow := range []time.Duration{60 * time.Millisecond, 500 * time.Millisecond, 2 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t, tsotest.WithMembers(3))
			d := newDetour(s.Dialer())
			c := newClient(t, s, dialThrough(d.dial))
			getTS(t, c)
			calls := startCallers(t, 4, every(c), nil)
			time.Sleep(100 * time.Millisecond)
			s.DropLeader()
			require.NoError(t, s.Hold(1, 2))
			d.lead(wayTo(t, "another cluster"), hosts(s)[0])
			time.Sleep(slow)
			require.NoError(t, s.Release(1, 2))
			require.NoError(t, s.MoveLeader(1))
			require.Less(t, served(t, c, time.Second), 700*time.Millisecond)
			calls.stop()
		})
	}
}

// Lists name members that nobody knows, another one each time: as the leader of etcd or of
// PD, with or without a leader, in short.
func TestListsThatNameEverNewMembersMakeFewConnections(t *testing.T) {
	const members = 3
	everNew := func(i int) *pdpb.Member {
		return &pdpb.Member{MemberId: uint64(1000 + i), ClientUrls: []string{fmt.Sprintf("http://pd-%d:2379", i)}}
	}
	for name, spoil := range map[string]func(i int, r *pdpb.GetMembersResponse){
		"etcd's leader, nobody leads PD": func(i int, r *pdpb.GetMembersResponse) { r.Leader, r.EtcdLeader = nil, everNew(i) },
		"etcd's leader":                  func(i int, r *pdpb.GetMembersResponse) { r.EtcdLeader = everNew(i) },
		"PD's leader":                    func(i int, r *pdpb.GetMembersResponse) { r.Leader = everNew(i) },
		"PD's leader, in the list": func(i int, r *pdpb.GetMembersResponse) {
			r.Leader = everNew(i)
			r.Members = append(r.Members, r.Leader)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, tsotest.WithMembers(members))
				d := newDetour(func(ctx context.Context, address string) (net.Conn, error) {
					if strings.HasPrefix(address, "pd-") {
						near, far := net.Pipe() // takes connections, and says nothing
						context.AfterFunc(t.Context(), func() { _ = far.Close() })
						go func() {
							for buf := make([]byte, 1024); ; {
								if _, err := far.Read(buf); err != nil {
									return
								}
							}
						}()
						return near, nil
					}
					return s.Dialer()(ctx, address)
				})
				c := newClient(t, s, dialThrough(d.dial))
				getTS(t, c)
				var mu sync.Mutex
				var lists int
				s.ScriptMembers(func(_ int, r *pdpb.GetMembersResponse) error {
					mu.Lock()
					defer mu.Unlock()
					lists++
					spoil(lists, r)
					return nil
				})
				s.Script(func(tsotest.Request) tsotest.Reply { return tsotest.Reply{Err: tsotest.ErrNotLeader("")} })
				calls := startCallers(t, 4, every(c), func(error) bool { return true })
				for range 15 {
					time.Sleep(time.Second)
					require.LessOrEqual(t, d.connections(), members+8)
				}
				s.Script(nil)
				s.ScriptMembers(nil)
				getTS(t, c)
				calls.stop()
				time.Sleep(5 * time.Second)
				require.LessOrEqual(t, d.connections(), members+8)
			})
		})
	}
}
