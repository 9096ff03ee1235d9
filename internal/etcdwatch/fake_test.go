package etcdwatch

import (
	"context"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/encoding/protowire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// etcd is a server that answers what a test says.
type etcd struct {
	onRange func(request []byte) (answer []byte, err error)
	onWatch func(grpc.ServerStream) error
}

// serve returns a connection to e, and ends both with t. gRPC calls an unknown service's handler
// with the name of what is called.
func (e *etcd) serve(t *testing.T) *grpc.ClientConn {
	t.Helper()
	listener := bufconn.Listen(1 << 16)
	server := grpc.NewServer(grpc.ForceServerCodecV2(codec{}), grpc.UnknownServiceHandler(func(_ any, s grpc.ServerStream) error {
		if method, _ := grpc.MethodFromServerStream(s); method == watchMethod {
			return e.onWatch(s)
		}
		var request []byte
		if err := s.RecvMsg(&request); err != nil {
			return err
		}
		answer, err := e.onRange(request)
		if err != nil {
			return err
		}
		return s.SendMsg(&answer)
	}))
	served := make(chan error)
	go func() { served <- server.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:///etcd", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, conn.Close())
		server.Stop()
		require.NoError(t, <-served)
	})
	return conn
}

// answering answers a watch of some keys with messages, and then ends it.
func answering(keys int, messages ...[]byte) *etcd {
	return &etcd{onWatch: func(s grpc.ServerStream) error {
		if err := receive(s, keys); err != nil {
			return err
		}
		return send(s, messages...)
	}}
}

// receive takes as many requests.
func receive(s grpc.ServerStream, n int) error {
	for range n {
		var request []byte
		if err := s.RecvMsg(&request); err != nil {
			return err
		}
	}
	return nil
}

func send(s grpc.ServerStream, messages ...[]byte) error {
	for _, m := range messages {
		if err := s.SendMsg(&m); err != nil {
			return err
		}
	}
	return nil
}

// number and text append a field to a message.
func number(b []byte, num protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), v)
}

func text(b []byte, num protowire.Number, v string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, num, protowire.BytesType), v)
}

// header begins an answer of member 7 of cluster 5.
func header(revision uint64) []byte { return headerOf(7, revision) }

func headerOf(member, revision uint64) []byte {
	var h []byte
	h = number(h, headerCluster, 5)
	h = number(h, headerMember, member)
	h = number(h, headerRevision, revision)
	h = number(h, headerTerm, 3)
	return text(nil, responseHeader, string(h))
}

var told = Header{ClusterID: 5, MemberID: 7, Revision: 40, Term: 3}

func at(revision int64) Header {
	h := told
	h.Revision = revision
	return h
}

func created(revision uint64) []byte { return number(header(revision), watchCreated, 1) }

func kv(key, value string, revision uint64) string {
	var b []byte
	b = text(b, kvKey, key)
	b = number(b, 2, 4) // create_revision
	b = number(b, kvModRevision, revision)
	b = text(b, kvValue, value)
	return string(number(b, 6, 99)) // lease
}

func put(b []byte, key, value string, revision uint64) []byte {
	return text(b, watchEvents, string(text(nil, eventKV, kv(key, value, revision))))
}

// removed is a DELETE, which comes without a value.
func removed(b []byte, key string, revision uint64) []byte {
	k := number(text(nil, kvKey, key), kvModRevision, revision)
	return text(b, watchEvents, string(text(number(nil, eventType, typeDelete), eventKV, string(k))))
}

// snapshot is what Range has said of keys that do not exist.
func snapshot(keys ...string) Snapshot {
	now := Snapshot{Header: told}
	for _, key := range keys {
		now.Events = append(now.Events, Event{Key: key, Deleted: true})
	}
	return now
}

// watch watches keys at e, until the end of t.
func (e *etcd) watch(t *testing.T, keys ...string) *Stream {
	t.Helper()
	stream, err := Watch(t.Context(), e.serve(t), snapshot(keys...))
	require.NoError(t, err)
	t.Cleanup(stream.Close)
	return stream
}

// next requires that there is an update.
func next(t *testing.T, s *Stream) Update {
	t.Helper()
	u, err := s.Next()
	require.NoError(t, err)
	return u
}

// requireEnd requires that Next fails, and goes on to, and returns the error.
func requireEnd(t *testing.T, s *Stream) error {
	t.Helper()
	_, err := s.Next()
	require.Error(t, err)
	_, again := s.Next()
	require.Equal(t, err, again)
	require.Error(t, s.ctx.Err(), "gRPC's goroutine of the stream lives on")
	return err
}
