package apimode

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tikv/pd/client/opt"

	"github.com/tsoring/tso"
	"github.com/tsoring/tso/integration/pdcluster"
)

// keyspace starts a cluster in API mode that has a keyspace, "other", in a group of its own.
func keyspace(ctx context.Context, t *testing.T) *pdcluster.Cluster {
	t.Helper()
	c := pdcluster.StartT(t, pdcluster.Config{Members: *members, Fast: true, Mode: pdcluster.APIMode, TSOServices: 2})
	require.NoError(t, c.BootstrapWithoutStore(ctx))
	id, err := c.CreateKeyspace(ctx, "other")
	require.NoError(t, err)
	require.NoError(t, c.SplitGroup(ctx, 0, 1, id))
	return c
}

// from returns a timestamp of so long from now.
func from(now time.Duration) uint64 {
	return tso.ComposeTS(time.Now().Add(now).UnixMilli(), 0)
}

// PD knows no keyspace groups. What it grants to a keyspace may be above what the keyspace's
// group grants after it, and those below must not be handed out: calls wait for others.
func TestKeyspace_TimestampsRiseOverAChangeOfMode(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	c := keyspace(ctx, t)
	client := constructed(t, c, "other", opt.WithCustomTimeoutOption(30*time.Second))
	l := newLoad()
	l.callers(*callers, client)
	l.futures(4, 8, client)
	l.more(t)
	require.NoError(t, c.SetMode(ctx, pdcluster.PDMode))
	const ahead = 6 * time.Second // longer than the change to API mode takes
	require.NoError(t, c.Reset(ctx, from(ahead)))
	l.more(t)
	require.NoError(t, c.SetMode(ctx, pdcluster.APIMode))
	l.more(t)
	l.finish(t, 2*ahead)
}

// PD in API mode answers with timestamps of the default group, whoever asks, and PD's own
// client asks it until it has found out that the mode has changed.
func TestKeyspace_GetsNoTimestampOfTheDefaultGroup(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	c := keyspace(ctx, t)
	ahead := from(time.Hour) // so that the default group's timestamps can be told from others
	require.NoError(t, c.Reset(ctx, ahead))
	require.NoError(t, c.SetMode(ctx, pdcluster.PDMode))
	client := constructed(t, c, "other")
	byProxy := constructed(t, c, "other", opt.WithTSOServerProxyOption(true))
	require.NoError(t, c.SetMode(ctx, pdcluster.APIMode))
	l := newLoad()
	l.callers(*callers, client)
	l.more(t)
	for _, call := range l.finish(t, late) {
		require.Less(t, call.T, ahead)
	}
	physical, logical, err := byProxy.GetTS(ctx)
	require.NoError(t, err, "who says that PD is to be asked gets what it answers")
	require.Greater(t, tso.ComposeTS(physical, logical), ahead)
}
