package member

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/test/bufconn"
)

const testCluster = 7

// fakeMember is one PD member that answers GetMembers with whatever the test says, and nothing else.
type fakeMember struct {
	pdpb.UnimplementedPDServer
	url    string
	calls  atomic.Int64
	answer atomic.Pointer[func(context.Context) (*pdpb.GetMembersResponse, error)]
}

func (f *fakeMember) GetMembers(ctx context.Context, _ *pdpb.GetMembersRequest) (*pdpb.GetMembersResponse, error) {
	f.calls.Add(1)
	if a := f.answer.Load(); a != nil {
		return (*a)(ctx)
	}
	return &pdpb.GetMembersResponse{}, nil
}

func (f *fakeMember) say(resp *pdpb.GetMembersResponse) {
	f.do(func(context.Context) (*pdpb.GetMembersResponse, error) { return resp, nil })
}

func (f *fakeMember) do(answer func(context.Context) (*pdpb.GetMembersResponse, error)) {
	f.answer.Store(&answer)
}

// hang makes the member take calls and never answer.
func (f *fakeMember) hang() {
	f.do(func(ctx context.Context) (*pdpb.GetMembersResponse, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
}

func (f *fakeMember) serve(t testing.TB, lis net.Listener, opts ...grpc.ServerOption) {
	srv := grpc.NewServer(append(opts, grpc.WaitForHandlers(true))...)
	pdpb.RegisterPDServer(srv, f)
	var done sync.WaitGroup
	done.Go(func() { _ = srv.Serve(lis) })
	t.Cleanup(func() {
		srv.Stop()
		done.Wait()
	})
}

// startMember serves on a port of this machine, with TLS if config is not nil.
func startMember(t testing.TB, config *tls.Config) *fakeMember {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	f := &fakeMember{url: schemeFor(config != nil) + "://" + lis.Addr().String()}
	var opts []grpc.ServerOption
	if config != nil {
		opts = append(opts, grpc.Creds(credentials.NewTLS(config)))
	}
	f.serve(t, lis, opts...)
	return f
}

func startMembers(t testing.TB, n int) []*fakeMember {
	var members []*fakeMember
	for range n {
		members = append(members, startMember(t, nil))
	}
	sayAll(members, cluster(urlsOf(members)...))
	return members
}

func urlsOf(members []*fakeMember) []string {
	var urls []string
	for _, f := range members {
		urls = append(urls, f.url)
	}
	return urls
}

func sayAll(members []*fakeMember, resp *pdpb.GetMembersResponse) {
	for _, f := range members {
		f.say(resp)
	}
}

// memory is a network without sockets, for tests in a synctest bubble.
type memory struct {
	mu        sync.Mutex
	listeners map[string]*bufconn.Listener
	dialing   chan struct{} // see tsotest.Server
}

func (n *memory) start(t testing.TB, host string) *fakeMember {
	lis := bufconn.Listen(64 << 10)
	n.mu.Lock()
	if n.listeners == nil {
		n.listeners = make(map[string]*bufconn.Listener)
		n.dialing = make(chan struct{}, 1)
	}
	n.listeners[host] = lis
	n.mu.Unlock()
	f := &fakeMember{url: "http://" + host}
	f.serve(t, lis)
	return f
}

func (n *memory) option() grpc.DialOption {
	return grpc.WithContextDialer(n.dial)
}

func (n *memory) dial(ctx context.Context, host string) (net.Conn, error) {
	n.mu.Lock()
	lis := n.listeners[host]
	n.mu.Unlock()
	if lis == nil {
		return nil, &net.OpError{Op: "dial", Net: "memory", Err: net.UnknownNetworkError(host)}
	}
	n.dialing <- struct{}{}
	defer func() { <-n.dialing }()
	return lis.DialContext(ctx)
}

// cluster is the answer of a healthy cluster whose leader is the first URL.
func cluster(urls ...string) *pdpb.GetMembersResponse {
	resp := &pdpb.GetMembersResponse{Header: &pdpb.ResponseHeader{ClusterId: testCluster}}
	for i, u := range urls {
		resp.Members = append(resp.Members, memberAt(uint64(i+1), u))
	}
	resp.Leader = resp.Members[0]
	return resp
}

// led is cluster with another leader.
func led(leader int, urls ...string) *pdpb.GetMembersResponse {
	resp := cluster(urls...)
	resp.Leader = resp.Members[leader]
	return resp
}

func memberAt(id uint64, urls ...string) *pdpb.Member {
	return &pdpb.Member{MemberId: id, ClientUrls: urls}
}

// open makes a Members of the given seeds, and closes it when the test ends.
func open(t testing.TB, cfg Config) *Members {
	m, err := New(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(m.Close)
	return m
}

// refreshed runs one round and returns what is known after it.
func refreshed(t testing.TB, m *Members) *Snapshot {
	s, err := m.RefreshWait(t.Context())
	require.NoError(t, err)
	return s
}

// blackHole listens and accepts, and says nothing.
func blackHole(t testing.TB) (url string) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var (
		done  sync.WaitGroup
		conns []net.Conn
	)
	done.Go(func() {
		for {
			conn, err := lis.Accept()
			if err != nil {
				return
			}
			conns = append(conns, conn)
		}
	})
	t.Cleanup(func() {
		lis.Close()
		done.Wait()
		for _, conn := range conns {
			conn.Close()
		}
	})
	return "http://" + lis.Addr().String()
}

// swallowing is a dialer under which one host cannot be reached, as behind a firewall that drops packets.
func swallowing(host string) grpc.DialOption {
	return grpc.WithContextDialer(func(ctx context.Context, target string) (net.Conn, error) {
		if target == host {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		var d net.Dialer
		return d.DialContext(ctx, "tcp", target)
	})
}

const soon = 5 * time.Second
