package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/tsoring/tso"
	"github.com/tsoring/tso/bench/internal/text"
)

// render returns the report as a table: what was measured, how much of it, and
// what there is to know about the number.
func (r *report) render() string {
	t := text.NewTable(2)
	t.Section(r.throughput())
	t.Section(r.latencies())
	t.Section(r.errors())
	t.Section(r.costs())
	t.Section(r.verdict())
	t.Section(r.decoded())
	return r.title + r.ending() + "\n" + t.String()
}

// noteWidth wraps what is said about a number, for a screen of 100 columns.
const noteWidth = 58

func (r *report) ending() string {
	took := r.wall.Round(10 * time.Millisecond)
	if r.early {
		return fmt.Sprintf(", interrupted after %v", took)
	}
	return fmt.Sprintf(", %v", took)
}

func (r *report) throughput() []table.Row {
	return []table.Row{
		{"timestamps", text.Count(r.calls)},
		{"timestamps/s", text.Rate(r.calls, r.wall)},
		{"RPCs", text.Count(r.stats.RPCs)},
		{"timestamps/RPC", text.Per(float64(r.stats.Timestamps), r.stats.RPCs)},
	}
}

func (r *report) latencies() []table.Row {
	l := r.latency
	rows := []table.Row{}
	for _, q := range []struct {
		name string
		d    time.Duration
	}{{"p50", l.P50}, {"p90", l.P90}, {"p99", l.P99}, {"p99.9", l.P999}, {"max", l.Max}} {
		value := "-"
		if r.calls > 0 {
			value = text.Latency(q.d)
		}
		rows = append(rows, table.Row{"latency " + q.name, value})
	}
	return rows
}

func (r *report) errors() []table.Row {
	rows := []table.Row{{"errors", text.Count(r.failed)}}
	for _, f := range r.faults {
		rows = append(rows, table.Row{"  " + f.Kind, text.Count(f.Count), text.Wrap("last: "+oneLine(f.Last), noteWidth)})
	}
	return rows
}

// oneLine shortens an error to what fits a few lines of the table.
func oneLine(err error) string {
	const most = 200
	s := []rune(strings.Join(strings.Fields(err.Error()), " "))
	if len(s) > most {
		s = append(s[:most], '…')
	}
	return string(s)
}

// costs are those of the process: the runtime and the system count no finer.
func (r *report) costs() []table.Row {
	whose := "of the process: client and load generator"
	if r.embedded {
		whose = "of the process: client, load generator, embedded server"
	}
	cpu := "-"
	if r.calls > 0 && r.usage.CPU > 0 {
		cpu = text.Latency(r.usage.CPU / time.Duration(r.calls))
	}
	kept := "the same"
	if r.order.checked {
		kept = "the same, and what the order check keeps"
	}
	return []table.Row{
		{"CPU/timestamp", cpu, whose},
		{"allocs/timestamp", text.Per(float64(r.usage.Mallocs), r.calls), "the same; recording a call allocates nothing"},
		{"bytes/timestamp", text.Per(float64(r.usage.Bytes), r.calls), kept},
		{"GC cycles", text.Count(r.usage.GCs)},
	}
}

func (r *report) verdict() []table.Row {
	o := r.order
	switch {
	case o.faults > 0:
		rows := []table.Row{{"order check", "FAILED", fmt.Sprintf("%s violations in %s calls", text.Count(o.faults), text.Count(o.calls))}}
		for _, v := range o.first[:min(len(o.first), violationsShown)] {
			rows = append(rows, table.Row{"", "", text.Wrap(v.String(), noteWidth)})
		}
		return rows
	case !o.checked:
		return []table.Row{{"order check", "off"}}
	case o.calls == 0:
		return []table.Row{{"order check", "-", "nothing to check"}}
	}
	return []table.Row{{"order check", "passed", text.Wrap(text.Count(o.calls)+" calls checked"+o.gap(), noteWidth)}}
}

// violationsShown is how many are shown: they tend to be alike.
const violationsShown = 5

// gap says what the check could not see.
func (o order) gap() string {
	if o.unchecked == 0 {
		return ""
	}
	return fmt.Sprintf("; %s came too late to be checked for duplicates", text.Count(o.unchecked))
}

// decoded shows that a timestamp is a time and a counter.
func (r *report) decoded() []table.Row {
	var rows []table.Row
	for i, ts := range r.samples {
		name := ""
		if i == 0 {
			name = "for example"
		}
		physical, logical := tso.ExtractTS(ts)
		rows = append(rows, table.Row{name, ts, fmt.Sprintf("%s, logical %s",
			time.UnixMilli(physical).UTC().Format("2006-01-02 15:04:05.000 MST"), text.Count(logical))})
	}
	return rows
}
