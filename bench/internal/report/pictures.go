package report

import (
	"fmt"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"

	"github.com/tsoring/tso/bench/internal/impl"
	"github.com/tsoring/tso/bench/internal/load"
	"github.com/tsoring/tso/bench/internal/result"
)

// picture is one of the report's.
type picture struct {
	Name, Caption string
	PNG           []byte
}

// pictures draws those for which there are results.
func pictures(results []result.Result) ([]picture, error) {
	var all []picture
	draw := func(name, caption string, p *plot.Plot, err error) error {
		if err != nil || p == nil {
			return err
		}
		data, err := encode(p)
		all = append(all, picture{name, caption, data})
		return err
	}
	for _, c := range curves {
		p, err := overCallers(c, results)
		if err := draw(c.name, c.caption, p, err); err != nil {
			return nil, err
		}
	}
	for _, callers := range []int{1, 64} {
		p, err := overWorkers(callers, results)
		caption := "Beside goroutines that always have work, in slices of 50 µs. Solid: p50; dashed: p99."
		if err := draw(fmt.Sprintf("busy-%d", callers), caption, p, err); err != nil {
			return nil, err
		}
	}
	for _, d := range distributions {
		p, err := distribution(d.scenario, d.title, results)
		caption := "Median of the rounds at each share. The higher, the rarer the slower calls: 99 % means that one in a hundred takes longer."
		if err := draw(d.name, caption, p, err); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// curve is a figure over the number of callers.
type curve struct {
	name, title, y, caption string
	figure                  figure
	label                   func(float64) string
}

var curves = []curve{
	{
		"throughput", "Throughput, callers in a loop", "timestamps a second",
		"Callers that call again at once, on a PD process on the same machine.",
		func(r result.Result) float64 { return quotient(1e9, r.NsPerOp) }, countLabel,
	},
	{
		"cpu", "Processor time per timestamp, callers in a loop", "processor time",
		"Of the client's process: client and load generator, without PD.",
		cpu, latencyLabel,
	},
}

// callerNumbers are those of the scenarios "closed".
var callerNumbers = []int{1, 8, 64, 512, 4096}

func overCallers(c curve, results []result.Result) (*plot.Plot, error) {
	p := newPlot(c.title, "callers", c.y)
	drawn := false
	for _, s := range styles {
		if s.name == impl.Bare {
			continue // it has one caller only
		}
		var points plotter.XYs
		for _, n := range callerNumbers {
			if y := result.Select(results, fmt.Sprintf("closed/callers=%d", n), s.name).Median(c.figure); y > 0 {
				points = append(points, plotter.XY{X: float64(n), Y: y})
			}
		}
		if err := line(p, s, s.name, points, false, true); err != nil {
			return nil, err
		}
		drawn = drawn || len(points) > 0
	}
	if !drawn {
		return nil, nil //nolint:nilnil // there is nothing to draw
	}
	logarithmic(&p.Y, c.label)
	p.X.Scale = plot.LogScale{}
	p.X.Tick.Marker, p.X.Min, p.X.Max = callerTicks(), 0.8, 5200
	p.Y.Min, p.Y.Max = p.Y.Min/1.3, p.Y.Max*1.3
	p.Legend.Top = c.name != "throughput" // where the lines are not
	return p, nil
}

func callerTicks() plot.ConstantTicks {
	var ticks plot.ConstantTicks
	for _, n := range callerNumbers {
		ticks = append(ticks, plot.Tick{Value: float64(n), Label: countLabel(float64(n))})
	}
	return ticks
}

// workerNumbers are those of the scenarios "busy"; with none it is "closed".
var workerNumbers = []int{0, 2, 8, 32}

func overWorkers(callers int, results []result.Result) (*plot.Plot, error) {
	title := fmt.Sprintf("Latency in a busy process, %d callers", callers)
	if callers == 1 {
		title = "Latency in a busy process, one caller"
	}
	p := newPlot(title, "goroutines that always have work", "latency")
	drawn := false
	for _, s := range styles {
		var middle, tail plotter.XYs
		for i, n := range workerNumbers {
			name := fmt.Sprintf("busy/callers=%d/workers=%d", callers, n)
			if n == 0 {
				name = fmt.Sprintf("closed/callers=%d", callers)
			}
			c := result.Select(results, name, s.name)
			if len(c) > 0 {
				middle = append(middle, plotter.XY{X: float64(i), Y: c.Median(p50)})
				tail = append(tail, plotter.XY{X: float64(i), Y: c.Median(p99)})
			}
			drawn = drawn || n > 0 && len(c) > 0
		}
		if err := line(p, s, s.name, middle, false, true); err != nil {
			return nil, err
		}
		if err := line(p, s, "", tail, true, true); err != nil {
			return nil, err
		}
	}
	if !drawn {
		return nil, nil //nolint:nilnil // there is nothing to draw
	}
	named(&p.X, []string{"none", "2", "8", "32"})
	logarithmic(&p.Y, latencyLabel)
	p.Y.Min, p.Y.Max = p.Y.Min/1.3, p.Y.Max*1.3
	p.Legend.Top, p.Legend.Left = false, false
	return p, nil
}

// distributions are the scenarios whose latencies are drawn.
var distributions = []struct{ name, scenario, title string }{
	{"latency-1", "closed/callers=1", "One caller in a loop"},
	{"latency-64", "closed/callers=64", "64 callers in a loop"},
	{"latency-4096", "closed/callers=4096", "4,096 callers in a loop"},
	{"latency-open", "open/rate=100000", "100,000 calls a second, from when each was due"},
	{"latency-busy", "busy/callers=1/workers=8", "One caller beside 8 busy goroutines"},
	{"latency-far", "far/callers=64", "64 callers that pause, PD some 2.3 ms away"},
}

// nines is where a share in percent is drawn: the axis gives as much room to each
// further nine.
func nines(percent float64) float64 { return -math.Log10(1 - percent/100) }

func distribution(scenario, title string, results []result.Result) (*plot.Plot, error) {
	p := newPlot(title, "latency", "share of the calls that are quicker")
	drawn := false
	for _, s := range styles {
		var points plotter.XYs
		for i, ns := range result.Select(results, scenario, s.name).Curve() {
			points = append(points, plotter.XY{X: ns, Y: nines(load.Quantiles[i])})
		}
		if err := line(p, s, s.name, points, false, false); err != nil {
			return nil, err
		}
		drawn = drawn || len(points) > 0
	}
	if !drawn {
		return nil, nil //nolint:nilnil // there is nothing to draw
	}
	logarithmic(&p.X, latencyLabel)
	p.X.Min, p.X.Max = p.X.Min/1.1, p.X.Max*1.1
	var ticks plot.ConstantTicks
	for _, percent := range []float64{0, 50, 90, 99, 99.9, 99.99} {
		ticks = append(ticks, plot.Tick{Value: nines(percent), Label: fmt.Sprintf("%g %%", percent)})
	}
	p.Y.Tick.Marker, p.Y.Min, p.Y.Max = ticks, 0, nines(99.99)
	p.Legend.Top, p.Legend.Left = false, false
	return p, nil
}
