package tsotest

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// answers returns a channel of the answers to one request, sent now.
func (r *raw) answers() <-chan error {
	r.tb.Helper()
	r.ask("", 1)
	ch := make(chan error, 1)
	go func() {
		_, err := r.Recv()
		ch <- err
	}()
	return ch
}

// attempt connects to a member and asks it, which may wait for the connection.
func attempt(t *testing.T, s *Server, i int) <-chan error {
	client := pdpb.NewPDClient(connect(t, s, i))
	ch := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		st, err := client.Tso(ctx)
		if err == nil {
			err = st.Send(&pdpb.TsoRequest{Header: &pdpb.RequestHeader{ClusterId: s.ClusterID()}, Count: 1})
		}
		if err == nil {
			_, err = st.Recv()
		}
		ch <- err
	}()
	return ch
}

func requireSilence(t *testing.T, ch <-chan error) {
	t.Helper()
	select {
	case err := <-ch:
		t.Fatalf("answered: %v", err)
	case <-time.After(30 * time.Millisecond):
	}
}

func TestPath_CutHoldsBytes(t *testing.T) {
	for _, opts := range [][]Option{{}, {WithBufconn()}} {
		s := New(t, append(opts, WithMembers(2))...)
		st := openStream(t, s, 0)
		st.get("", 1)
		require.NoError(t, s.CutPath(0))
		old, fresh := st.answers(), attempt(t, s, 0)
		requireSilence(t, old)
		requireSilence(t, fresh)
		openStream(t, s, 1, s.URL(0)).get("", 1) // the relay's path is another
		require.NoError(t, s.HealPath(0))
		require.NoError(t, <-old)
		require.NoError(t, <-fresh)
	}
}

func TestPath_CloseWhileCut(t *testing.T) {
	s := New(t)
	st := openStream(t, s, 0)
	st.get("", 1)
	require.NoError(t, s.CutPath(0))
	old, stuckInHandshake := st.answers(), attempt(t, s, 0)
	requireSilence(t, old)
	start := time.Now()
	s.Close()
	require.Less(t, time.Since(start), 3*time.Second)
	require.Error(t, <-old)
	require.Error(t, <-stuckInHandshake)
}

func TestPath_SilenceKillsOldConnectionsOnly(t *testing.T) {
	s := New(t)
	st := openStream(t, s, 0)
	st.get("", 1)
	require.NoError(t, s.SilenceConns(0))
	dead := st.answers()
	requireSilence(t, dead)
	openStream(t, s, 0).get("", 1)
	requireSilence(t, dead)
	require.EqualValues(t, 2, s.Stats().Conns)
	require.NoError(t, s.ResetConns(0))
	require.Error(t, <-dead)
}

func TestPath_Reset(t *testing.T) {
	for _, opts := range [][]Option{{}, {WithBufconn()}} {
		s := New(t, opts...)
		st := openStream(t, s, 0)
		st.get("", 1)
		require.NoError(t, s.ResetConns(0))
		_, err := st.Recv()
		require.Equal(t, codes.Unavailable, status.Code(err))
		openStream(t, s, 0).get("", 1)
	}
}

// oneConn is a listener that accepts one connection, closed as it may be.
type oneConn struct {
	net.Listener
	conn net.Conn
}

func (l oneConn) Accept() (net.Conn, error) { return l.conn, nil }

// TestPath_AcceptLosesToStop: a connection accepted while its member is stopped
// is in nobody's list, and would keep the member waiting for its handshake.
func TestPath_AcceptLosesToStop(t *testing.T) {
	client, member := net.Pipe()
	var p path
	l := newListener(oneConn{conn: member}, &p)
	l.closed.Store(true)
	_, err := l.Accept()
	require.NoError(t, err)
	_, err = client.Write([]byte{0})
	require.ErrorIs(t, err, io.ErrClosedPipe)
	require.Empty(t, p.snapshot())
	require.NoError(t, client.Close())
}
