package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tsoring/tso/integration/cli"
	"github.com/tsoring/tso/integration/faults"
)

// report is what a run leaves behind.
type report struct {
	began   time.Time
	took    time.Duration
	command string
	results []*faults.Result
	crowds  []*faults.CrowdOutcome
}

func newReport(began time.Time, cfg config, results []*faults.Result, crowds []*faults.CrowdOutcome) *report {
	command := "make faults"
	if len(cfg.only) > 0 {
		command += " ONLY='" + strings.Join(cfg.only, ",") + "'"
	}
	return &report{began, time.Since(began), command, results, crowds}
}

const legend = `The floor is for how long no member served, asked directly (or no client could be
served, where the only way is cut). "Adds" is the longest that any silence of a client
lasted beyond that. 8 callers without a deadline per client, both clients in one process
and on the same cluster. What a client adds is rounded down by up to 5 ms; in it is what
the machine adds to everybody, whose worst moment the last column shows.
`

const crowdLegend = `Many clients at once, in four processes, of one kind and then of the other, on a cluster
of its own each. Each has one caller without a deadline, which pauses for 100 ms between
calls. CPU is the processor time of all PD processes, and of the clients', from the fault
until all clients were served again, with what of it was spent before the members were
started again; they need some to start. Lists (GetMembers), TSO streams, requests on them,
RPCs to PD's etcd, other RPCs and connections are a client's, as sent. Served is counted from
when the members were started, or from the fault where they never were away: in it is what PD
needs to elect a leader. A fault that happens several times counts on average, served by the
worst time. Memory is that of all PD processes at the end.
`

func (r *report) header() string {
	return cli.Provenance(r.command, r.took)
}

// text is the report for a terminal.
func (r *report) text() string {
	var tables string
	if len(r.results) > 0 {
		tables += "\n" + cli.Trimmed(faults.Table(r.results).Render()) + "\n"
	}
	if len(r.crowds) > 0 {
		tables += "\n" + cli.Trimmed(faults.CrowdTable(r.crowds).Render()) + "\n"
	}
	return tables + "\n" + r.header()
}

// markdown is the report for a file.
func (r *report) markdown() string {
	text := fmt.Sprintf("# Faults on real PD, %s\n\n%s", r.began.Format("2006-01-02 15:04"), r.header())
	if len(r.results) > 0 {
		text += fmt.Sprintf("\n%s\n%s\n", legend, faults.Table(r.results).RenderMarkdown())
	}
	if len(r.crowds) > 0 {
		text += fmt.Sprintf("\n%s\n%s\n", crowdLegend, faults.CrowdTable(r.crowds).RenderMarkdown())
	}
	return text
}

// save writes the report to a new file in a folder, if one is given.
func (r *report) save(folder string) error {
	if folder == "" {
		return nil
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	path := filepath.Join(folder, r.began.Format("2006-01-02-1504")+"-faults.md")
	return os.WriteFile(path, []byte(r.markdown()), 0o644)
}
