package integration_test

import (
	"context"
	"testing"
	"time"

	"github.com/pingcap/log"
	"github.com/stretchr/testify/require"
	pd "github.com/tikv/pd/client"
	"github.com/tikv/pd/client/opt"
	"github.com/tikv/pd/client/pkg/caller"
	"go.uber.org/zap"

	"github.com/tsoring/tso"
	"github.com/tsoring/tso/integration/pdcluster"
)

// theirs is PD's own client, which knows keyspace groups and follows a change of mode.
type theirs struct {
	pd.Client
	last uint64
}

// connectTheirs makes one for a keyspace, or for none if name is empty.
func connectTheirs(ctx context.Context, t *testing.T, c *pdcluster.Cluster, keyspace string) *theirs {
	t.Helper()
	log.ReplaceGlobals(zap.NewNop(), new(log.ZapProperties))
	api := pd.NewAPIContextV1()
	if keyspace != "" {
		api = pd.NewAPIContextV2(keyspace)
	}
	client, err := pd.NewClientWithAPIContext(ctx, api, caller.TestComponent, c.ClientURLs(),
		pd.SecurityOption{}, opt.WithCustomTimeoutOption(time.Minute))
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return &theirs{Client: client}
}

// next returns the client's next timestamp, which must be above the one before. Calls fail
// while it follows a change of mode.
func (c *theirs) next(ctx context.Context, t *testing.T) uint64 {
	t.Helper()
	physical, logical, err := c.GetTS(ctx)
	for err != nil {
		require.NoError(t, ctx.Err(), "the last call: %v", err)
		physical, logical, err = c.GetTS(ctx)
	}
	now := tso.ComposeTS(physical, logical)
	require.Greater(t, now, c.last)
	c.last = now
	return now
}

// startModes starts a cluster for one test, which has two minutes.
func startModes(t *testing.T, cfg pdcluster.Config) (*pdcluster.Cluster, context.Context) {
	t.Helper()
	c := pdcluster.StartT(t, cfg)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return c, ctx
}

func TestCluster_ChangesItsModeAndBack(t *testing.T) {
	c, ctx := startModes(t, pdcluster.Config{Members: 3, Fast: true, TSOServices: 2})
	client := connectTheirs(ctx, t, c, "")
	for _, mode := range []pdcluster.Mode{pdcluster.PDMode, pdcluster.APIMode, pdcluster.PDMode} {
		begun := time.Now()
		if mode != pdcluster.PDMode || client.last != 0 {
			require.NoError(t, c.SetMode(ctx, mode))
			t.Logf("%s mode after %v", mode, time.Since(begun).Round(time.Millisecond))
		}
		said, services, err := c.Mode(ctx)
		require.NoError(t, err)
		require.Equal(t, mode, said)
		running := 0
		for _, s := range c.Services() {
			if s.Running() {
				running++
				require.Contains(t, services, s.URL)
			}
		}
		require.Len(t, services, running)
		require.Equal(t, mode == pdcluster.APIMode, running > 0)
		for range 3 {
			mark := client.next(ctx, t)
			leader, err := c.WaitLeader(ctx)
			require.NoError(t, err)
			direct, err := leader.Timestamp(ctx, "")
			require.NoError(t, err)
			require.Greater(t, direct, mark)
			require.Greater(t, client.next(ctx, t), direct)
		}
	}
}

func TestMember_ChangesItsModeAlone(t *testing.T) {
	c, ctx := startModes(t, pdcluster.Config{Members: 3, Fast: true, TSOServices: 1})
	leader, err := c.WaitLeader(ctx)
	require.NoError(t, err)
	follower := c.Members()[0]
	if follower == leader {
		follower = c.Members()[1]
	}
	require.NoError(t, follower.SetMode(ctx, pdcluster.APIMode))
	mode, services, err := follower.Mode(ctx)
	require.NoError(t, err)
	require.Equal(t, pdcluster.APIMode, mode)
	require.Empty(t, services)
	for _, m := range c.Members() {
		if m != follower {
			mode, _, err = m.Mode(ctx)
			require.NoError(t, err)
			require.Equal(t, pdcluster.PDMode, mode)
		}
	}
}

func TestTSOService_TakesFaults(t *testing.T) {
	c, ctx := startModes(t, pdcluster.Config{Fast: true, Mode: pdcluster.APIMode, TSOServices: 2})
	client := connectTheirs(ctx, t, c, "")
	client.next(ctx, t)
	primary, err := c.WaitPrimary(ctx, 0, 0)
	require.NoError(t, err)
	for _, fault := range []struct {
		name     string
		hit, end func(*pdcluster.TSOService) error
	}{
		{"kill", (*pdcluster.TSOService).Kill, (*pdcluster.TSOService).Launch},
		{"freeze", (*pdcluster.TSOService).Freeze, (*pdcluster.TSOService).Thaw},
		{"terminate", (*pdcluster.TSOService).Terminate, (*pdcluster.TSOService).Launch},
	} {
		for _, s := range c.Services() {
			require.NoError(t, s.WaitServing(ctx), fault.name)
		}
		begun := time.Now()
		require.NoError(t, fault.hit(primary), fault.name)
		other, err := c.WaitPrimary(ctx, 0, 0)
		require.NoError(t, err, fault.name)
		require.NotEqual(t, primary, other, fault.name)
		t.Logf("%s: new primary after %v", fault.name, time.Since(begun).Round(time.Millisecond))
		client.next(ctx, t)
		require.NoError(t, fault.end(primary), fault.name)
		primary = other
	}
}

func TestCluster_KeyspacesHaveTheTimestampsOfTheirGroup(t *testing.T) {
	c, ctx := startModes(t, pdcluster.Config{Fast: true, Mode: pdcluster.APIMode, TSOServices: 2})
	require.NoError(t, c.BootstrapWithoutStore(ctx))
	id, err := c.CreateKeyspace(ctx, "other")
	require.NoError(t, err)
	require.NoError(t, c.SplitGroup(ctx, 0, 1, id))

	// An hour ahead, so that the group is to be seen from a timestamp.
	now := uint64(time.Now().UnixMilli()) << 18
	const hour = uint64(time.Hour/time.Millisecond) << 18
	require.NoError(t, c.Reset(ctx, now+hour))
	require.Greater(t, connectTheirs(ctx, t, c, "").next(ctx, t), now+hour)
	other := connectTheirs(ctx, t, c, "other")
	require.Less(t, other.next(ctx, t), now+hour/2)
	primary, err := c.WaitPrimary(ctx, id, 1)
	require.NoError(t, err)
	direct, err := primary.Timestamp(ctx, id, 1)
	require.NoError(t, err)
	require.Greater(t, direct, other.last)
	require.Greater(t, other.next(ctx, t), direct)
	_, err = primary.Timestamp(ctx, id, 0)
	require.ErrorContains(t, err, "keyspace_group_id:1")

	// PD knows no groups: what it grants goes on from the default group's.
	require.NoError(t, c.SetMode(ctx, pdcluster.PDMode))
	require.Greater(t, connectTheirs(ctx, t, c, "other").next(ctx, t), now+hour)
	require.NoError(t, c.Reset(ctx, now+2*hour))
	require.Greater(t, connectTheirs(ctx, t, c, "other").next(ctx, t), now+2*hour)
}
