// Package report shows results: as tables of text, and as a page with pictures.
package report

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/tsoring/tso/bench/internal/result"
	"github.com/tsoring/tso/bench/internal/scenario"
	"github.com/tsoring/tso/bench/internal/text"
)

// column is a figure and how it is written.
type column struct {
	title  string
	figure func(result.Result) float64
	write  func(float64) string
}

// columns are those of the table, after the client.
var columns = []column{
	{"ns/op", func(r result.Result) float64 { return r.NsPerOp }, text.Digits},
	{"p50", func(r result.Result) float64 { return r.P50 }, latency},
	{"p99", func(r result.Result) float64 { return r.P99 }, latency},
	{"p99.9", func(r result.Result) float64 { return r.P999 }, latency},
	{"CPU/ts", func(r result.Result) float64 { return r.CPUPerOp }, latency},
	{"allocs/op", func(r result.Result) float64 { return r.AllocsOp }, text.Digits},
	{"B/op", func(r result.Result) float64 { return r.BytesPerOp }, text.Digits},
	{"RPC/s", func(r result.Result) float64 { return r.RPCsPerSec }, text.Digits},
	{"RPC/ts", func(r result.Result) float64 { return r.RPCsPerOp }, text.Digits},
}

// extra are columns of some scenarios only.
var extra = []column{
	{"mean/RTT", func(r result.Result) float64 { return quotient(r.Mean, r.RTT) }, text.Digits},
	{"work", func(r result.Result) float64 { return r.Work }, text.Digits},
}

// idleColumns are all there is to say about processes that do nothing.
var idleColumns = []column{
	{"CPU", func(r result.Result) float64 { return r.CPUShare }, percent},
	{"wake-ups/s", func(r result.Result) float64 { return r.WakeUps }, text.Digits},
}

func latency(ns float64) string    { return text.Latency(time.Duration(ns)) }
func percent(share float64) string { return fmt.Sprintf("%.3f %%", 100*share) }

func quotient(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// times writes a ratio.
func times(ratio float64) string {
	if math.IsNaN(ratio) {
		return "-"
	}
	return fmt.Sprintf("%.2fx", ratio)
}

// section is what there is to show of a scenario.
type section struct {
	scenario scenario.Scenario
	columns  []column
	rows     []row
}

// row is a client with its medians, or the ratio of ours to another client.
type row struct {
	name   string
	ratio  bool
	values []string
}

// sections returns those scenarios that have results.
func sections(scenarios []scenario.Scenario, results []result.Result) []section {
	var all []section
	for _, s := range scenarios {
		if sec, ok := sectionOf(s, results); ok {
			all = append(all, sec)
		}
	}
	return all
}

func sectionOf(s scenario.Scenario, results []result.Result) (section, bool) {
	var names []string
	cells := map[string]result.Cell{}
	for _, r := range s.Rivals {
		if c := result.Select(results, s.Name(), r.Name); len(c) > 0 {
			cells[r.Name], names = c, append(names, r.Name)
		}
	}
	if len(names) == 0 {
		return section{}, false // it has not come to this
	}
	ours := names[0]
	sec := section{scenario: s, columns: columnsFor(s, cells[ours])}
	for _, name := range names {
		sec.add(name, false, func(col column) string { return medianOf(cells[name], col) })
	}
	for _, name := range names[1:] {
		sec.add(ours+"/"+name, true, func(col column) string { return times(cells[ours].Ratio(cells[name], col.figure)) })
	}
	return sec, true
}

func (s *section) add(name string, ratio bool, value func(column) string) {
	r := row{name: name, ratio: ratio}
	for _, col := range s.columns {
		r.values = append(r.values, value(col))
	}
	s.rows = append(s.rows, r)
}

// queueColumns are all there is to say about queues.
var queueColumns = []column{columns[0], {"CPU/op", func(r result.Result) float64 { return r.CPUPerOp }, latency}, columns[5], columns[6]}

// columnsFor returns the columns that have something to show.
func columnsFor(s scenario.Scenario, c result.Cell) []column {
	switch {
	case s.Idle:
		return idleColumns
	case s.Queue:
		return queueColumns
	}
	shown := slices.Clone(columns)
	for _, col := range extra {
		if c.Median(col.figure) != 0 {
			shown = append(shown, col)
		}
	}
	return shown
}

func medianOf(c result.Cell, col column) string {
	if m := c.Median(col.figure); m != 0 || c[0].Calls > 0 || c[0].Work == 0 {
		return col.write(m)
	}
	return "-" // nobody has called
}
