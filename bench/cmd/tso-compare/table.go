package main

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/tsoring/tso/bench/internal/text"
)

// column is a figure and how it is written.
type column struct {
	title  string
	figure func(result) float64
	write  func(float64) string
}

// columns are those of the table, after the callers and the client.
var columns = []column{
	{"ns/op", func(r result) float64 { return r.NsPerOp }, text.Digits},
	{"p50", func(r result) float64 { return r.P50 }, latency},
	{"p99", func(r result) float64 { return r.P99 }, latency},
	{"CPU/ts", func(r result) float64 { return r.CPUPerOp }, latency},
	{"allocs/op", func(r result) float64 { return r.AllocsOp }, text.Digits},
	{"B/op", func(r result) float64 { return r.BytesPerOp }, text.Digits},
	{"RPC/s", func(r result) float64 { return r.RPCsPerSec }, text.Digits},
	{"ts/RPC", func(r result) float64 { return r.PerRPC }, text.Digits},
	{"work", func(r result) float64 { return r.Work }, text.Digits},
}

func latency(ns float64) string { return text.Latency(time.Duration(ns)) }

// render returns the table: for each number of callers a row for each client,
// and the ratio of the first client to each of the others.
func render(cfg config, results []result) string {
	header, figures := table.Row{"callers", "client"}, []int{1}
	for i, c := range columns {
		header, figures = append(header, c.title), append(figures, i+3)
	}
	t := text.NewTable(figures...)
	t.AppendHeader(header)
	for _, s := range cfg.scenarios() {
		t.Section(section(cfg.rivals(s), s, results))
	}
	return t.String()
}

// section returns the rows for one scenario.
func section(names []string, s scenario, results []result) []table.Row {
	var rows []table.Row
	label := s.label()
	for _, name := range names {
		c := cellOf(results, name, s)
		if len(c) == 0 {
			continue
		}
		row := table.Row{label, name}
		for _, col := range columns {
			row = append(row, col.write(c.median(col.figure)))
		}
		rows, label = append(rows, row), ""
	}
	ours := cellOf(results, names[0], s)
	for _, name := range names[1:] {
		row := table.Row{"", names[0] + "/" + name}
		for _, col := range columns {
			row = append(row, times(ours.ratio(cellOf(results, name, s), col.figure)))
		}
		rows = append(rows, row)
	}
	return rows
}

// times writes a ratio.
func times(ratio float64) string {
	if math.IsNaN(ratio) {
		return "-"
	}
	return fmt.Sprintf("%.2fx", ratio)
}

// failures returns a line for each client whose calls have failed, which makes
// its other figures doubtful.
func failures(results []result) string {
	failed, lines := map[string]int64{}, ""
	for _, r := range results {
		failed[r.Impl] += r.Errors
	}
	for _, name := range slices.Sorted(maps.Keys(failed)) {
		if n := failed[name]; n > 0 {
			lines += fmt.Sprintf("%s: %s calls FAILED\n", name, text.Count(n))
		}
	}
	return lines
}
