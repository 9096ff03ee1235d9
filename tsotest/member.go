package tsotest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/test/bufconn"
)

const (
	// bufconnSize holds some thousand requests each way, so that neither side
	// waits for the other in memory where a socket would have had room.
	bufconnSize = 256 << 10
	// window is a static flow-control window. grpc's default measures the
	// bandwidth with pings, 10 us a round trip that a test has no use for.
	window = 1 << 20
	// keepaliveMinTime is PD's (etcd's): who pings more often is disconnected.
	keepaliveMinTime = 5 * time.Second
)

// member is one PD process: what listens, what it may be suffering from, and
// its counters.
type member struct {
	server *Server
	index  int
	name   string
	addr   string
	url    string

	gate    gate
	path    path
	health  *health.Server
	running atomic.Bool // written under mu
	view    view

	requests, timestamps, opened, getMembers atomic.Uint64
	ranges, watches, progress                atomic.Uint64
	openWatches                              atomic.Int64

	mu      sync.Mutex           // held for a few steps only
	grpc    *grpc.Server         // guarded by mu; nil while stopped
	lis     *listener            // guarded by mu; nil while stopped
	streams map[*stream]struct{} // guarded by mu: entered or relayed here
}

// newMember starts member i. Server.mu is held.
func (s *Server) newMember(i int) (*member, error) {
	if s.closed {
		return nil, errClosed
	}
	if i >= maxMembers {
		return nil, fmt.Errorf("tsotest: there have been %d members already", maxMembers)
	}
	m := &member{
		server:  s,
		index:   i,
		name:    fmt.Sprintf("pd-%d", i),
		health:  health.NewServer(),
		streams: make(map[*stream]struct{}),
	}
	m.gate.init()
	lis, err := m.firstListener()
	if err != nil {
		return nil, err
	}
	scheme := "http"
	if s.conf.tls != nil {
		scheme = "https"
	}
	m.url = scheme + "://" + m.addr
	m.serve(lis)
	return m, nil
}

// firstListener chooses the member's address.
//
// Ports are drawn from below the range that systems take client ports from:
// while a member is stopped no outgoing connection can be given its port.
func (m *member) firstListener() (net.Listener, error) {
	if m.server.conf.bufconn {
		m.addr = fmt.Sprintf("192.0.2.%d:2379", m.index+1)
		return bufconn.Listen(bufconnSize), nil
	}
	const low, high, tries = 15_000, 32_000, 100
	var err error
	for range tries {
		addr := fmt.Sprintf("127.0.0.1:%d", low+rand.IntN(high-low))
		var lis net.Listener
		if lis, err = net.Listen("tcp", addr); err == nil {
			m.addr = addr
			return lis, nil
		}
	}
	return nil, fmt.Errorf("tsotest: no free port: %w", err)
}

// serve runs a gRPC server on the listener. Server.mu is held, so that Close
// sees either the member stopped or its goroutine counted.
func (m *member) serve(lis net.Listener) {
	s := m.server
	opts := []grpc.ServerOption{
		grpc.ForceServerCodecV2(s.codec),
		grpc.UnaryInterceptor(m.intercept),
		grpc.StaticStreamWindowSize(window),
		grpc.StaticConnWindowSize(window),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: keepaliveMinTime}),
		grpc.WaitForHandlers(true),
	}
	if s.conf.tls != nil {
		opts = append(opts, grpc.Creds(credentials.NewTLS(s.conf.tls)))
	}
	g := grpc.NewServer(opts...)
	pdpb.RegisterPDServer(g, &service{member: m})
	grpc_health_v1.RegisterHealthServer(g, m.health)
	if s.conf.watch {
		registerEtcd(g, &etcdService{member: m})
	}

	wrapped := newListener(lis, &m.path)
	m.mu.Lock()
	m.grpc, m.lis = g, wrapped
	m.view.start(s.etcd)
	m.running.Store(true)
	m.mu.Unlock()
	s.serving.Go(func() {
		_ = g.Serve(wrapped) // returns when the listener is closed
		g.Stop()             // waits for the handlers, whoever else stops it
	})
}

// id is what the wire knows the member by.
func (m *member) id() uint64 { return uint64(m.index) + 1 }

// dial connects a client in memory.
func (m *member) dial(ctx context.Context) (net.Conn, error) {
	m.mu.Lock()
	lis := m.lis
	m.mu.Unlock()
	if lis == nil {
		return nil, refused(m.addr)
	}
	mem, ok := lis.Listener.(*bufconn.Listener)
	if !ok {
		return nil, refused(m.addr)
	}
	select {
	case m.server.dialing <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	c, err := mem.DialContext(ctx)
	<-m.server.dialing
	if err != nil && ctx.Err() == nil {
		err = refused(m.addr) // stopped while dialling
	}
	return c, err
}

// StopMember kills a member: its listener and its connections are closed, its
// address refuses, and streams relayed to it end. What it led it leads on, in
// the eyes of the others. It returns when the member's last handler has ended.
func (s *Server) StopMember(i int) error {
	m := s.topology.Load().member(i)
	if m == nil {
		return errNoMember(i)
	}
	s.stop(m)
	return nil
}

func (s *Server) stop(m *member) {
	m.mu.Lock()
	g, lis := m.grpc, m.lis
	m.grpc, m.lis = nil, nil
	m.view.stop(s.etcd)
	m.running.Store(false)
	m.mu.Unlock()
	if g == nil {
		return
	}
	_ = lis.Close()
	m.endStreams(errRelayUnreachable(m.addr))
	// Connections first: one that is stuck in its handshake on a cut path would
	// keep Stop waiting.
	m.path.closeAll(false)
	g.Stop()
}

// StartMember starts a stopped member on its old address. What happened in the meantime its watches
// and Ranges learn 100 ms later.
func (s *Server) StartMember(i int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.topology.Load().member(i)
	switch {
	case s.closed:
		return errClosed
	case m == nil:
		return errNoMember(i)
	case m.running.Load():
		return nil
	case s.conf.bufconn:
		m.serve(bufconn.Listen(bufconnSize))
		return nil
	}
	lis, err := net.Listen("tcp", m.addr)
	if err != nil {
		return fmt.Errorf("tsotest: the address of member %d is gone: %w", i, err)
	}
	m.serve(lis)
	return nil
}

// SetServing sets what the member's grpc.health.v1 service says. It serves
// everything else as before.
func (s *Server) SetServing(i int, serving bool) error {
	m := s.topology.Load().member(i)
	if m == nil {
		return errNoMember(i)
	}
	status := grpc_health_v1.HealthCheckResponse_NOT_SERVING
	if serving {
		status = grpc_health_v1.HealthCheckResponse_SERVING
	}
	m.health.SetServingStatus("", status)
	return nil
}

// refused is the error of an address where nobody listens.
func refused(addr string) error {
	err := os.NewSyscallError("connect to "+addr, syscall.ECONNREFUSED)
	return &net.OpError{Op: "dial", Net: "bufconn", Err: err}
}
