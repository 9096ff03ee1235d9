package handover

import (
	"context"
	"testing"
	"time"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/tsoring/tso/tsotest"
)

// pdClient returns a client of PD's service whose streams h intercepts.
func pdClient(t *testing.T, server *tsotest.Server, h *Handover) pdpb.PDClient {
	t.Helper()
	return pdpb.NewPDClient(connect(t, server, 0, grpc.WithChainStreamInterceptor(h.Intercept)))
}

// connect returns a connection to a member.
func connect(t *testing.T, server *tsotest.Server, member int, opts ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	opts = append(opts, grpc.WithTransportCredentials(insecure.NewCredentials()))
	conn, err := grpc.NewClient("passthrough:///"+server.URL(member)[len("http://"):], opts...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close()) })
	return conn
}

// askOnce opens a TSO stream and asks for a timestamp on it.
func askOnce(t *testing.T, ctx context.Context, server *tsotest.Server, client pdpb.PDClient) error {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := client.Tso(ctx)
	if err != nil {
		return err
	}
	if err := stream.Send(&pdpb.TsoRequest{Header: &pdpb.RequestHeader{ClusterId: server.ClusterID()}, Count: 1}); err != nil {
		return err
	}
	_, err = stream.Recv()
	return err
}

func TestUpstreamsStreamIsIdleUntilUpstreamServes(t *testing.T) {
	server := tsotest.New(t)
	s := newService(t, server)
	h := start(t, server, s)
	client := pdClient(t, server, h)
	before := server.Stats().Streams
	idle, err := client.Tso(context.Background())
	require.NoError(t, err)
	require.Equal(t, before, server.Stats().Streams)
	require.Equal(t, codes.Unavailable, status.Code(idle.Send(&pdpb.TsoRequest{})))
	received := make(chan error, 1)
	go func() {
		_, err := idle.Recv()
		received <- err
	}()
	select {
	case err := <-received:
		t.Fatal("the stream has ended while nobody needs it:", err)
	case <-time.After(20 * time.Millisecond):
	}
	turn(t, server, h, pdpb.ServiceMode_API_SVC_MODE)
	require.Equal(t, codes.Unavailable, status.Code(<-received))
	require.NoError(t, askOnce(t, context.Background(), server, client), "a true one")
	turn(t, server, h, pdpb.ServiceMode_PD_SVC_MODE)
	ctx, cancel := context.WithCancel(context.Background())
	idle, err = client.Tso(ctx)
	require.NoError(t, err)
	cancel()
	_, err = idle.Recv()
	require.Equal(t, codes.Canceled, status.Code(err))
}

func TestOtherStreamsAreLeftAlone(t *testing.T) {
	server := tsotest.New(t)
	h := New(Config{Log: zap.NewNop()})
	stream, err := pdClient(t, server, h).RegionHeartbeat(context.Background())
	require.NoError(t, err)
	_, err = stream.Recv()
	require.Equal(t, codes.Unimplemented, status.Code(err), "the server's word")
}

// PD in API mode answers with the timestamps of the default keyspace group, whoever asks.
func TestKeyspaceGetsNoTimestampOfTheDefaultGroup(t *testing.T) {
	server := tsotest.New(t)
	h := New(Config{Upstream: "a keyspace", Log: zap.NewNop()})
	h.Start(context.Background(), newService(t, server).ask)
	t.Cleanup(func() { h.Close(); h.Wait() })
	client := pdClient(t, server, h)
	require.NoError(t, askOnce(t, context.Background(), server, client))
	for _, m := range []pdpb.ServiceMode{pdpb.ServiceMode_API_SVC_MODE, pdpb.ServiceMode_UNKNOWN_SVC_MODE} {
		server.SetServiceMode(m)
		require.Equal(t, errOtherGroup, askOnce(t, context.Background(), server, client))
	}
	proxied := New(Config{Upstream: "a keyspace", ServerProxy: true, Log: zap.NewNop()})
	proxied.Start(context.Background(), newService(t, server).ask)
	t.Cleanup(func() { proxied.Close(); proxied.Wait() })
	require.NoError(t, askOnce(t, context.Background(), server, pdClient(t, server, proxied)), "what the program wants")
}
