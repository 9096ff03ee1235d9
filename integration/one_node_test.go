package integration_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tsoring/tso"
	"github.com/tsoring/tso/internal/history"
)

func TestOneNode_HistoryOfTwoClientsIsInOrder(t *testing.T) {
	cluster := oneNode.use(t)
	l := newLoad(400_000)
	began := time.Now()
	for range 2 {
		client := connect(t, cluster.ClientURLs(), plain)
		l.callers(20, client, global)
		l.futures(12, 32, client, global)
		defer func() { t.Logf("%+v", client.Stats()) }()
	}
	r := l.wait()
	t.Logf("%v", time.Since(began).Round(time.Millisecond))
	r.requireClean(t)
	require.GreaterOrEqual(t, len(r.calls), 399_000)
}

// A client must serve as soon as it is there, and what a new one gets must be
// above what older ones got.
func TestOneNode_FreshClientServesAtOnce(t *testing.T) {
	cluster := oneNode.use(t)
	ctx := bounded(t, 20*time.Second)
	var got []uint64
	var slowest time.Duration
	for range 20 {
		began := time.Now()
		client, err := tso.NewClient(cluster.ClientURLs(), plain, logTo(t))
		require.NoError(t, err)
		for range 3 {
			physical, logical, err := client.GetTS(ctx)
			require.NoError(t, err)
			got = append(got, tso.ComposeTS(physical, logical))
		}
		client.Close()
		slowest = max(slowest, time.Since(began))
	}
	t.Logf("slowest client, with Close: %v", slowest)
	require.NoError(t, history.Err(history.CreationOrder(got)))
	require.Less(t, slowest, 3*time.Second)
}
