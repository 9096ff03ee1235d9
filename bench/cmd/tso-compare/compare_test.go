package main

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tsoring/tso/tsotest"
)

func TestMedian(t *testing.T) {
	require.Equal(t, 2.0, median([]float64{3, 1, 2}))
	require.Equal(t, 2.5, median([]float64{4, 1, 2, 3}))
	require.True(t, math.IsNaN(median(nil)))
}

func TestRatio_IsTakenWithinARound(t *testing.T) {
	// The machine is ten times slower in the second round. The ratio of the
	// medians, 20/100, would tell of the machine.
	ours := cell{{Round: 1, NsPerOp: 20}, {Round: 2, NsPerOp: 500}, {Round: 3, NsPerOp: 10}}
	theirs := cell{{Round: 1, NsPerOp: 40}, {Round: 2, NsPerOp: 1000}, {Round: 3, NsPerOp: 100}}
	require.Equal(t, 0.5, ours.ratio(theirs, columns[0].figure))
	require.True(t, math.IsNaN(ours.ratio(nil, columns[0].figure)))
}

func TestRender(t *testing.T) {
	cfg := config{impls: []string{"tso", "upstream", "bare"}, callers: []int{1, 4096}, busy: []int{0}}
	r := result{NsPerOp: 1000, P50: 91_000, P99: 1.5e6, CPUPerOp: 600, AllocsOp: 0.5, BytesPerOp: 20, RPCsPerSec: 10_000, PerRPC: 16.6, Work: 1.5}
	var results []result
	for _, s := range cfg.scenarios() {
		for i, name := range cfg.rivals(s) {
			r.Impl, r.scenario, r.Round, r.NsPerOp = name, s, 1, float64(1000*(i+1))
			results = append(results, r)
		}
	}
	require.Equal(t, strings.TrimSpace(`
callers   client         ns/op       p50       p99   CPU/ts   allocs/op    B/op    RPC/s   ts/RPC    work
────────────────────────────────────────────────────────────────────────────────────────────────────────────
      1   tso            1,000   91.0 µs   1.50 ms   600 ns       0.500    20.0   10,000     16.6    1.50
          upstream       2,000   91.0 µs   1.50 ms   600 ns       0.500    20.0   10,000     16.6    1.50
          bare           3,000   91.0 µs   1.50 ms   600 ns       0.500    20.0   10,000     16.6    1.50
          tso/upstream   0.50x     1.00x     1.00x    1.00x       1.00x   1.00x    1.00x    1.00x   1.00x
          tso/bare       0.33x     1.00x     1.00x    1.00x       1.00x   1.00x    1.00x    1.00x   1.00x
────────────────────────────────────────────────────────────────────────────────────────────────────────────
  4,096   tso            1,000   91.0 µs   1.50 ms   600 ns       0.500    20.0   10,000     16.6    1.50
          upstream       2,000   91.0 µs   1.50 ms   600 ns       0.500    20.0   10,000     16.6    1.50
          tso/upstream   0.50x     1.00x     1.00x    1.00x       1.00x   1.00x    1.00x    1.00x   1.00x
`), render(cfg, results))
}

func TestFailures_AreNamed(t *testing.T) {
	require.Empty(t, failures([]result{{Impl: "tso"}}))
	require.Equal(t, "tso: 5 calls FAILED\n", failures([]result{{Impl: "tso", Errors: 2}, {Impl: "bare"}, {Impl: "tso", Errors: 3}}))
}

func TestRun_MeasuresEachInEachRound(t *testing.T) {
	server := tsotest.New(t)
	file := filepath.Join(t.TempDir(), "results.json")
	var out, progress bytes.Buffer
	code := run(t.Context(), []string{
		"--pd=" + server.URL(0), "--impls=tso,bare", "--callers=1,8", "--busy=0,3", "--rounds=2", "--duration=100ms", "--warm-up=0", "--json=" + file,
	}, &out, &progress)
	require.Zero(t, code, progress.String())
	require.Contains(t, out.String(), "tso/bare")
	require.Contains(t, out.String(), "GOMAXPROCS")

	data, err := os.ReadFile(file)
	require.NoError(t, err)
	var written struct{ Results []result }
	require.NoError(t, json.Unmarshal(data, &written))
	require.Len(t, written.Results, 2*(2*2+2*1), "the bare stream has one caller")
	for _, r := range written.Results {
		require.Equal(t, r.Busy > 0, r.Work > 0)
		require.Positive(t, r.Calls)
		require.Zero(t, r.Errors)
		require.Positive(t, r.NsPerOp)
		require.Positive(t, r.P99)
		require.Positive(t, r.RPCsPerSec)
	}
}

func TestRun_InterruptedSaysSo(t *testing.T) {
	server := tsotest.New(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out bytes.Buffer
	progress := writerFunc(func(p []byte) (int, error) {
		cancel() // there is a first result
		return len(p), nil
	})
	code := run(ctx, []string{"--pd=" + server.URL(0), "--impls=tso,bare", "--callers=1", "--duration=10ms", "--warm-up=0"}, &out, progress)
	require.Equal(t, exitFailed, code)
	require.Contains(t, out.String(), "tso/bare")
}

// writerFunc is an io.Writer.
type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestParse_ErrorNamesTheCulprit(t *testing.T) {
	for want, arg := range map[string]string{
		"--callers":  "--callers=0",
		"--busy":     "--busy=-1",
		"--rounds":   "--rounds=0",
		"--duration": "--duration=0s",
		"twice":      "--impls=tso,tso",
		"choose one": "--impls=none",
		"not a flag": "stray",
	} {
		_, err := parse([]string{arg})
		require.ErrorContains(t, err, want)
	}
}
