package faults

import (
	"fmt"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
)

// The methods that a crowd's table has columns for, and the service of those of etcd.
const (
	methodTso        = "/pdpb.PD/Tso"
	methodGetMembers = "/pdpb.PD/GetMembers"
	serviceEtcd      = "/etcdserverpb."
)

// CrowdTable returns what crowds have cost as a table, ready to be rendered as text or
// Markdown.
func CrowdTable(outcomes []*CrowdOutcome) table.Writer {
	t := table.NewWriter()
	t.SetStyle(style())
	t.AppendHeader(table.Row{
		"fault", "clients", "PD's CPU", "PD's memory", "clients' CPU", "lists", "streams", "requests", "etcd's", "other RPCs", "connects",
		"first served", "half", "all", "errors", "violations", "machine",
	})
	for _, o := range outcomes {
		t.AppendRow(o.cells())
	}
	return t
}

func (o *CrowdOutcome) cells() table.Row {
	row := table.Row{
		o.Crowd.Name, o.Client, processorTime(o.PDBefore, o.PD), fmt.Sprintf("%d MB", o.Memory>>20), processorTime(o.ClientsBefore, o.Clients),
		figure(o.RPCs[methodGetMembers]), figure(o.RPCs[methodTso]), figure(o.Requests[methodTso]),
		figure(o.others(func(method string) bool { return strings.HasPrefix(method, serviceEtcd) })),
		figure(o.others(func(method string) bool { return !strings.HasPrefix(method, serviceEtcd) })),
		figure(o.Connects),
	}
	return append(append(row, o.served()...), o.Errors, len(o.Violations), brief(o.Machine))
}

// others returns how many RPCs a client has sent of wanted methods that have no columns of
// their own.
func (o *CrowdOutcome) others(wanted func(method string) bool) (sum float64) {
	for method, n := range o.RPCs {
		if method != methodGetMembers && method != methodTso && wanted(method) {
			sum += n
		}
	}
	return sum
}

func (o *CrowdOutcome) served() []any {
	switch {
	case o.Crowd.rest:
		return []any{"", "", ""}
	case o.Unserved > 0:
		return []any{brief(o.First), brief(o.Half), fmt.Sprintf("%d never", o.Unserved)}
	}
	return []any{brief(o.First), brief(o.Half), brief(o.All)}
}

// processorTime writes what was spent in all, and what of it before members that could
// serve began to.
func processorTime(before, all time.Duration) string {
	if before == 0 || before == all {
		return fmt.Sprintf("%.2f s", all.Seconds())
	}
	return fmt.Sprintf("%.2f s (%.2f before)", all.Seconds(), before.Seconds())
}

// figure writes a number with two digits or so.
func figure(n float64) string {
	if n == 0 || n >= 9.95 {
		return fmt.Sprintf("%.0f", n)
	}
	return fmt.Sprintf("%.2g", n)
}

// CrowdMissed returns where our client has cost more than PD's own, or was served later, in
// the same fault; "" if nowhere.
func CrowdMissed(ours, upstream *CrowdOutcome) string {
	var missed []string
	more := func(what string, ours, upstream time.Duration) {
		if ours > upstream {
			missed = append(missed, fmt.Sprintf("%s: %.2f s beside %.2f s, %.1f times", what,
				ours.Seconds(), upstream.Seconds(), ours.Seconds()/upstream.Seconds()))
		}
	}
	more("PD's CPU", ours.PD, upstream.PD)
	more("clients' CPU", ours.Clients, upstream.Clients)
	switch {
	case ours.Unserved > 0:
		missed = append(missed, fmt.Sprintf("%d clients never served", ours.Unserved))
	case !ours.Crowd.rest && upstream.Unserved == 0:
		more("all served", ours.All, upstream.All)
	}
	if n := len(ours.Violations); n > 0 {
		missed = append(missed, fmt.Sprintf("%d violations: %v", n, ours.Violations[0]))
	}
	if ours.Errors > 0 {
		missed = append(missed, fmt.Sprintf("%d errors: %v", ours.Errors, ours.Messages))
	}
	return strings.Join(missed, "; ")
}
