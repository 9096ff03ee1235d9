package result

import (
	"math"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tsoring/tso/bench/internal/impl"
	"github.com/tsoring/tso/bench/internal/load"
)

func nsPerOp(r Result) float64 { return r.NsPerOp }

func TestMedian(t *testing.T) {
	require.Equal(t, 2.0, Median([]float64{3, 1, 2}))
	require.Equal(t, 2.5, Median([]float64{4, 1, 2, 3}))
	require.True(t, math.IsNaN(Median(nil)))
}

func TestRatio_IsTakenWithinARound(t *testing.T) {
	// The machine is ten times slower in the second round. The ratio of the
	// medians, 20/100, would tell of the machine.
	all := []Result{
		{Rival: "a", Round: 3, NsPerOp: 10}, {Rival: "a", Round: 1, NsPerOp: 20}, {Rival: "a", Round: 2, NsPerOp: 500},
		{Rival: "b", Round: 1, NsPerOp: 40}, {Rival: "b", Round: 2, NsPerOp: 1000}, {Rival: "b", Round: 3, NsPerOp: 100},
	}
	ours, theirs := Select(all, "", "a"), Select(all, "", "b")
	require.Equal(t, 20.0, ours.Median(nsPerOp))
	require.Equal(t, 0.5, ours.Ratio(theirs, nsPerOp))
	require.True(t, math.IsNaN(ours.Ratio(nil, nsPerOp)))
}

func TestCurve_IsTheMedianAtEachQuantile(t *testing.T) {
	c := Cell{{Curve: []int64{1, 9}}, {Curve: []int64{2, 7}}, {Curve: []int64{3, 8}}}
	require.Equal(t, []float64{2, 8}, c.Curve())
	require.Empty(t, Cell{}.Curve())
}

func TestNew_DividesByCalls(t *testing.T) {
	m := &load.Reading{
		Usage: load.Usage{Wall: time.Second, CPU: 500 * time.Millisecond, Mallocs: 4000, Bytes: 30},
		Stats: impl.Stats{RPCs: 250},
	}
	require.Equal(t, Result{Work: 1.5}, New(m, 1.5e9), "no calls, no ratios")
	m.Calls = 1000
	r := New(m, 1.5e9)
	require.Equal(t, 1e6, r.NsPerOp)
	require.Equal(t, 5e5, r.CPUPerOp)
	require.Equal(t, 4.0, r.AllocsOp)
	require.Equal(t, 0.03, r.BytesPerOp)
	require.Equal(t, 250.0, r.RPCsPerSec)
	require.Equal(t, 0.25, r.RPCsPerOp)
}

func TestDigits(t *testing.T) {
	for x, want := range map[float64]float64{0: 0, 1.0 / 3: 0.33333, 123456.7: 123457, 12.34567: 12.346, 0.0001234567: 0.00012346} {
		require.Equal(t, want, digits(x))
	}
}

func TestFile_ReadsWhatItWrites(t *testing.T) {
	name := filepath.Join(t.TempDir(), "results.json")
	f := File{Header: NewHeader("tso-compare --set=short"), Results: []Result{{Scenario: "a", Calls: 1}, {Scenario: "b", Curve: []int64{1, 2}}}}
	require.NoError(t, f.Write(name))
	got, err := Read(name)
	require.NoError(t, err)
	require.Equal(t, f, got)
	require.NotEmpty(t, f.Header.CPU)
	require.Contains(t, f.Header.Machine(), f.Header.Go)
	_, err = Read(name + ".none")
	require.Error(t, err)
}
