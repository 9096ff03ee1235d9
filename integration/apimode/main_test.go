// Package apimode tests the adapters to PD's own client on real PD processes that change
// between PD mode, in which PD grants timestamps, and API mode, in which TSO services do.
package apimode

import (
	"context"
	"flag"
	"testing"
	"time"

	"github.com/pingcap/log"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	upstream "github.com/tikv/pd/client"
	"github.com/tikv/pd/client/opt"
	"github.com/tikv/pd/client/pkg/caller"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/tsoring/tso/integration/pdcluster"
	"github.com/tsoring/tso/pdcompat"
	pd "github.com/tsoring/tso/pdcompat/pd2025"
)

var (
	members = flag.Int("apimode.members", 1, "the members of the cluster that changes its mode under load")
	rounds  = flag.Int("apimode.rounds", 1, "how often it changes to API mode and back")
	callers = flag.Int("apimode.callers", 16, "the callers of each client")
	logs    = flag.Bool("apimode.logs", false, "show what the clients log")
	// On an idle machine 5 s suffice; see load.finish for what calls must keep on any.
	budget = flag.Duration("apimode.budget", 15*time.Second, "how long a call may take")
)

func TestMain(m *testing.M) {
	flag.Parse()
	if !*logs {
		log.ReplaceGlobals(zap.NewNop(), new(log.ZapProperties)) // both clients log to it
	}
	goleak.VerifyTestMain(m)
}

// options are those of all clients.
func options() []opt.ClientOption {
	return []opt.ClientOption{opt.WithCustomTimeoutOption(*budget), opt.WithEnableRouterClient(false)}
}

// constructed returns a client that the adapter has made, for a keyspace or for none.
func constructed(t *testing.T, c *pdcluster.Cluster, keyspace string, more ...opt.ClientOption) pd.Client {
	t.Helper()
	api := pd.NewAPIContextV1()
	if keyspace != "" {
		api = pd.NewAPIContextV2(keyspace)
	}
	client, err := pd.NewClientWithAPIContext(context.Background(), api, caller.TestComponent,
		c.ClientURLs(), pd.SecurityOption{}, append(options(), more...)...)
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return client
}

// wrapped returns a client around one that PD's own package has made.
func wrapped(t *testing.T, c *pdcluster.Cluster) pd.Client {
	t.Helper()
	existing, err := upstream.NewClient(caller.TestComponent, c.ClientURLs(), pd.SecurityOption{}, options()...)
	require.NoError(t, err)
	client, err := pd.Wrap(existing, c.ClientURLs(), pd.SecurityOption{}, options()...)
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return client
}

// stats returns what a client counts.
func stats(t *testing.T, c pd.Client) pdcompat.Stats {
	t.Helper()
	counted, ok := c.(pdcompat.StatsClient)
	require.True(t, ok)
	return counted.Stats()
}

// waitSide waits until the clients take timestamps from where they should in a mode.
func waitSide(t *testing.T, mode pdcluster.Mode, clients ...pd.Client) {
	t.Helper()
	for i, c := range clients {
		if !assert.Eventually(t, func() bool { return stats(t, c).Upstream == (mode == pdcluster.APIMode) },
			time.Minute, time.Millisecond) {
			t.Fatalf("client %d has not come to %s mode: %+v", i, mode, stats(t, c))
		}
	}
}
