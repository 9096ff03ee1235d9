package integration_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tsoring/tso"
	"github.com/tsoring/tso/integration/pdcluster"
)

// A member queues what it passes on to another one, for all streams, and forgets what is in
// the queue when the stream that began it ends (dispatch in
// pkg/utils/tsoutil/tso_dispatcher.go). So a client that goes takes with it requests of
// others, whose streams then bring the answers of later requests, or none.
func TestRequestsThatAMemberHasLostOnTheWayToTheLeader(t *testing.T) {
	cluster := broken.use(t)
	requireServing(t, cluster)
	leader, err := cluster.WaitLeader(t.Context())
	require.NoError(t, err)
	leader.Path.Hold()
	t.Cleanup(leader.Path.Heal)

	var bad, renewed int64
	var longest time.Duration
	for range 10 {
		end := relayThroughAll(t, cluster, leader)
		client := connect(t, cluster.ClientURLs(), plain, tso.WithForwardingOption(true))
		l := newLoad(withoutEnd)
		l.callers(8, client, global)
		l.futures(2, 16, client, global)
		awaitCalls(t, client, 1000)
		streams := client.Stats().Streams
		gone := l.recorder.Now()
		end()
		awaitCalls(t, client, 1000)
		stats := client.Stats()
		bad, renewed = bad+stats.BadAnswers, renewed+stats.Streams-streams
		r := l.finish()
		client.Close()
		r.requireClean(t)
		longest = max(longest, r.longest(gone, l.recorder.Now()))
		require.Zero(t, stats.Fallbacks)
	}
	t.Logf("%d streams have been given up, %d of them for an answer that belonged to a later request; the longest call took %v", renewed, bad, longest)
	require.NotZero(t, renewed)
	require.Less(t, longest, time.Second)
}

// relayThroughAll begins the queues of all members that do not lead.
func relayThroughAll(t *testing.T, cluster *pdcluster.Cluster, leader *pdcluster.Member) (end func()) {
	t.Helper()
	var ends []func()
	for _, m := range cluster.Members() {
		if m == leader {
			continue
		}
		e, err := m.Relay(t.Context(), leader)
		require.NoError(t, err)
		ends = append(ends, e)
	}
	return func() {
		for _, e := range ends {
			e()
		}
	}
}

// awaitCalls waits until a client has served so many more calls.
func awaitCalls(t *testing.T, client tso.Client, n int64) {
	t.Helper()
	before := client.Stats().Timestamps
	require.Eventually(t, func() bool { return client.Stats().Timestamps >= before+n }, 10*time.Second, time.Millisecond)
}
