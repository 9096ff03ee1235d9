// Package result is what comes out of measurements: single ones, their medians, and
// their ratios, which are taken within a round.
package result

import (
	"math"
	"slices"

	"github.com/tsoring/tso/bench/internal/load"
)

// Result is one measurement: a client in a scenario, in one round.
type Result struct {
	Scenario string `json:"scenario"`
	Rival    string `json:"rival"`
	Round    int    `json:"round"`

	Calls      int64   `json:"calls"`
	Errors     int64   `json:"errors,omitempty"`
	NsPerOp    float64 `json:"ns_per_op"`
	Mean       float64 `json:"mean_ns"`
	P50        float64 `json:"p50_ns"`
	P99        float64 `json:"p99_ns"`
	P999       float64 `json:"p999_ns"`
	CPUPerOp   float64 `json:"cpu_ns_per_op"`
	AllocsOp   float64 `json:"allocs_per_op"`
	BytesPerOp float64 `json:"bytes_per_op"`
	RPCsPerSec float64 `json:"rpcs_per_s"`
	RPCsPerOp  float64 `json:"rpcs_per_op"`
	// Work is how many processors' worth of work the workers beside have done.
	Work float64 `json:"work,omitempty"`
	// RTT is what a round trip took right before, with nothing around it.
	RTT float64 `json:"rtt_ns,omitempty"`
	// CPUShare and WakeUps are those of a process that does nothing else: the share
	// of a processor, and how often a second a thread was woken.
	CPUShare float64 `json:"cpu_share,omitempty"`
	WakeUps  float64 `json:"wake_ups_per_s,omitempty"`
	// Curve are the latencies at the quantiles of load.Quantiles, in ns.
	Curve []int64 `json:"curve_ns,omitempty"`
}

// New makes a Result of what a run has counted and of the work done beside it.
func New(m *load.Reading, work float64) Result {
	r := Result{Calls: m.Calls, Errors: m.Errors, Work: digits(work / float64(m.Wall))}
	if m.Calls == 0 {
		return r
	}
	n, latency := float64(m.Calls), m.Latency()
	r.NsPerOp = digits(float64(m.Wall) / n)
	r.Mean, r.P50 = float64(latency.Mean), float64(latency.P50)
	r.P99, r.P999 = float64(latency.P99), float64(latency.P999)
	r.CPUPerOp = digits(float64(m.CPU) / n)
	r.AllocsOp, r.BytesPerOp = digits(float64(m.Mallocs)/n), digits(float64(m.Bytes)/n)
	r.RPCsPerSec = digits(float64(m.Stats.RPCs) / m.Wall.Seconds())
	r.RPCsPerOp = digits(float64(m.Stats.RPCs) / n)
	return r
}

// digits keeps five digits, which is more than repeats itself: files stay small.
func digits(x float64) float64 {
	if x == 0 {
		return 0
	}
	unit := math.Pow(10, math.Floor(math.Log10(math.Abs(x)))-4)
	if unit >= 1 {
		return math.Round(x)
	}
	return math.Round(x/unit) / math.Round(1/unit)
}

// Cell are the results of one client in one scenario, by round.
type Cell []Result

// Select returns the cell of a client in a scenario.
func Select(all []Result, scenario, rival string) Cell {
	var c Cell
	for _, r := range all {
		if r.Scenario == scenario && r.Rival == rival {
			c = append(c, r)
		}
	}
	slices.SortFunc(c, func(a, b Result) int { return a.Round - b.Round })
	return c
}

// Median returns the median of a figure over the rounds.
func (c Cell) Median(figure func(Result) float64) float64 {
	values := make([]float64, len(c))
	for i, r := range c {
		values[i] = figure(r)
	}
	return Median(values)
}

// Ratio returns the median of a figure's ratio to another client's in the same
// round. A round that only one of them has does not count.
func (c Cell) Ratio(other Cell, figure func(Result) float64) float64 {
	var ratios []float64
	for i := range min(len(c), len(other)) {
		if divisor := figure(other[i]); divisor != 0 {
			ratios = append(ratios, figure(c[i])/divisor)
		}
	}
	return Median(ratios)
}

// Curve returns the median of each latency of the curve.
func (c Cell) Curve() []float64 {
	if len(c) == 0 {
		return nil
	}
	curve := make([]float64, len(c[0].Curve))
	for i := range curve {
		curve[i] = c.Median(func(r Result) float64 { return float64(r.Curve[i]) })
	}
	return curve
}

// Median returns the median, NaN of nothing.
func Median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}
