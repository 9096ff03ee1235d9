package integration_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tsoring/tso/integration/pdcluster"
)

// Members are replaced one by one, the leader among them, until none is left of those
// that the client was told of. The leader hands over before it is removed: a cluster of
// this PD whose leader is removed in office is sometimes left without one for good.
func TestMembersAreReplacedUnderLoad(t *testing.T) {
	cluster := pdcluster.StartT(t, pdcluster.Config{Members: 3, Fast: true})
	client := connect(t, cluster.ClientURLs(), plain)
	l := newLoad(withoutEnd)
	l.callers(16, client, global)
	l.futures(2, 8, client, global)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for _, old := range cluster.Members() {
		joined, err := cluster.Join(ctx)
		require.NoError(t, err)
		leader, err := cluster.WaitLeader(ctx)
		require.NoError(t, err)
		if leader == old {
			require.NoError(t, cluster.TransferLeader(ctx, joined.Name))
			_, err = cluster.WaitOtherLeader(ctx, old)
			require.NoError(t, err)
		}
		require.NoError(t, cluster.Remove(ctx, old))
		leader, err = cluster.WaitLeader(ctx)
		require.NoError(t, err)
		served := l.recorder.Now()
		require.Eventually(t, func() bool { return client.GetLeaderAddr() == leader.AdvertiseURL },
			10*time.Second, 10*time.Millisecond, "%s has joined, %s is gone, %s leads: the client does not know",
			joined.Name, old.Name, leader.Name)
		require.Less(t, l.recorder.Now()-served, int64(10*time.Second))
	}
	r := l.finish()
	end := l.recorder.Now()
	t.Logf("%d calls, the longest %v", len(r.calls), r.longest(0, end))
	r.requireClean(t)
	require.Less(t, r.longest(0, end), 10*time.Second)
}
