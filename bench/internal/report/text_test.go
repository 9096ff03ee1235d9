package report

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tsoring/tso/bench/internal/result"
	"github.com/tsoring/tso/bench/internal/scenario"
)

func TestText(t *testing.T) {
	scenarios := scenario.Custom([]int{1}, []int{0, 8})
	r := result.Result{Round: 1, Calls: 1, P50: 91_000, P99: 1.5e6, P999: 2e6, CPUPerOp: 600, AllocsOp: 0.5, BytesPerOp: 20, RPCsPerSec: 10_000, RPCsPerOp: 0.06}
	var results []result.Result
	for n := range scenarios {
		s := &scenarios[n]
		s.Rivals = []scenario.Rival{scenario.TSO, scenario.Bare}
		for i, rival := range s.Rivals {
			r.Scenario, r.Rival, r.NsPerOp, r.Work = s.Name(), rival.Name, float64(1000*(i+1)), float64(s.Busy)/5
			results = append(results, r)
		}
	}
	require.Equal(t, strings.TrimSpace(`
closed/callers=1, on PD
client     ns/op       p50       p99     p99.9   CPU/ts   allocs/op    B/op    RPC/s   RPC/ts
────────────────────────────────────────────────────────────────────────────────────────────────
tso        1,000   91.0 µs   1.50 ms   2.00 ms   600 ns       0.500    20.0   10,000   0.0600
bare       2,000   91.0 µs   1.50 ms   2.00 ms   600 ns       0.500    20.0   10,000   0.0600
tso/bare   0.50x     1.00x     1.00x     1.00x    1.00x       1.00x   1.00x    1.00x    1.00x

busy/callers=1/workers=8, on PD
client     ns/op       p50       p99     p99.9   CPU/ts   allocs/op    B/op    RPC/s   RPC/ts    work
────────────────────────────────────────────────────────────────────────────────────────────────────────
tso        1,000   91.0 µs   1.50 ms   2.00 ms   600 ns       0.500    20.0   10,000   0.0600    1.60
bare       2,000   91.0 µs   1.50 ms   2.00 ms   600 ns       0.500    20.0   10,000   0.0600    1.60
tso/bare   0.50x     1.00x     1.00x     1.00x    1.00x       1.00x   1.00x    1.00x    1.00x   1.00x
`), strings.TrimSpace(Text(scenarios, results)))
}

func TestFailures_AreNamed(t *testing.T) {
	require.Empty(t, Failures([]result.Result{{Rival: "tso"}}))
	require.Equal(t, "tso: 5 calls FAILED\n", Failures([]result.Result{{Rival: "tso", Errors: 2}, {Rival: "bare"}, {Rival: "tso", Errors: 3}}))
}
