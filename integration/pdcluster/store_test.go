package pdcluster

import (
	"testing"

	"github.com/pingcap/kvproto/pkg/metapb"
	"github.com/stretchr/testify/require"
)

// PD says where the region is, also after its leader has changed, and no more than once is
// it taken for a new cluster.
func TestBootstrap_RegionIsKnownToEachLeader(t *testing.T) {
	c, ctx := startTimed(t, Config{Members: 3, Fast: true})
	store := &metapb.Store{Id: 1, Address: "store1"}
	region := &metapb.Region{
		Id: 3, RegionEpoch: &metapb.RegionEpoch{ConfVer: 1, Version: 1}, Peers: []*metapb.Peer{{Id: 2, StoreId: 1}},
	}
	s, err := c.Bootstrap(ctx, store, region)
	require.NoError(t, err)
	defer s.Stop()

	old, err := c.WaitLeader(ctx)
	require.NoError(t, err)
	require.NoError(t, old.Kill())
	_, err = c.WaitOtherLeader(ctx, old)
	require.NoError(t, err)
	require.NoError(t, poll(ctx, s.known))

	_, err = c.Bootstrap(ctx, store, region)
	require.Error(t, err)
}
