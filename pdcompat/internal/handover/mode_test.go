package handover

import (
	"context"
	"testing"

	"github.com/pingcap/kvproto/pkg/pdpb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

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
