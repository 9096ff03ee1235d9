package handover

import (
	"context"
	"testing"
	"time"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"github.com/tsoring/tso"
	"github.com/tsoring/tso/tsotest"
)

// Where TSO is a service of its own, ours may have a stream to any member.
func TestModeIsSeenAlsoWhereOursHasNoStreamToTheLeader(t *testing.T) {
	server := tsotest.New(t, tsotest.WithMembers(2))
	h := start(t, server, newService(t, server))
	ctx := context.Background()
	require.Equal(t, byPD, h.look(ctx))
	leader, other := connect(t, server, server.Leader()), connect(t, server, 1-server.Leader())
	for _, c := range []struct {
		conns         []*grpc.ClientConn
		byPD, service mode
	}{
		{[]*grpc.ClientConn{other}, unknown, serviceOfItsOwn},
		{[]*grpc.ClientConn{other, leader}, byPD, serviceOfItsOwn},
		{nil, unknown, unknown},
	} {
		h.conns.mu.Lock()
		h.conns.list = c.conns
		h.conns.mu.Unlock()
		server.SetServiceMode(pdpb.ServiceMode_PD_SVC_MODE)
		require.Equal(t, c.byPD, h.look(ctx))
		server.SetServiceMode(pdpb.ServiceMode_API_SVC_MODE)
		require.Equal(t, c.service, h.look(ctx))
	}
}

// A handover may be on its way, and know of higher ones, before a call's goroutine has been
// told of the timestamp that ours has granted it.
func TestWhatOursHasGrantedIsNotHeldAgainstWhatItHasGrantedSince(t *testing.T) {
	server := tsotest.New(t)
	h := start(t, server, newService(t, server))
	c := &call{h: h, ctx: context.Background(), began: time.Now(), byOurs: true, done: make(chan struct{})}
	h.mu.Lock()
	h.calls.first, h.calls.last = c, c
	h.highest = tso.ComposeTS(9, 0)
	h.mu.Unlock()
	require.False(t, h.settle(c, 0, 7, 0, nil))
	physical, _, err := c.Wait()
	require.NoError(t, err)
	require.EqualValues(t, 7, physical)
	require.Equal(t, tso.ComposeTS(9, 0), h.highest)
}
