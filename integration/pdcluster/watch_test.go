package pdcluster

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
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

// The gap that a watch sees is the time without a leader; not more, because members
// are asked while they do not answer.
func TestWatch_SeesWhenTheClusterServes(t *testing.T) {
	c, ctx := startTimed(t, Config{Members: 3, Fast: true, Paths: true})
	began := time.Now()
	clock := func() int64 { return int64(time.Since(began)) }
	w, err := c.Watch("", 5*time.Millisecond, clock)
	require.NoError(t, err)
	defer w.Stop()
	require.Eventually(t, func() bool { return clock() > int64(500*time.Millisecond) && w.Last() > 0 }, 20*time.Second, time.Millisecond)
	quiet := clock()
	leader, err := c.WaitLeader(ctx)
	require.NoError(t, err)
	leader.Path.Hold() // which is nothing to a watch
	require.Eventually(t, func() bool { return clock() > quiet+int64(500*time.Millisecond) }, 20*time.Second, time.Millisecond)

	hit := clock()
	require.NoError(t, leader.Freeze())
	_, err = c.WaitOtherLeader(ctx, leader)
	require.NoError(t, err)
	served := clock()
	require.NoError(t, leader.Thaw())
	require.Eventually(t, func() bool { return w.Last() > served }, 20*time.Second, time.Millisecond)
	times := w.Stop()
	require.IsIncreasing(t, times)
	require.Less(t, longestGap(times[:firstAfter(times, hit)], 0), time.Second, "before the fault")
	gap := longestGap(times, hit)
	t.Logf("%d answers, without a fault %v apart at most; gap %v, another leader seen after %v",
		len(times), longestGap(times[:firstAfter(times, hit)], 0), gap, time.Duration(served-hit))
	require.Greater(t, gap, 500*time.Millisecond)
	require.Less(t, gap, time.Duration(served-hit)+100*time.Millisecond)
}

func firstAfter(times []int64, from int64) int {
	for i, at := range times {
		if at > from {
			return i
		}
	}
	return len(times)
}
