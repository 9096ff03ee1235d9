package load

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// exact returns the quantile of the values themselves.
func exact(sorted []time.Duration, quantile float64) time.Duration {
	return sorted[min(len(sorted)-1, int(quantile/100*float64(len(sorted))))]
}

func TestCounts_MergeOfShardsIsTheWhole(t *testing.T) {
	const callers, each = 100, 1000
	r := newRecorder(callers)
	all := make([]time.Duration, callers*each)
	var group sync.WaitGroup
	for caller := range callers {
		group.Go(func() {
			for i := range each {
				d := time.Duration(rand.ExpFloat64() * float64(time.Millisecond))
				all[caller*each+i] = d
				r.shard(caller).succeeded(d, 1, uint64(d))
			}
			r.shard(caller).failed()
		})
	}
	group.Wait()
	slices.Sort(all)

	var c Counts
	r.read(&c)
	require.EqualValues(t, callers*each, c.Calls)
	require.EqualValues(t, callers, c.Errors)
	require.NotZero(t, c.Last)
	l := c.Latency()
	for quantile, got := range map[float64]time.Duration{
		50: l.P50, 90: l.P90, 99: l.P99, 99.9: l.P999, 100: l.Max,
	} {
		require.InEpsilon(t, exact(all, quantile), got, 0.02, "p%v", quantile)
	}
	require.InEpsilon(t, time.Millisecond, l.Mean, 0.05)
}

func TestCounts_DiffIsWhatCameInBetween(t *testing.T) {
	r := newRecorder(1)
	var before, after, between Counts
	r.shard(0).succeeded(time.Hour, 1, 1)
	r.shard(0).failed()
	r.read(&before)
	r.shard(0).succeeded(time.Millisecond, 1, 7)
	r.read(&after)
	between.Diff(&after, &before)

	require.EqualValues(t, 1, between.Calls)
	require.Zero(t, between.Errors)
	require.EqualValues(t, 7, between.Last)
	require.InEpsilon(t, time.Millisecond, between.Latency().Max, 0.01)
	require.Equal(t, time.Millisecond, between.Latency().Mean)
}

func TestCounts_NothingHasNoLatency(t *testing.T) {
	var c Counts
	require.Zero(t, c.Latency())
}

func TestCounts_ReadingAllocatesNothing(t *testing.T) {
	r := newRecorder(4)
	r.shard(0).succeeded(time.Millisecond, 1, 1)
	var before, after, between Counts
	between.Latency() // nothing yet
	r.read(&after)
	after.Latency() // makes the histogram
	between.Diff(&after, &before)
	between.Latency()
	require.Zero(t, testing.AllocsPerRun(10, func() {
		r.read(&after)
		between.Diff(&after, &before)
		between.Latency()
	}))
}
