package tsotest

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
)

// patience bounds waits that normally take microseconds.
const patience = 10 * time.Second

// connect returns a connection to one member, closed when the test ends.
func connect(tb testing.TB, s *Server, i int) *grpc.ClientConn {
	tb.Helper()
	creds := insecure.NewCredentials()
	if s.conf.tls != nil {
		creds = credentials.NewTLS(clientTLS(s))
	}
	_, addr, _ := strings.Cut(s.URL(i), "://")
	conn, err := grpc.NewClient("passthrough:///"+addr,
		grpc.WithTransportCredentials(creds), grpc.WithContextDialer(s.Dialer()),
		grpc.WithConnectParams(grpc.ConnectParams{ // not grpc's second
			Backoff:           backoff.Config{BaseDelay: 5 * time.Millisecond, Multiplier: 1, MaxDelay: 5 * time.Millisecond},
			MinConnectTimeout: patience,
		}))
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = conn.Close() })
	return conn
}

// raw is a timestamp stream without any of a client's comforts.
type raw struct {
	pdpb.PD_TsoClient
	tb     testing.TB
	s      *Server
	cancel context.CancelFunc
}

// openStream opens a stream to member i; forward names a host to relay to.
func openStream(tb testing.TB, s *Server, i int, forward ...string) *raw {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	tb.Cleanup(cancel)
	for _, host := range forward {
		ctx = metadata.AppendToOutgoingContext(ctx, forwardedHost, host)
	}
	return openOn(ctx, cancel, tb, s, connect(tb, s, i))
}

func openOn(ctx context.Context, cancel context.CancelFunc, tb testing.TB, s *Server, conn *grpc.ClientConn) *raw {
	tb.Helper()
	st, err := pdpb.NewPDClient(conn).Tso(ctx)
	require.NoError(tb, err)
	return &raw{st, tb, s, cancel}
}

func (r *raw) ask(dc string, count uint32) {
	r.tb.Helper()
	require.NoError(r.tb, r.Send(&pdpb.TsoRequest{
		Header: &pdpb.RequestHeader{ClusterId: r.s.ClusterID()}, Count: count, DcLocation: dc,
	}))
}

// get asks for count timestamps and returns them.
func (r *raw) get(dc string, count uint32) []uint64 {
	r.tb.Helper()
	r.ask(dc, count)
	resp, err := r.Recv()
	require.NoError(r.tb, err)
	require.Equal(r.tb, count, resp.Count)
	return expand(resp)
}

// fails asks for one timestamp and returns the error that comes instead.
func (r *raw) fails(dc string) error {
	r.tb.Helper()
	r.ask(dc, 1)
	_, err := r.Recv()
	require.Error(r.tb, err)
	return err
}

// expand returns the timestamps of an answer as a client computes them.
func expand(resp *pdpb.TsoResponse) []uint64 {
	ts := resp.Timestamp
	all := make([]uint64, resp.Count)
	for i := range all {
		back := int64(len(all)-1-i) << ts.SuffixBits
		all[i] = uint64(ts.Physical)<<logicalBits + uint64(ts.Logical-back)
	}
	return all
}
