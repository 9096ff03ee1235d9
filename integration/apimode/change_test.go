package apimode

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tsoring/tso/integration/pdcluster"
	pd "github.com/tsoring/tso/pdcompat/pd2025"
)

// Clients of both kinds, under load while the cluster changes its mode and back: no call
// fails, and the order of timestamps holds between all calls of both.
func TestChangeOfMode_FailsNoCallAndKeepsTheOrder(t *testing.T) {
	t.Parallel()
	c := pdcluster.StartT(t, pdcluster.Config{Members: *members, Fast: true, TSOServices: 2})
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(*rounds)*2*time.Minute)
	defer cancel()
	clients := []pd.Client{constructed(t, c, ""), wrapped(t, c)}
	l := newLoad()
	for _, client := range clients {
		l.callers(*callers, client)
		l.futures(4, 8, client)
	}
	l.more(t)
	changes, outage := 0, time.Duration(0)
	for range *rounds {
		for _, mode := range []pdcluster.Mode{pdcluster.APIMode, pdcluster.PDMode} {
			began := time.Now()
			require.NoError(t, c.SetMode(ctx, mode))
			serves := time.Since(began)
			outage = max(outage, serves)
			waitSide(t, mode, clients...)
			t.Logf("%s mode serves after %v, all clients are there after %v",
				mode, serves.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
			changes++
			l.more(t)
		}
	}
	l.finish(t, outage)
	for _, client := range clients {
		require.EqualValues(t, changes, stats(t, client).Handovers)
		require.NotZero(t, stats(t, client).Timestamps)
		require.NotZero(t, stats(t, client).UpstreamCalls)
	}
}

// Members change one after another, as those do who must not stop a cluster: the leader
// last, with TSO services that are there only while no leader is in PD mode. PD has its own
// timing, with which leadership does not move because a machine is busy.
func TestRollingChangeOfMode_FailsNoCallAndKeepsTheOrder(t *testing.T) {
	t.Parallel()
	c := pdcluster.StartT(t, pdcluster.Config{Members: 3, TSOServices: 2})
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(*rounds)*2*time.Minute)
	defer cancel()
	clients := []pd.Client{constructed(t, c, ""), wrapped(t, c)}
	l := newLoad()
	for _, client := range clients {
		l.callers(*callers, client)
		l.futures(4, 8, client)
	}
	l.more(t)
	outage := time.Duration(0)
	for range *rounds {
		for _, mode := range []pdcluster.Mode{pdcluster.APIMode, pdcluster.PDMode} {
			outage = max(outage, roll(ctx, t, c, mode))
			waitSide(t, mode, clients...)
			l.more(t)
		}
	}
	l.finish(t, outage)
}

// roll changes the mode of one member after another, and returns how long nobody served at
// most.
func roll(ctx context.Context, t *testing.T, c *pdcluster.Cluster, mode pdcluster.Mode) time.Duration {
	t.Helper()
	leader, err := c.WaitLeader(ctx)
	require.NoError(t, err)
	for _, m := range c.Members() {
		if m != leader {
			require.NoError(t, m.SetMode(ctx, mode))
		}
	}
	still, err := c.WaitLeader(ctx)
	require.NoError(t, err)
	require.Equal(t, leader.Name, still.Name, "timestamps have been granted in both modes at once")
	began := time.Now()
	for _, s := range c.Services() {
		require.NoError(t, s.Kill())
	}
	require.NoError(t, leader.Terminate())
	if mode == pdcluster.APIMode {
		for _, s := range c.Services() {
			require.NoError(t, s.Launch())
		}
	}
	require.NoError(t, leader.SetMode(ctx, mode))
	require.NoError(t, c.WaitServing(ctx))
	return time.Since(began)
}

// A cluster that is in API mode when the client is made, and whose TSO service dies before it
// changes to PD mode.
func TestTSOServiceDies_FailsNoCallAndKeepsTheOrder(t *testing.T) {
	t.Parallel()
	c := pdcluster.StartT(t, pdcluster.Config{Fast: true, Mode: pdcluster.APIMode, TSOServices: 2})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	client := constructed(t, c, "")
	require.True(t, stats(t, client).Upstream)
	l := newLoad()
	l.callers(*callers, client)
	l.futures(4, 8, client)
	l.more(t)
	for _, s := range c.Services() {
		require.NoError(t, s.WaitServing(ctx))
	}
	primary, err := c.WaitPrimary(ctx, 0, 0)
	require.NoError(t, err)
	began := time.Now()
	require.NoError(t, primary.Kill())
	_, err = c.WaitPrimary(ctx, 0, 0)
	require.NoError(t, err)
	outage := time.Since(began)
	l.more(t)
	require.Zero(t, stats(t, client).Timestamps, "ours has asked for none")
	began = time.Now()
	require.NoError(t, c.SetMode(ctx, pdcluster.PDMode))
	outage = max(outage, time.Since(began))
	waitSide(t, pdcluster.PDMode, client)
	l.more(t)
	l.finish(t, outage)
}
