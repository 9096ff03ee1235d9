package site

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tsoring/tso/bench/internal/scenario"
)

func TestMain(m *testing.M) {
	isChild, err := RunChild()
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	case !isChild:
		os.Exit(m.Run())
	}
}

func openSite(t *testing.T, lab Lab, where scenario.Site) *Site {
	t.Helper()
	s, err := lab.Open(t.Context(), where)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}

func TestOpen_StandInsForEverySite(t *testing.T) {
	t.Parallel()
	for _, where := range []scenario.Site{scenario.Near, scenario.Far, scenario.Fake, scenario.FakeDCs} {
		t.Run(string(where), func(t *testing.T) {
			t.Parallel()
			s := openSite(t, Lab{NoPD: true}, where)
			rtt, err := s.RTT(t.Context())
			require.NoError(t, err)
			if where == scenario.Far {
				require.GreaterOrEqual(t, rtt, scenario.FarDelay)
			}
			require.Positive(t, rtt)
			client, err := s.Client(t.Context(), scenario.Nobody)
			require.NoError(t, err)
			require.Nil(t, client)
		})
	}
}

func TestOpen_RealPDThroughTheDelayingPath(t *testing.T) {
	t.Parallel()
	s := openSite(t, Lab{}, scenario.Far)
	rtt, err := s.RTT(t.Context())
	require.NoError(t, err)
	require.GreaterOrEqual(t, rtt, 2*scenario.FarDelay)
	// A client that has found the members by itself goes through the path, too.
	client, err := s.Client(t.Context(), scenario.TSO)
	require.NoError(t, err)
	began := time.Now()
	_, _, err = client.GetTS(t.Context())
	require.NoError(t, err)
	require.GreaterOrEqual(t, time.Since(began), 2*scenario.FarDelay)
}

func TestOpen_NoDistanceBeforeAPDThatIsThere(t *testing.T) {
	t.Parallel()
	_, err := Lab{PD: []string{"127.0.0.1:1"}}.Open(t.Context(), scenario.Far)
	require.ErrorIs(t, err, ErrNoSite)
	s := openSite(t, Lab{PD: []string{"127.0.0.1:1"}}, scenario.Near)
	require.Equal(t, []string{"127.0.0.1:1"}, s.Addrs())
}

func TestIdle_MeasuresAProcessOfItsOwn(t *testing.T) {
	t.Parallel()
	s := openSite(t, Lab{NoPD: true}, scenario.Near)
	what := scenario.Scenario{Group: "idle", Idle: true, Rivals: []scenario.Rival{scenario.TSO, scenario.Nobody}}
	results, err := s.Idle(t.Context(), what, 200*time.Millisecond)
	require.NoError(t, err)
	require.Len(t, results, 2)
	for i, r := range results {
		require.Equal(t, "idle", r.Scenario)
		require.Equal(t, what.Rivals[i].Name, r.Rival)
		require.Less(t, r.CPUShare, 1.0)
	}
}
