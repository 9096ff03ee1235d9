package pdcluster

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tsoring/tso/tsotest"
)

// longestGap returns the longest time between two answers that ended after from.
func longestGap(times []int64, from int64) (longest time.Duration) {
	for i := 1; i < len(times); i++ {
		if times[i] > from {
			longest = max(longest, time.Duration(times[i]-times[i-1]))
		}
	}
	return longest
}

// The gap that a watch sees is the time without a leader: it goes past the paths, and
// what a frozen member does not answer holds up nobody else.
func TestWatch_SeesWhenTheClusterServes(t *testing.T) {
	c, ctx := startTimed(t, Config{Members: 3, Fast: true, Paths: true})
	began := time.Now()
	clock := func() int64 { return int64(time.Since(began)) }
	w, err := c.Watch("", 5*time.Millisecond, clock)
	require.NoError(t, err)
	defer w.Stop()
	answered := func(after int64) {
		t.Helper()
		require.Eventually(t, func() bool { return w.Last() > after }, time.Minute, time.Millisecond)
	}
	answered(int64(500 * time.Millisecond))
	leader, err := c.WaitLeader(ctx)
	require.NoError(t, err)
	leader.Path.Hold()
	answered(clock())

	hit := clock()
	require.NoError(t, leader.Freeze())
	_, err = c.WaitOtherLeader(ctx, leader)
	require.NoError(t, err)
	served := clock()
	answered(served)
	require.NoError(t, leader.Thaw())
	times := w.Stop()
	require.IsIncreasing(t, times)
	gap := longestGap(times, hit)
	t.Logf("%d answers, without a fault %v apart at most; gap %v, another leader seen after %v",
		len(times), longestGap(times[:firstAfter(times, hit)], 0), gap, time.Duration(served-hit))
	require.Greater(t, gap, 500*time.Millisecond)
}

// A new leader may sit on a question for a while, and answers one that comes later at
// once: a watch asks again meanwhile, and so its gap ends with the outage.
func TestWatch_AsksBesideAQuestionThatWaits(t *testing.T) {
	server := tsotest.New(t)
	server.Script(func(r tsotest.Request) tsotest.Reply { return tsotest.Reply{Hold: r.Total == 1} })
	c := &Cluster{}
	c.clusterID.Store(server.ClusterID())
	c.members = []*Member{{Server: Server{Name: "pd1", cluster: c}, ClientURL: server.URL(0)}}
	began := time.Now()
	w, err := c.Watch("", time.Millisecond, func() int64 { return int64(time.Since(began)) + 1 })
	require.NoError(t, err)
	defer w.Stop()
	require.Eventually(t, func() bool { return w.Last() > 0 }, time.Minute, time.Millisecond)
}

func firstAfter(times []int64, from int64) int {
	for i, at := range times {
		if at > from {
			return i
		}
	}
	return len(times)
}
