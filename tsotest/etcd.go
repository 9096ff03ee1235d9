package tsotest

import (
	"context"
	"time"

	"google.golang.org/grpc"
)

// etcdService is a member's side of what etcd serves beside PD: Range and Watch, as much of them as
// a client needs that wants to know who leads.
type etcdService struct {
	member *member
}

const rangeMethod = "/etcdserverpb.KV/Range"

// registerEtcd makes g serve etcd. There is no generated code: see etcd_codec.go.
func registerEtcd(g *grpc.Server, v *etcdService) {
	g.RegisterService(&grpc.ServiceDesc{
		ServiceName: "etcdserverpb.KV",
		HandlerType: (*any)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: "Range", Handler: v.handleRange}},
	}, v)
	g.RegisterService(&grpc.ServiceDesc{
		ServiceName: "etcdserverpb.Watch",
		HandlerType: (*any)(nil),
		Streams: []grpc.StreamDesc{{
			StreamName: "Watch", ServerStreams: true, ClientStreams: true,
			Handler: func(_ any, grpcStream grpc.ServerStream) error { return v.watch(grpcStream) },
		}},
	}, v)
}

// handleRange is what protoc-gen-go-grpc would have generated.
func (v *etcdService) handleRange(
	_ any, ctx context.Context, decode func(any) error, intercept grpc.UnaryServerInterceptor, //nolint:revive // gRPC's order
) (any, error) {
	var request rawMessage
	if err := decode(&request); err != nil {
		return nil, err
	}
	info := &grpc.UnaryServerInfo{Server: v, FullMethod: rangeMethod}
	return intercept(ctx, request, info, func(ctx context.Context, _ any) (any, error) {
		return v.serveRange(ctx, request)
	})
}

// serveRange answers by what the member knows, when it says anything.
func (v *etcdService) serveRange(ctx context.Context, encoded []byte) (any, error) {
	m := v.member
	m.ranges.Add(1)
	request, err := decodeRange(encoded)
	switch {
	case err != nil:
		return nil, err
	case !request.serializable:
		return nil, errSerializable
	}
	if err := m.awaitEtcd(ctx); err != nil {
		return nil, err
	}
	answer, err := m.lookUp(request)
	if err != nil {
		return nil, err
	}
	if err := m.server.edit(m, answer); err != nil {
		return nil, err
	}
	return answer.encode(), nil
}

// awaitEtcd waits while the member's watches are held, and returns what it refuses to serve with.
func (m *member) awaitEtcd(ctx context.Context) error {
	e := m.server.etcd
	for {
		e.mu.Lock()
		held, refusal, changed := m.view.held, m.view.refusal, e.changed
		e.mu.Unlock()
		if !held {
			return refusal
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// lookUp returns what a key holds.
func (m *member) lookUp(request rangeRequest) (*WatchAnswer, error) {
	e := m.server.etcd
	e.mu.Lock()
	defer e.mu.Unlock()
	state := m.view.state(e, time.Now())
	revision := request.revision
	switch {
	case revision > state.revision:
		return nil, errFutureRevision
	case revision <= 0:
		revision = state.revision
	case revision < state.compacted:
		return nil, errCompacted
	}
	answer := m.answer(state)
	answer.Range = true
	if c, ok := e.at(request.key, revision); ok {
		answer.Events = []WatchEvent{c.WatchEvent}
	}
	return answer, nil
}

// answer returns one that says nothing but how far the member has got.
func (m *member) answer(state etcdState) *WatchAnswer {
	return &WatchAnswer{
		ClusterID: ^m.server.conf.clusterID, // etcd's own
		MemberID:  m.id(),
		Revision:  state.revision,
		Term:      state.term,
	}
}

// edit has the script see an answer.
func (s *Server) edit(m *member, answer *WatchAnswer) error {
	if f := s.watchScript.Load(); f != nil {
		return (*f)(m.index, answer)
	}
	return nil
}

// watch serves one stream of watches.
func (v *etcdService) watch(grpcStream grpc.ServerStream) error {
	m := v.member
	m.watches.Add(1)
	m.openWatches.Add(1)
	defer m.openWatches.Add(-1)
	w := newWatchStream(grpcStream, m)
	m.server.readers.Go(w.read)
	return endOf(w.serve())
}
