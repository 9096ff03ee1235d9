package tsotest

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"google.golang.org/grpc/encoding"
)

var errClosed = errors.New("tsotest: the server is closed")

// A Server is a cluster of PD members in this process.
//
// All methods may be called at any time by any number of goroutines. Close ends
// it; what is called after Close does nothing, or returns an error. A Server
// must not be copied. It is for tests: it keeps nothing on disk and asks nobody
// for a password.
type Server struct {
	conf   config
	oracle *oracle
	codec  encoding.CodecV2
	etcd   *etcd // what members agree on; empty without WithWatch

	// topology is replaced under mu and read without.
	topology atomic.Pointer[topology]

	script       atomic.Pointer[scriptFunc]
	openScript   atomic.Pointer[scriptFunc]
	memberScript atomic.Pointer[func(int, *pdpb.GetMembersResponse) error]
	watchScript  atomic.Pointer[func(int, *WatchAnswer) error]
	serviceMode  atomic.Int32 // a pdpb.ServiceMode

	requests atomic.Uint64 // ordinal of the last timestamp request
	streams  atomic.Uint64 // ordinal of the last timestamp stream

	mu     sync.Mutex // never held while waiting for a member or a client
	closed bool       // guarded by mu
	all    []*member  // guarded by mu; removed members included

	// dialing is taken by who makes a connection in memory. That starts timers that are
	// due at once, and the race detector crashes where two goroutines of a synctest bubble
	// do that at the same time (Go 1.26: they share the context that timers run in). A
	// channel, since a bubble's time goes on while somebody waits for one.
	dialing chan struct{}

	readers sync.WaitGroup // reading goroutines of streams
	serving sync.WaitGroup // accepting goroutines of members
}

// Start starts a Server, on loopback unless WithBufconn says otherwise.
func Start(opts ...Option) (*Server, error) {
	conf, err := newConfig(opts)
	if err != nil {
		return nil, err
	}
	s := &Server{
		conf: conf, oracle: newOracle(conf.clock), codec: newCodec(), etcd: newEtcd(conf.clusterID),
		dialing: make(chan struct{}, 1),
	}
	s.topology.Store(&topology{dcs: make(map[string]allocator)})
	s.SetServiceMode(pdpb.ServiceMode_PD_SVC_MODE)
	for range conf.members {
		if _, err := s.AddMember(); err != nil {
			s.Close()
			return nil, err
		}
	}
	for _, dc := range conf.dcs {
		if err := s.AddDC(dc); err != nil {
			s.Close()
			return nil, err
		}
	}
	return s, nil
}

// New starts a Server for one test, fails the test if it can't, and closes the
// Server when the test ends.
func New(tb testing.TB, opts ...Option) *Server {
	tb.Helper()
	s, err := Start(opts...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.Close)
	return s
}

// URLs returns the client URLs of all members, stopped ones included.
func (s *Server) URLs() []string { return s.topology.Load().urls() }

// URL returns the client URL of one member, or "" if there is no such member.
func (s *Server) URL(i int) string {
	if m := s.topology.Load().member(i); m != nil {
		return m.url
	}
	return ""
}

// ClusterID returns the cluster id.
func (s *Server) ClusterID() uint64 { return s.conf.clusterID }

// Dialer returns what to give to grpc.WithContextDialer: the only way in with
// WithBufconn, and a plain TCP dialer without.
func (s *Server) Dialer() func(ctx context.Context, addr string) (net.Conn, error) {
	if !s.conf.bufconn {
		return func(ctx context.Context, addr string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", addr)
		}
	}
	return func(ctx context.Context, addr string) (net.Conn, error) {
		m := s.topology.Load().byAddr(addr)
		if m == nil {
			return nil, refused(addr)
		}
		return m.dial(ctx)
	}
}

// Close stops all members, ends all streams, held ones included, and returns
// when the last goroutine has ended. It may be called more than once, but not
// by a script.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	members := s.all
	s.mu.Unlock()
	for _, m := range members {
		s.stop(m)
	}
	s.serving.Wait()
	s.readers.Wait()
}
