package report

import (
	"fmt"

	"github.com/tsoring/tso/bench/internal/result"
)

// noise is what two runs of the same thing differ by: a target of "no worse" is met
// within it.
const noise = 0.03

// targets are those of this client, as ratios to PD's own client unless they say
// something else.
func targets() []target {
	var all []target
	for _, part := range [][]target{loops(), costs(), distance(), busyTargets(), rest()} {
		all = append(all, part...)
	}
	return all
}

// loops are about callers that call again at once.
func loops() []target {
	var all []target
	for _, t := range []struct {
		callers                int
		throughput, tail, cost float64
	}{{64, 1.4, 0.7, 0.65}, {512, 2.5, 0.4, 0.35}, {4096, 4, 0.5, 0.3}} {
		name := fmt.Sprintf("closed/callers=%d", t.callers)
		all = append(all,
			target{fmt.Sprintf("throughput, %d callers", t.callers), t.throughput, true, "x", inverse(name, "tso", "upstream", nsPerOp)},
			target{fmt.Sprintf("p99, %d callers", t.callers), t.tail, false, "x", ratio(name, "tso", "upstream", p99)},
			target{fmt.Sprintf("processor time per timestamp, %d callers", t.callers), t.cost, false, "x", ratio(name, "tso", "upstream", cpu)},
		)
	}
	return append(all,
		target{"p50 of one caller, to a bare gRPC stream", 0.92, false, "x", ratio("closed/callers=1", "tso", "bare", p50)},
		target{"timestamps a second, one goroutine with 1,000 futures", 3, true, "x", inverse("futures/callers=1/window=1000", "tso", "upstream", nsPerOp)},
	)
}

// costs are about memory. The runtime counts all allocations, those of gRPC included.
func costs() []target {
	return []target{
		{"allocations per call, one caller", 12, false, "", plain("closed/callers=1", allocs)},
		{"allocations per call, 64 callers (Go reports less than 1 as 0)", 0.99, false, "", plain("closed/callers=64", allocs)},
		{"allocated bytes per call, 64 callers", 16, false, "", plain("closed/callers=64", bytesOp)},
		{"allocated bytes per call, 512 callers", 4, false, "", plain("closed/callers=512", bytesOp)},
		{"allocated bytes per call, 4,096 callers", 4, false, "", plain("closed/callers=4096", bytesOp)},
	}
}

// distance is about a PD that is some milliseconds away.
func distance() []target {
	return []target{
		{"mean latency in round trips, PD far, 64 callers that pause", 1.12, false, "", plain("far/callers=64", meanRTTs)},
		{"requests to PD for that", 4, false, "x", ratio("far/callers=64", "tso", "upstream", rpcs)},
		{"p50, PD far, one caller beside 8 busy goroutines", 0.4, false, "x", ratio("far-busy/callers=1/workers=8", "tso", "upstream", p50)},
		{"p50, PD far, one caller beside 32 busy goroutines", 0.5, false, "x", ratio("far-busy/callers=1/workers=32", "tso", "upstream", p50)},
	}
}

// busyTargets are about processes that have more work than processors, and about what
// being ready for that costs elsewhere.
func busyTargets() []target {
	var all []target
	for _, t := range []struct {
		workers int
		most    float64
	}{{2, 1.0 / 20}, {8, 1.0 / 15}, {32, 1.0 / 4}} {
		name := fmt.Sprintf("busy/callers=1/workers=%d", t.workers)
		all = append(all, target{
			fmt.Sprintf("p50, one caller beside %d busy goroutines", t.workers), t.most, false, "x",
			ratio(name, "tso", "upstream", p50),
		})
	}
	all = append(all,
		target{"p50, 64 callers beside 8 busy goroutines", 1.0 / 15, false, "x", ratio("busy/callers=64/workers=8", "tso", "upstream", p50)},
		target{"p99, 64 callers beside 8 busy goroutines", 1.0 / 8, false, "x", ratio("busy/callers=64/workers=8", "tso", "upstream", p99)},
		target{"work left to 8 busy goroutines, a call every 2 ms", 1 - noise, true, "x", ratio("paced/callers=1/workers=8", "tso", "upstream", work)},
	)
	for _, callers := range []int{1, 64} {
		name := fmt.Sprintf("closed/callers=%d", callers)
		all = append(all,
			target{
				fmt.Sprintf("p50 in an idle process, to the same client on plain connections, callers: %d", callers), 1 + noise, false, "x",
				ratio(name, "tso", "tso-plain", p50),
			},
			target{
				fmt.Sprintf("processor time per timestamp there, callers: %d", callers), 1 + noise, false, "x",
				ratio(name, "tso", "tso-plain", cpu),
			})
	}
	return all
}

func rest() []target {
	all := []target{
		{"idle client: wake-ups a second beyond those of a process without one", 1, false, "", beyond("idle", "nobody", func(r result.Result) float64 { return r.WakeUps })},
		{"idle client: processor time beyond that, in per mille of a processor", 1, false, "", beyond("idle", "nobody", func(r result.Result) float64 { return 1000 * r.CPUShare })},
	}
	for _, callers := range []int{1, 64, 512} {
		all = append(all, target{
			fmt.Sprintf("time per call with a cancellable context, to Background, callers: %d", callers), 1.1, false, "x",
			ratio(fmt.Sprintf("context/callers=%d", callers), "tso+cancel", "tso", nsPerOp),
		})
	}
	for _, producers := range []int{1, 8, 64} {
		all = append(all, target{
			fmt.Sprintf("operations a second of the ring, to a channel as large, producers: %d", producers), 3, true, "x",
			inverse(fmt.Sprintf("ring/producers=%d", producers), "tso-ring", "channel", nsPerOp),
		})
	}
	return all
}
