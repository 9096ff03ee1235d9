package report

import (
	"image"
	_ "image/png" // registers the format
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tsoring/tso/bench/internal/load"
	"github.com/tsoring/tso/bench/internal/result"
	"github.com/tsoring/tso/bench/internal/scenario"
)

// made returns results of every scenario, in which ours is quicker by a factor.
func made(factor float64) []result.Result {
	var all []result.Result
	for _, s := range scenario.Long() {
		for i, r := range s.Rivals {
			ns := 1e5 * factor
			if r.Client != "tso" {
				ns = 1e5 * float64(i+1)
			}
			one := result.Result{
				Scenario: s.Name(), Rival: r.Name, Round: 1, Calls: 1000, NsPerOp: ns, Mean: ns, P50: ns, P99: 3 * ns,
				P999: 5 * ns, CPUPerOp: ns / 2, RPCsPerSec: 100, RPCsPerOp: 1, RTT: 1e5, Work: 1.5,
			}
			for j := range load.Quantiles {
				one.Curve = append(one.Curve, int64(ns*(1+float64(j))))
			}
			all = append(all, one)
		}
	}
	return all
}

func verdictOf(t *testing.T, all []verdict, words string) verdict {
	t.Helper()
	for _, v := range all {
		if v.Words == words {
			return v
		}
	}
	require.Fail(t, "no such target", words)
	return verdict{}
}

func TestJudge(t *testing.T) {
	const words = "throughput, 64 callers"
	require.Equal(t, verdict{words, "≥ 1.40x", "2.00x", met}, verdictOf(t, judge(made(1)), words))
	require.Equal(t, verdict{words, "≥ 1.40x", "1.00x", missed}, verdictOf(t, judge(made(2)), words))
	require.Equal(t, verdict{words, "≥ 1.40x", "-", notMeasured}, verdictOf(t, judge(nil), words))
	const atMost = "p99, 64 callers"
	require.Equal(t, verdict{atMost, "≤ 0.700x", "0.500x", met}, verdictOf(t, judge(made(1)), atMost))
	require.Equal(t, verdict{atMost, "≤ 0.700x", "1.00x", missed}, verdictOf(t, judge(made(2)), atMost))
}

// A scenario that is renamed must not take its target away with it.
func TestTargets_AreAllMeasuredByTheLongSet(t *testing.T) {
	for _, v := range judge(made(1)) {
		require.NotEqual(t, notMeasured, v.Verdict, v.Words)
	}
}

func TestWrite_PageAndPictures(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	file := result.File{Header: result.NewHeader("tso-compare <all>"), Results: made(1)}
	require.NoError(t, Write(dir, scenario.Long(), file))
	pngs, err := filepath.Glob(filepath.Join(dir, "*.png"))
	require.NoError(t, err)
	require.Len(t, pngs, len(curves)+2+len(distributions))
	for _, name := range pngs {
		f, err := os.Open(name)
		require.NoError(t, err)
		config, _, err := image.DecodeConfig(f)
		require.NoError(t, err)
		require.NoError(t, f.Close())
		require.Greater(t, config.Width, 600)
	}
	page, err := os.ReadFile(filepath.Join(dir, "report.html"))
	require.NoError(t, err)
	contains := func(text string) bool { return strings.Contains(string(page), text) }
	for _, s := range scenario.Long() {
		require.True(t, contains("<h3>"+s.Name()), s.Name())
	}
	require.Equal(t, len(pngs), strings.Count(string(page), "data:image/png;base64,"))
	require.True(t, contains("tso-compare &lt;all&gt;"))
	require.False(t, contains(">NaN"))
	require.False(t, contains("ZgotmplZ"), "what the template has refused")
	require.FileExists(t, filepath.Join(dir, "results.json"))
}

func TestWrite_OfFewResults(t *testing.T) {
	for name, results := range map[string][]result.Result{"none": nil, "one": made(1)[:1]} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, Write(t.TempDir(), scenario.Long(), result.File{Results: results}))
		})
	}
}
