package pderr

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// golden lists the errors that servers and grpc-go were seen to send, by era. A line may be added, but one that is
// changed changes what the client does to its callers.
var golden = []struct {
	era  string
	code codes.Code
	text string
	want Class
}{
	{"v5.4, HEAD", codes.FailedPrecondition, "mismatch cluster id, need 6 but got 7", ClusterMismatch},
	{"microservice", codes.Unavailable, "cluster mismatched", ClusterMismatch},
	{"microservice", codes.FailedPrecondition, "mismatch callee id, need 10.0.0.1:2379 but got 10.0.0.2:2379", CalleeMismatch},

	{"v5.4, HEAD", codes.Unknown, "[PD:tso:ErrGenerateTimestamp]generate timestamp failed, requested pd is not leader of cluster", NotLeader},
	{"HEAD", codes.Unknown, "[PD:tso:ErrGenerateTimestamp]generate timestamp failed, requested not leader anymore", NotLeader},
	{"v5.4", codes.Unknown, "[PD:tso:ErrGenerateTimestamp]generate timestamp failed, not the pd or local tso allocator leader anymore", NotLeader},
	{"v5.4", codes.Unknown, "generate timestamp failed, not the pd leader anymore", NotLeader},
	{"HEAD", codes.Unavailable, "not leader", NotLeader},
	{"HEAD", codes.Unavailable, "not leader and follower handling not allowed", NotLeader},
	{"HEAD", codes.FailedPrecondition, "mismatch leader id, need 1 but got 2", NotLeader},
	{"etcd", codes.Unavailable, "etcdserver: no leader", NotLeader},
	{"v5.4", codes.Unknown, "no leader", NotLeader},
	{"forwarding", codes.InvalidArgument, "pd-2:2379 is not leader", NotLeader},
	{"local tso", codes.Unknown, "[PD:tso:ErrGetAllocator]get allocator failed, dc-1 allocator not found, generate timestamp failed", NotLeader},
	{"microservice", codes.Unknown, "requested keyspace group 3 is not served by this node", NotLeader},
	{"microservice", codes.Unknown, "[PD:tso:ErrGenerateTimestamp]generate timestamp failed, requested tso server is not primary", NotLeader},
	{"microservice", codes.Unknown, "[PD:tso:ErrGetMinTS]get min ts failed, leader is not elected", NotLeader},

	{"v5.4", codes.Unknown, "server not started", Retry},
	{"HEAD", codes.Unavailable, "server not started", Retry},
	{"HEAD", codes.Unavailable, "server is started, but etcd not started", Retry},
	{"v5.4, HEAD", codes.Unknown, "[PD:tso:ErrGenerateTimestamp]generate timestamp failed, timestamp in memory isn't initialized", Retry},
	{"HEAD", codes.Unknown, "generate timestamp failed, timestamp in memory has been reset", Retry},
	{"HEAD", codes.Unknown, "generate timestamp failed, generate global tso maximum number of retries exceeded", Retry},
	{"HEAD", codes.ResourceExhausted, "max count of concurrent tso proxy routines exceeded", Retry},
	{"HEAD", codes.DeadlineExceeded, "tso proxy timeout when receiving from client; stream closed by server", Retry},
	{"HEAD", codes.DeadlineExceeded, "forward tso request timeout", Retry},
	{"microservice", codes.NotFound, "not found tso address", Retry},

	{"grpc-go", codes.Unavailable, "error reading from server: EOF", Retry},
	{"grpc-go", codes.Unavailable, "connection error: desc = \"transport: Error while dialing: dial tcp: connection refused\"", Retry},
	{"grpc-go", codes.Internal, "stream terminated by RST_STREAM with error code: PROTOCOL_ERROR", Retry},
	{"grpc-go", codes.Internal, "server closed the stream without sending trailers", Retry},
	{"grpc-go", codes.Unavailable, "closing transport due to: received prior goaway: code: NO_ERROR", Retry},
	{"grpc-go", codes.Canceled, "grpc: the client connection is closing", Retry},
	{"grpc-go", codes.DeadlineExceeded, "context deadline exceeded", Retry},
	{"grpc-go", codes.ResourceExhausted, "grpc: received message larger than max (70000 vs. 65536)", Retry},

	{"grpc-go", codes.Unimplemented, "unknown service pdpb.PD", Unimplemented},
	{"any", codes.Unauthenticated, "no token", Auth},
	{"any", codes.PermissionDenied, "not leader material", Auth},
	{"any", codes.InvalidArgument, "bad dc-location", InvalidArgument},
	{"v5.4, HEAD", codes.Unknown, "generate timestamp failed, tso count should be positive", InvalidArgument},

	{"any", codes.Internal, "grpc: failed to unmarshal the received message", Unknown},
	{"any", codes.Unknown, "something new", Unknown},
	{"any", codes.Code(99), "a code of the future", Unknown},
}

func TestClassify_Golden(t *testing.T) {
	for _, g := range golden {
		err := status.Error(g.code, g.text)
		require.Equal(t, g.want, Classify(err), "%s: %v", g.era, err)
		require.Equal(t, g.want, Classify(fmt.Errorf("http://a:1: %w", err)), "wrapped: %v", err)
		require.Equal(t, g.want, Classify(errors.Join(errors.New("x"), err)), "joined: %v", err)
	}
}

func TestClassify_PlainErrors(t *testing.T) {
	require.Equal(t, None, Classify(nil))
	require.Equal(t, None, Classify(status.Error(codes.OK, "")))
	for _, err := range []error{
		io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, context.Canceled, context.DeadlineExceeded,
		&net.OpError{Op: "dial", Err: errors.New("nothing there")},
		fmt.Errorf("stream: %w", io.EOF),
	} {
		require.Equal(t, Retry, Classify(err), "%v", err)
	}
	require.Equal(t, NotLeader, Classify(errors.New("Not Leader")))
	require.Equal(t, Unknown, Classify(errors.New("what?")))
}

func TestClassify_LongTextIsBounded(t *testing.T) {
	require.Equal(t, Unknown, Classify(errors.New(strings.Repeat("x", 1<<20)+"not leader")))
	require.Equal(t, NotLeader, Classify(errors.New("not leader"+strings.Repeat("x", 1<<20))))
}

func TestClassifyHeader(t *testing.T) {
	for _, c := range []struct {
		err  *pdpb.Error
		want Class
	}{
		{nil, None},
		{&pdpb.Error{}, None},
		{&pdpb.Error{Type: pdpb.ErrorType_OK, Message: "not leader"}, NotLeader},
		{&pdpb.Error{Type: pdpb.ErrorType_UNKNOWN, Message: "[PD:server:ErrServerNotStarted]server not started"}, Retry},
		{&pdpb.Error{Type: pdpb.ErrorType_UNKNOWN, Message: "requested tso server is not primary"}, NotLeader},
		{&pdpb.Error{Type: pdpb.ErrorType_UNKNOWN, Message: "mismatch cluster id, need 1 but got 2"}, ClusterMismatch},
		{&pdpb.Error{Type: pdpb.ErrorType_NOT_BOOTSTRAPPED}, Retry},
		{&pdpb.Error{Type: pdpb.ErrorType_UNKNOWN}, Unknown},
		{&pdpb.Error{Type: pdpb.ErrorType_OK, Message: "hm"}, Unknown},
	} {
		require.Equal(t, c.want, ClassifyHeader(c.err), "%v", c.err)
	}
}

func TestClass_Predicates(t *testing.T) {
	final := map[Class]bool{Auth: true, InvalidArgument: true}
	refresh := map[Class]bool{NotLeader: true, ClusterMismatch: true, CalleeMismatch: true}
	for c := None; int(c) < len(classNames); c++ {
		require.Equal(t, final[c], c.Final(), "%v", c)
		require.Equal(t, refresh[c], c.RefreshesMembers(), "%v", c)
		require.Equal(t, c != None && !final[c], c.Retry(), "%v", c)
		require.NotEmpty(t, c.String())
	}
	require.Equal(t, "invalid class", Class(-1).String())
	require.Equal(t, "invalid class", Class(1000).String())
}

func TestUnreachable(t *testing.T) {
	require.True(t, Unreachable(fmt.Errorf("stream: %w", status.Error(codes.Unavailable, "connection refused"))))
	require.False(t, Unreachable(status.Error(codes.Unknown, "not leader")))
	require.False(t, Unreachable(io.EOF))
	require.False(t, Unreachable(nil))
}
