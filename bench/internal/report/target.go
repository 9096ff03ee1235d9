package report

import (
	"fmt"
	"math"

	"github.com/tsoring/tso/bench/internal/result"
	"github.com/tsoring/tso/bench/internal/text"
)

// target is what this client shall reach, in a figure.
type target struct {
	words   string
	limit   float64
	atLeast bool // otherwise at most
	unit    string
	measure func(results []result.Result) float64 // NaN if it was not measured
}

// verdict is a target and what was measured.
type verdict struct {
	Words, Limit, Measured, Verdict string
}

// The verdicts.
const (
	met         = "met"
	missed      = "missed"
	notMeasured = "not measured"
)

func (t target) judge(results []result.Result) verdict {
	sign := "≤"
	if t.atLeast {
		sign = "≥"
	}
	v := verdict{
		Words: t.words, Limit: fmt.Sprintf("%s %s%s", sign, text.Digits(t.limit), t.unit),
		Measured: "-", Verdict: notMeasured,
	}
	x := t.measure(results)
	if math.IsNaN(x) {
		return v
	}
	v.Measured, v.Verdict = text.Digits(x)+t.unit, missed
	if t.atLeast && x >= t.limit || !t.atLeast && x <= t.limit {
		v.Verdict = met
	}
	return v
}

// judge holds results against all targets.
func judge(results []result.Result) []verdict {
	var all []verdict
	for _, t := range targets() {
		all = append(all, t.judge(results))
	}
	return all
}

// figure is a figure of a result.
type figure func(result.Result) float64

// The figures that targets are about.
var (
	nsPerOp  figure = func(r result.Result) float64 { return r.NsPerOp }
	p50      figure = func(r result.Result) float64 { return r.P50 }
	p99      figure = func(r result.Result) float64 { return r.P99 }
	cpu      figure = func(r result.Result) float64 { return r.CPUPerOp }
	allocs   figure = func(r result.Result) float64 { return r.AllocsOp }
	bytesOp  figure = func(r result.Result) float64 { return r.BytesPerOp }
	rpcs     figure = func(r result.Result) float64 { return r.RPCsPerSec }
	work     figure = func(r result.Result) float64 { return r.Work }
	meanRTTs figure = func(r result.Result) float64 { return quotient(r.Mean, r.RTT) }
)

// ratio is the ratio of a client's figure to another's.
func ratio(scenario, ours, theirs string, f figure) func([]result.Result) float64 {
	return func(all []result.Result) float64 {
		return result.Select(all, scenario, ours).Ratio(result.Select(all, scenario, theirs), f)
	}
}

// inverse is the ratio the other way round, for figures of which less is more.
func inverse(scenario, ours, theirs string, f figure) func([]result.Result) float64 {
	return ratio(scenario, theirs, ours, f)
}

// plain is a figure of ours.
func plain(scenario string, f figure) func([]result.Result) float64 {
	return func(all []result.Result) float64 { return result.Select(all, scenario, "tso").Median(f) }
}

// beyond is by how much a figure of ours exceeds another's.
func beyond(scenario, theirs string, f figure) func([]result.Result) float64 {
	return func(all []result.Result) float64 {
		return result.Select(all, scenario, "tso").Median(f) - result.Select(all, scenario, theirs).Median(f)
	}
}
