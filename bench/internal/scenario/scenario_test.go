package scenario

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tsoring/tso/bench/internal/impl"
	"github.com/tsoring/tso/bench/internal/load"
	"github.com/tsoring/tso/tsotest"
)

func TestLong_NamesAreUniqueAndOursComesFirst(t *testing.T) {
	seen := map[string]bool{}
	sites := []Site{}
	for _, s := range Long() {
		require.False(t, seen[s.Name()], s.Name())
		seen[s.Name()] = true
		require.True(t, strings.HasPrefix(s.Rivals[0].Name, impl.TSO))
		if n := len(sites); n == 0 || sites[n-1] != s.Site {
			sites = append(sites, s.Site)
		}
		rivals := map[string]bool{}
		for _, r := range s.Rivals {
			require.False(t, rivals[r.Name], r.Name)
			rivals[r.Name] = true
			require.False(t, r.Client == impl.Bare && s.Callers > 1, "more callers only wait in line")
		}
	}
	require.Len(t, sites, 4, "each site is opened once")
}

func TestShort_IsAPartOfLong(t *testing.T) {
	short := Short()
	require.Less(t, len(short), len(Long()))
	for _, s := range short {
		require.NotContains(t, s.Rivals, Upstream4)
		require.Contains(t, s.Rivals, Upstream)
	}
}

func TestLong_IsNotTouchedByShort(t *testing.T) {
	before := Long()
	Short()
	require.Equal(t, before, Long())
}

func TestCustom(t *testing.T) {
	all := Custom([]int{1, 64}, []int{0, 8})
	var names []string
	for _, s := range all {
		names = append(names, s.Name())
	}
	require.Equal(t, []string{
		"closed/callers=1", "closed/callers=64", "busy/callers=1/workers=8", "busy/callers=64/workers=8",
	}, names)
}

func openTSO(t *testing.T, opts ...tsotest.Option) (impl.Client, *tsotest.Server) {
	t.Helper()
	server := tsotest.New(t, opts...)
	client, err := impl.Open(t.Context(), impl.TSO, impl.Config{Addrs: server.URLs()})
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return client, server
}

func TestMeasure_ForATimeOrForSoManyCalls(t *testing.T) {
	client, _ := openTSO(t)
	for name, s := range map[string]Scenario{
		"closed":  {Callers: 3},
		"futures": {Callers: 2, Window: 5},
		"open":    {Callers: 8, Pace: load.Pace{Rate: 2000}},
		"every":   {Callers: 2, Pace: load.Pace{Every: time.Millisecond}},
		"think":   {Callers: 4, ThinkRTT: true},
		"busy":    {Callers: 2, Busy: 2},
		"tasks":   {Callers: 2, Busy: 2, Share: 0.5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s.Group = name
			for _, extent := range []Extent{{WarmUp: time.Millisecond, Duration: time.Second}, {Calls: 50}} {
				r, err := Measure(t.Context(), s, TSO, client, time.Millisecond, extent)
				require.NoError(t, err)
				require.Equal(t, name, r.Scenario)
				require.Positive(t, r.Calls)
				require.GreaterOrEqual(t, r.Calls, int64(extent.Calls))
				require.LessOrEqual(t, r.P50, r.P99)
				require.LessOrEqual(t, r.P99, r.P999)
				require.Positive(t, r.CPUPerOp)
				require.Positive(t, r.RPCsPerOp)
				require.Len(t, r.Curve, len(load.Quantiles))
				require.Equal(t, s.Busy > 0, r.Work > 0)
			}
		})
	}
}

func TestMeasure_Queues(t *testing.T) {
	for _, r := range []Rival{Ring, Channel} {
		for _, extent := range []Extent{{Duration: 50 * time.Millisecond}, {Calls: 1000}} {
			measured, err := Measure(t.Context(), Scenario{Callers: 3, Queue: true}, r, nil, 0, extent)
			require.NoError(t, err)
			require.GreaterOrEqual(t, measured.Calls, int64(max(extent.Calls, 1)))
		}
	}
}

func TestMeasure_LocalCallsEachLocation(t *testing.T) {
	client, server := openTSO(t, tsotest.WithMembers(Locations), tsotest.WithDCs("dc-1", "dc-2", "dc-3"))
	_, err := Measure(t.Context(), Scenario{Callers: 3}, TSOLocal, client, 0, Extent{Calls: 3})
	require.NoError(t, err)
	for _, dc := range []string{"dc-1", "dc-2", "dc-3"} {
		require.NotZero(t, server.Stats().Largest[dc])
	}
}

func TestMeasure_BatchesCountEachTimestamp(t *testing.T) {
	client, _ := openTSO(t)
	r, err := Measure(t.Context(), Scenario{Callers: 2, Window: 5}, TSOBatch, client, 0, Extent{Calls: 50_000})
	require.NoError(t, err)
	require.EqualValues(t, 60_000, r.Calls, "three batches of each caller")
	require.InDelta(t, 1e-4, r.RPCsPerOp, 1e-9)
}

func TestMeasure_NobodyLeavesTheWorkers(t *testing.T) {
	r, err := Measure(t.Context(), Scenario{Callers: 3, Busy: 1}, Nobody, nil, 0, Extent{Duration: 20 * time.Millisecond})
	require.NoError(t, err)
	require.Zero(t, r.Calls)
	require.Positive(t, r.Work)
}

func TestMeasure_NoTimestampIsAnError(t *testing.T) {
	client, server := openTSO(t)
	require.NoError(t, server.Hold())
	defer func() { require.NoError(t, server.Release()) }()
	s := Scenario{Group: "held", Callers: 1}
	r := TSOCancelable // so that the call ends with the measurement
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	time.AfterFunc(50*time.Millisecond, func() { client.Close() })
	_, err := Measure(ctx, s, r, client, 0, Extent{Duration: 100 * time.Millisecond})
	require.ErrorIs(t, err, ErrNoTimestamp)
	require.True(t, strings.HasPrefix(err.Error(), "held, tso+cancel"), err)
}

func TestRTT(t *testing.T) {
	client, server := openTSO(t)
	require.NoError(t, server.SetLatency(2*time.Millisecond))
	rtt, err := RTT(t.Context(), client)
	require.NoError(t, err)
	require.GreaterOrEqual(t, rtt, 2*time.Millisecond)
}
