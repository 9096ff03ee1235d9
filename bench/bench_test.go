// Package bench holds Go benchmarks of this client beside others, in the scenarios of
// cmd/tso-compare and measured by the same code:
//
//	go test -bench . -count 10 | tee new.txt && benchstat -col /impl new.txt
//	go test -bench '/^closed$/^impl=(tso|upstream)$/^callers=64$'
//
// Go runs a benchmark -count times before it goes on to the next. Where the machine
// drifts, tso-compare, which has the clients take turns, tells more.
package bench

import (
	"context"
	"flag"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tsoring/tso/bench/internal/result"
	"github.com/tsoring/tso/bench/internal/scenario"
	"github.com/tsoring/tso/bench/internal/site"
)

// sites are opened when a benchmark needs them, and stay open: a client of PD's takes
// 5 s to open, and a benchmark is run several times to find out how long it takes.
var sites = struct {
	sync.Mutex
	open map[scenario.Site]*site.Site // guarded by the lock
}{open: make(map[scenario.Site]*site.Site)}

var standIn = flag.Bool("stand-in", false, "measure everything on an imitation of PD")

func TestMain(m *testing.M) {
	isChild, err := site.RunChild()
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	case isChild:
		return
	}
	code := m.Run()
	for _, s := range sites.open {
		s.Close()
	}
	os.Exit(code)
}

func siteOf(ctx context.Context, where scenario.Site) (*site.Site, error) {
	sites.Lock()
	defer sites.Unlock()
	if s := sites.open[where]; s != nil {
		return s, nil
	}
	s, err := site.Lab{NoPD: *standIn}.Open(ctx, where)
	if err == nil {
		sites.open[where] = s
	}
	return s, err
}

// Benchmark runs the scenarios as group/impl=client/callers=n.
func Benchmark(b *testing.B) {
	groups := map[string][]scenario.Scenario{}
	var order []string
	for _, s := range scenario.Long() {
		if s.Idle {
			continue // nothing happens in it
		}
		if groups[s.Group] == nil {
			order = append(order, s.Group)
		}
		groups[s.Group] = append(groups[s.Group], s)
	}
	for _, group := range order {
		b.Run(group, func(b *testing.B) { benchmarkGroup(b, groups[group]) })
	}
}

func benchmarkGroup(b *testing.B, scenarios []scenario.Scenario) {
	for _, r := range rivalsOf(scenarios) {
		b.Run("impl="+r.Name, func(b *testing.B) {
			for _, s := range scenarios {
				for _, other := range s.Rivals {
					if other == r {
						b.Run(s.Params, func(b *testing.B) { benchmark(b, s, r) })
					}
				}
			}
		})
	}
}

// rivalsOf returns the rivals of all scenarios, but for nobody, who never comes to b.N
// calls.
func rivalsOf(scenarios []scenario.Scenario) []scenario.Rival {
	seen := map[scenario.Rival]bool{scenario.Nobody: true}
	var all []scenario.Rival
	for _, s := range scenarios {
		for _, r := range s.Rivals {
			if !seen[r] {
				seen[r], all = true, append(all, r)
			}
		}
	}
	return all
}

func benchmark(b *testing.B, s scenario.Scenario, r scenario.Rival) {
	b.StopTimer()
	at, err := siteOf(b.Context(), s.Site)
	require.NoError(b, err)
	client, err := at.Client(b.Context(), r)
	require.NoError(b, err)
	var rtt time.Duration
	if s.ThinkRTT {
		rtt, err = at.RTT(b.Context())
		require.NoError(b, err)
	}
	b.StartTimer()
	m, err := scenario.Measure(b.Context(), s, r, client, rtt, scenario.Extent{Calls: b.N})
	b.StopTimer()
	require.NoError(b, err)
	require.Zero(b, m.Errors)
	report(b, s, m)
}

// report reports what benchstat can compare. Time per call is that of the measurement,
// without what comes before and after it.
func report(b *testing.B, s scenario.Scenario, m result.Result) {
	b.ReportMetric(m.NsPerOp, "ns/op")
	b.ReportMetric(m.CPUPerOp, "cpu-ns/op")
	b.ReportAllocs()
	b.ReportMetric(m.AllocsOp, "allocs/op") // instead of what Go has counted: it would count the preparations
	b.ReportMetric(m.BytesPerOp, "B/op")
	if s.Queue {
		return
	}
	b.ReportMetric(m.P50, "p50-ns")
	b.ReportMetric(m.P99, "p99-ns")
	b.ReportMetric(m.P999, "p999-ns")
	b.ReportMetric(m.RPCsPerOp, "rpcs/op")
	if m.RTT > 0 {
		b.ReportMetric(m.Mean/m.RTT, "mean/rtt")
	}
	if s.Busy > 0 {
		b.ReportMetric(m.Work, "work-procs")
	}
}
